//! Who made a set: signatures that ssh-keygen checks and makes, records, and the chain of a series.
#![expect(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests set their stage")]

#[path = "sign/chain.rs"]
mod chain;
#[path = "support/project.rs"]
mod project;
#[path = "sign/records.rs"]
mod records;
#[path = "sign/stage.rs"]
mod stage;

use std::{fs, path::Path, process::Command};

use project::{Ended, Project};
use stage::{Stage, agree, edit, run, set_mode};

#[test]
fn ssh_keygen_checks_what_we_sign_and_we_check_what_it_signs() {
    let stage = Stage::new();
    let set = stage.captured();
    let manifest = set.join("manifest.json");
    let said = stage.checked("maint-set", &manifest).code(0).stdout;
    assert!(said.contains("Good \"maint-set\" signature for ops@test"), "{said}");
    assert_ne!(stage.checked("maint-record", &manifest).code, 0, "it is good for one purpose alone");
    let said = stage.verify(&set, &[]).code(0).stdout;
    assert!(said.contains("signed by ops@test (SHA256:") && said.contains("all as captured"), "{said}");
    run(Command::new("sha256sum").args(["--strict", "-c", "SHA256SUMS"]).current_dir(&set)).code(0);

    stage.sign("key", "maint-set", &manifest);
    agree(&set);
    let report: serde_json::Value = serde_json::from_str(&stage.verify(&set, &["--json"]).code(0).stdout).unwrap();
    assert_eq!(report["signature"]["verdict"], "good", "{report:#}");
    assert_eq!(report["signature"]["signer"], "ops@test");
}

#[test]
fn restore_md_says_how_to_check_it_without_maint() {
    let stage = Stage::new();
    let set = stage.captured();
    fs::copy(stage.project.at("trusted"), set.join("allowed_signers")).unwrap();
    let text = fs::read_to_string(set.join("RESTORE.md")).unwrap();
    let (_, about) = text.split_once("Who made it?").unwrap();
    let commands = about.split("```").nth(1).unwrap();
    let typed = || run(Command::new("bash").args(["-euc", commands]).current_dir(&set));
    let said = typed().code(0).stdout;
    assert!(said.contains("Good \"maint-set\"") && said.matches(": OK").count() >= 3, "{said}");
    edit(&set, "\"stack\": \"test\"", "\"stack\": \"TEST\"");
    assert_ne!(typed().code, 0, "a changed manifest");
}

/// Asserts exit code 3 with this finding.
#[track_caller]
fn refuses(stage: &Stage, set: &Path, finding: &str) {
    let ended = stage.verify(set, &[]).code(3);
    assert!(ended.stdout.contains(finding) && ended.stdout.contains("NOT verified"), "{}", ended.stdout);
}

#[test]
fn a_changed_an_unknown_and_a_missing_signature_are_findings() {
    let stage = Stage::new();
    let set = stage.captured();
    let (manifest, signature) = (set.join("manifest.json"), set.join("manifest.json.sig"));
    let (text, signed) = (fs::read(&manifest).unwrap(), fs::read(&signature).unwrap());
    stage.keygen("other", &["-t", "ed25519", "-N", ""]);
    stage.keygen("old", &["-t", "rsa", "-b", "2048", "-N", ""]);

    edit(&set, "\"stack\": \"test\"", "\"stack\": \"TEST\"");
    agree(&set);
    refuses(&stage, &set, "✗ manifest.json: is not what was signed");
    stage.sign("other", "maint-set", &manifest);
    agree(&set);
    refuses(&stage, &set, "which is not a key of the trust anchor");
    stage.sign("old", "maint-set", &manifest);
    agree(&set);
    refuses(&stage, &set, "maint believes ssh-ed25519 alone");
    stage.sign("key", "file", &manifest);
    agree(&set);
    refuses(&stage, &set, "its signature was made for `file`, not for `maint-set`");
    fs::write(&manifest, &text).unwrap();
    for garbage in [&b""[..], b"garbage", &signed[..signed.len() / 2]] {
        fs::write(&signature, garbage).unwrap();
        agree(&set);
        refuses(&stage, &set, "its signature cannot be read");
    }
    fs::write(&signature, "x".repeat(1 << 17)).unwrap();
    agree(&set);
    let ended = stage.verify(&set, &["--json"]);
    assert!(
        ended.stdout.contains("\"verdict\": \"unreadable\"") && ended.stdout.contains("longer than"),
        "{}",
        ended.stdout
    );
    fs::remove_file(&signature).unwrap();
    refuses(&stage, &set, "✗ manifest.json.sig: is missing");
    refuses(&stage, &set, "✗ manifest.json: is not signed");
    agree(&set);
    refuses(&stage, &set, "✗ manifest.json: is not signed");
    std::os::unix::fs::symlink("/etc/passwd", &signature).unwrap();
    refuses(&stage, &set, "✗ manifest.json.sig: is not a regular file");
    fs::remove_file(&signature).unwrap();

    fs::write(&signature, &signed).unwrap();
    agree(&set);
    stage.verify(&set, &[]).code(0);
    let until = format!("ops@test valid-before=\"20200101Z\" {}", stage.public("key"));
    stage.project.write("trusted", &until);
    refuses(&stage, &set, "was valid only before 2020-01-01");
}

#[test]
fn without_a_trust_anchor_the_report_says_what_was_not_checked() {
    let stage = Stage::new();
    let set = stage.captured();
    stage.project.write("maint.toml", "stack = \"test\"\nstate_dir = \"state\"\n");
    let said = stage.verify(&set, &[]).code(0).stdout;
    assert!(said.contains("whose key that is was not checked"), "{said}");
    let trusted = stage.project.at("trusted");
    let said = stage.verify(&set, &["--trust", trusted.to_str().unwrap()]).code(0).stdout;
    assert!(said.contains("signed by ops@test"), "{said}");
    // A signature that fits nothing is wrong whoever is believed.
    edit(&set, "\"stack\": \"test\"", "\"stack\": \"TEST\"");
    agree(&set);
    refuses(&stage, &set, "is not what was signed");
    let unsigned = stage.captured();
    let said = stage.verify(&unsigned, &[]).code(0).stdout;
    assert!(said.contains("not signed: who made it cannot be checked"), "{said}");
    assert!(!fs::read_to_string(unsigned.join("RESTORE.md")).unwrap().contains("ssh-keygen"));
    let none = stage.verify(&set, &["--trust", "/nonexistent"]).code(4);
    assert!(none.stderr.contains("the trust anchor cannot be read"), "{}", none.stderr);
    stage.project.write("trusted", "ops@test\n");
    let broken = stage.verify(&set, &["--trust", trusted.to_str().unwrap()]).code(2);
    assert!(broken.stderr.contains("trusted:1: has no public key"), "{}", broken.stderr);
}

#[test]
fn a_key_that_cannot_sign_is_refused_before_anything_is_captured() {
    let stage = Stage::new();
    let refused = |name: &str, says: &str| {
        let config = format!("stack = \"test\"\nstate_dir = \"state\"\n[sign]\nkey_file = {name:?}\n");
        stage.project.write("maint.toml", &config);
        let ended = stage.project.maint(&["run", "all"]).code(2);
        assert!(ended.stderr.contains(says), "{name}: {}", ended.stderr);
        assert!(ended.stderr.contains("hint: "), "{name}: {}", ended.stderr);
        assert!(!ended.stderr.contains("PRIVATE"), "{}", ended.stderr);
        assert_eq!((stage.project.sets(), stage.project.staging()), (Vec::new(), Vec::new()));
    };
    stage.keygen("locked", &["-t", "ed25519", "-N", "hunter2"]);
    refused("locked", "has a passphrase");
    stage.keygen("rsa", &["-t", "rsa", "-b", "2048", "-N", ""]);
    refused("rsa", "maint signs with ssh-ed25519");
    stage.keygen("ecdsa", &["-t", "ecdsa", "-N", ""]);
    refused("ecdsa", "what it captures cannot be signed");
    stage.project.write("text", "PRIVATE hunter2\n");
    refused("text", "is not a private key of OpenSSH's format");
    refused("none", "the key that signs cannot be read");
}

#[test]
fn the_key_may_be_a_systemd_credential() {
    let stage = Stage::new();
    let credentials = stage.project.at("credentials");
    fs::create_dir(&credentials).unwrap();
    fs::rename(stage.project.at("key"), credentials.join("sign")).unwrap();
    let config = "stack = \"test\"\nstate_dir = \"state\"\n[sign]\nkey_credential = \"sign\"\ntrust = \"trusted\"\n";
    stage.project.write("maint.toml", config);
    let ended = stage.project.maint(&["run", "all"]).code(2);
    assert!(ended.stderr.contains("CREDENTIALS_DIRECTORY"), "{}", ended.stderr);
    let ended: Ended =
        stage.project.command(&["run", "all"]).env("CREDENTIALS_DIRECTORY", &credentials).output().unwrap().into();
    ended.code(0);
    let said = stage.project.maint(&["verify", "all"]).code(0).stdout;
    assert!(said.contains("signed by ops@test"), "{said}");
}

#[test]
fn check_and_doctor_see_keys_that_others_have_and_anchors_that_do_not_fit() {
    let stage = Stage::new();
    let sign = |what: &str| -> String {
        let ended = stage.project.maint(&["doctor", "--json"]);
        let report: serde_json::Value =
            serde_json::from_str(&ended.stdout).unwrap_or_else(|e| panic!("{e}: {ended:?}"));
        let checks = report["checks"].as_array().unwrap();
        let found = checks.iter().find(|c| c["subject"] == "sign" && c["check"] == what);
        found.unwrap_or_else(|| panic!("{report:#}")).to_string()
    };
    let has = |what: &str, parts: &[&str]| {
        let said = sign(what);
        assert!(parts.iter().all(|part| said.contains(part)), "{what}: {said}");
    };
    has("key", &["\"ok\"", "SHA256:"]);
    has("believed", &["\"ok\"", "ops@test"]);
    has("trust anchor", &["\"ok\""]);
    set_mode(&stage.project.at("key"), 0o640);
    has("key", &["\"failed\"", "mode 0640", "chmod 600"]);
    set_mode(&stage.project.at("key"), 0o644);
    let said = stage.project.maint(&["check"]).code(0);
    assert!(said.stderr.contains("everybody on this host can read this key"), "{}", said.stderr);
    assert!(said.stdout.contains("by the key in") && said.stdout.contains("believed are the keys in"));
    set_mode(&stage.project.at("key"), 0o600);
    stage.keygen("other", &["-t", "ed25519", "-N", ""]);
    stage.project.write("trusted", &format!("ops@test {}", stage.public("other")));
    has("believed", &["\"failed\"", "is not a key of the trust anchor", "NAME ssh-ed25519 AAAA"]);
    stage.project.write("trusted", &format!("ops@test namespaces=\"git\" {}", stage.public("key")));
    has("believed", &["\"failed\"", "may not sign for `maint-set`"]);
    stage.project.write("trusted", "nonsense\n");
    has("trust anchor", &["\"failed\"", "trusted:1"]);
    set_mode(&stage.project.at("trusted"), 0o666);
    let said = stage.project.maint(&["check"]).code(2);
    assert!(said.stderr.contains("trusted: others may write it"), "{}", said.stderr);
    stage.project.write("maint.toml", "stack = \"test\"\nstate_dir = \"state\"\n[sign]\nkey_file = \"none\"\n");
    has("key", &["\"failed\"", "the key that signs cannot be read"]);
    has("trust anchor", &["\"warning\"", "whose signatures are believed"]);
}

#[test]
fn mistakes_about_signatures_are_shown_at_their_place() {
    for (section, says) in [
        ("", "maint.toml:3:1: says neither who signs nor who is believed"),
        ("key_file = \"a\"\nkey_credential = \"b\"\n", "maint.toml:5:18: the key is given twice"),
        ("key = \"a\"\n", "maint.toml:4:1: unknown key `key`"),
    ] {
        let project = Project::new(&format!("[sign]\n{section}"));
        let ended = project.maint(&["check"]).code(2);
        assert!(ended.stderr.contains(says), "{says}: {}", ended.stderr);
    }
}

#[test]
fn what_nobody_trusted_signed_is_restored_only_when_told_so() {
    let stage = Stage::new();
    let set = stage.captured();
    let to = |name: &str| format!("dir:{}", stage.project.at(name).display());
    let restore = |into: &str, more: &[&str]| {
        stage.project.maint(&[&["restore", set.to_str().unwrap(), "--into", into], more].concat())
    };
    restore(&to("first"), &[]).code(0);
    stage.keygen("other", &["-t", "ed25519", "-N", ""]);
    stage.sign("other", "maint-set", &set.join("manifest.json"));
    agree(&set);
    let ended = restore(&to("second"), &[]).code(3);
    assert!(ended.stderr.contains("which is not a key of the trust anchor"), "{}", ended.stderr);
    assert!(ended.stderr.contains("--untrusted") && !stage.project.at("second").exists());
    restore(&to("second"), &["--untrusted"]).code(0);
    assert!(stage.project.at("second").exists());
    // Where there is no configuration any more, a set comes back all the same.
    fs::remove_file(stage.project.at("maint.toml")).unwrap();
    let ended = restore(&to("third"), &[]).code(0);
    assert!(ended.stderr.contains("whose key signed the set is not checked"), "{}", ended.stderr);
    edit(&set, "\"stack\": \"test\"", "\"stack\": \"TEST\"");
    restore(&to("fourth"), &[]).code(3);
}
