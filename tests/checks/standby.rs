//! `postgres_health` of a primary with real standbys: one that lags, one that is paused, one that is gone.

use std::process::{Child, Stdio};

use super::{
    postgres_health::project,
    stage::{Found, look},
};
use crate::{
    postgres::{Cluster, Options},
    project::wait_for,
};

/// Edges that a moment crosses, and edges that nothing here does.
const SOON: &str = ", lag = { good = \"<0.1s\", critical = \">0.5s\" }";
const LATE: &str = ", lag = { good = \"<0.5s\", critical = \">600s\" }";

fn wal(primary: &Cluster, rows: u32) {
    primary.psql("postgres", &format!("INSERT INTO t SELECT repeat('x', 1000) FROM generate_series(1, {rows})"));
}

fn start(primary: &Cluster, program: &str, args: &[&str]) -> Child {
    let mut command = primary.tool(program, "postgres");
    command.args(args).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().unwrap()
}

fn at(cluster: &Cluster, parameters: &str) -> Found {
    look(&project(cluster, "postgres", parameters))
}

fn primary() -> Cluster {
    let settings: &[(&str, &str)] = &[("wal_level", "logical"), ("max_slot_wal_keep_size", "12MB")];
    let primary = Cluster::start_with(&Options { settings, initdb: &["--wal-segsize=1"], ..Default::default() });
    primary.psql("postgres", "CREATE TABLE t (a text)");
    primary
}

const STREAMING: &str = "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming' AND replay_lsn IS NOT NULL";

#[test]
fn a_standby_in_time_one_that_is_paused_and_one_without_its_primary() {
    let mut primary = primary();
    let standby = primary.standby("reporting");
    wal(&primary, 1);
    let replayed = || standby.psql("postgres", "SELECT count(*) FROM t") == "1";
    wait_for("the standby", || primary.psql("postgres", STREAMING) == "1" && replayed());
    let well = at(&primary, ", standbys = 1");
    well.code(0).is("standby reporting", "good", "streaming").is("slot reporting", "good", "holds back");
    at(&standby, "").code(0).is("lag of this standby", "good", "0 s behind, 0 B of WAL");

    standby.psql("postgres", "SELECT pg_wal_replay_pause()");
    at(&standby, "").code(0).is("lag of this standby", "warning", "replay is paused; ");
    wal(&primary, 2000);
    let lags = "SELECT coalesce(max(extract(epoch FROM replay_lag)), 0) > 1 FROM pg_stat_replication";
    wait_for("the lag", || primary.psql("postgres", lags) == "t");
    let late = at(&primary, LATE);
    late.code(0).is("standby reporting", "warning", "(good below 0.5 s, critical above 10 min 00 s)").is(
        "standby reporting",
        "warning",
        "MB of WAL, streaming",
    );
    at(&primary, SOON).code(1).is("standby reporting", "critical", "streaming");
    let much =
        ", lag = { good = \"<600s\", critical = \">900s\" }, lag_wal = { good = \"<10kB\", critical = \">1MB\" }";
    at(&primary, much).code(1).is(
        "standby reporting",
        "critical",
        "MB (good below 10.0 kB, critical above 1.0 MB) of WAL",
    );
    at(&standby, LATE).code(0).is("lag of this standby", "warning", "replay is paused");
    at(&standby, SOON).code(1).is("lag of this standby", "critical", "MB of WAL");

    standby.psql("postgres", "SELECT pg_wal_replay_resume()");
    wait_for("the rest", || standby.psql("postgres", "SELECT count(*) FROM t") == "2001");
    at(&standby, "").code(0).is("lag of this standby", "good", "0 s behind, 0 B of WAL");

    // All that it received is replayed, and yet nobody knows how far behind it is.
    primary.crash();
    wait_for("the end of the connection", || {
        standby.psql("postgres", "SELECT count(*) FROM pg_stat_wal_receiver") == "0"
    });
    let alone = at(&standby, "");
    alone.code(4).is("lag of this standby", "unknown", "it is not connected to its primary");
}

#[test]
fn a_standby_that_is_gone_holds_wal_back_until_it_is_lost() {
    let primary = primary();
    // Who receives and is no standby does not stand in for one.
    let archive = tempfile::tempdir().unwrap();
    primary.psql("postgres", "SELECT pg_create_logical_replication_slot('subscriber', 'test_decoding')");
    let mut others = [
        start(&primary, "pg_receivewal", &["--no-loop", "-D", archive.path().to_str().unwrap()]),
        start(&primary, "pg_recvlogical", &["-d", "postgres", "-S", "subscriber", "--no-loop", "--start", "-f", "-"]),
    ];
    let connected = "SELECT count(*) FROM pg_stat_replication";
    wait_for("both", || primary.psql("postgres", connected) == "2");
    let found = at(&primary, ", standbys = 1");
    for other in &mut others {
        other.kill().unwrap();
        other.wait().unwrap();
    }
    found.code(1).is("standbys", "critical", "0 connected, 1 must be").is("slot subscriber", "good", "holds back");
    assert!(!found.subjects().iter().any(|subject| subject.starts_with("standby ")), "{found:?}");
    wait_for("their end", || primary.psql("postgres", connected) == "0");
    primary.psql("postgres", "SELECT pg_drop_replication_slot('subscriber')");

    let mut standby = primary.standby("reporting");
    wait_for("the standby", || primary.psql("postgres", STREAMING) == "1");
    standby.crash();
    wait_for("its end", || primary.psql("postgres", connected) == "0");
    let gone = at(&primary, ", standbys = 1");
    gone.code(1).is("standbys", "critical", "0 connected, 1 must be").is("slot reporting", "warning", "nobody uses it");
    assert!(gone.field("slot reporting", "hint").contains("pg_drop_replication_slot('reporting')"), "{gone:?}");
    wal(&primary, 4000);
    let held = ", slot_wal = { good = \"<1MB\", critical = \">3MB\" }";
    at(&primary, held).code(1).is("slot reporting", "critical", "MB (good below 1.0 MB, critical above 3.0 MB)");
    at(&primary, "").code(0).is("slot reporting", "warning", "MB, and nobody uses it");
    // Beyond max_slot_wal_keep_size the server gives up on it.
    wal(&primary, 16_000);
    primary.psql("postgres", "SELECT pg_switch_wal(); CHECKPOINT");
    at(&primary, "").code(1).is("slot reporting", "critical", "has lost WAL that it needs");
}
