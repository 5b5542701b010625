//! `postgres_health`: what goes on for too long, and what a role may not see.

use std::process::{Child, Stdio};

use super::stage::{job, look};
use crate::{postgres::Cluster, project::Project};

pub fn project(cluster: &Cluster, user: &str, parameters: &str) -> Project {
    let project = Project::new(&format!(
        "[postgres.production]\nsocket = \"{}\"\nuser = \"{user}\"\ndbname = \"postgres\"\n",
        cluster.socket_dir().display()
    ));
    job(&project, &[&format!("postgres_health = {{ server = \"production\"{parameters} }}")]);
    project
}

fn session(cluster: &Cluster, sql: &str) -> Child {
    let mut psql = cluster.tool("psql", "postgres");
    psql.args(["-Xqc", sql]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).env("PGAPPNAME", "app");
    psql.spawn().unwrap()
}

#[test]
fn a_server_that_fares_well_and_one_that_does_not() {
    let settings: &[(&str, &str)] = &[("max_prepared_transactions", "5"), ("wal_level", "logical")];
    let cluster = Cluster::start_with(&crate::postgres::Options { settings, ..Default::default() });
    let well = look(&project(&cluster, "postgres", ""));
    well.code(0).is("connections", "good", "1 of 27").is("postgres size", "good", "MB");
    well.is("long-running queries", "good", "none").is("transaction ids", "good", "%");
    assert!(well.all_good(), "{well:?}");

    let strict = ", query = { good = \"<0.5s\", critical = \">60s\" }, idle_in_transaction = { good = \"<0.5s\", critical = \">60s\" }, \
                  connections = { good = \"<1%\", critical = \">2%\" }, wraparound = { good = \"<0.0000001%\", critical = \">50%\" }, standbys = 1";
    // Before anything is open: it waits for every transaction.
    cluster.psql("postgres", "SELECT pg_create_logical_replication_slot('s', 'test_decoding')");
    let mut busy = session(&cluster, "SELECT pg_sleep(30)");
    let mut idle = cluster.tool("psql", "postgres");
    let mut idle =
        idle.args(["-Xq"]).env("PGAPPNAME", "app").stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    std::io::Write::write_all(idle.stdin.as_mut().unwrap(), b"BEGIN; SELECT 1;\n").unwrap();
    cluster.psql("postgres", "CREATE TABLE t (a int); BEGIN; INSERT INTO t VALUES (1); PREPARE TRANSACTION 'p';");
    let counted = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'app' AND state IN ('active', 'idle in transaction')";
    crate::project::wait_for("both sessions", || cluster.psql("postgres", counted) == "2");
    std::thread::sleep(std::time::Duration::from_millis(800));
    let ill = look(&project(&cluster, "postgres", strict));
    for child in [&mut busy, &mut idle] {
        child.kill().unwrap();
        child.wait().unwrap();
    }
    ill.code(1).is("connections", "critical", "of 27").is("standbys", "critical", "0 connected, 1 must be");
    ill.is("transaction ids", "warning", "(good below").is("multixacts", "good", "%");
    ill.is("slot s", "warning", "nobody uses it").is("prepared transactions", "warning", "1, the oldest for");
    let with = |start: &str| {
        let found = ill.subjects().into_iter().find(|s| s.starts_with(start)).map(|s| ill.of(s));
        found.unwrap_or_else(|| panic!("{start}: {ill:?}"))
    };
    assert!(with("long-running queries, pid").1.contains("app of postgres in postgres"), "{ill:?}");
    assert_eq!(with("idle in transaction, pid").0, "warning");
    assert!(!format!("{ill:?}").contains("pg_sleep"), "a query's text may hold secrets");
}

#[test]
fn what_a_role_may_not_see_is_unknown_and_a_server_that_is_down_is_critical() {
    let mut cluster = Cluster::start();
    cluster.psql("postgres", "CREATE ROLE blind LOGIN");
    let blind = look(&project(&cluster, "blind", ""));
    blind.code(4).is("connections", "unknown", "may not see").is("long-running queries", "unknown", "may not see");
    assert!(blind.field("connections", "hint").contains("GRANT pg_monitor"));
    cluster.psql("postgres", "GRANT pg_monitor TO blind");
    look(&project(&cluster, "blind", "")).code(0);
    cluster.crash();
    look(&project(&cluster, "postgres", "")).code(1).is("production", "critical", "");
}
