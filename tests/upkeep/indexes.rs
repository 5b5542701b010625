//! REINDEX under fire: who is in the way is named, writers go on, nothing invalid is left.

use std::{
    process::{Command, Stdio},
    time::Duration,
};

use maint::model::outcome::Outcome;

use super::{Open, Stage, about, bad, postgres::Cluster, typed};

/// A table with an index of which most is air, and others.
const AIRY: &str = "CREATE TABLE t WITH (autovacuum_enabled = off) AS SELECT g AS id, md5(g::text) AS v, 0 AS n \
         FROM generate_series(1, 60000) g; \
     ALTER TABLE t ADD PRIMARY KEY (id); CREATE INDEX t_v ON t (v); CREATE TABLE other AS SELECT 1 AS id; \
     DELETE FROM t WHERE id % 8 <> 0";
const STEP: &str = "reindex = { server = \"production\", min_size = \"500kB\", lock_timeout = \"1s\" }";
const INVALID: &str = "SELECT indexrelid::regclass FROM pg_index WHERE NOT indisvalid";

fn airy() -> (Cluster, Stage) {
    let cluster = Cluster::start_with(&super::postgres::Options {
        settings: &[("max_prepared_transactions", "5"), ("max_connections", "40")],
        ..Default::default()
    });
    cluster.psql("postgres", AIRY);
    // By another session: counts of what came before are told at a session's end, and would come after those of ANALYZE.
    cluster.psql("postgres", "VACUUM ANALYZE t");
    let stage = Stage::new(cluster.server("postgres"));
    (cluster, stage)
}

fn size(cluster: &Cluster, index: &str) -> u64 {
    cluster.psql("postgres", &format!("SELECT pg_relation_size('{index}')")).parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn airy_indexes_are_rebuilt_and_others_left() {
    let (cluster, stage) = airy();
    cluster.psql("postgres", "CREATE INDEX fresh ON t (n, v)");
    cluster.psql("postgres", "ANALYZE t");
    let before = size(&cluster, "t_v");
    let filenode = "SELECT pg_relation_filenode('fresh')";
    let fresh = cluster.psql("postgres", filenode);
    let report = stage.run(STEP).await;
    assert_eq!((report.outcome.clone(), bad(&report)), (Outcome::Changed, Vec::<String>::new()), "{report:#?}");
    assert!(size(&cluster, "t_v") * 3 < before);
    assert!(about(&report, "public.t_v").seen.contains(" -> "));
    assert!(about(&report, "public.t_pkey").seen.contains(" -> "));
    assert_eq!(cluster.psql("postgres", filenode), fresh);
    let again = stage.run(STEP).await;
    assert_eq!(again.outcome, Outcome::Ok, "{again:#?}");
    assert!(again.summary.starts_with("no index of postgres rebuilt"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_of_another_table_ends_it_by_the_lock_timeout_and_is_named() {
    let (cluster, stage) = airy();
    let reader = "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT * FROM other;\n";
    let open = Open::new(&cluster, "postgres", "report", reader);
    // Writers beside it: none waits longer than the lock timeout.
    cluster.psql("postgres", "CREATE SEQUENCE s START 1000000");
    let script = stage.path().join("write.sql");
    std::fs::write(
        &script,
        "INSERT INTO t VALUES (nextval('s'), md5(random()::text), 1);\n\
         UPDATE t SET n = n + 1 WHERE id = 8 * (1 + (random() * 7000)::int);\n\\sleep 10 ms\n",
    )
    .unwrap();
    let logs = stage.path().join("latency");
    let mut pgbench = cluster.tool("pgbench", "postgres");
    pgbench.args(["-n", "-c", "4", "-j", "1", "-T", "5", "-l"]).arg(format!("--log-prefix={}", logs.display()));
    let mut pgbench = pgbench.arg("-f").arg(&script).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    tokio::time::sleep(Duration::from_millis(500)).await;
    let report = stage.run(STEP).await;
    assert!(matches!(report.outcome, Outcome::Failed(_)), "{report:#?}");
    let finding = about(&report, "public.t_v");
    assert!(finding.seen.contains("gave up after waiting 1.0 s for pid"), "{}", finding.seen);
    assert!(finding.seen.contains("(report, postgres, idle in transaction"), "{}", finding.seen);
    assert_eq!(cluster.psql("postgres", INVALID), "");
    let said = stage.said();
    assert!(said.contains("public.t_v: waiting ") && said.contains("report"), "{said}");
    // What the hint says ends it.
    assert!(typed(finding).contains('t'), "{finding:?}");
    cluster.psql("postgres", "ANALYZE t");
    let rerun = stage.run(STEP).await;
    assert!(about(&rerun, "public.t_v").seen.contains(" -> "), "{rerun:#?}");
    assert_eq!(cluster.psql("postgres", INVALID), "");
    assert!(pgbench.wait().unwrap().success());
    // The third column of pgbench's log is a transaction's time in microseconds.
    let slowest = latencies(stage.path()).max().unwrap();
    assert!(slowest < 1_000_000, "a writer was kept waiting for {slowest} us");
    drop(open);
}

fn latencies(dir: &std::path::Path) -> impl Iterator<Item = u64> {
    let logs = std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().path());
    let logs: Vec<_> = logs.filter(|p| p.file_name().unwrap().to_string_lossy().starts_with("latency")).collect();
    assert!(!logs.is_empty());
    logs.into_iter().flat_map(|log| {
        let text = std::fs::read_to_string(log).unwrap();
        let times: Vec<u64> = text.lines().map(|l| l.split(' ').nth(2).unwrap().parse().unwrap()).collect();
        times
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn old_transactions_are_seen_before_it_begins() {
    let (cluster, stage) = airy();
    let reader = "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT * FROM other;\n";
    let open = Open::new(&cluster, "postgres", "report", reader);
    tokio::time::sleep(Duration::from_millis(300)).await;
    let step = "reindex = { server = \"production\", min_size = \"500kB\", old_transaction = \"200ms\", \
         patience = \"600ms\" }";
    let report = stage.run(step).await;
    let finding = about(&report, "public.t_v");
    assert!(finding.seen.contains("not rebuilt: waited") && finding.seen.contains("(report, "), "{}", finding.seen);
    assert!(stage.said().contains("waiting"), "{}", stage.said());
    drop(open);
    // A prepared transaction has no session to look at; it is named by its own name.
    cluster.psql("postgres", "BEGIN; UPDATE t SET n = 5 WHERE id = 8; PREPARE TRANSACTION 'forgotten'");
    let report = stage.run(step).await;
    let finding = about(&report, "public.t_v");
    assert!(finding.seen.contains("the prepared transaction (forgotten, postgres"), "{}", finding.seen);
    assert_eq!(typed(finding).trim(), "ROLLBACK PREPARED");
    assert_eq!(stage.run(step).await.outcome, Outcome::Changed);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leftovers_are_put_right_and_only_they() {
    let (cluster, stage) = airy();
    // What a rebuild leaves that is cut off: by its own lock timeout, before and after the swap.
    let reader =
        Open::new(&cluster, "postgres", "reader", "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT FROM other;\n");
    let cut_off = || {
        let mut psql = cluster.tool("psql", "postgres");
        psql.env("PGOPTIONS", "-c lock_timeout=300ms").args(["-Xqc", "REINDEX INDEX CONCURRENTLY t_v"]);
        assert!(!psql.stderr(Stdio::null()).status().unwrap().success());
    };
    cut_off();
    cut_off();
    drop(reader);
    cluster.psql(
        "postgres",
        "CREATE INDEX x_ccold ON t (v); UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'x_ccold'::regclass; \
         CREATE INDEX mine_ccnew ON t (n); UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'mine_ccnew'::regclass; \
         CREATE INDEX half ON t (n, id); UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'half'::regclass",
    );
    assert_eq!(cluster.psql("postgres", INVALID).lines().count(), 5);
    // Somebody at work on the table: nothing is proved, nothing is touched.
    let open = Open::new(&cluster, "postgres", "ddl", "BEGIN; LOCK TABLE t IN SHARE UPDATE EXCLUSIVE MODE;\n");
    let big = "reindex = { server = \"production\", min_size = \"1GB\" }";
    let report = stage.run(big).await;
    assert_eq!(bad(&report), Vec::<String>::new());
    assert!(about(&report, "public.t_v_ccnew").seen.contains("left alone"));
    assert_eq!(cluster.psql("postgres", INVALID).lines().count(), 5);
    drop(open);
    let oid = cluster.psql("postgres", "SELECT 't_v'::regclass::oid");
    let report = stage.run(big).await;
    assert_eq!(cluster.psql("postgres", INVALID), "mine_ccnew\nhalf");
    for removed in ["public.t_v_ccnew", "public.t_v_ccnew1", "public.x_ccold"] {
        assert!(about(&report, removed).seen.contains("removed"));
    }
    // The rebuild that was cut off is made up for, small as the index is.
    assert_ne!(cluster.psql("postgres", "SELECT 't_v'::regclass::oid"), oid);
    let half = about(&report, "public.half");
    assert!(half.hint.as_ref().unwrap().contains("CREATE INDEX CONCURRENTLY half ON public.t"), "{:?}", half.hint);
    assert!(
        half.hint.as_ref().unwrap().contains("-c 'DROP INDEX CONCURRENTLY \"public\".\"half\"'"),
        "{:?}",
        half.hint
    );
    assert_eq!(bad(&report).len(), 2, "{:?}", bad(&report));
    assert!(matches!(report.outcome, Outcome::Failed(_)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_rebuilt_is_said() {
    let (cluster, stage) = airy();
    // Statistics that are no ground for a rebuild.
    cluster.psql("postgres", "UPDATE t SET n = n + 1; CREATE ROLE app LOGIN");
    let report = stage.run(STEP).await;
    assert!(about(&report, "public.t_v").seen.contains("changed since the statistics were made"), "{report:#?}");
    cluster.psql("postgres", "ANALYZE t; ALTER TABLE t OWNER TO app");
    // A role that may not see where the data is cannot see the disk either.
    let mut server = cluster.server("postgres");
    server.user = "app".into();
    let stranger = Stage::new(server);
    let report = stranger.run(STEP).await;
    assert!(about(&report, "public.t_v").seen.contains("nobody knows whether the disk has room"), "{report:#?}");
    assert!(matches!(report.outcome, Outcome::Unknown(_)));
    let careless = STEP.replace("lock_timeout", "check_space = false, lock_timeout");
    assert_eq!(stranger.run(&careless).await.outcome, Outcome::Changed);
}

/// Killed in the middle: the server ends by itself, and the next run removes what is left.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_run_is_put_right_by_the_next() {
    let (cluster, stage) = airy();
    let project = super::project::Project::new(&format!(
        "[postgres.production]\nsocket = \"{}\"\nport = {}\nuser = \"postgres\"\ndbname = \"postgres\"\n",
        cluster.socket_dir().display(),
        cluster.port
    ));
    let step = STEP.replace("\"1s\"", "\"60s\"");
    project.write("jobs/weekly.toml", &format!("description = \"test\"\n[[step]]\nid = \"reindex\"\ndo.{step}\n"));
    let reader =
        Open::new(&cluster, "postgres", "reader", "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT FROM other;\n");
    let mut child = project.start(&["run", "weekly"]);
    super::project::wait_for("the rebuild waits", || cluster.psql("postgres", INVALID).contains("_ccnew"));
    child.kill().unwrap();
    child.wait().unwrap();
    let at_work = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'maint upkeep'";
    super::project::wait_for("the server notices", || cluster.psql("postgres", at_work) == "0");
    assert_ne!(cluster.psql("postgres", INVALID), "");
    drop(reader);
    let report = stage.run(STEP).await;
    assert_eq!((report.outcome.clone(), cluster.psql("postgres", INVALID)), (Outcome::Changed, String::new()));
    // The same by SIGTERM: maint itself leaves nothing.
    cluster.psql(
        "postgres",
        "INSERT INTO t SELECT g, md5(g::text), 0 FROM generate_series(100001, 160000) g; \
         DELETE FROM t WHERE id > 100000 AND id % 8 <> 0",
    );
    cluster.psql("postgres", "VACUUM ANALYZE t");
    let reader =
        Open::new(&cluster, "postgres", "reader", "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT FROM other;\n");
    let child = project.start(&["run", "weekly"]);
    super::project::wait_for("the rebuild waits", || cluster.psql("postgres", INVALID).contains("_ccnew"));
    Command::new("kill").arg(child.id().to_string()).status().unwrap();
    let ended = child.wait_with_output().unwrap();
    assert_eq!(ended.status.code(), Some(130), "{}", String::from_utf8_lossy(&ended.stderr));
    assert_eq!(cluster.psql("postgres", INVALID), "");
    drop(reader);
}
