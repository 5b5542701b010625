//! The sets of a series as a chain: what was removed, changed or slipped in shows.

use std::{
    fs,
    path::{Path, PathBuf},
};

use maint::{
    adapters::signature::{Signer, Trust},
    backup::{
        chain::{self, Chain},
        records, verify,
    },
    model::{
        record::{Body, Tombstone},
        secret::SecretSource,
    },
};

use crate::stage::{Stage, agree, edit, sha256};

fn load(stage: &Stage) -> Chain {
    let trust = Trust::load(&stage.project.at("trusted")).unwrap();
    chain::load(&stage.project.at("backups/all"), Some(&trust)).unwrap()
}

fn breaks(stage: &Stage) -> Vec<String> {
    load(stage).walk.breaks.iter().map(ToString::to_string).collect()
}

fn name(set: &Path) -> String {
    set.file_name().unwrap().to_string_lossy().into_owned()
}

fn three() -> (Stage, [PathBuf; 3]) {
    let stage = Stage::new();
    let sets = [stage.captured(), stage.captured(), stage.captured()];
    (stage, sets)
}

/// Removes a set on purpose, as retention does.
fn bury(stage: &Stage, set: &Path) -> PathBuf {
    let signer = Signer::load(&SecretSource::File(stage.project.at("key"))).unwrap();
    let manifest = verify::read_manifest(set).unwrap();
    let (series_dir, name) = records::place(set).unwrap();
    let tombstone = Body::Tombstone(Tombstone::of(&manifest, "older than its policy keeps"));
    let written = records::write(&series_dir, &manifest.series, &name, tombstone, Some(&signer)).unwrap();
    fs::remove_dir_all(set).unwrap();
    written
}

#[test]
fn each_set_names_the_one_before_it() {
    let (stage, [first, second, third]) = three();
    let manifest = |set: &Path| verify::read_manifest(set).unwrap();
    assert_eq!(manifest(&first).previous, None);
    let before = manifest(&second).previous.unwrap();
    assert_eq!((before.set, before.manifest_sha256), (name(&first), sha256(&first.join("manifest.json"))));
    let walked = load(&stage).walk;
    assert_eq!(breaks(&stage), Vec::<String>::new());
    assert_eq!(
        walked.links.iter().map(|l| l.set.clone()).collect::<Vec<_>>(),
        [&first, &second, &third].map(|s| name(s))
    );
    assert_eq!(walked.head.as_ref().unwrap().set, name(&third));
    assert_eq!(walked.expect(&sha256(&second.join("manifest.json"))), None);
    // A partial set is no link.
    let twice =
        [("tree", "files_archive = { paths = [\"tree\"] }"), ("again", "files_archive = { paths = [\"tree\"] }")];
    stage.project.backup_job("all", &twice);
    stage.project.maint(&["run", "all", "--only", "tree"]).code(0);
    assert_eq!(load(&stage).walk.links.len(), 3);
    let partial = stage.project.at("backups/.partial/all").join(name(&first));
    assert_eq!(manifest(&partial).previous, None);
}

#[test]
fn a_removed_set_shows_and_a_tombstone_explains_it() {
    let (stage, [first, second, third]) = three();
    let digest = sha256(&second.join("manifest.json"));
    let aside = stage.project.at("aside");
    fs::rename(&second, &aside).unwrap();
    let said = breaks(&stage);
    assert!(
        said.len() == 1 && said[0].starts_with(&format!("{} is missing: {} names it", name(&second), name(&third)))
    );
    fs::rename(&aside, &second).unwrap();

    let tombstone = bury(&stage, &second);
    assert_eq!(breaks(&stage), Vec::<String>::new());
    let walked = load(&stage).walk;
    assert!(walked.links.iter().any(|l| l.removed && l.manifest_sha256 == digest), "{walked:?}");
    bury(&stage, &first);
    assert_eq!(breaks(&stage), Vec::<String>::new());

    // A changed tombstone explains nothing.
    let text = fs::read_to_string(&tombstone).unwrap();
    fs::write(&tombstone, text.replace("older than", "younger than")).unwrap();
    let chain = load(&stage);
    assert!(chain.records.iter().any(|p| p.problem.contains("is not what was signed")), "{:?}", chain.records);
    assert!(breaks(&stage)[0].contains("is missing"), "{:?}", breaks(&stage));
}

#[test]
fn the_newest_set_is_missed_by_the_next_one_and_by_whoever_noted_it() {
    let (stage, [_, second, third]) = three();
    let digest = sha256(&third.join("manifest.json"));
    fs::remove_dir_all(&third).unwrap();
    assert_eq!(breaks(&stage), Vec::<String>::new(), "the chain alone cannot tell");
    let lost = load(&stage).walk.expect(&digest).unwrap();
    assert!(lost.to_string().contains(&digest));
    let fourth = stage.captured();
    assert_eq!(verify::read_manifest(&fourth).unwrap().previous.unwrap().manifest_sha256, digest);
    let said = breaks(&stage);
    assert!(said.len() == 1 && said[0].contains(&digest), "{said:?}");
    // Where another directory holds the sets, or the state is new, nothing is missed.
    fs::remove_dir_all(&fourth).unwrap();
    fs::remove_dir_all(stage.project.at("state/heads")).unwrap();
    stage.captured();
    assert_eq!(breaks(&stage), Vec::<String>::new());
    let newest = load(&stage).walk.head.unwrap();
    assert_eq!(newest.previous.unwrap().set, name(&second));
}

#[test]
fn an_altered_and_a_back_dated_set_show() {
    let (stage, [first, second, third]) = three();
    edit(&second, "\"stack\": \"test\"", "\"stack\": \"TEST\"");
    // Signed again by the host's own key: only the chain can tell.
    stage.sign("key", "maint-set", &second.join("manifest.json"));
    agree(&second);
    stage.verify(&second, &[]).code(0);
    let said = breaks(&stage);
    assert!(said[0].starts_with(&format!("{} is not the set that {} names", name(&second), name(&third))), "{said:?}");
    edit(&second, "\"stack\": \"TEST\"", "\"stack\": \"test\"");
    assert_eq!(breaks(&stage), Vec::<String>::new());

    let slipped = first.with_file_name("202001");
    std::process::Command::new("cp").arg("-r").arg(&third).arg(&slipped).status().unwrap();
    let sealed = verify::read_manifest(&third).unwrap().run.sealed;
    let text = serde_json::to_string(&sealed).unwrap();
    edit(&slipped, &format!("\"sealed\": {text}"), "\"sealed\": \"2020-01-01T00:00:00Z\"");
    stage.sign("key", "maint-set", &slipped.join("manifest.json"));
    let said = breaks(&stage).join("\n");
    assert!(said.contains("202001 says that it was sealed 2020-01-01"), "{said}");
    assert!(said.contains(&format!("each say that they follow {}", name(&second))), "{said}");
    fs::write(slipped.join("manifest.json"), "{}").unwrap();
    assert_eq!(load(&stage).unreadable[0].0, "202001");
}
