//! A pruning that dies between any two of its acts is finished by the next one.

use std::{
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use maint::{
    backup::retention::{Op, Series},
    model::ids::SeriesName,
};

use crate::{
    policy_is,
    project::{Project, names},
    records, run, sets, with_policy,
};

fn copy(from: &Path, to: &Path) {
    assert!(Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap().success());
}

fn series<'a>(project: &Project, name: &'a SeriesName) -> Series<'a> {
    Series { name, dir: project.at("backups/tree"), zone: chrono_tz::UTC, trust: None, signer: None }
}

#[test]
fn dead_between_any_two_acts() {
    let project = with_policy("");
    run(&project, 1).code(0);
    run(&project, 2).code(0);
    policy_is(&project, "keep = { last = 1 }");
    copy(&project.at("backups"), &project.at("before"));
    let name: SeriesName = "tree".parse().unwrap();
    let acts = series(&project, &name).deletion("202601", "beyond last 1").unwrap().unwrap().0;
    assert!(matches!(&acts[..2], [Op::Bury(_), Op::Remove(path)] if path.ends_with("manifest.json")), "{acts:?}");
    assert!(matches!(&acts[acts.len() - 2..], [Op::Remove(path), Op::RemoveDir(_)] if path.ends_with("SHA256SUMS")));
    for dead_after in 0..=acts.len() {
        std::fs::remove_dir_all(project.at("backups")).unwrap();
        copy(&project.at("before"), &project.at("backups"));
        for act in &acts[..dead_after] {
            series(&project, &name).act(act).unwrap();
        }
        // What is left is never taken for a damaged set, and with a manifest it is still a whole one.
        let listed = project.maint(&["backups"]).code(0).stdout;
        assert_eq!(listed.contains("BEING PRUNED"), (2..acts.len()).contains(&dead_after), "{dead_after}: {listed}");
        if dead_after < 2 {
            project.maint(&["verify", "tree/202601"]).code(0);
        }
        let ended = project.maint(&["prune", "--strict"]).code(0);
        assert_eq!(sets(&project), ["202602"], "{dead_after}: {}", ended.stdout);
        assert_eq!(records(&project, "202601", "tombstone"), 1, "{dead_after}");
        project.maint(&["verify", "tree/202602"]).code(0);
    }
}

#[test]
fn a_frozen_series_finishes_what_was_begun_and_begins_nothing() {
    let project = with_policy("");
    run(&project, 1).code(0);
    run(&project, 2).code(0);
    for i in 10..100 {
        std::fs::remove_file(project.at(format!("tree/{i}"))).unwrap();
    }
    run(&project, 3).code(0);
    policy_is(&project, "keep = { last = 1 }");
    let name: SeriesName = "tree".parse().unwrap();
    for (set, acts) in [("202601", 2), ("202602", 1)] {
        let all = series(&project, &name).deletion(set, "x").unwrap().unwrap().0;
        all[..acts].iter().for_each(|act| series(&project, &name).act(act).unwrap());
    }
    project.maint(&["prune"]).code(0);
    assert_eq!(sets(&project), ["202602", "202603"]);
}

#[test]
fn a_directory_without_a_manifest_and_a_tombstone_of_its_own_is_left_alone() {
    let project = with_policy("");
    run(&project, 1).code(0);
    run(&project, 2).code(0);
    policy_is(&project, "keep = { last = 1 }");
    copy(&project.at("backups/tree/202601"), &project.at("backups/tree/other"));
    project.maint(&["prune"]).code(0);
    // The tombstone of another set under this name does not condemn what lies there now.
    let with_other_tombstone = project.at("backups/tree/202601");
    copy(&project.at("backups/tree/202602"), &with_other_tombstone);
    std::fs::remove_file(with_other_tombstone.join("manifest.json")).unwrap();
    let ended = project.maint(&["prune", "--strict"]).code(1);
    assert!(ended.stdout.contains("manifest.json is missing"), "{}", ended.stdout);
    assert!(!names(&with_other_tombstone).is_empty());
    project.maint(&["backups"]).code(3);
}

#[test]
fn killed_at_any_moment() {
    let project = with_policy("");
    run(&project, 1).code(0);
    run(&project, 2).code(0);
    policy_is(&project, "keep = { last = 1 }");
    for number in 2..40 {
        copy(&project.at("backups/tree/202601"), &project.at(format!("backups/tree/202601-{number}")));
    }
    let mut killed = 0;
    for millis in [30, 50, 70, 90, 110] {
        let mut pruning = project.command(&["prune"]).stdout(Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(millis));
        pruning.kill().unwrap();
        killed += usize::from(!pruning.wait().unwrap().success());
        project.maint(&["backups"]).code(0);
    }
    let ended = project.maint(&["prune", "--strict"]).code(0);
    assert_eq!(sets(&project), ["202602"], "{}", ended.stdout);
    for number in 2..40 {
        assert_eq!(records(&project, &format!("202601-{number}"), "tombstone"), 1, "{number}");
    }
    assert!(killed > 0, "every pruning was faster than its killer");
}
