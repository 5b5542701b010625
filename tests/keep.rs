//! Retention: what a policy promises is kept, nothing is deleted that should stay, and an interrupted deletion ends well.
#![expect(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests set their stage")]

#[path = "support/bucket.rs"]
mod bucket;
#[path = "keep/crash.rs"]
mod crash;
#[path = "keep/freeze.rs"]
mod freeze;
#[path = "keep/policy.rs"]
mod policy;
#[path = "support/project.rs"]
mod project;
#[path = "keep/prune.rs"]
mod prune;
#[path = "keep/stores.rs"]
mod stores;
#[path = "keep/years.rs"]
mod years;

use std::fs;

use project::{Ended, Project};

/// A project whose job `tree` has this policy.
fn with_policy(keep: &str) -> Project {
    let project = Project::new("");
    for i in 0..100 {
        project.write(&format!("tree/{i}"), &"line\n".repeat(6_000));
    }
    policy_is(&project, keep);
    project
}

fn policy_is(project: &Project, keep: &str) {
    project.write(
        "jobs/tree.toml",
        &format!(
            "description = \"x\"\n[backup]\nseries = \"tree\"\nperiod = \"month\"\n{keep}\n\
             [[step]]\nid = \"tree\"\nretries = 0\ndo.files_archive = {{ paths = [\"tree\"] }}\n"
        ),
    );
}

/// Runs the job for a slot in that month of 2026.
fn run(project: &Project, month: u32) -> Ended {
    project.maint(&["run", "tree", "--slot", &format!("2026-{month:02}-04T00:00:00Z")])
}

/// The names of the sets, without the series.
fn sets(project: &Project) -> Vec<String> {
    let sets = project.sets().into_iter().filter(|set| !set.ends_with("/.records"));
    sets.map(|set| set.trim_start_matches("tree/").to_owned()).collect()
}

/// How many records of a kind there are beside a set.
fn records(project: &Project, set: &str, kind: &str) -> usize {
    let dir = project.at("backups/tree/.records").join(set);
    let names = project::names(&dir);
    names.iter().filter(|n| n.starts_with(&format!("{kind}-")) && n.ends_with(".json")).count()
}

/// Changes a manifest as it lies there.
fn change_manifest(project: &Project, set: &str, change: impl FnOnce(&mut serde_json::Value)) {
    let path = project.at("backups/tree").join(set).join("manifest.json");
    let mut manifest = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    change(&mut manifest);
    fs::write(path, serde_json::to_string_pretty(&manifest).unwrap()).unwrap();
}
