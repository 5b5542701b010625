//! Runs that fail and go well again, and what is told of them.

use std::{process::Stdio, time::Duration};

use rustix::process::{Pid, Signal, kill_process};

use super::{
    asked, breaks, ledger, mend, project,
    project::{Project, names, wait_for},
    receiver::{Answers, Receiver},
    set_back, webhook,
};

#[test]
fn one_message_when_it_fails_none_while_it_goes_on_one_when_it_is_well() {
    let receiver = Receiver::start();
    let project = project(&webhook(&receiver, "/hook", ""));
    let failed = project.maint(&["run", "tree"]).code(1);
    assert!(failed.stdout.contains("hook was told: tree, failed"), "{}", failed.stdout);
    let got = receiver.take();
    assert_eq!(got.len(), 1);
    let told = got[0].json();
    assert_eq!((told["why"].as_str(), told["alarm"].as_bool()), (Some("failed"), Some(true)), "{told:#}");
    assert_eq!(told["what"]["about"], "tree");
    assert_eq!(told["what"]["step"], "files");
    assert_eq!(told["what"]["severity"], "P2");
    assert_eq!(told["stack"], "test");
    let run = told["what"]["run"].as_str().unwrap();
    let text = told["text"].as_str().unwrap();
    for expected in ["P2: tree failed (test on ", "state     failed in step files at ", "tree", "maint runs show "] {
        assert!(text.contains(expected), "{expected}: {text}");
    }
    assert!(text.contains(&format!("maint ack {}", &run[run.len() - 8..])), "{text}");
    let shown = project.maint(&["runs", "show", run]).code(0).stdout;
    assert!(shown.contains("hook") && shown.contains("accepted"), "{shown}");

    for _ in 0..2 {
        project.maint(&["run", "tree"]).code(1);
    }
    assert_eq!(receiver.take().len(), 0, "the same failure was told again");
    // A day later it is told once more.
    set_back(&project, 25 * 60);
    project.maint(&["ack", "tree", "--by", "ana", "--note", "disk"]).code(0);
    project.maint(&["run", "tree"]).code(1);
    let again = receiver.take();
    assert_eq!(again.len(), 1);
    assert_eq!(again[0].json()["why"], "again");
    assert_eq!(again[0].json()["times"], 4);
    assert_eq!(again[0].json()["ack"]["by"], "ana");

    mend(&project);
    project.maint(&["run", "tree"]).code(0);
    let well = receiver.take();
    assert_eq!(well.len(), 1);
    assert_eq!(well[0].json()["why"], "recovered");
    assert_eq!(well[0].json()["alarm"], false);
    project.maint(&["run", "tree"]).code(0);
    assert_eq!(receiver.take().len(), 0, "a run that went well is no news");
    // And from the beginning.
    breaks(&project);
    project.maint(&["run", "tree"]).code(1);
    assert_eq!(receiver.take().len(), 1);
}

#[test]
fn a_part_of_a_job_says_nothing_of_the_job() {
    let receiver = Receiver::start();
    let project = project(&webhook(&receiver, "/hook", ""));
    project.maint(&["run", "tree", "--only", "files"]).code(1);
    assert_eq!(receiver.take().len(), 0);
    project.maint(&["run", "tree"]).code(1);
    receiver.take();
    mend(&project);
    project.maint(&["run", "tree", "--only", "files"]).code(0);
    assert_eq!(receiver.take().len(), 0, "a part of it is no recovery");
    // What somebody mistypes is told to nobody else.
    project.maint(&["run", "tree", "--only", "nothing"]).code(2);
    assert_eq!(receiver.take().len(), 0);
}

#[test]
fn channels_hear_what_they_ask_for() {
    let receiver = Receiver::start();
    let more = [
        webhook(&receiver, "/worst", "min_severity = \"P1\""),
        webhook(&receiver, "/others", "jobs = [\"x-*\"]"),
        webhook(&receiver, "/mine", "jobs = [\"tr*\"]"),
        webhook(&receiver, "/all", "also = [\"success\"]"),
    ];
    let project = project(&more.concat());
    project.backup_job("x-ray", &[("files", "files_archive = { paths = [\"tree\"] }")]);
    project.maint(&["run", "tree"]).code(1);
    let count = |path| receiver.count(path);
    assert_eq!([count("/worst"), count("/others"), count("/mine"), count("/all")], [0, 0, 1, 1]);
    // The job is taken more seriously: those who hear it now are told, and the others why.
    let job = std::fs::read_to_string(project.at("jobs/tree.toml")).unwrap();
    project.write("jobs/tree.toml", &format!("severity = \"P0\"\n{job}"));
    project.maint(&["run", "tree"]).code(1);
    assert_eq!([count("/worst"), count("/others"), count("/mine"), count("/all")], [1, 0, 2, 2]);
    let worse = receiver.take().pop().unwrap().json();
    assert_eq!(worse["why"], "worse");
    assert!(worse["text"].as_str().unwrap().starts_with("*** P0 CRITICAL"), "{worse:#}");
    mend(&project);
    project.maint(&["run", "tree"]).code(0);
    // Also of the success.
    assert_eq!([count("/worst"), count("/others"), count("/mine"), count("/all")], [1, 0, 1, 2]);
}

#[test]
fn a_lock_that_is_not_free_in_time_is_told_and_one_that_is_left_out_is_not() {
    let receiver = Receiver::start();
    let project = project(&webhook(&receiver, "/hook", ""));
    mend(&project);
    let job = std::fs::read_to_string(project.at("jobs/tree.toml")).unwrap();
    let path = project.at("state/locks/job-tree.lock");
    let _held = maint::adapters::lock::Lock::try_acquire(&path, "a test").unwrap();
    project.maint(&["run", "tree"]).code(5);
    assert_eq!(receiver.take().len(), 0, "the job says that a second run is left out");
    project.write("jobs/tree.toml", &format!("overlap = \"queue\"\nlock_wait = \"300ms\"\n{job}"));
    project.maint(&["run", "tree"]).code(5);
    let got = receiver.take();
    assert_eq!(got.len(), 1);
    let told = got[0].json();
    assert!(told["subject"].as_str().unwrap().contains("tree could not begin"), "{told:#}");
    assert!(told["what"]["reason"].as_str().unwrap().contains("held by a test"), "{told:#}");
    assert!(told["text"].as_str().unwrap().contains("maint ack tree"), "{told:#}");
    drop(_held);
    project.maint(&["run", "tree"]).code(0);
    assert_eq!(receiver.take()[0].json()["why"], "recovered");
}

/// Starts a run that takes minutes, and waits until it is in the middle.
fn slow(project: &Project) -> std::process::Child {
    std::fs::create_dir_all(project.at("tree")).unwrap();
    std::fs::File::create(project.at("tree/holes")).unwrap().set_len(1 << 40).unwrap();
    let child = project.command(&["run", "tree"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    wait_for("the run", || {
        let staging = project.at("backups/.staging");
        names(&staging).iter().any(|run| !names(&staging.join(run)).is_empty())
    });
    child
}

#[test]
fn what_is_interrupted_or_dies_is_told_as_that() {
    let receiver = Receiver::start();
    let project = project(&webhook(&receiver, "/hook", ""));
    let mut child = slow(&project);
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    let told = receiver.take()[0].json();
    assert!(told["subject"].as_str().unwrap().contains("tree was interrupted"), "{told:#}");
    assert_eq!(told["what"]["state"], "interrupted");

    std::fs::remove_file(project.at("tree/holes")).unwrap();
    mend(&project);
    project.maint(&["run", "tree"]).code(0);
    assert_eq!(receiver.take()[0].json()["why"], "recovered");

    let mut child = slow(&project);
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(receiver.take().len(), 0);
    let said = project.maint(&["recover"]).code(0).stdout;
    assert!(said.contains("hook was told: tree, failed"), "{said}");
    assert_eq!(receiver.take()[0].json()["what"]["state"], "interrupted");
}

#[test]
fn a_death_between_the_end_of_a_run_and_the_decision_loses_nothing() {
    let receiver = Receiver::start();
    let project = project(&webhook(&receiver, "/hook", ""));
    project.maint(&["run", "tree"]).code(1);
    receiver.take();
    // As if it had died right after the run's end was written.
    ledger(&project)
        .execute_batch("DELETE FROM delivery; DELETE FROM incident; UPDATE run SET considered = 0")
        .unwrap();
    project.maint(&["notify", "flush"]).code(0);
    assert_eq!(receiver.take().len(), 1);
    project.maint(&["notify", "flush"]).code(0);
    assert_eq!(receiver.take().len(), 0);
}

#[test]
fn a_death_in_the_middle_of_sending_sends_it_once_more_and_says_that_it_is_the_same() {
    let receiver = Receiver::start();
    receiver.answers(Answers::Hang);
    let more = webhook(&receiver, "/hook", "").replace("1s", "60s");
    let project = project(&more);
    let mut child = project.command(&["run", "tree"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    receiver.wait();
    child.kill().unwrap();
    child.wait().unwrap();
    let lost = receiver.take();
    assert_eq!(asked(&project, "SELECT state FROM delivery"), "sending");
    receiver.answers(Answers::Always(200, "ok"));
    project.maint(&["notify", "flush"]).code(0);
    let got = receiver.take();
    assert_eq!(got.len(), 1);
    assert_eq!(got[0].header("x-maint-delivery"), lost[0].header("x-maint-delivery"));
    project.maint(&["notify", "flush"]).code(0);
    std::thread::sleep(Duration::from_millis(50));
    assert_eq!(receiver.take().len(), 0, "it was taken");
}
