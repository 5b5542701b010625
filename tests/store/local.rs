//! What only a directory does.

use std::{fs, os::unix::fs::PermissionsExt};

use maint::model::{failure::Diagnose, store::Place};

use super::*;

fn config(dir: &Path, mounted: bool) -> StoreConfig {
    let place = Place::Local { dir: dir.to_owned(), mounted };
    StoreConfig { name: "mount".into(), place, prefix: String::new(), encrypt_to: Vec::new(), keep: None }
}

#[test]
fn a_directory_that_is_not_there_or_not_mounted_is_no_store() {
    let dir = tempfile::tempdir().unwrap();
    for (config, why) in [
        (config(&dir.path().join("none"), false), "No such file"),
        (config(dir.path(), true), "nothing is mounted there"),
    ] {
        let error = bucket::block_on(Store::open(&config, dir.path())).unwrap_err();
        assert!(error.could_not_ask() && error.to_string().contains(why), "{error}");
        assert!(error.hint().unwrap().contains("[store.mount]"), "{error}");
    }
    let mounted = config(Path::new("/dev/shm"), true);
    bucket::block_on(Store::open(&mounted, dir.path())).unwrap();
}

#[test]
fn a_copy_that_is_not_finished_is_no_object() {
    let dir = tempfile::tempdir().unwrap();
    let stage = Stage::new(config(dir.path(), false));
    let (path, digest) = stage.file("x", 1000);
    // What a killed process left.
    fs::create_dir(dir.path().join("s")).unwrap();
    fs::write(dir.path().join("s/.x.tmp"), "half").unwrap();
    let store = stage.open();
    assert_eq!(bucket::block_on(store.list("")).unwrap(), []);
    assert!(put(&store, "s/x", &path, &digest).unwrap().new);
    assert!(!dir.path().join("s/.x.tmp").exists());
    let mode = |name: &str| fs::metadata(dir.path().join(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode("s/x"), 0o600);
}

#[test]
fn a_stored_byte_that_flipped_is_found_and_not_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let stage = Stage::new(config(dir.path(), false));
    let (path, digest) = stage.file("x", 100_000);
    let store = stage.open();
    put(&store, "s/x", &path, &digest).unwrap();
    let mut content = fs::read(dir.path().join("s/x")).unwrap();
    content[77_777] ^= 1;
    fs::write(dir.path().join("s/x"), &content).unwrap();
    assert_ne!(digest_of(&store, "s/x").unwrap().sha256, digest.sha256);
    let error = put(&store, "s/x", &path, &digest).unwrap_err();
    assert!(matches!(error, StoreError::Changed { .. }), "{error}");
    assert!(fs::read(dir.path().join("s/x")).unwrap() == content);
}

#[test]
fn one_process_sends_a_key_at_a_time() {
    let dir = tempfile::tempdir().unwrap();
    let stage = Stage::new(config(dir.path(), false));
    let (path, digest) = stage.file("x", 1000);
    let store = stage.open();
    let id = &maint::model::contents::hex(&Sha256::digest("s/x"))[..32];
    let lock = stage.state().join(format!("uploads/mount-{id}.lock"));
    let held = maint::adapters::lock::Lock::try_acquire(&lock, "process 1").unwrap();
    let error = put(&store, "s/x", &path, &digest).unwrap_err();
    assert!(matches!(error, StoreError::Busy { .. }), "{error}");
    drop(held);
    put(&store, "s/x", &path, &digest).unwrap();
}
