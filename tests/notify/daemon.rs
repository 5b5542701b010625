//! Slots without a run, and what the daemon tells by itself.

use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process};

use super::{
    project::{Project, wait_for},
    receiver::{Answers, Receiver},
    slots::{daily, hours_ago, owe, quick},
    webhook,
};

#[test]
fn a_slot_that_nobody_does_any_more_is_told_and_one_that_is_caught_up_is_not() {
    let receiver = Receiver::start();
    let project = Project::new(&webhook(&receiver, "/hook", ""));
    let (slot, days) = (hours_ago(2), chrono::Duration::days(2) + chrono::Duration::hours(1));
    for (job, rule) in [("none", "catch_up = \"none\""), ("once", "catch_up = \"once\"")] {
        quick(&project, job, &daily(slot), rule);
        owe(&project, job, slot - days);
    }
    let said = project.maint(&["run", "once", "--due"]).code(0).stdout;
    assert_eq!(receiver.take().len(), 0, "{said}");
    let said = project.maint(&["run", "none", "--due"]).code(0).stdout;
    assert!(said.contains("hook was told: none, failed"), "{said}");
    let got = receiver.take();
    assert_eq!(got.len(), 1);
    let told = got[0].json();
    assert!(told["subject"].as_str().unwrap().contains("none was not run in its time"), "{told:#}");
    let reason = told["what"]["reason"].as_str().unwrap();
    assert!(reason.starts_with("3 slots without a run: ") && reason.contains("UTC"), "{reason}");
    project.maint(&["run", "none", "--due"]).code(0);
    assert_eq!(receiver.take().len(), 0);
    project.maint(&["run", "none"]).code(0);
    assert_eq!(receiver.take()[0].json()["why"], "recovered");
}

#[test]
fn the_daemon_sends_what_waits_and_tells_what_it_misses() {
    let receiver = Receiver::start();
    receiver.answers(Answers::Always(500, ""));
    let project = super::project(&webhook(&receiver, "/hook", ""));
    project.maint(&["run", "tree"]).code(1);
    let unit = ["notify", "unit-failed", "maint.service", "--result", "signal"];
    project.maint(&unit).code(1);
    receiver.take();
    receiver.answers(Answers::Always(200, "ok"));
    super::let_due(&project);
    quick(&project, "none", &daily(hours_ago(2)), "catch_up = \"none\"");
    owe(&project, "none", hours_ago(3));
    std::fs::remove_dir_all(project.at("tree")).unwrap();
    let serve = ["serve", "--host-root", project.path().to_str().unwrap()];
    let mut daemon = project.command(&serve).stdout(Stdio::null()).spawn().unwrap();
    wait_for("four messages", || receiver.count("/hook") >= 4);
    kill_process(Pid::from_child(&daemon), Signal::TERM).unwrap();
    assert!(daemon.wait().unwrap().success());
    let mut told: Vec<String> = receiver
        .take()
        .iter()
        .map(|got| got.json())
        .map(|json| format!("{} {}", json["what"]["about"].as_str().unwrap(), json["why"].as_str().unwrap()))
        .collect();
    told.sort();
    assert_eq!(told, ["maint.service failed", "maint.service recovered", "none failed", "tree failed"]);
}
