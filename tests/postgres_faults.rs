//! What a dump does when something is wrong: a clear error with the object, nothing left, nobody kept waiting.

#![expect(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests set their stage")]

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use maint::model::{
    failure::Class,
    outcome::Outcome,
    secret::{Secret, SecretSource},
};

#[path = "support/dump_step.rs"]
mod dump_step;
#[path = "support/postgres.rs"]
mod postgres;

use dump_step::{Stage, freeze_pg_dump, pg_dump_double, pids_of, signal};
use postgres::{Cluster, Options};

/// Some fifty megabytes: a dump that can be caught in the middle.
const LARGE: &str =
    "CREATE TABLE large AS SELECT g AS id, repeat(md5(g::text), 16) AS text FROM generate_series(1, 100000) g;";
const SMALL: &str =
    "CREATE TABLE t (a int PRIMARY KEY, b text); INSERT INTO t SELECT g, 'row ' || g FROM generate_series(1, 100) g;";

fn cluster_with(sql: &str) -> Cluster {
    let cluster = Cluster::start();
    cluster.psql("postgres", sql);
    cluster
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_password_is_refused_by_name() {
    let hba = "local all postgres trust\nlocal all all scram-sha-256\n";
    let cluster = Cluster::start_with(&Options { hba: Some(hba), ..Options::default() });
    cluster.psql("postgres", "CREATE ROLE app LOGIN PASSWORD 'right';");
    let mut server = cluster.server("postgres");
    server.user = "app".into();
    server.password = Some(SecretSource::Inline(Secret::new("wr0ng-secret".into())));
    let (class, message) = Stage::new(server).fails("").await;
    assert_eq!(class, Class::Failed, "{message}");
    assert!(message.contains("app") && message.contains("password") && !message.contains("wr0ng"), "{message}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_down_is_worth_another_try() {
    let mut cluster = Cluster::start();
    cluster.crash();
    let (class, message) = Stage::new(cluster.server("postgres")).fails("").await;
    assert_eq!(class, Class::Retryable, "{message}");
    assert!(message.contains("connecting to production") && message.contains("hint: start the server"), "{message}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unknown_database_is_named() {
    let cluster = Cluster::start();
    let (class, message) =
        Stage::new(cluster.server("postgres")).fails("databases = [\"postgres\", \"nowhere\"]").await;
    assert_eq!(class, Class::Failed, "{message}");
    assert!(message.contains("no database nowhere"), "{message}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_lost_in_mid_dump_is_told_so() {
    let mut cluster = cluster_with(LARGE);
    let stage = Stage::new(cluster.server("postgres"));
    let crash = async {
        let pid = freeze_pg_dump(&cluster).await;
        // The server dies while `pg_dump` cannot notice.
        pid
    };
    let (failed, pid) =
        tokio::join!(async { tokio::time::timeout(Duration::from_secs(30), stage.fails("")).await }, async {
            let pid = crash.await;
            let postmaster = fs::read_to_string(cluster.data_dir().join("postmaster.pid")).unwrap();
            signal(postmaster.lines().next().unwrap().parse().unwrap(), "QUIT");
            signal(pid, "CONT");
            pid
        });
    let (class, message) = failed.expect("the dump hangs");
    assert!(!Path::new(&format!("/proc/{pid}")).exists());
    assert_eq!(class, Class::Retryable, "{message}");
    assert!(message.contains("`pg_dump` of database postgres exited with 1"), "{message}");
    cluster.crash();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_pg_dump_makes_no_artifact() {
    let cluster = cluster_with(LARGE);
    let stage = Stage::new(cluster.server("postgres"));
    let kill = async { signal(freeze_pg_dump(&cluster).await, "KILL") };
    let ((class, message), ()) = tokio::join!(stage.fails(""), kill);
    assert_eq!(class, Class::Retryable, "{message}");
    assert!(message.contains("`pg_dump` of database postgres was killed by signal 9"), "{message}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_role_may_not_read_is_listed_before_the_dump() {
    let cluster = cluster_with(SMALL);
    cluster.psql(
        "postgres",
        "CREATE ROLE backup LOGIN; GRANT SELECT ON t TO backup; CREATE TABLE hidden (a int); CREATE SCHEMA shut;
         CREATE TABLE shut.\"Too\" (a int); CREATE SEQUENCE s; SELECT lo_create(4711);",
    );
    let mut server = cluster.server("postgres");
    server.user = "backup".into();
    let (class, message) = Stage::new(server).fails("").await;
    assert_eq!(class, Class::Failed, "{message}");
    for word in ["public.hidden", "shut.Too", "public.s", "1 large object", "GRANT pg_read_all_data TO \"backup\""] {
        assert!(message.contains(word), "{word}: {message}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_security_that_hides_rows_is_refused() {
    let cluster = cluster_with(SMALL);
    cluster.psql(
        "postgres",
        "CREATE ROLE backup LOGIN; GRANT pg_read_all_data TO backup; ALTER TABLE t ENABLE ROW LEVEL SECURITY;
         CREATE POLICY half ON t USING (a < 50);",
    );
    let mut server = cluster.server("postgres");
    server.user = "backup".into();
    let (class, message) = Stage::new(server.clone()).fails("").await;
    assert_eq!(class, Class::Failed, "{message}");
    assert!(message.contains("public.t") && message.contains("ALTER ROLE \"backup\" BYPASSRLS"), "{message}");

    cluster.psql("postgres", "ALTER ROLE backup BYPASSRLS;");
    let report = Stage::new(server).run("").await.unwrap();
    assert_eq!(report.artifacts[0].counts.rows, Some(100));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_alter_table_never_waits_longer_than_the_lock_timeout() {
    let cluster = cluster_with(LARGE);
    // Neither the dump's role nor its watcher may see what others do; the wait must be seen all the same.
    cluster.psql("postgres", "CREATE ROLE backup LOGIN; GRANT pg_read_all_data TO backup;");
    let mut server = cluster.server("postgres");
    server.lock_timeout = Duration::from_secs(2);
    let mut plain = server.clone();
    plain.user = "backup".into();
    for (server, statement) in [(server, "ALTER TABLE large ADD COLUMN c"), (plain, "insufficient privilege")] {
        let stage = Stage::new(server);
        let alter = async {
            freeze_pg_dump(&cluster).await;
            let mut psql = cluster.tool("psql", "postgres");
            psql.args(["-Xqc", "ALTER TABLE large ADD COLUMN c int; ALTER TABLE large DROP COLUMN c"]);
            let begun = Instant::now();
            let ended = tokio::task::spawn_blocking(move || psql.status().unwrap()).await.unwrap();
            (ended.success(), begun.elapsed())
        };
        let ((class, message), (altered, waited)) = tokio::join!(stage.fails(""), alter);
        assert_eq!(class, Class::Retryable, "{message}");
        assert!(message.contains(statement) && message.contains("waited"), "{message}");
        assert!(altered && waited < Duration::from_millis(2300), "the ALTER TABLE waited for {waited:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lock_that_others_hold_is_waited_for_only_so_long() {
    let cluster = cluster_with(SMALL);
    let mut holder = cluster.tool("psql", "postgres");
    holder.args(["-Xqc", "BEGIN; LOCK TABLE t; SELECT pg_sleep(60)"]).stdout(std::process::Stdio::null());
    let mut holder = holder.spawn().unwrap();
    while cluster.psql(
        "postgres",
        "SELECT count(*) FROM pg_locks WHERE mode = 'AccessExclusiveLock' AND relation = 't'::regclass",
    ) != "1"
    {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let mut server = cluster.server("postgres");
    server.lock_timeout = Duration::from_secs(1);
    let (class, message) = Stage::new(server).fails("").await;
    holder.kill().unwrap();
    holder.wait().unwrap();
    assert_eq!(class, Class::Retryable, "{message}");
    assert!(message.contains("held by others: public.t"), "{message}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tools_older_than_the_server_are_refused() {
    let cluster = Cluster::start();
    let dir = pg_dump_double(Path::new("/nonexistent"), "exit 1");
    fs::write(dir.path().join("pg_dump"), "#!/bin/sh\necho 'pg_dump (PostgreSQL) 14.20'\n").unwrap();
    let mut server = cluster.server("postgres");
    server.bin_dir = Some(dir.path().to_owned());
    let (class, message) = Stage::new(server).fails("").await;
    assert_eq!(class, Class::Usage, "{message}");
    assert!(message.contains("14.20, older than the server's") && message.contains("hint: install"), "{message}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_password_is_seen_nowhere() {
    const PASSWORD: &str = "s3cret-Pa55:w\\rd";
    let hba = "local all postgres trust\nlocal all all scram-sha-256\n";
    let cluster = Cluster::start_with(&Options { hba: Some(hba), ..Options::default() });
    cluster.psql("postgres", LARGE);
    cluster.psql("postgres", &format!("CREATE ROLE app LOGIN SUPERUSER PASSWORD '{PASSWORD}';"));
    let mut server = cluster.server("postgres");
    server.user = "app".into();
    server.password = Some(SecretSource::Inline(Secret::new(PASSWORD.into())));
    let stage = Stage::new(server);
    let look = async {
        let pid = freeze_pg_dump(&cluster).await;
        let mut seen = Vec::new();
        for entry in fs::read_dir("/proc").unwrap().flatten() {
            // This test itself knows the password.
            if entry.file_name().to_str() == Some(&std::process::id().to_string()) {
                continue;
            }
            for file in ["cmdline", "environ"] {
                let bytes = fs::read(entry.path().join(file)).unwrap_or_default();
                if memchr::memmem::find(&bytes, b"s3cret").is_some() {
                    seen.push(entry.path().join(file));
                }
            }
        }
        let private =
            fs::metadata(&stage.context.staging).is_ok() && stage.files().iter().any(|f| f.starts_with(".pass"));
        signal(pid, "CONT");
        (seen, private)
    };
    let (report, (seen, private)) = tokio::join!(stage.run(""), look);
    assert_eq!(seen, Vec::<PathBuf>::new());
    assert!(private, "the dump had no passfile: what was looked at?");
    assert_eq!(report.unwrap().outcome, Outcome::Ok);
    assert!(stage.files().iter().all(|f| f.starts_with("db-202608.")), "{:?}", stage.files());
}

/// A small file system of its own; gone when dropped.
struct Tmpfs(tempfile::TempDir);

impl Tmpfs {
    fn new(size: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"]).arg(dir.path());
        assert!(mount.status().unwrap().success(), "this test mounts a tmpfs: run it as root");
        Self(dir)
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0.path()).status();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_is_named_and_nothing_stays() {
    let cluster = cluster_with(
        "CREATE TABLE noise AS SELECT gen_random_uuid() AS a, gen_random_uuid() AS b FROM generate_series(1, 200000);",
    );
    let tmpfs = Tmpfs::new("3m");
    let staging = tmpfs.0.path().join("staging");
    fs::create_dir(&staging).unwrap();
    let stage = Stage::at(tempfile::tempdir().unwrap(), staging, cluster.server("postgres"));
    let (class, message) = stage.fails("").await;
    assert_eq!(class, Class::Failed, "{message}");
    assert!(message.contains("db-202608.sql.zst") && message.to_lowercase().contains("no space"), "{message}");
    assert!(pids_of("pg_dump", cluster.socket_dir().to_str().unwrap()).is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cancelling_leaves_nothing_behind() {
    let cluster = cluster_with(LARGE);
    let stage = Stage::new(cluster.server("postgres"));
    let cancel = async {
        let pid = freeze_pg_dump(&cluster).await;
        stage.context.cancel.cancel();
        signal(pid, "CONT");
    };
    let ((class, message), ()) = tokio::join!(stage.fails(""), cancel);
    assert_eq!(class, Class::Interrupted, "{message}");
    assert!(pids_of("pg_dump", cluster.socket_dir().to_str().unwrap()).is_empty());
    let sessions = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'maint%'";
    let deadline = Instant::now() + Duration::from_secs(5);
    while cluster.psql("postgres", sessions) != "0" {
        assert!(Instant::now() < deadline, "a session of maint is left");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
