//! A backup job's tail: the set's copy, and those of earlier sets that lack one.

use std::fs;

use super::{Kind, Stage, flip, names, run};

#[test]
fn a_job_sends_its_set_and_earlier_ones_that_lack_a_copy() {
    let stage = Stage::new(Kind::Encrypted);
    stage.run().code(0);
    stage.run().code(0);
    stage.job(&["offsite"]);
    let plan = stage.project.maint(&["plan", "all"]).code(0).stdout;
    assert!(plan.contains("send it, and earlier sets that have no copy, to offsite"), "{plan}");
    let said = stage.run().code(0).stdout;
    assert!(said.contains("also of earlier sets that had none"), "{said}");
    let copies = names(&stage.project.at("store/test/all"));
    assert_eq!(
        copies,
        names(&stage.project.at("backups/all")).into_iter().filter(|n| !n.starts_with('.')).collect::<Vec<_>>()
    );
    assert_eq!(copies.len(), 3);
    for copy in &copies {
        assert!(stage.project.at("store/test/all").join(copy).join("manifest.json").exists(), "{copy}");
    }
    let before = stage.project.maint(&["runs"]).stdout;
    assert!(before.contains("ok"), "{before}");
}

#[test]
fn what_a_stores_retention_let_go_is_not_sent_again() {
    let stage = Stage::new(Kind::Plain);
    stage.job(&["offsite"]);
    stage.run().code(0);
    let first = stage.set();
    fs::remove_dir_all(stage.copy_dir()).unwrap();
    let records = stage.project.at("store/test/all/.records").join(&first[4..]);
    fs::create_dir_all(&records).unwrap();
    fs::write(records.join("tombstone-1.json"), "{}").unwrap();
    stage.run().code(0);
    assert!(!stage.project.at("store/test").join(&first).exists());
    fs::remove_dir_all(&records).unwrap();
    stage.run().code(0);
    assert!(stage.project.at("store/test").join(&first).join("manifest.json").exists());
}

#[test]
fn a_damaged_earlier_set_is_told_and_does_not_keep_the_new_one_here() {
    let stage = Stage::new(Kind::Plain);
    stage.run().code(0);
    let first = stage.set();
    let tree = names(&stage.set_dir()).into_iter().find(|n| n.starts_with("tree") && n.ends_with(".tar.zst")).unwrap();
    flip(&stage.set_dir().join(tree));
    stage.job(&["offsite"]);
    let ended = stage.run().code(3);
    assert!(
        ended.stderr.contains(&first[4..]) || ended.stdout.contains(&first[4..]),
        "{}{}",
        ended.stdout,
        ended.stderr
    );
    assert!(stage.copy_dir().join("manifest.json").exists(), "the new set has its copy");
    assert!(!stage.project.at("store/test").join(&first).exists(), "nothing of the damaged one was sent");
}

#[test]
fn a_store_that_cannot_be_reached_fails_the_run_and_leaves_the_set() {
    let stage = Stage::new(Kind::Plain);
    stage.project.write(
        "maint.toml",
        "stack = \"test\"\nstate_dir = \"state\"\n[store.offsite]\ntype = \"local\"\ndir = \"store\"\n\
         [store.nowhere]\ntype = \"local\"\ndir = \"gone\"\n",
    );
    stage.job(&["nowhere", "offsite"]);
    let ended = stage.run().code(1);
    let said = format!("{}{}", ended.stdout, ended.stderr);
    assert!(said.contains("no copy in nowhere") && said.contains("copy-offsite"), "{said}");
    stage.project.maint(&["verify", &stage.set()]).code(0);
    assert!(stage.copy_dir().join("manifest.json").exists(), "the other store has its copy");
}

#[test]
fn a_partial_set_goes_nowhere() {
    let stage = Stage::new(Kind::Plain);
    stage.job(&["offsite"]);
    stage.project.maint(&["run", "all", "--only", "etc"]).code(0);
    assert!(names(&stage.project.at("store")).is_empty());
}

#[test]
fn mistakes_about_stores_are_told_at_their_place() {
    let stage = Stage::new(Kind::Plain);
    stage.job(&["ofsite", "offsite", "offsite"]);
    let said = stage.project.maint(&["check"]).code(2).stderr;
    assert!(said.contains("no store `ofsite`") && said.contains("did you mean `offsite`?"), "{said}");
    assert!(said.contains("stands twice"), "{said}");
    stage.job(&[]);
    stage.project.write(
        "maint.toml",
        "stack = \"test\"\nstate_dir = \"state\"\n[store.offsite]\ntype = \"local\"\ndir = \"store\"\n\
         encrypt_to = [\"age1nobody\"]\n",
    );
    let said = stage.project.maint(&["check"]).code(2).stderr;
    assert!(said.contains("`age1nobody` is not an age recipient"), "{said}");
}

#[test]
fn what_is_learned_of_a_set_later_follows_it() {
    let stage = Stage::new(Kind::Plain);
    stage.job(&["offsite"]);
    stage.run().code(0);
    let first = stage.set();
    let (here, there) = (".records".to_owned() + &first[3..], "store/test/all/");
    let here = stage.project.at("backups/all").join(here);
    fs::write(here.join("drill-1.json"), "{}").unwrap();
    stage.run().code(0);
    let records = names(&stage.project.at(there).join(".records").join(&first[4..]));
    assert_eq!(records, ["drill-1.json"], "and not that there is a copy, which the store knows");
}

/// A signing key and whom this host believes.
fn sign(stage: &Stage, name: &str) {
    run("ssh-keygen", &["-q", "-t", "ed25519", "-N", "", "-f", name], stage.project.path());
    let public = fs::read_to_string(stage.project.at(format!("{name}.pub"))).unwrap();
    stage.project.write("trust", &format!("ops@example.com {public}"));
    stage.project.write(
        "maint.toml",
        &format!(
            "stack = \"test\"\nstate_dir = \"state\"\n[store.offsite]\ntype = \"local\"\ndir = \"store\"\n\
             [sign]\nkey_file = \"{name}\"\ntrust = \"trust\"\n"
        ),
    );
}

#[test]
fn signatures_go_with_the_copy_and_a_strangers_is_not_sent() {
    let stage = Stage::new(Kind::Plain);
    stage.run().code(0);
    let unsigned = stage.set();
    sign(&stage, "key");
    stage.job(&["offsite"]);
    stage.run().code(0);
    assert!(
        stage.project.at("store/test").join(&unsigned).join("manifest.json").exists(),
        "made before there was a key"
    );
    let signed = stage.copy_dir().join("manifest.json.sig");
    assert_eq!(fs::read(signed).unwrap(), fs::read(stage.set_dir().join("manifest.json.sig")).unwrap());
    stage.verify(&[]).code(0);

    stage.job(&[]);
    stage.run().code(0);
    sign(&stage, "other");
    let ended = stage.upload().code(3);
    assert!(ended.stderr.contains("manifest.json"), "{}", ended.stderr);
    assert!(!stage.copy_dir().exists());
}
