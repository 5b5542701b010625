//! What every store does, whatever it is.

use std::{
    fs,
    sync::atomic::{AtomicU64, Ordering},
};

use maint::model::store::{Deleted, Proof};
use tokio_util::sync::CancellationToken;

use super::*;
use crate::bucket::{Server, block_on};

const MIB: usize = 1 << 20;

fn local(stage: &tempfile::TempDir) -> StoreConfig {
    StoreConfig {
        name: "offsite".into(),
        place: maint::model::store::Place::Local { dir: stage.path().to_owned(), mounted: false },
        prefix: "below/here".into(),
        encrypt_to: Vec::new(),
        keep: None,
    }
}

#[test]
fn a_directory_is_a_store() {
    let dir = tempfile::tempdir().unwrap();
    every_store(local(&dir));
    // What was deleted has left no directories behind, and nothing stands beside the prefix.
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
}

#[test]
fn a_bucket_of_garage_is_a_store() {
    let garage = Server::garage();
    let prefix = own_prefix("conformance");
    every_store(garage.store(&prefix));
    assert_eq!(garage.open_uploads(&prefix), Vec::<String>::new());
}

#[test]
fn a_bucket_of_moto_is_a_store() {
    let moto = Server::moto();
    every_store(moto.store("conformance"));
    assert_eq!(moto.open_uploads("conformance"), Vec::<String>::new());
}

fn every_store(config: StoreConfig) {
    let stage = Stage::new(config);
    let store = stage.open();
    assert_eq!(store.name(), "offsite");
    assert_eq!(block_on(store.list("")).unwrap(), []);
    small_objects(&store);
    files(&stage, &store);
    refusals(&stage, &store);
    listing_and_deleting(&store);
    assert_eq!(stage.journals(), Vec::<String>::new());
}

fn small_objects(store: &Store) {
    let stored = put_text(store, "s/m/202608/manifest.json", "{}", true).unwrap();
    assert!(stored.new && stored.proof == Proof::ReadBack, "{stored:?}");
    assert!(!put_text(store, "s/m/202608/manifest.json", "{}", true).unwrap().new);
    let changed = put_text(store, "s/m/202608/manifest.json", "{ }", true).unwrap_err();
    assert!(matches!(changed, StoreError::Changed { .. }), "{changed}");
    let changed = put_text(store, "s/m/202608/manifest.json", "[]", true).unwrap_err();
    assert!(matches!(changed, StoreError::Changed { .. }), "{changed}");
    assert_eq!(block_on(store.read("s/m/202608/manifest.json", 2)).unwrap().as_deref(), Some(b"{}".as_slice()));
    let long = block_on(store.read("s/m/202608/manifest.json", 1)).unwrap_err();
    assert!(matches!(long, StoreError::Long { limit: 1, .. }), "{long}");
    assert_eq!(block_on(store.read("s/m/202608/none", 9)).unwrap(), None);
    // What may be replaced is.
    assert!(put_text(store, "s/head", "one", false).unwrap().new);
    assert!(put_text(store, "s/head", "two", false).unwrap().new);
    assert_eq!(block_on(store.read("s/head", 9)).unwrap().as_deref(), Some(b"two".as_slice()));
    assert!(put_text(store, "s/empty", "", true).unwrap().new);
    assert_eq!(digest_of(store, "s/empty").unwrap().bytes, 0);
}

fn files(stage: &Stage, store: &Store) {
    for (name, bytes) in [("empty", 0), ("small", 70_001), ("whole", 16 * MIB), ("parts", 33 * MIB + 7)] {
        let (path, digest) = stage.file(name, bytes);
        let (key, told) = (format!("s/m/202608/{name} ä.zst"), AtomicU64::new(0));
        let tell = |bytes| {
            told.fetch_add(bytes, Ordering::Relaxed);
        };
        let cancel = CancellationToken::new();
        let stored = block_on(store.put(&key, &path, &digest, true, &cancel, &tell)).unwrap();
        assert!(stored.new, "{name}");
        assert_eq!(told.swap(0, Ordering::Relaxed), bytes as u64, "{name}");
        let again = block_on(store.put(&key, &path, &digest, true, &cancel, &tell)).unwrap();
        assert!(!again.new, "{name}");
        assert_eq!(told.load(Ordering::Relaxed), bytes as u64, "{name}");
        let target = stage.dir.path().join("fetched");
        let fetched = block_on(store.fetch(&key, &target, &cancel, &|_| ())).unwrap();
        assert_eq!((fetched.bytes, &fetched.sha256), (digest.bytes, &digest.sha256), "{name}");
        assert!(fs::read(&target).unwrap() == fs::read(&path).unwrap(), "{name}");
        assert_eq!(digest_of(store, &key).unwrap(), fetched);
    }
}

fn refusals(stage: &Stage, store: &Store) {
    for bytes in [100_000, 40 * MIB] {
        let (path, digest) = stage.file("source", bytes);
        let mut content = fs::read(&path).unwrap();
        content[bytes / 2] ^= 1;
        fs::write(&path, &content).unwrap();
        let source = put(store, "s/refused", &path, &digest).unwrap_err();
        assert!(matches!(source, StoreError::Source { .. }), "{source}");
        content.push(0);
        fs::write(&path, &content).unwrap();
        let source = put(store, "s/refused", &path, &digest).unwrap_err();
        assert!(matches!(source, StoreError::Source { .. }), "{source}");
        fs::write(&path, &content[..bytes / 2]).unwrap();
        let source = put(store, "s/refused", &path, &digest).unwrap_err();
        assert!(matches!(source, StoreError::Source { .. }), "{source}");
        assert!(block_on(store.list("s/refused")).unwrap().is_empty());
    }
    let link = stage.dir.path().join("link");
    let (path, digest) = stage.file("linked", 10);
    std::os::unix::fs::symlink(&path, &link).unwrap();
    assert!(matches!(put(store, "s/refused", &link, &digest), Err(StoreError::File(_))));
    for key in ["", "/s", "s/../t", "s//t", "s/"] {
        assert!(matches!(put(store, key, &path, &digest), Err(StoreError::Key { .. })), "{key}");
    }
    let target = stage.dir.path().join("not-there");
    let none = block_on(store.fetch("s/none", &target, &CancellationToken::new(), &|_| ())).unwrap_err();
    assert!(matches!(none, StoreError::NotThere { .. }), "{none}");
    assert!(!target.exists());
    let cancelled = CancellationToken::new();
    cancelled.cancel();
    let (path, digest) = stage.file("cancelled", 20 * MIB);
    let stopped = block_on(store.put("s/cancelled", &path, &digest, true, &cancelled, &|_| ())).unwrap_err();
    assert!(matches!(stopped, StoreError::Cancelled { .. }), "{stopped}");
    assert!(block_on(store.list("s/cancelled")).unwrap().is_empty());
}

fn listing_and_deleting(store: &Store) {
    for key in ["l/a/1", "l/a/2", "l/ab", "l/.records/x", "m"] {
        put_text(store, key, key, true).unwrap();
    }
    let keys = |prefix: &str| -> Vec<String> {
        block_on(store.list(prefix)).unwrap().into_iter().map(|object| object.key).collect()
    };
    assert_eq!(keys("l/"), ["l/.records/x", "l/a/1", "l/a/2", "l/ab"]);
    assert_eq!(keys("l/a"), ["l/a/1", "l/a/2", "l/ab"]);
    assert_eq!(keys("l/a/"), ["l/a/1", "l/a/2"]);
    assert_eq!(keys("none"), Vec::<String>::new());
    let object = block_on(store.list("l/ab")).unwrap().remove(0);
    assert_eq!(object.bytes, 4);
    assert!((chrono::Utc::now() - object.modified).num_minutes().abs() < 5, "{object:?}");
    assert_eq!(block_on(store.delete("l/none")).unwrap(), Deleted::Gone);
    for key in keys("") {
        assert_eq!(block_on(store.delete(&key)).unwrap(), Deleted::Gone);
        assert_eq!(block_on(store.read(&key, 99)).unwrap(), None);
    }
    assert_eq!(keys(""), Vec::<String>::new());
}
