//! While a set is unusual and nobody has looked, nothing of its series is pruned.

use std::fs;

use crate::{policy_is, records, run, sets, with_policy};

#[test]
fn a_set_that_shrank_freezes_the_pruning_until_somebody_acknowledges_it() {
    let project = with_policy("");
    run(&project, 1).code(0);
    run(&project, 2).code(0);
    policy_is(&project, "keep = { last = 1 }");
    for i in 10..100 {
        fs::remove_file(project.at(format!("tree/{i}"))).unwrap();
    }
    let shrunk = run(&project, 3).code(0);
    for part in [
        "warning: unusual beside the last sets: tree: ",
        "11 entries, where the last 2 sets had 101 entries",
        "maint backups ack tree/202603",
        "nothing is pruned: tree/202603 is unusual",
    ] {
        assert!(shrunk.stdout.contains(part), "{part}: {}", shrunk.stdout);
    }
    assert_eq!(sets(&project), ["202601", "202602", "202603"]);
    // What nobody has looked at is no measure: the next one is unusual too.
    let next = project.maint(&["run", "tree", "--strict", "--slot", "2026-04-04T00:00:00Z"]).code(1);
    assert!(next.stdout.contains("tree/202604"), "{}", next.stdout);
    assert!(project.maint(&["backups"]).code(0).stdout.contains("unusual, not acknowledged"));
    let ack = |set: &str| project.maint(&["backups", "ack", set, "--reason", "old files were archived"]).code(0).stdout;
    assert!(ack("tree/202603").contains("11 entries"), "it says what was acknowledged");
    let still = project.maint(&["prune", "--strict"]).code(1).stdout;
    assert!(still.contains("maint backups ack tree/202604"), "{still}");
    assert_eq!(sets(&project).len(), 4);
    ack("tree/202604");
    assert!(ack("tree/202604").contains("nothing unusual stands"));
    assert_eq!(records(&project, "202604", "ack"), 1);
    project.maint(&["prune", "--strict"]).code(0);
    assert_eq!(sets(&project), ["202604"]);
    // What was acknowledged is usual now.
    let usual = run(&project, 5).code(0);
    assert!(!usual.stdout.contains("unusual"), "{}", usual.stdout);
    assert_eq!(sets(&project), ["202605"]);
}

#[test]
fn an_acknowledgement_that_cannot_be_believed_frees_nothing() {
    let project = with_policy("");
    run(&project, 1).code(0);
    for i in 10..100 {
        fs::remove_file(project.at(format!("tree/{i}"))).unwrap();
    }
    run(&project, 2).code(0);
    policy_is(&project, "keep = { last = 1 }");
    project.maint(&["backups", "ack", "tree/202602", "--reason", "x"]).code(0);
    // From now on only signed words count, and that one is not signed.
    project.write("trusted", "ops ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ1iDdlXNRDGEpxTiL8YsFvXQnFFZvdDg3qDGA2I5Gz7\n");
    let config = fs::read_to_string(project.at("maint.toml")).unwrap();
    project.write("maint.toml", &(config + "[sign]\ntrust = \"trusted\"\n"));
    let said = project.maint(&["prune"]).code(0).stdout;
    assert!(said.contains("tree/202602 is unusual"), "{said}");
    assert_eq!(sets(&project).len(), 2);
}
