//! Copies in a store against the sets here: missing, changed, only there, encrypted.

use std::{fs, path::PathBuf};

use age::secrecy::ExposeSecret;

use super::{
    assert_found, audit,
    chain::signed,
    job, period,
    project::{Project, names},
    report, run, set, slot,
};

/// A signed series with these months' sets here and in the store `offsite`.
fn copied(months_ago: &[u32], more: &str) -> Project {
    let project = signed(&[], &format!("[store.offsite]\ntype = \"local\"\ndir = \"offsite\"\n{more}"));
    fs::create_dir(project.at("offsite")).unwrap();
    job(&project, "verify = \"drill\"\nstores = [\"offsite\"]");
    for months in months_ago {
        run(&project, *months);
    }
    project
}

fn copy(project: &Project, months_ago: u32) -> PathBuf {
    project.at(format!("offsite/test/tree/{}", period(months_ago)))
}

#[test]
fn copies_that_are_there_and_equal_are_said_to_be_and_one_is_brought_back() {
    let project = copied(&[1, 0], "");
    let report = report(&project, 0);
    assert_eq!(report["findings"].as_array().unwrap().len(), 0, "{report:#}");
    let marks: Vec<_> =
        report["series"][0]["sets"].as_array().unwrap().iter().map(|s| &s["copies"][0]["mark"]).collect();
    assert!(marks.iter().all(|m| m["state"] == "good"), "{marks:?}");
    assert_eq!(marks.iter().filter(|m| m["text"] == "fetched back, equal").count(), 1, "{marks:?}");
    assert!(report["scope"]["bytes_fetched"].as_u64().unwrap() > 0);
    assert_eq!(project.staging(), [""; 0]);
    let said = project.maint(&["audit", "--store", "nowhere"]).code(2).stderr;
    assert!(said.contains("offsite"), "{said}");
}

#[test]
fn a_missing_copy_is_found_whether_it_was_sent_or_not() {
    let project = copied(&[1, 0], "");
    // Sent, and gone.
    fs::remove_dir_all(copy(&project, 1)).unwrap();
    let of = |months: u32| format!("tree/{} in offsite", period(months));
    assert_found(
        &audit(&project, 3),
        &["tampered copies", &of(1), "its copy is missing: a record says", "maint upload"],
    );
    project.maint(&["upload", &format!("tree/{}", period(1))]).code(0);
    assert_eq!(audit(&project, 0), [""; 0]);
    // Never sent.
    job(&project, "verify = \"drill\"");
    project.write("tree/when", "again");
    project.maint(&["run", "tree"]).code(0);
    job(&project, "verify = \"drill\"\nstores = [\"offsite\"]");
    assert_found(
        &audit(&project, 1),
        &["policy copies", &format!("tree/{}-2 in offsite", period(0)), "it has no copy there"],
    );
}

#[test]
fn a_changed_copy_is_found() {
    let project = copied(&[1, 0], "");
    let artifact = copy(&project, 1).join(format!("tree-{}.tar.zst", period(1)));
    let mut bytes = fs::read(&artifact).unwrap();
    bytes.push(0);
    fs::write(&artifact, &bytes).unwrap();
    let of = format!("tree/{} in offsite", period(1));
    assert_found(&audit(&project, 3), &["tampered copies", &of, "bytes in the store instead of"]);
    // Of the same length: only reading it tells.
    bytes.pop();
    bytes[40] ^= 1;
    fs::write(&artifact, &bytes).unwrap();
    let said = project.maint(&["audit", "--sample", "2"]).code(3).stdout;
    assert!(said.contains(&of) && said.contains("fetched back: "), "{said}");
    // Another month's manifest, and one record that says something else.
    fs::copy(copy(&project, 0).join("manifest.json"), copy(&project, 1).join("manifest.json")).unwrap();
    let newest = format!("tree/{}", period(0));
    project.maint(&["verify", "--level", "drill", &newest]).code(0);
    project.maint(&["upload", &newest]).code(0);
    let records = project.at(format!("offsite/test/tree/.records/{}", period(0)));
    let record = names(&records).into_iter().find(|n| n.ends_with(".json")).unwrap();
    super::edit(&records.join(&record), "\"series\": \"tree\"", "\"series\": \"free\"");
    let findings = audit(&project, 3);
    assert_found(&findings, &["tampered copies", &of, "another manifest"]);
    assert_found(&findings, &["tampered records", &format!("tree/{} in offsite", period(0)), &record]);
}

#[test]
fn a_copy_without_its_set_is_found_and_a_store_that_is_not_there_too() {
    let project = copied(&[1, 0], "");
    fs::remove_dir_all(set(&project, 0)).unwrap();
    fs::remove_dir_all(project.at("state/heads")).unwrap();
    let findings = audit(&project, 3);
    assert_found(&findings, &["tampered copies", &period(0), "offsite has a copy of it, but it is not here"]);
    fs::rename(project.at("offsite"), project.at("away")).unwrap();
    let findings = audit(&project, 3);
    assert_found(&findings, &["unchecked copies store offsite"]);
    let marks = &report(&project, 3)["series"][0]["sets"][0]["copies"][0]["mark"];
    assert_eq!(marks["state"], "unknown");
}

#[test]
fn an_encrypted_copy_is_compared_without_its_key_and_decoded_with_it() {
    let identity = age::x25519::Identity::generate();
    let project = copied(&[0], &format!("encrypt_to = [\"{}\"]\n", identity.to_public()));
    let mark = |report: &serde_json::Value| report["series"][0]["sets"][0]["copies"][0]["mark"]["text"].clone();
    assert_eq!(mark(&report(&project, 0)), "read there, as sent");
    let key = project.at("key.txt");
    fs::write(&key, identity.to_string().expose_secret()).unwrap();
    let said = project.maint(&["audit", "--json", "--identity", &key.display().to_string()]).code(0).stdout;
    assert_eq!(mark(&serde_json::from_str(&said).unwrap()), "fetched back, equal");
    let cipher = names(&copy(&project, 0)).into_iter().find(|n| n.ends_with(".tar.zst.age")).unwrap();
    let cipher = copy(&project, 0).join(cipher);
    let mut bytes = fs::read(&cipher).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    fs::write(&cipher, bytes).unwrap();
    assert_found(&audit(&project, 3), &["tampered copies", "in offsite", "SHA-256 in the store"]);
}

#[test]
fn a_store_keeps_by_its_own_policy() {
    let project = copied(&[2, 1, 0], "");
    super::edit(&project.at("maint.toml"), "dir = \"offsite\"\n", "dir = \"offsite\"\nkeep = { last = 1 }\n");
    let findings = audit(&project, 1);
    assert_found(&findings, &["policy retention series tree in offsite", "last 1", &period(2), "maint prune"]);
    assert!(slot(2) < slot(1));
    project.maint(&["prune"]).code(0);
    let findings = audit(&project, 0);
    assert_eq!(findings, [""; 0]);
    let marks = report(&project, 0)["series"][0]["sets"][0]["copies"][0]["mark"].clone();
    assert_eq!(marks["text"], "pruned there");
}
