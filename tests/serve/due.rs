//! What a timer asks for: the slot that is due, and nothing else.

use crate::{
    project::Project,
    slots::{daily, hours_ago, ledger, missed, outcomes, owe, quick, runs},
};

#[test]
fn three_days_of_downtime_are_caught_up_once_and_every_slot_is_accounted_for() {
    let project = Project::new("");
    let slot = hours_ago(2);
    let day = chrono::Duration::days(1);
    for (job, rule, runs_now, why) in [
        ("once", "catch_up = \"once\"", true, ["caught_up", "caught_up", ""]),
        ("none", "catch_up = \"none\"", false, ["nobody_on_duty", "nobody_on_duty", "nobody_on_duty"]),
        ("hour", "catch_up = { within = \"1h\" }", false, ["too_old", "too_old", "too_old"]),
        ("days", "catch_up = { within = \"30h\" }", true, ["too_old", "caught_up", ""]),
    ] {
        quick(&project, job, &daily(slot), rule);
        owe(&project, job, slot - day * 2 - chrono::Duration::hours(1));
        let said = project.maint(&["run", job, "--due"]).code(0);
        // A host that was switched on within these days says so.
        let told: Vec<_> = missed(&project, job)
            .into_iter()
            .map(|(at, why)| (at, why.replace("host_down", "nobody_on_duty")))
            .collect();
        let slots = [slot - day * 2, slot - day, slot];
        let expected: Vec<_> = slots
            .into_iter()
            .zip(why)
            .filter(|(_, why)| !why.is_empty())
            .map(|(at, why)| (at, why.to_owned()))
            .collect();
        assert_eq!(told, expected, "{job} {said:?}");
        assert_eq!(said.stderr.matches("missed: the slot").count(), expected.len(), "{}", said.stderr);
        let ran: Vec<(String, Option<String>)> = runs(&project, job, slot);
        assert_eq!(ran, if runs_now { vec![("timer".to_owned(), Some("ok".to_owned()))] } else { vec![] }, "{job}");
        let again = project.maint(&["run", job, "--due"]).code(0);
        assert!(again.stdout.starts_with("skipped: nothing is due; the next slot is "), "{}", again.stdout);
        assert_eq!(missed(&project, job).len(), expected.len());
    }
    let listed = project.maint(&["runs", "--missed", "--job", "once"]).code(0).stdout;
    assert!(listed.contains("caught_up") && listed.contains("stands for it"), "{listed}");
    assert!(project.maint(&["runs"]).code(0).stdout.contains("10 slots missed in the last 7 days"));
    // What somebody does by hand all the same is no longer told.
    let by_hand = (slot - day).to_rfc3339();
    project.maint(&["run", "once", "--slot", &by_hand]).code(0);
    assert!(project.maint(&["runs"]).code(0).stdout.contains("9 slots missed"));
}

#[test]
fn a_new_job_does_not_owe_its_past_but_the_slot_that_woke_its_timer() {
    let project = Project::new("");
    quick(&project, "old", &daily(hours_ago(2)), "");
    assert!(project.maint(&["run", "old", "--due"]).code(0).stdout.contains("nothing is due"));
    let now = hours_ago(0);
    quick(&project, "now", &daily(now), "");
    project.maint(&["run", "now", "--due"]).code(0);
    assert_eq!(outcomes(&project, "now", now), ["ok"]);
    assert_eq!((missed(&project, "old"), missed(&project, "now")), (vec![], vec![]));
}

#[test]
fn a_failure_is_tried_again_only_by_hand() {
    let project = Project::new("");
    let slot = hours_ago(1);
    quick(&project, "job", &daily(slot), "");
    owe(&project, "job", hours_ago(2));
    std::fs::remove_dir_all(project.at("tree")).unwrap();
    project.maint(&["run", "job", "--due"]).code(1);
    project.write("tree/file", "back");
    assert!(project.maint(&["run", "job", "--due"]).code(0).stdout.contains("nothing is due"));
    project.maint(&["run", "job", "--slot", &slot.to_rfc3339()]).code(0);
    assert_eq!(outcomes(&project, "job", slot), ["failed", "ok"]);
    let done = project.maint(&["run", "job", "--slot", &slot.to_rfc3339()]).code(0).stdout;
    assert!(done.contains("skipped: the slot was done by run "), "{done}");
}

#[test]
fn what_keeps_a_slot_from_beginning_is_recorded() {
    let project = Project::new("");
    let slot = hours_ago(1);
    quick(&project, "job", &daily(slot), "locks = [\"shared\"]\nlock_wait = \"1s\"");
    owe(&project, "job", hours_ago(2));
    std::fs::create_dir_all(project.at("state/locks")).unwrap();
    let lock = std::fs::File::create(project.at("state/locks/shared.lock")).unwrap();
    lock.lock().unwrap();
    project.maint(&["run", "job", "--due"]).code(5);
    assert_eq!(missed(&project, "job"), [(slot, "locked".to_owned())]);
    drop(lock);
    // The job's own lock: somebody is at work for something else.
    quick(&project, "skips", &daily(slot), "");
    owe(&project, "skips", hours_ago(2));
    let lock = std::fs::File::create(project.at("state/locks/job-skips.lock")).unwrap();
    lock.lock().unwrap();
    std::fs::write(project.at("state/locks/job-skips.lock"), "run 7 of skips, pid 1").unwrap();
    let skipped = project.maint(&["run", "skips", "--due"]).code(0).stdout;
    assert!(skipped.contains("run 7 of skips, pid 1 was still at work"), "{skipped}");
    assert_eq!(missed(&project, "skips"), [(slot, "overlapped".to_owned())]);
    // And somebody who does the very slot.
    quick(&project, "same", &daily(slot), "");
    owe(&project, "same", hours_ago(2));
    let lock = std::fs::File::create(project.at("state/locks/job-same.lock")).unwrap();
    lock.lock().unwrap();
    let holder = format!("run 8 of same for the slot {}, pid 1", slot.to_rfc3339());
    std::fs::write(project.at("state/locks/job-same.lock"), &holder).unwrap();
    for args in [&["run", "same", "--due"][..], &["run", "same", "--slot", &slot.to_rfc3339()]] {
        let skipped = project.maint(args).code(0).stdout;
        assert!(skipped.contains(&format!("skipped: the slot is being done by {holder}")), "{skipped}");
    }
    assert_eq!(missed(&project, "same"), []);
}

#[test]
fn a_clock_that_was_ahead_and_a_schedule_that_changed_leave_nothing_open() {
    let project = Project::new("");
    let slot = hours_ago(0);
    quick(&project, "job", &daily(slot), "");
    owe(&project, "job", slot + chrono::Duration::days(3650));
    project.maint(&["run", "job", "--due"]).code(0);
    assert_eq!(outcomes(&project, "job", slot), ["ok"]);
    let before = hours_ago(5);
    quick(&project, "moved", &daily(before), "");
    owe(&project, "moved", hours_ago(6));
    quick(&project, "moved", &daily(slot), "");
    project.maint(&["run", "moved", "--due"]).code(0);
    assert_eq!(missed(&project, "moved"), [(before, "rescheduled".to_owned())]);
    assert_eq!(outcomes(&project, "moved", slot), ["ok"]);
    let unfinished: i64 =
        ledger(&project).query_row("SELECT count(*) FROM run WHERE outcome IS NULL", [], |r| r.get(0)).unwrap();
    assert_eq!(unfinished, 0);
}

#[test]
fn a_job_without_a_schedule_is_never_due() {
    let project = Project::new("");
    project.write("tree/file", "content");
    project.backup_job("hand", &[("t", "files_archive = { paths = [\"tree\"] }")]);
    assert!(project.maint(&["run", "hand", "--due"]).code(2).stderr.contains("has no schedule"));
}
