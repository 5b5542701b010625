//! Who starts a slot, who dies at it: it is done once, and not lost.

use std::{process::Stdio, time::Duration};

use rustix::process::Signal;

use crate::{
    project::{Project, names, wait_for},
    slots::{Daemon, daily, hours_ago, ledger, outcomes, owe, quick},
};

#[test]
fn timer_daemon_and_hand_fire_together() {
    let project = Project::new("");
    let daemon = Daemon::start(&project);
    for round in 0..5 {
        crate::slots::race(&project, &daemon, round);
    }
    daemon.stop();
}

#[test]
fn a_killed_daemon_loses_no_slot() {
    let project = Project::new("");
    for round in 0..5 {
        crate::slots::kill_round(&project, round, Duration::from_millis(15 * round));
    }
}

#[test]
fn a_slot_that_kills_maint_is_given_up() {
    let project = Project::new("");
    let slot = hours_ago(1);
    quick(&project, "job", &daily(slot), "");
    owe(&project, "job", hours_ago(2));
    let insert = "INSERT INTO run (id, job, \"trigger\", slot, attempt, started, pid, maint, outcome) \
                  VALUES (?1, 'job', 'daemon', ?2, 1, ?2, 1, 'x', 'interrupted')";
    for id in ["a", "b", "c"] {
        ledger(&project).execute(insert, [id, &slot.to_rfc3339()]).unwrap();
    }
    let said = project.maint(&["run", "job", "--due"]).code(0);
    assert!(said.stderr.contains("its 3 runs were interrupted; it is not tried again"), "{}", said.stderr);
    assert_eq!(outcomes(&project, "job", slot).len(), 3);
}

#[test]
fn a_dead_run_of_another_job_is_told_at_the_next_start() {
    let project = Project::new("");
    quick(&project, "dead", &daily(hours_ago(1)), "");
    quick(&project, "other", &daily(hours_ago(1)), "");
    project.maint(&["runs"]).code(0);
    let insert = "INSERT INTO run (id, job, \"trigger\", attempt, started, pid, maint) \
                  VALUES ('gone', 'dead', 'manual', 1, '2026-01-01T00:00:00+00:00', 1, 'x')";
    ledger(&project).execute(insert, []).unwrap();
    let said = project.maint(&["run", "other", "--due"]).code(0).stderr;
    assert!(said.contains("the run gone died without an end; it is marked as interrupted"), "{said}");
    assert!(project.maint(&["runs"]).code(0).stdout.contains("interrupted"));
}

#[test]
fn a_run_that_dies_beside_the_daemon_is_noticed_and_its_slot_done() {
    let project = Project::new("");
    let slot = hours_ago(1);
    quick(&project, "job", &daily(slot), "");
    // A tree that takes a while, so that the kill comes in the middle.
    project.write("tree/large", &"some text that is packed\n".repeat(4_000_000));
    let mut by_hand = project.command(&["run", "job", "--slot", &slot.to_rfc3339()]);
    let mut by_hand = by_hand.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    wait_for("its run", || project.at("state/ledger.sqlite").exists() && !names(&project.at("state/logs")).is_empty());
    owe(&project, "job", hours_ago(2));
    by_hand.kill().unwrap();
    by_hand.wait().unwrap();
    project.write("tree/large", "");
    let daemon = Daemon::start(&project);
    wait_for("the second attempt", || outcomes(&project, "job", slot).last().is_some_and(|o| o == "ok"));
    assert_eq!(outcomes(&project, "job", slot), ["interrupted", "ok"]);
    daemon.signal(Signal::TERM);
    assert!(daemon.stop().contains("died without an end"));
}
