//! What was taken out, signed by somebody else, or pruned against the policy.

use std::{fs, path::Path, process::Command};

use super::{
    Value, assert_found, audit, job, period,
    project::{Project, names},
    report, run, set, stage,
};

/// A key without a passphrase, and its line in a trust anchor.
fn key(project: &Project, name: &str) -> String {
    let file = project.at(name);
    let made = Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-C", name, "-f"]).arg(&file).status();
    assert!(made.unwrap().success(), "ssh-keygen: apt-get install openssh-client");
    let public = fs::read_to_string(file.with_extension("pub")).unwrap();
    format!("{name} {public}")
}

/// As [`stage`], with everything signed by the key `ops`; `other` is somebody else's.
pub fn signed(months_ago: &[u32], more: &str) -> Project {
    let project = stage(&[], &format!("[sign]\nkey_file = \"ops\"\ntrust = \"trust\"\n{more}"));
    let ours = key(&project, "ops");
    key(&project, "other");
    project.write("trust", &ours);
    for months in months_ago {
        run(&project, *months);
    }
    project
}

fn sign(project: &Project, file: &Path, namespace: &str) {
    let _ = fs::remove_file(format!("{}.sig", file.display()));
    let mut keygen = Command::new("ssh-keygen");
    keygen.args(["-q", "-Y", "sign", "-n", namespace, "-f"]).arg(project.at("other")).arg(file);
    assert!(keygen.status().unwrap().success());
}

#[test]
fn what_is_signed_and_whole_is_said_to_be() {
    let project = signed(&[1, 0], "");
    let report = report(&project, 0);
    assert_eq!((&report["worst"], report["findings"].as_array().unwrap().len()), (&Value::Null, 0), "{report:#}");
    let set = &report["series"][0]["sets"][1];
    assert_eq!((&set["signature"]["state"], &set["signature"]["text"]), (&"good".into(), &"ops".into()));
    let head = report["series"][0]["head"]["manifest_sha256"].as_str().unwrap().to_owned();
    assert_eq!(set["manifest_sha256"].as_str(), Some(head.as_str()));
    let page = project.at("audit.html");
    let args = ["audit", "--expect-head", &format!("tree={head}"), "--html", &page.display().to_string()];
    let said = project.maint(&args).code(0).stdout;
    let mut verify = Command::new("ssh-keygen");
    verify.args(["-Y", "verify", "-I", "ops", "-n", "maint-audit", "-f"]).arg(project.at("trust"));
    verify.arg("-s").arg(project.at("audit.html.sig")).stdin(fs::File::open(&page).unwrap());
    let verified = verify.output().unwrap();
    assert!(verified.status.success(), "{verified:?}");
    assert!(said.contains("all is as it should be: 2 sets"), "{said}");
}

#[test]
fn a_deleted_set_is_missed_wherever_it_stood() {
    let project = signed(&[2, 1, 0], "");
    let head = report(&project, 0)["series"][0]["head"]["manifest_sha256"].as_str().unwrap().to_owned();
    fs::remove_dir_all(set(&project, 1)).unwrap();
    let findings = audit(&project, 3);
    assert_found(&findings, &[&format!("tampered chain tree/{}", period(1)), "is missing", &period(0)]);
    assert_found(&findings, &["policy schedule", "has no set"]);
    // The newest has nobody who names it, but the state directory, and whoever noted it.
    let project = signed(&[2, 1, 0], "");
    let noted = report(&project, 0)["series"][0]["head"]["manifest_sha256"].as_str().unwrap().to_owned();
    assert_ne!(head, noted);
    fs::remove_dir_all(set(&project, 0)).unwrap();
    assert_found(&audit(&project, 3), &["tampered chain series tree", &noted, "was the newest"]);
    fs::remove_dir_all(project.at("state/heads")).unwrap();
    assert!(!audit(&project, 1).iter().any(|f| f.contains("tampered")), "nobody knows of it here");
    let said = project.maint(&["audit", "--expect-head", &format!("tree={noted}")]).code(3).stdout;
    assert!(said.contains(&noted), "{said}");
    let said = project.maint(&["audit", "--expect-head", &format!("gone={noted}")]).code(3).stdout;
    assert!(said.contains("series gone"), "{said}");
    project.maint(&["audit", "--expect-head", "tree=12"]).code(2);
}

#[test]
fn a_manifest_signed_by_another_key_is_found() {
    let project = signed(&[1, 0], "");
    let path = set(&project, 1).join("manifest.json");
    // Everything agrees: the checksum list is made anew.
    sign(&project, &path, "maint-set");
    let sums = set(&project, 1).join("SHA256SUMS");
    let text = fs::read_to_string(&sums).unwrap();
    let listed: Vec<&str> = text.lines().map(|line| line.split_once("  ").unwrap().1).collect();
    let made = Command::new("sha256sum").args(listed).current_dir(set(&project, 1)).output().unwrap();
    fs::write(&sums, made.stdout).unwrap();
    assert_found(&audit(&project, 3), &[&format!("tampered signature tree/{}", period(1)), "signed by SHA256:"]);
    let report = report(&project, 3);
    assert_eq!(report["series"][0]["sets"][0]["signature"]["state"], "bad");
}

#[test]
fn a_changed_tombstone_is_found_and_a_whole_one_explains() {
    let project = signed(&[2, 1, 0], "");
    job(&project, "verify = \"drill\"\nkeep = { last = 2 }");
    assert_found(&audit(&project, 1), &["policy retention series tree", "last 2", &period(2), "maint prune"]);
    project.maint(&["prune"]).code(0);
    assert_eq!(audit(&project, 0), [""; 0]);
    let pruned = &report(&project, 0)["series"][0]["pruned"][0];
    assert_eq!(pruned["set"], period(2), "{pruned}");
    // The policy begins to keep more: what was pruned under the old one is told.
    job(&project, "verify = \"drill\"\nkeep = { last = 12 }");
    assert_found(
        &audit(&project, 1),
        &["policy retention", &period(2), "was pruned, though the policy keeps it", "last 3 of 12"],
    );
    job(&project, "verify = \"drill\"\nkeep = { last = 2 }");
    let records = project.at(format!("backups/tree/.records/{}", period(2)));
    let tombstone = names(&records).into_iter().find(|n| n.starts_with("tombstone-") && n.ends_with(".json")).unwrap();
    super::edit(&records.join(&tombstone), "\"reason\": \"", "\"reason\": \"x");
    let findings = audit(&project, 3);
    assert_found(&findings, &["tampered records", &tombstone]);
    assert_found(&findings, &["tampered chain", &period(2), "is missing"]);
    // Somebody else's signature makes it no better.
    sign(&project, &records.join(&tombstone), "maint-record");
    assert_found(&audit(&project, 3), &["tampered records", &tombstone, "signed by SHA256:"]);
}

#[test]
fn a_trust_anchor_that_cannot_be_read_is_not_ok() {
    let project = signed(&[0], "");
    fs::remove_file(project.at("trust")).unwrap();
    assert!(report(&project, 4)["findings"][0]["subject"] == "trust anchor");
}
