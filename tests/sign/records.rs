//! Records beside sets: signed as sets are, and nothing but what they say is done.

use std::{fs, path::Path};

use maint::{
    adapters::signature::{Signer, Trust},
    backup::records::{self, Found},
    model::{
        record::{Body, pinned},
        secret::SecretSource,
        signature::Signature,
    },
};

use crate::{
    project::names,
    stage::{Stage, sha256},
};

fn signer(stage: &Stage, name: &str) -> Signer {
    Signer::load(&SecretSource::File(stage.project.at(name))).unwrap()
}

fn trust(stage: &Stage) -> Trust {
    Trust::load(&stage.project.at("trusted")).unwrap()
}

fn read(stage: &Stage, set: &Path) -> Found {
    let (series_dir, name) = records::place(set).unwrap();
    records::read(&series_dir, &name, Some(&trust(stage))).unwrap()
}

fn problems(found: &Found) -> String {
    found.problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

#[test]
fn a_drill_by_hand_leaves_a_record_that_ssh_keygen_checks() {
    let stage = Stage::new();
    let set = stage.captured();
    stage.verify(&set, &["--level", "drill", "--allow-unisolated"]).code(0);
    let dir = stage.project.at("backups/all/.records").join(set.file_name().unwrap());
    let files = names(&dir);
    assert_eq!(files.len(), 2, "{files:?}");
    let record = dir.join(&files[0]);
    assert!(files[0].starts_with("drill-") && files[1] == format!("{}.sig", files[0]), "{files:?}");
    let said = stage.checked("maint-record", &record).code(0).stdout;
    assert!(said.contains("Good \"maint-record\" signature for ops@test"), "{said}");
    let found = read(&stage, &set);
    assert_eq!((found.drills().count(), found.problems.len()), (1, 0));
    assert_eq!(found.manifest_sha256.as_deref(), Some(sha256(&set.join("manifest.json")).as_str()));

    fs::write(&record, fs::read_to_string(&record).unwrap().replace("\"millis\"", "\"Millis\"")).unwrap();
    let listed = stage.project.maint(&["backups"]).code(0).stdout;
    assert!(listed.contains("bad record:"), "{listed}");
}

#[test]
fn only_what_a_trusted_key_signed_is_believed() {
    let stage = Stage::new();
    let set = stage.captured();
    let (series_dir, name) = records::place(&set).unwrap();
    let series = "all".parse().unwrap();
    let own = signer(&stage, "key");
    stage.keygen("other", &["-t", "ed25519", "-N", ""]);
    let other = signer(&stage, "other");
    let write = |body: Body, by: Option<&Signer>| records::write(&series_dir, &series, &name, body, by).unwrap();

    write(Body::Pin { reason: "audit 2026".into() }, Some(&own));
    assert_eq!(pinned(&read(&stage, &set).records), Some("audit 2026"));
    let forged = [write(Body::Unpin, Some(&other)), write(Body::Unpin, None)];
    let found = read(&stage, &set);
    assert_eq!(pinned(&found.records), Some("audit 2026"), "neither of them may let it go");
    let said = problems(&found);
    assert!(said.contains("which is not a key of the trust anchor") && said.contains("is not signed"), "{said}");
    for path in &forged {
        fs::remove_file(path).unwrap();
    }
    let said = problems(&read(&stage, &set));
    assert!(said.contains("signs a record that is not there"), "{said}");
    let _ = fs::remove_file(format!("{}.sig", forged[0].display()));

    let pin = write(Body::Ack { reason: "a new customer".into(), anomalies: vec!["size".into()] }, Some(&own));
    assert_eq!(read(&stage, &set).problems, []);
    let text = fs::read_to_string(&pin).unwrap();
    fs::write(&pin, text.replace("customer", "intruder")).unwrap();
    let found = read(&stage, &set);
    assert!(problems(&found).contains("is not what was signed"), "{}", problems(&found));
    assert!(matches!(found.records.last().unwrap().signature, Signature::Bad { .. }));
    fs::write(&pin, "{}").unwrap();
    assert!(problems(&read(&stage, &set)).contains("is not a record"));
    fs::write(&pin, text.replace("\"version\": 1", "\"version\": 99")).unwrap();
    assert!(problems(&read(&stage, &set)).contains("its format version is 99"));
    fs::remove_file(&pin).unwrap();
    fs::remove_file(format!("{}.sig", pin.display())).unwrap();

    // Where the set's own manifest cannot be read, nothing is said of its records.
    let (manifest, aside) = (set.join("manifest.json"), set.join("aside"));
    fs::rename(&manifest, &aside).unwrap();
    fs::create_dir(&manifest).unwrap();
    let found = read(&stage, &set);
    assert!(found.problems.len() == 1 && found.problems[0].unknown, "{}", problems(&found));
    assert_eq!(found.current().count(), 0);
    fs::remove_dir(&manifest).unwrap();
    fs::rename(&aside, &manifest).unwrap();

    write(Body::Unpin, Some(&own));
    let found = read(&stage, &set);
    assert_eq!((pinned(&found.records), found.problems.len()), (None, 0));
    // Without a trust anchor, what is whole is taken at its word.
    assert_eq!(records::read(&series_dir, &name, None).unwrap().problems, []);
}

#[test]
fn a_record_of_another_set_of_the_name_is_no_record_of_this_one() {
    let stage = Stage::new();
    let set = stage.captured();
    let (series_dir, name) = records::place(&set).unwrap();
    let series = "all".parse().unwrap();
    let own = signer(&stage, "key");
    let record = records::make(&series, &name, &"0".repeat(64), Body::Pin { reason: "x".into() });
    records::put(&series_dir, &record, Some(&own)).unwrap();
    let found = read(&stage, &set);
    assert_eq!(found.current().count(), 0);
    assert!(problems(&found).contains("speaks of another set of this name"), "{}", problems(&found));
    let elsewhere = records::make(&series, "202001", &found.manifest_sha256.unwrap(), Body::Unpin);
    let path = records::put(&series_dir, &elsewhere, Some(&own)).unwrap();
    let moved = records::dir(&series_dir, &name);
    for end in ["", ".sig"] {
        let file = format!("{}{end}", path.file_name().unwrap().to_string_lossy());
        fs::rename(path.parent().unwrap().join(&file), moved.join(&file)).unwrap();
    }
    assert!(problems(&read(&stage, &set)).contains("speaks of all/202001"));
}
