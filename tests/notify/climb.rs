//! A failure that nobody acknowledges climbs.

use super::{asked, mend, project, project::Project, receiver::Receiver, set_back, webhook};

fn levels(receiver: &Receiver) -> Project {
    let level = |path: &str, level: u8| webhook(receiver, path, &format!("level = {level}"));
    project(&[level("/ops", 1), level("/engineering", 2), level("/architecture", 3)].concat())
}

fn counts(receiver: &Receiver) -> [usize; 3] {
    ["/ops", "/engineering", "/architecture"].map(|path| receiver.count(path))
}

#[test]
fn what_nobody_acknowledges_climbs_as_the_runbook_says() {
    let receiver = Receiver::start();
    let project = levels(&receiver);
    project.maint(&["run", "tree"]).code(1);
    assert_eq!(counts(&receiver), [1, 0, 0]);
    set_back(&project, 29);
    project.maint(&["recover"]).code(0);
    assert_eq!(counts(&receiver), [1, 0, 0]);
    set_back(&project, 2);
    project.maint(&["recover"]).code(0);
    assert_eq!(counts(&receiver), [1, 1, 0]);
    project.maint(&["notify", "flush"]).code(0);
    assert_eq!(counts(&receiver), [1, 1, 0], "each level is told once");
    set_back(&project, 90);
    project.maint(&["notify", "flush"]).code(0);
    assert_eq!(counts(&receiver), [1, 1, 1]);
    let got = receiver.take();
    let last = got.last().unwrap().json();
    assert_eq!((last["why"].as_str(), last["level"].as_u64()), (Some("escalated"), Some(3)));
    assert!(last["subject"].as_str().unwrap().contains("nobody acknowledged it: level 3"), "{last:#}");
    // Everybody who heard of it hears that it is over, and nobody twice.
    mend(&project);
    project.maint(&["run", "tree"]).code(0);
    assert_eq!(counts(&receiver), [1, 1, 1]);
    assert_eq!(receiver.take().iter().filter(|got| got.json()["why"] == "recovered").count(), 3);
    set_back(&project, 500);
    project.maint(&["notify", "flush"]).code(0);
    assert_eq!(counts(&receiver), [0, 0, 0], "what is over does not climb");
}

#[test]
fn a_long_silence_calls_both_levels_at_once() {
    let receiver = Receiver::start();
    let project = levels(&receiver);
    project.maint(&["run", "tree"]).code(1);
    set_back(&project, 300);
    project.maint(&["notify", "flush"]).code(0);
    assert_eq!(counts(&receiver), [1, 1, 1]);
}

#[test]
fn what_somebody_acknowledges_does_not_climb() {
    let receiver = Receiver::start();
    let project = levels(&receiver);
    let nothing = project.maint(&["ack", "tree"]).code(1);
    assert!(nothing.stderr.contains("nothing to acknowledge"), "{}", nothing.stderr);
    assert!(project.maint(&["ack"]).code(0).stdout.contains("nothing fails"));
    project.maint(&["run", "tree"]).code(1);
    let run = asked(&project, "SELECT id FROM run");
    let listed = project.maint(&["ack"]).code(0).stdout;
    assert!(listed.contains("tree") && listed.contains("nobody"), "{listed}");
    let done = project.maint(&["ack", &run[run.len() - 8..], "--note", "disk is full", "--by", "ana"]).code(0).stdout;
    assert!(done.contains("acknowledged by ana: tree fails in step files"), "{done}");
    let listed = project.maint(&["ack"]).code(0).stdout;
    assert!(listed.contains("ana: disk is full"), "{listed}");
    set_back(&project, 24 * 60 - 1);
    project.maint(&["notify", "flush"]).code(0);
    assert_eq!(counts(&receiver), [1, 0, 0]);
    // Without an acknowledgement it is told again after a day, though nothing ran.
    super::ledger(&project).execute_batch("UPDATE incident SET ack_by = NULL, ack_at = NULL, level = 3").unwrap();
    set_back(&project, 2);
    project.maint(&["notify", "flush"]).code(0);
    assert_eq!(counts(&receiver), [2, 1, 1]);
    mend(&project);
    project.maint(&["run", "tree"]).code(0);
    let over = project.maint(&["ack", &run]).code(1);
    assert!(over.stderr.contains("does not fail"), "{}", over.stderr);
}
