//! Every check that a dump passes before it counts, made to fail by a `pg_dump` that ends well all the same.

#![expect(clippy::disallowed_methods, reason = "tests set their stage")]

use std::time::{Duration, Instant};

use maint::model::{failure::Class, outcome::Outcome};

#[path = "support/dump_step.rs"]
mod dump_step;
#[path = "support/postgres.rs"]
mod postgres;

use dump_step::{Stage, freeze_pg_dump, pg_dump_double, signal};
use postgres::Cluster;

const TABLES: &str = "CREATE TABLE t (a int); INSERT INTO t SELECT generate_series(1, 100); CREATE TABLE u (a int);
    SELECT lo_from_bytea(4711, 'content');";

/// A stage whose `pg_dump` is this shell script; `$REAL` is the real one, `$PSQL` runs a statement.
fn stage(cluster: &Cluster, script: &str) -> (Stage, tempfile::TempDir) {
    let bin = postgres::bin_dir();
    let psql = format!(
        "PSQL='{} -XqAt -h {} -p {} -U {} -d postgres -c'",
        bin.join("psql").display(),
        cluster.socket_dir().display(),
        cluster.port,
        postgres::SUPERUSER
    );
    let dir = pg_dump_double(&bin, &format!("{psql}\n{script}"));
    let mut server = cluster.server("postgres");
    server.bin_dir = Some(dir.path().to_owned());
    (Stage::new(server), dir)
}

async fn fails(cluster: &Cluster, script: &str) -> (Class, String) {
    let (stage, _dir) = stage(cluster, script);
    stage.fails("").await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dump_that_lies_is_found_out() {
    let cluster = Cluster::start();
    cluster.psql("postgres", TABLES);
    let without_snapshot = "for a; do shift; case $a in --snapshot=*) ;; *) set -- \"$@\" \"$a\";; esac; done\n";
    for (script, class, expected) in [
        // Ends with 0 in the middle.
        (
            "\"$REAL\" \"$@\" | head -c 1500".to_owned(),
            Class::Failed,
            "cannot be used: the dump is not as pg_dump writes it",
        ),
        (":".to_owned(), Class::Failed, "the line that ends a dump is missing"),
        // Leaves out what the catalogue has.
        ("exec \"$REAL\" --exclude-table-data=t \"$@\"".to_owned(), Class::Failed, "missing: public.t"),
        ("exec \"$REAL\" --no-blobs \"$@\"".to_owned(), Class::Failed, "holds 0 large objects, its catalogue 1"),
        // Has what the snapshot has not.
        (
            format!("$PSQL 'CREATE TABLE later ()'\n{without_snapshot}exec \"$REAL\" \"$@\""),
            Class::Failed,
            "unknown to the catalogue: public.later",
        ),
        // Would restore into another database than the one that it is read into.
        ("exec \"$REAL\" --create \"$@\"".to_owned(), Class::Failed, "\\unrestrict in the wrong place"),
    ] {
        let (found, message) = fails(&cluster, &script).await;
        assert!(message.contains(expected), "{script}: {message}");
        assert_eq!(found, class, "{message}");
    }
    let (honest, _dir) = stage(&cluster, "exec \"$REAL\" \"$@\"");
    assert_eq!(honest.run("").await.unwrap().outcome, Outcome::Ok);
}

/// A table truncated after the snapshot and before `pg_dump` has its lock looks empty to the dump (manual 13.6).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_happens_to_tables_between_snapshot_and_locks_is_noticed() {
    let cluster = Cluster::start();
    cluster.psql("postgres", TABLES);
    for (statement, expected) in [
        ("TRUNCATE t", "rewritten or dropped while its dump began: public.t"),
        ("ALTER TABLE u ALTER a TYPE bigint", "rewritten or dropped while its dump began: public.u"),
        ("DROP TABLE t", "public.t\" does not exist"),
    ] {
        let (class, message) = fails(&cluster, &format!("$PSQL '{statement}'\nexec \"$REAL\" \"$@\"")).await;
        assert!(message.contains(expected), "{statement}: {message}");
        assert_eq!(class, Class::Retryable, "{message}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_pg_dump_warns_of_is_passed_on() {
    let cluster = Cluster::start();
    cluster.psql("postgres", TABLES);
    let say = "echo 'pg_dump: warning: something is odd' >&2; echo 'pg_dump: detail: very odd' >&2";
    let (stage, _dir) = stage(&cluster, &format!("{say}\nexec \"$REAL\" \"$@\""));
    let report = stage.run("").await.unwrap();
    let expected = "pg_dump: warning: something is odd; very odd";
    assert_eq!(report.outcome, Outcome::Warning(expected.into()));
    assert_eq!(report.artifacts[0].warnings, [expected]);
}

/// Only `pg_dump`'s own session is needed to the end: the snapshot's may go, and the watcher's is opened anew.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_lost_in_mid_dump_do_not_spoil_it() {
    let cluster = Cluster::start();
    cluster.psql(
        "postgres",
        "CREATE TABLE large AS SELECT g AS id, repeat(md5(g::text), 16) AS text FROM generate_series(1, 100000) g;",
    );
    let stage = Stage::new(cluster.server("postgres"));
    let end_sessions = async {
        let pid = freeze_pg_dump(&cluster).await;
        let ended = cluster.psql(
            "postgres",
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
             WHERE application_name IN ('maint snapshot', 'maint watch')",
        );
        let watching = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'maint watch'";
        let deadline = Instant::now() + Duration::from_secs(4);
        while cluster.psql("postgres", watching) != "1" {
            assert!(Instant::now() < deadline, "nobody watches any more");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        signal(pid, "CONT");
        ended
    };
    let (report, ended) = tokio::join!(stage.run(""), end_sessions);
    assert_eq!(ended, "2");
    let report = report.unwrap();
    assert_eq!((report.outcome, report.artifacts[0].counts.rows), (Outcome::Ok, Some(100_000)));
}

/// Frames end where the content says, not where a read happened to end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dump_that_trickles_in_is_the_same_artifact() {
    let cluster = Cluster::start();
    cluster.psql(
        "postgres",
        "CREATE TABLE large AS SELECT g AS id, repeat(md5(g::text), 16) AS text FROM generate_series(1, 25000) g;
         CREATE TABLE wide AS SELECT repeat('x', 5000000) || g AS text FROM generate_series(1, 2) g;",
    );
    cluster.psql("postgres", TABLES);
    let whole = Stage::new(cluster.server("postgres")).run("").await.unwrap();
    let (slow, _dir) = stage(&cluster, "\"$REAL\" \"$@\" | dd bs=7k status=none");
    let trickled = slow.run("").await.unwrap();
    assert_eq!(whole.artifacts[0].packed, trickled.artifacts[0].packed);
    assert_eq!(whole.artifacts[0].contents, trickled.artifacts[0].contents);
}
