//! The lock across hosts: two state directories are two hosts, the server is real, and so is the pooler.
#![expect(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests set their stage")]

#[path = "support/pooler.rs"]
mod pooler;
#[path = "support/postgres.rs"]
mod postgres;
#[path = "support/project.rs"]
mod project;
#[path = "support/slots.rs"]
mod slots;

use std::{
    process::Child,
    time::{Duration, Instant},
};

use chrono::{DateTime, Utc};
use pooler::Pooler;
use postgres::Cluster;
use project::{Ended, Project, wait_for};
use rustix::process::{Pid, Signal, kill_process};
use slots::{Daemon, daily, hanging, hours_ago, missed, mute, outcomes, owe, quick};

const ACROSS: &str = "across_hosts = \"locks\"";

fn locks_at(cluster: &Cluster, user: &str) -> String {
    let (dir, port) = (cluster.socket_dir().display(), cluster.port);
    format!("[postgres.locks]\nsocket = \"{dir}\"\nport = {port}\nuser = \"{user}\"\ndbname = \"postgres\"\n")
}

/// A host of the stack whose job does its work at once.
fn host(cluster: &Cluster, slot: DateTime<Utc>) -> Project {
    let project = Project::new(&locks_at(cluster, postgres::SUPERUSER));
    quick(&project, "job", &daily(slot), ACROSS);
    project
}

/// A host whose job is at work until it is stopped; what it waits at is with it.
fn busy_host(cluster: &Cluster, slot: DateTime<Utc>) -> (Project, std::net::TcpListener) {
    let (listener, section) = mute();
    let project = Project::new(&format!("{}{section}", locks_at(cluster, postgres::SUPERUSER)));
    hanging(&project, "job", &daily(slot), ACROSS);
    (project, listener)
}

fn signal(child: &Child, signal: Signal) {
    kill_process(Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap(), signal).unwrap();
}

fn end(child: Child) -> Ended {
    child.wait_with_output().unwrap().into()
}

/// `slot epoch state` of every row.
fn rows(cluster: &Cluster) -> Vec<String> {
    let rows = cluster.psql("postgres", "SELECT slot, epoch, state FROM maint.slot ORDER BY epoch");
    rows.lines().map(|line| line.replace('|', " ")).collect()
}

/// Starts a run that hangs, and waits until it has the lock.
fn at_work(cluster: &Cluster, project: &Project, args: &[&str]) -> Child {
    let child = project.start(args);
    wait_for("the lock", || {
        cluster.psql("postgres", "SELECT to_regclass('maint.slot') IS NOT NULL") == "t"
            && cluster.psql("postgres", "SELECT count(*) FROM maint.slot WHERE state = 'running'") == "1"
    });
    child
}

fn hang_up(cluster: &Cluster) {
    let ended = cluster.psql(
        "postgres",
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name LIKE 'maint job on %'",
    );
    assert_eq!(ended, "1");
}

/// Both hosts are told to do a slot at the same moment.
fn race(hosts: &[Project; 2], cluster: &Cluster, slot: DateTime<Utc>) {
    let at = slot.to_rfc3339();
    let racers = hosts.each_ref().map(|host| host.start(&["run", "job", "--slot", &at]));
    let ended = racers.map(|racer| end(racer).code(0));
    let skipped = ended.iter().filter(|ended| ended.stdout.contains("skipped: ")).count();
    let done: usize = hosts.iter().map(|host| outcomes(host, "job", slot).len()).sum();
    assert_eq!((skipped, done), (1, 1), "{ended:?}");
    let rows = cluster.psql("postgres", &format!("SELECT state FROM maint.slot WHERE slot = '{at}'"));
    assert_eq!(rows, "ok");
}

fn races(rounds: i64) {
    let cluster = Cluster::start();
    let first = hours_ago(24);
    let hosts = [host(&cluster, first), host(&cluster, first)];
    for round in 0..rounds {
        race(&hosts, &cluster, first + chrono::Duration::minutes(round));
    }
    let epochs = cluster.psql("postgres", "SELECT count(DISTINCT epoch), max(epoch) FROM maint.slot");
    assert_eq!(epochs, format!("{rounds}|{rounds}"));
    assert_eq!(cluster.psql("postgres", "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"), "0");
    let by = hosts.each_ref().map(|host| host.sets().len());
    println!("{rounds} races: {by:?} won");
}

#[test]
fn of_two_hosts_one_does_the_slot() {
    races(5);
}

#[test]
#[ignore = "scripts/soak"]
fn hosts_race_in_large_numbers() {
    races(std::env::var("MAINT_SOAK_RACES").ok().and_then(|text| text.parse().ok()).unwrap_or(500));
}

#[test]
fn what_another_host_did_is_not_owed() {
    let cluster = Cluster::start();
    let slot = hours_ago(1);
    let (a, b) = (host(&cluster, slot), host(&cluster, slot));
    for host in [&a, &b] {
        owe(host, "job", hours_ago(2));
    }
    a.maint(&["run", "job", "--due"]).code(0);
    let skipped = b.maint(&["run", "job", "--due"]).code(0).stdout;
    assert!(skipped.contains("skipped: on another host, run ") && skipped.contains(" did it"), "{skipped}");
    assert_eq!(missed(&b, "job"), [(slot, "elsewhere".to_owned())]);
    assert!(!b.maint(&["runs"]).code(0).stdout.contains("missed"));
    assert!(b.maint(&["run", "job", "--due"]).code(0).stdout.contains("nothing is due"));
    // A run for no slot only waits for its turn.
    b.maint(&["run", "job"]).code(0);
    // What failed there is tried again by hand alone, wherever.
    let failed = slot - chrono::Duration::minutes(1);
    std::fs::remove_dir_all(a.at("tree")).unwrap();
    a.maint(&["run", "job", "--slot", &failed.to_rfc3339()]).code(1);
    quick(&b, "job", &daily(failed), ACROSS);
    owe(&b, "job", hours_ago(2));
    let skipped = b.maint(&["run", "job", "--due"]).code(0).stdout;
    assert!(skipped.contains("tried it (failed)"), "{skipped}");
    b.maint(&["run", "job", "--slot", &failed.to_rfc3339()]).code(0);
    assert_eq!(rows(&cluster).last().unwrap(), &format!("{} 4 ok", failed.to_rfc3339()));
}

#[test]
fn no_two_hosts_are_at_work_at_once_and_an_interrupted_slot_is_anybodys() {
    let cluster = Cluster::start();
    let slot = hours_ago(1);
    let at = slot.to_rfc3339();
    let ((a, _mute), b) = (busy_host(&cluster, slot), host(&cluster, slot));
    let run = at_work(&cluster, &a, &["run", "job", "--slot", &at]);
    let told = b.maint(&["run", "job"]).code(5).stderr;
    assert!(told.contains("the lock across hosts is held by run ") && told.contains(" of job on "), "{told}");
    let skipped = b.maint(&["run", "job", "--slot", &at]).code(0).stdout;
    assert!(skipped.contains("skipped: the slot is being done by run "), "{skipped}");
    // The daemon looks again, a timer does not.
    owe(&b, "job", hours_ago(2));
    b.maint(&["run", "job", "--due"]).code(0);
    assert_eq!(missed(&b, "job"), [(slot, "elsewhere".to_owned())]);
    signal(&run, Signal::TERM);
    end(run).code(130);
    let begun = Instant::now();
    b.maint(&["run", "job", "--slot", &at]).code(0);
    assert!(begun.elapsed() < Duration::from_secs(5), "what ended in order needs no waiting");
    assert_eq!(rows(&cluster), [format!("{at} 2 ok")]);
}

#[test]
fn who_loses_the_connection_stops_and_says_so() {
    let cluster = Cluster::start();
    let slot = hours_ago(1);
    let at = slot.to_rfc3339();
    let ((a, _mute), b) = (busy_host(&cluster, slot), host(&cluster, slot));
    let run = at_work(&cluster, &a, &["run", "job", "--slot", &at]);
    hang_up(&cluster);
    let ended = end(run).code(1);
    assert!(format!("{ended:?}").contains("the lock across hosts was lost: the connection was lost"), "{ended:?}");
    assert_eq!(outcomes(&a, "job", slot), ["failed"]);
    assert_eq!(rows(&cluster), [format!("{at} 1 interrupted")]);
    b.maint(&["run", "job", "--slot", &at]).code(0);
    assert_eq!(rows(&cluster), [format!("{at} 2 ok")]);
}

#[test]
fn a_host_that_comes_back_after_its_slot_was_taken_over_counts_for_nothing() {
    let cluster = Cluster::start();
    let slot = hours_ago(1);
    let at = slot.to_rfc3339();
    let ((a, _mute), b) = (busy_host(&cluster, slot), host(&cluster, slot));
    let run = at_work(&cluster, &a, &["run", "job", "--slot", &at]);
    signal(&run, Signal::STOP);
    hang_up(&cluster);
    // It might not have noticed yet: whoever takes over waits.
    let begun = Instant::now();
    b.maint(&["run", "job", "--slot", &at]).code(0);
    assert!(begun.elapsed() > Duration::from_secs(5), "{:?}", begun.elapsed());
    signal(&run, Signal::CONT);
    let ended = format!("{:?}", end(run).code(1));
    assert!(ended.contains("took the job over") && ended.contains("epoch 2 after 1"), "{ended}");
    assert_eq!((outcomes(&a, "job", slot), outcomes(&b, "job", slot)), (vec!["failed".into()], vec!["ok".into()]));
    assert_eq!(rows(&cluster), [format!("{at} 2 ok")]);
}

#[test]
fn after_a_kill_the_own_host_goes_on_at_once() {
    let cluster = Cluster::start();
    let slot = hours_ago(1);
    let at = slot.to_rfc3339();
    let (a, _mute) = busy_host(&cluster, slot);
    let mut run = at_work(&cluster, &a, &["run", "job", "--slot", &at]);
    run.kill().unwrap();
    run.wait().unwrap();
    quick(&a, "job", &daily(slot), ACROSS);
    let begun = Instant::now();
    a.maint(&["run", "job", "--slot", &at]).code(0);
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    assert_eq!(rows(&cluster), [format!("{at} 2 ok")]);
}

#[test]
fn poolers_are_refused_wherever_they_are_met() {
    let cluster = Cluster::start();
    for more in ["pool_mode = transaction", "pool_mode = transaction\nserver_round_robin = 1\nmin_pool_size = 3"] {
        let pooler = Pooler::start(&cluster, more);
        let project = Project::new(&pooler.section("locks"));
        quick(&project, "job", "0 0 1 1 *", ACROSS);
        for _ in 0..3 {
            let told = project.maint(&["run", "job"]).code(1).stderr;
            assert!(told.contains("connection pooler") && told.contains("across_hosts"), "{more}: {told}");
        }
        let told = project.maint(&["serve", "--host-root", project.path().to_str().unwrap()]).code(1).stderr;
        assert!(told.contains("connection pooler"), "{told}");
        let told = project.maint(&["doctor", "--json"]).code(1).stdout;
        assert!(told.contains("cannot hold a lock across hosts"), "{told}");
        assert_eq!(project.sets(), Vec::<String>::new());
    }
}

#[test]
fn a_role_that_may_not_make_the_table_is_told_the_sql() {
    let cluster = Cluster::start();
    cluster.psql("postgres", "CREATE ROLE ops LOGIN");
    let project = Project::new(&locks_at(&cluster, "ops"));
    quick(&project, "job", "0 0 1 1 *", ACROSS);
    let told = project.maint(&["run", "job"]).code(1).stderr;
    assert!(told.contains("cannot be used: permission denied for database postgres"), "{told}");
    let sql = told.split("database postgres: ").nth(1).unwrap_or_else(|| panic!("{told}"));
    cluster.psql("postgres", &sql.lines().map(str::trim).collect::<Vec<_>>().join(" "));
    project.maint(&["run", "job"]).code(0);
    assert_eq!(rows(&cluster), [" 1 ok"]);
    let daemon = Daemon::start(&project);
    daemon.stop();
}

#[test]
fn a_server_that_is_not_there_is_a_mistake() {
    let project = Project::new("");
    quick(&project, "job", "0 0 1 1 *", ACROSS);
    let told = project.maint(&["check"]).code(2).stderr;
    assert!(told.contains("there is no server `locks`: maint.toml has no [postgres.locks]"), "{told}");
}
