//! Pruning by the real binary: what goes, what stays, what is said.

use std::{fs, process::Command};

use maint::{
    adapters::lock::Hold,
    backup::chain,
    model::record::{Body, Record},
};

use crate::{change_manifest, policy_is, project::names, records, run, sets, with_policy};

#[test]
fn a_run_that_went_well_prunes_and_leaves_tombstones() {
    let project = with_policy("keep = { monthly = 2 }");
    for month in 1..=3 {
        run(&project, month).code(0);
    }
    assert_eq!(sets(&project), ["202602", "202603"]);
    let last = run(&project, 4).code(0);
    assert!(last.stdout.contains("backups: 1 set pruned"), "{}", last.stdout);
    assert_eq!(sets(&project), ["202603", "202604"]);
    for gone in ["202601", "202602"] {
        let dir = project.at("backups/tree/.records").join(gone);
        let record: Record = serde_json::from_slice(&fs::read(dir.join(&names(&dir)[0])).unwrap()).unwrap();
        let Body::Tombstone(tombstone) = record.body else { panic!("{record:?}") };
        assert_eq!(tombstone.period, gone);
        assert!(tombstone.reason.contains("beyond monthly 2"), "{}", tombstone.reason);
    }
    // The chain can be walked over the tombstones.
    let chain = chain::load(&project.at("backups/tree"), None).unwrap();
    assert_eq!((chain.walk.breaks.len(), chain.walk.links.len(), chain.records.len()), (0, 4, 0), "{chain:?}");
    project.maint(&["backups"]).code(0);
    // The name of a set that was pruned is never given again.
    project.maint(&["run", "tree", "--slot", "2026-02-05T00:00:00Z"]).code(0);
    assert_eq!(sets(&project), ["202602-2", "202603", "202604"]);
}

#[test]
fn a_dry_run_says_why_and_does_nothing() {
    let project = with_policy("");
    for month in 1..=3 {
        run(&project, month).code(0);
    }
    let none = project.maint(&["prune"]).code(2);
    assert!(none.stderr.contains("no policy"), "{}", none.stderr);
    policy_is(&project, "keep = { last = 1, yearly = 3 }");
    let said = project.maint(&["prune", "--dry-run"]).code(0).stdout;
    for part in [
        "keeps last 1, yearly 3",
        "keep  202603           the newest verified set; last 1 of 1; yearly 1 of 3 (2026)",
        "prune 202602           beyond last 1; yearly: 2026 has the newer 202603",
        "nothing was done",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert_eq!(sets(&project).len(), 3);
    project.maint(&["prune", "--series", "other"]).code(2);
    let json = project.maint(&["prune", "--json", "--series", "tree"]).code(0).stdout;
    let place: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(place["removed"].as_array().unwrap().len(), 2, "{json}");
    assert_eq!(sets(&project), ["202603"]);
    let again = project.maint(&["prune"]).code(0).stdout;
    assert!(!again.contains("pruned"), "{again}");
}

#[test]
fn a_pinned_set_stays_until_it_is_unpinned() {
    let project = with_policy("keep = { last = 1 }");
    run(&project, 1).code(0);
    project.maint(&["backups", "pin", "tree/202601"]).code(2);
    project.maint(&["backups", "pin", "tree/202601", "--reason", "  "]).code(2);
    project.maint(&["backups", "pin", "tree/202601", "--reason", "the auditor's"]).code(0);
    run(&project, 2).code(0);
    run(&project, 3).code(0);
    assert_eq!(sets(&project), ["202601", "202603"]);
    let listed = project.maint(&["backups"]).code(0).stdout;
    assert!(listed.contains("pinned: the auditor's"), "{listed}");
    project.maint(&["backups", "unpin", "tree/202601"]).code(0);
    let twice = project.maint(&["backups", "unpin", "tree/202601"]).code(0);
    assert!(twice.stdout.contains("was not pinned"), "{}", twice.stdout);
    project.maint(&["prune"]).code(0);
    assert_eq!(sets(&project), ["202603"]);
}

#[test]
fn what_a_failed_or_partial_run_leaves_is_not_pruned() {
    let project = with_policy("");
    run(&project, 1).code(0);
    run(&project, 2).code(0);
    policy_is(&project, "keep = { last = 1 }");
    let job = fs::read_to_string(project.at("jobs/tree.toml")).unwrap();
    let more = "[[step]]\nid = \"gone\"\nretries = 0\ndo.files_archive = { paths = [\"not-there\"] }\n";
    project.write("jobs/tree.toml", &(job + more));
    run(&project, 3).code(1);
    assert_eq!(sets(&project), ["202601", "202602"]);
    project.maint(&["run", "tree", "--only", "tree"]).code(0);
    assert_eq!(sets(&project), ["202601", "202602"]);
}

#[test]
fn a_set_that_somebody_reads_goes_the_next_time() {
    let project = with_policy("");
    run(&project, 1).code(0);
    run(&project, 2).code(0);
    policy_is(&project, "keep = { last = 1 }");
    let reading = Hold::to_read(&project.at("backups/tree/202601")).unwrap();
    let left = project.maint(&["prune"]).code(0).stdout;
    assert!(left.contains("202601 is in use"), "{left}");
    assert_eq!((sets(&project).len(), records(&project, "202601", "tombstone")), (2, 0));
    // And what is being removed is not read.
    drop(reading);
    let removing = Hold::to_remove(&project.at("backups/tree/202601")).unwrap();
    let refused = project.maint(&["verify", "tree/202601"]).code(2);
    assert!(refused.stderr.contains("is being pruned"), "{}", refused.stderr);
    drop(removing);
    project.maint(&["prune"]).code(0);
    assert_eq!(sets(&project), ["202602"]);
}

#[test]
fn what_cannot_be_relied_on_does_not_count_and_is_not_deleted() {
    let project = with_policy("");
    for month in 1..=6 {
        run(&project, month).code(0);
    }
    policy_is(&project, "keep = { last = 1 }");
    let at = |set: &str, file: &str| project.at("backups/tree").join(set).join(file);
    fs::remove_file(at("202606", "tree-202606.tar.zst")).unwrap();
    fs::write(at("202605", "tree-202605.tar.zst"), "short").unwrap();
    fs::write(at("202604", "notes.txt"), "mine").unwrap();
    fs::remove_file(at("202603", "manifest.json")).unwrap();
    let ended = project.maint(&["prune", "--strict"]).code(1);
    for part in [
        "tree-202606.tar.zst is missing",
        "tree-202605.tar.zst has 5 bytes",
        "notes.txt does not belong to it",
        "manifest.json is missing",
        "see: maint verify tree/202606",
    ] {
        assert!(ended.stdout.contains(part), "{part}: {}", ended.stdout);
    }
    // The newest that counts is the one of February.
    assert_eq!(sets(&project), ["202602", "202603", "202604", "202605", "202606"]);
    let next = run(&project, 7).code(0);
    assert!(next.stdout.contains("warning: tree/202606 does not count"), "{}", next.stdout);
}

#[test]
fn a_level_below_structure_counts_only_with_a_drill() {
    let project = with_policy("keep = { last = 1 }");
    run(&project, 1).code(0);
    run(&project, 2).code(0);
    change_manifest(&project, "202602", |m| m["verification"]["level"] = "checksum".into());
    run(&project, 3).code(0);
    assert_eq!(sets(&project), ["202602", "202603"]);
    let said = project.maint(&["prune", "--dry-run"]).code(0).stdout;
    assert!(said.contains("does not count: it was verified to \"checksum\" only"), "{said}");
}

#[test]
fn a_clock_behind_the_newest_set_deletes_nothing() {
    let project = with_policy("");
    run(&project, 1).code(0);
    run(&project, 2).code(0);
    policy_is(&project, "keep = { last = 1 }");
    change_manifest(&project, "202602", |m| m["run"]["sealed"] = "2099-01-01T00:00:00Z".into());
    let ended = project.maint(&["prune"]).code(4);
    assert!(ended.stderr.contains("sealed at 2099-01-01") && ended.stderr.contains("timedatectl"), "{}", ended.stderr);
    assert_eq!(sets(&project).len(), 2);
}

#[test]
fn a_set_that_nobody_trusted_signed_does_not_count() {
    let project = with_policy("");
    run(&project, 1).code(0);
    run(&project, 2).code(0);
    policy_is(&project, "keep = { last = 1 }");
    let key = project.at("key");
    let made = Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&key).status().unwrap();
    assert!(made.success());
    let public = fs::read_to_string(project.at("key.pub")).unwrap();
    project.write("trusted", &format!("ops {public}"));
    let config = fs::read_to_string(project.at("maint.toml")).unwrap();
    project.write("maint.toml", &(config + "[sign]\nkey_file = \"key\"\ntrust = \"trusted\"\n"));
    let ended = project.maint(&["prune"]).code(0).stdout;
    assert!(ended.contains("does not count: it is not signed"), "{ended}");
    // The unsigned ones stay: a forger's set must not be what pushes them out, nor may they push out others.
    run(&project, 3).code(0);
    run(&project, 4).code(0);
    assert_eq!(sets(&project), ["202601", "202602", "202604"]);
    assert_eq!(names(&project.at("backups/tree/.records/202603")).len(), 2, "the tombstone is signed");
}

#[test]
fn a_policy_that_cannot_work_is_a_mistake() {
    let project = with_policy("keep = {}");
    let said = project.maint(&["check"]).code(2).stderr;
    assert!(said.contains("tree.toml:5:8: this policy keeps no set at all"), "{said}");
    policy_is(&project, "verify = \"checksum\"\nkeep = { last = 1 }");
    let said = project.maint(&["check"]).code(2).stderr;
    assert!(said.contains("tree.toml:6:8: retention counts only sets that were verified"), "{said}");
    policy_is(&project, "keep = { month = 12 }");
    let said = project.maint(&["check"]).code(2).stderr;
    assert!(said.contains("did you mean `monthly`?"), "{said}");
}
