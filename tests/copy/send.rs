//! `maint upload`: what is sent, when nothing is, and how it goes on.

use std::{fs, os::unix::fs::PermissionsExt, process::Command, time::Duration};

use super::{KeyPair, Kind, Stage, contents, flip, names, project::Ended, run};

#[test]
fn a_plain_copy_is_the_set_and_its_list() {
    let stage = Stage::new(Kind::Plain);
    stage.run().code(0);
    assert!(names(&stage.project.at("store")).is_empty(), "the job has no store");
    let said = stage.upload().code(0).stdout;
    assert!(said.contains(&format!("offsite: {} sent", stage.set())), "{said}");
    let (set, mut copy) = (contents(&stage.set_dir()), contents(&stage.copy_dir()));
    let list: serde_json::Value = serde_json::from_slice(&copy.remove("copy.json").unwrap()).unwrap();
    assert_eq!(set, copy);
    assert_eq!(
        (&list["format"], &list["store"], &list["set"]),
        (&"maint-copy".into(), &"offsite".into(), &stage.set()[4..].into())
    );
    assert_eq!(list["files"].as_array().unwrap().len(), set.len() - 1, "all but the manifest");
    run("sha256sum", &["--strict", "-c", "SHA256SUMS"], &stage.copy_dir());
    let records = names(&stage.project.at("backups/all/.records").join(&stage.set()[4..]));
    assert!(matches!(records.as_slice(), [one] if one.starts_with("copy-")), "{records:?}");

    let said = stage.upload().code(0).stdout;
    assert!(said.contains("already, whole"), "{said}");
    assert_eq!(names(&stage.project.at("backups/all/.records").join(&stage.set()[4..])), records, "recorded once");
}

#[test]
fn an_encrypted_copy_is_opened_by_age_and_the_words_beside_it() {
    let stage = Stage::new(Kind::Encrypted);
    stage.run().code(0);
    let said = stage.upload().code(0).stdout;
    assert!(said.contains(&KeyPair::shared().recipient), "{said}");
    let (set, copy) = (contents(&stage.set_dir()), contents(&stage.copy_dir()));
    assert_eq!(set["manifest.json"], copy["manifest.json"]);
    for name in set.keys().filter(|n| *n != "manifest.json" && *n != "RESTORE.md") {
        assert!(copy.contains_key(&format!("{name}.age")), "{name}");
        assert!(name == "SHA256SUMS" || !copy.contains_key(name), "{name} lies there as it is");
    }
    assert!(names(&stage.project.at("backups/.spool/offsite/all")).is_empty());

    // As somebody types it who has the words, the key, and no maint.
    let words = String::from_utf8(copy["DECRYPT.md"].clone()).unwrap();
    assert!(words.contains(&KeyPair::shared().recipient));
    let commands = words.split("```").skip(1).step_by(2).collect::<String>();
    let commands = commands.replace("/path/to/key.txt", KeyPair::shared().file().to_str().unwrap());
    run("sh", &["-euc", &commands], &stage.copy_dir());
    let opened = stage.copy_dir().with_file_name(format!("{}-open", &stage.set()[4..]));
    assert_eq!(contents(&opened), set);
    let mode = fs::metadata(&opened).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
    stage.project.maint(&["verify", opened.to_str().unwrap()]).code(0);
}

#[test]
fn a_byte_flipped_after_the_seal_is_found_and_nothing_is_sent() {
    for kind in [Kind::Plain, Kind::Encrypted] {
        let stage = Stage::new(kind);
        stage.run().code(0);
        for name in names(&stage.set_dir()) {
            flip(&stage.set_dir().join(&name));
            let ended = stage.upload().code(3);
            assert!(ended.stderr.contains(&name) || name == "SHA256SUMS", "{name}: {}", ended.stderr);
            assert!(names(&stage.project.at("store")).is_empty(), "{name}: something was sent");
            flip(&stage.set_dir().join(&name));
        }
        stage.upload().code(0);
    }
}

#[test]
fn a_partial_set_and_a_stranger_are_not_sent() {
    let stage = Stage::new(Kind::Plain);
    stage.project.maint(&["run", "all", "--only", "etc"]).code(0);
    let partial = names(&stage.project.at("backups/.partial/all")).remove(0);
    let path = stage.project.at("backups/.partial/all").join(partial);
    let ended = stage.project.maint(&["upload", path.to_str().unwrap()]).code(2);
    assert!(ended.stderr.contains("partial"), "{}", ended.stderr);
    stage.run().code(0);
    let ended = stage.project.maint(&["upload", &stage.set(), "--store", "offsit"]).code(2);
    assert!(ended.stderr.contains("no store `offsit`"), "{}", ended.stderr);
    assert!(names(&stage.project.at("store")).is_empty());
}

#[test]
fn an_upload_that_failed_goes_on_with_the_same_ciphertexts() {
    let stage = Stage::new(Kind::Encrypted);
    stage.run().code(0);
    // What cannot be replaced by a file stops it there: after the artifacts, before the manifest.
    let block = stage.copy_dir().join("SHA256SUMS.age/x");
    fs::create_dir_all(&block).unwrap();
    assert_ne!(stage.upload().code, 0);
    let before = contents(&stage.copy_dir());
    assert!(!before.contains_key("manifest.json") && before.len() > 4, "{:?}", before.keys());
    stage.verify(&[]).code(3);
    fs::remove_dir_all(stage.copy_dir().join("SHA256SUMS.age")).unwrap();
    stage.upload().code(0);
    let after = contents(&stage.copy_dir());
    for (name, bytes) in &before {
        assert!(after[name] == *bytes, "{name} was sent twice");
    }
    assert!(names(&stage.project.at("backups/.spool/offsite/all")).is_empty());
    stage.verify_open().code(0);
}

#[test]
fn leftovers_are_replaced_and_a_copy_never() {
    for kind in [Kind::Plain, Kind::Encrypted] {
        let stage = Stage::new(kind);
        stage.run().code(0);
        stage.upload().code(0);
        let whole = contents(&stage.copy_dir());
        // The list of what was sent is lost: other ciphertexts are made, and take the place of those.
        fs::remove_file(stage.copy_dir().join("manifest.json")).unwrap();
        flip(&stage.copy_file("tree", if kind == Kind::Plain { ".tar.zst" } else { ".tar.zst.age" }));
        stage.upload().code(0);
        assert_eq!(contents(&stage.copy_dir()).len(), whole.len());
        let open = if kind == Kind::Plain { stage.verify(&[]) } else { stage.verify_open() };
        open.code(0);

        // A copy with a manifest is one: what is wrong with it is told, and nothing of it touched.
        let missing = stage.copy_file("etc", if kind == Kind::Plain { ".tar.zst" } else { ".tar.zst.age" });
        fs::remove_file(&missing).unwrap();
        let before = contents(&stage.copy_dir());
        let ended = stage.upload().code(3);
        assert!(ended.stderr.contains("is missing in the store"), "{}", ended.stderr);
        assert_eq!(contents(&stage.copy_dir()), before);
    }
}

#[test]
fn another_set_under_the_same_name_is_left_as_it_is() {
    let stage = Stage::new(Kind::Plain);
    stage.run().code(0);
    stage.upload().code(0);
    let before = contents(&stage.copy_dir());
    fs::remove_dir_all(stage.project.at("backups")).unwrap();
    fs::remove_dir_all(stage.project.at("state")).unwrap();
    stage.run().code(0);
    let ended = stage.upload().code(3);
    assert!(ended.stderr.contains("another set under the name"), "{}", ended.stderr);
    assert_eq!(contents(&stage.copy_dir()), before);
}

#[test]
fn one_upload_of_a_series_at_a_time() {
    let stage = Stage::new(Kind::Plain);
    stage.run().code(0);
    let lock = stage.project.at("state/locks/upload-offsite-all.lock");
    fs::create_dir_all(lock.parent().unwrap()).unwrap();
    let mut holder = Command::new("flock").arg(&lock).args(["sleep", "20"]).spawn().unwrap();
    std::thread::sleep(Duration::from_millis(300));
    let ended = stage.upload();
    holder.kill().unwrap();
    holder.wait().unwrap();
    // flock(1) waits for its child in the kernel's name: the lock is free once both are gone.
    ended.code(5);
    assert!(names(&stage.project.at("store")).is_empty());
}

#[test]
fn killed_at_any_moment_it_ends_well_the_next_time() {
    for kind in [Kind::Plain, Kind::Encrypted] {
        let stage = Stage::new(kind);
        let noise: Vec<u8> =
            (0..24_000_000_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13).to_le_bytes()[0]).collect();
        fs::write(stage.project.at("tree/noise"), noise).unwrap();
        stage.run().code(0);
        // As soon as there is so much to see of it: in the spool, in the store.
        let seen = || {
            let spool = stage.project.at("backups/.spool/offsite/all").join(&stage.set()[4..]);
            names(&spool).len() + names(&stage.copy_dir()).len()
        };
        let mut killed = 0;
        for progress in [1, 1, 2, 3, 4, 6, 8] {
            let before = seen();
            let mut child = stage.project.start(&["upload", &stage.set()]);
            while seen() < before.max(progress) + usize::from(before >= progress) && child.try_wait().unwrap().is_none()
            {
                std::thread::sleep(Duration::from_millis(1));
            }
            child.kill().unwrap();
            killed += usize::from(!child.wait().unwrap().success());
            // Before the manifest there is no copy, however much lies there.
            if !stage.copy_dir().join("manifest.json").exists() {
                stage.verify(&[]).code(3);
            }
        }
        assert!(killed >= 4, "only {killed} were killed in the middle");
        stage.upload().code(0);
        let ended: Ended = if kind == Kind::Plain { stage.verify(&[]) } else { stage.verify_open() };
        ended.code(0);
        let left = names(&stage.copy_dir()).into_iter().filter(|n| n.starts_with('.')).count();
        assert_eq!(left, 0, "{:?}", names(&stage.copy_dir()));
        assert!(names(&stage.project.at("backups/.spool/offsite/all")).is_empty());
    }
}
