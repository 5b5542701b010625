//! VACUUM and ANALYZE: what the server counted, and everything that it left undone without an error.

use std::time::{Duration, Instant};

use maint::{adapters::ledger::Ledger, model::outcome::Outcome};

use super::{Open, Stage, about, bad, postgres::Cluster, project::Project, typed};

const TABLES: &str = "CREATE TABLE a AS SELECT g AS id, md5(g::text) AS v FROM generate_series(1, 5000) g; \
     CREATE TABLE b (id int); CREATE MATERIALIZED VIEW m AS SELECT * FROM a; \
     CREATE TABLE p (id int) PARTITION BY RANGE (id); CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (10); \
     CREATE SCHEMA \"odd \"\"schema\"; CREATE TABLE \"odd \"\"schema\".\"Odd'Table\" (id int);";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_table_is_vacuumed_and_counted() {
    let cluster = Cluster::start();
    cluster.psql("postgres", TABLES);
    let stage = Stage::new(cluster.server("postgres"));
    let report = stage.run("vacuum = { server = \"production\" }").await;
    assert_eq!((report.outcome.clone(), bad(&report)), (Outcome::Changed, Vec::<String>::new()), "{report:#?}");
    let undone = "SELECT relname FROM pg_stat_all_tables WHERE (vacuum_count < 1 OR analyze_count < 1) \
         AND relname NOT IN ('p', 'pg_statistic') AND schemaname <> 'pg_toast'";
    assert_eq!(cluster.psql("postgres", undone), "");
    assert_eq!(cluster.psql("postgres", "SELECT analyze_count FROM pg_stat_all_tables WHERE relname = 'p'"), "1");
    // What was just analysed is not read again.
    let again = stage.run("analyze = { server = \"production\" }").await;
    assert!(again.summary.contains("had been in this run already"), "{}", again.summary);
    assert_eq!(again.outcome, Outcome::Ok);
    cluster.psql("postgres", "CREATE TABLE fresh AS SELECT 1 AS id");
    let third = stage.run("analyze = { server = \"production\" }").await;
    assert!(third.summary.starts_with("1 table of postgres analysed"), "{}", third.summary);
    let all = stage.run("analyze = { server = \"production\", again = true, exclude = [\"public.a\"] }").await;
    assert_eq!(bad(&all), Vec::<String>::new());
    assert_eq!(cluster.psql("postgres", "SELECT analyze_count FROM pg_stat_all_tables WHERE relname = 'a'"), "1");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_stranger_may_not_vacuum_is_not_done() {
    let cluster = Cluster::start();
    cluster.psql(
        "postgres",
        "CREATE ROLE app LOGIN; CREATE DATABASE d OWNER postgres; ALTER ROLE app SET statement_timeout = '1ms'",
    );
    cluster.psql("d", "CREATE TABLE theirs (id int); CREATE TABLE ours (id int); ALTER TABLE ours OWNER TO app");
    let mut server = cluster.server("d");
    server.user = "app".into();
    let report = Stage::new(server.clone()).run("vacuum = { server = \"production\" }").await;
    assert!(matches!(report.outcome, Outcome::Failed(_)), "{:?}", report.outcome);
    let theirs = about(&report, "public.theirs");
    // PostgreSQL 15: `skipping "theirs" --- …`; 17: `permission denied to vacuum "theirs", skipping it`.
    assert!(theirs.seen.starts_with("not done: ") && theirs.seen.contains("skipping"), "{}", theirs.seen);
    assert!(theirs.hint.as_ref().unwrap().contains("MAINTAIN"));
    assert!(about(&report, "d catalogues").seen.contains("skipping"));
    assert!(!report.findings.iter().any(|f| f.subject == "public.ours"), "done: the role's own timeout does not hold");
    // Who owns the database may vacuum every table of it; the server's shared ones are not this database's.
    cluster.psql("postgres", "ALTER DATABASE d OWNER TO app");
    let report = Stage::new(server).run("vacuum = { server = \"production\" }").await;
    assert_eq!(bad(&report), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_locked_table_is_named_and_delays_nobody() {
    let cluster = Cluster::start();
    cluster.psql("postgres", TABLES);
    let open = Open::new(&cluster, "postgres", "migration", "BEGIN; LOCK TABLE a;\n");
    let stage = Stage::new(cluster.server("postgres"));
    let begun = Instant::now();
    let report = stage.run("vacuum = { server = \"production\", lock_timeout = \"900ms\" }").await;
    assert!(begun.elapsed() < Duration::from_secs(8));
    let finding = about(&report, "public.a");
    assert!(finding.seen.contains("still locked after 900 ms, by pid "), "{}", finding.seen);
    assert!(finding.seen.contains("(migration, postgres, idle in transaction"), "{}", finding.seen);
    assert!(matches!(report.outcome, Outcome::Warning(_)), "{:?}", report.outcome);
    assert_eq!(bad(&report).len(), 1, "the others are done: {:?}", bad(&report));
    let said = stage.said();
    assert!(said.contains("public.a: waiting ") && said.contains("migration"), "{said}");
    assert!(typed(finding).contains('t'), "{finding:?}");
    let report = stage.run("vacuum = { server = \"production\" }").await;
    assert_eq!(report.outcome, Outcome::Changed);
    drop(open);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lock_that_goes_in_time_is_waited_for() {
    let cluster = Cluster::start();
    cluster.psql("postgres", TABLES);
    let open = Open::new(&cluster, "postgres", "migration", "BEGIN; LOCK TABLE a;\n");
    let stage = Stage::new(cluster.server("postgres"));
    let release = async {
        tokio::time::sleep(Duration::from_millis(700)).await;
        tokio::task::spawn_blocking(move || drop(open)).await.unwrap();
    };
    let (report, ()) = tokio::join!(stage.run("vacuum = { server = \"production\", lock_timeout = \"8s\" }"), release);
    assert_eq!((report.outcome.clone(), bad(&report)), (Outcome::Changed, Vec::<String>::new()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_does_not_count_proves_nothing() {
    let settings = [("track_counts", "off"), ("autovacuum", "off")];
    let cluster = Cluster::start_with(&super::postgres::Options { settings: &settings, ..Default::default() });
    let report = Stage::new(cluster.server("postgres")).run("vacuum = { server = \"production\" }").await;
    assert!(matches!(&report.outcome, Outcome::Unknown(why) if why.contains("track_counts")), "{:?}", report.outcome);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_that_fails_is_one_table() {
    let cluster = Cluster::start();
    cluster.psql("postgres", TABLES);
    cluster.psql(
        "postgres",
        "CREATE FUNCTION f(int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS \
             $$ BEGIN IF current_setting('app.broken', true) = 'yes' THEN RAISE 'broken'; END IF; RETURN $1; END $$; \
         CREATE TABLE fails AS SELECT g AS id FROM generate_series(1, 10) g; CREATE INDEX ON fails (f(id)); \
         ALTER DATABASE postgres SET app.broken = 'yes'",
    );
    let report = Stage::new(cluster.server("postgres")).run("vacuum = { server = \"production\" }").await;
    assert_eq!(bad(&report).len(), 1, "{:?}", bad(&report));
    let failed = about(&report, "public.fails");
    assert!(failed.seen.contains("not done: ") && failed.seen.contains("broken"), "{}", failed.seen);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopped_run_ends_its_statements() {
    let cluster = Cluster::start();
    cluster.psql("postgres", TABLES);
    let _open = Open::new(&cluster, "postgres", "migration", "BEGIN; LOCK TABLE a;\n");
    let stage = Stage::new(cluster.server("postgres"));
    let stop = async {
        tokio::time::sleep(Duration::from_millis(1500)).await;
        stage.context.cancel.cancel();
    };
    let run = stage.try_run("vacuum = { server = \"production\", lock_timeout = \"60s\" }");
    let (ended, ()) = tokio::join!(run, stop);
    assert_eq!(maint::model::failure::Diagnose::class(&ended.unwrap_err()), maint::model::failure::Class::Interrupted);
    let left = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'maint%' AND state = 'active'";
    assert_eq!(cluster.psql("postgres", left), "0");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bloat_is_told_with_its_doubts() {
    let cluster = Cluster::start();
    cluster.psql(
        "postgres",
        "CREATE TABLE airy WITH (autovacuum_enabled = off) AS SELECT g AS id, repeat('x', 200) AS v \
             FROM generate_series(1, 100000) g; \
         CREATE INDEX airy_id ON airy (id); DELETE FROM airy WHERE id % 10 <> 0; \
         CREATE TABLE strange WITH (autovacuum_enabled = off) AS SELECT g AS id, repeat('x', 200) AS v \
             FROM generate_series(1, 60000) g; VACUUM strange",
    );
    // By another session: counts of what came before are told at a session's end, and would come after those of ANALYZE.
    cluster.psql("postgres", "VACUUM ANALYZE airy");
    let stage = Stage::new(cluster.server("postgres"));
    let step = "bloat = { server = \"production\", top = 3, min_size = \"1MB\" }";
    let report = stage.run(step).await;
    let airy = about(&report, "public.airy bloat");
    assert!((85.0..95.0).contains(&airy.value.unwrap().value), "{}", airy.seen);
    assert_eq!(airy.band, maint::model::finding::Band::Warning);
    assert!(about(&report, "public.airy_id bloat").value.unwrap().value > 80.0);
    assert!(about(&report, "public.airy size").value.unwrap().value > 20_000_000.0);
    // Nobody ever analysed it: no number is made up.
    assert!(about(&report, "public.strange bloat").seen.contains("never analysed"));
    assert!(matches!(report.outcome, Outcome::Unknown(_)));
    cluster.psql("postgres", "CREATE EXTENSION pgstattuple; ANALYZE strange");
    let report = stage.run(step).await;
    let airy = about(&report, "public.airy bloat");
    assert!(airy.seen.contains("measured: 9") || airy.seen.contains("measured: 8"), "{}", airy.seen);
    // A table that is locked keeps nobody from seeing the others.
    let _open = Open::new(&cluster, "postgres", "migration", "BEGIN; LOCK TABLE strange;\n");
    let mut server = cluster.server("postgres");
    server.lock_timeout = Duration::from_millis(200);
    let report = Stage::new(server).run(step).await;
    assert!(about(&report, "public.strange size").seen.contains("locked"));
    assert!(about(&report, "public.airy size").value.is_some());
}

/// The whole job of the week: what one step may not do keeps no other from its work, and the job fails all the same.
#[test]
fn steps_that_do_not_need_each_other_are_tried_after_one_that_failed() {
    let cluster = Cluster::start();
    cluster.psql("postgres", "CREATE ROLE app LOGIN; CREATE DATABASE d");
    cluster.psql(
        "d",
        "CREATE TABLE theirs (id int); CREATE TABLE ours WITH (autovacuum_enabled = off) AS SELECT g AS id, md5(g::text) AS v \
         FROM generate_series(1, 60000) g; CREATE INDEX ours_v ON ours (v); ALTER TABLE ours OWNER TO app; \
         DELETE FROM ours WHERE id % 8 <> 0",
    );
    let project = Project::new(&format!(
        "[postgres.production]\nsocket = \"{}\"\nport = {}\nuser = \"app\"\ndbname = \"d\"\n",
        cluster.socket_dir().display(),
        cluster.port
    ));
    let job = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/jobs/weekly-database.toml")).unwrap();
    project.write("jobs/weekly-database.toml", &job.replace("\"100MB\"", "\"500kB\", check_space = false"));
    let size = || cluster.psql("d", "SELECT pg_relation_size('ours_v')").parse::<u64>().unwrap();
    let before = size();

    let plan = project.maint(&["plan", "weekly-database"]).code(0).stdout;
    assert_eq!(plan.matches("if it fails, the steps after it are tried all the same").count(), 3, "{plan}");
    let ended = project.maint(&["run", "weekly-database"]).code(1);
    assert!(size() * 3 < before, "rebuilt: {}", ended.said());
    let analysed = "SELECT count(*) FROM pg_stats WHERE tablename = 'ours'";
    assert_eq!(cluster.psql("d", analysed), "2");
    let ledger = Ledger::open(&project.at("state")).unwrap();
    let run = ledger.runs(None, 1).unwrap().remove(0);
    assert!(matches!(&run.outcome, Some(Outcome::Failed(why)) if why.starts_with("vacuum: ")), "{:?}", run.outcome);
    let steps: Vec<_> = ledger.steps(&run.id).unwrap().into_iter().map(|row| (row.id, row.outcome)).collect();
    let ids: Vec<&str> = steps.iter().map(|(id, _)| id.as_str()).collect();
    assert_eq!(ids, ["vacuum", "reindex", "analyze", "bloat"]);
    assert!(matches!(steps[0].1, Outcome::Failed(_)) && steps[1].1 == Outcome::Changed, "{steps:?}");

    // Without the word, the first that fails ends it.
    let lines = job.lines().filter(|line| !line.starts_with("on_failure"));
    let without = lines.map(|line| format!("{line}\n")).collect::<String>();
    project.write("jobs/weekly-database.toml", &without);
    project.maint(&["run", "weekly-database"]).code(1);
    let run = ledger.runs(None, 1).unwrap().remove(0);
    assert_eq!(ledger.steps(&run.id).unwrap().len(), 1);
}
