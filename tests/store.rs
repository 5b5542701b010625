//! Stores: one behaviour over a directory and the buckets of two real servers; faults, kills, and other clients.
#![expect(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests set their stage")]

#[path = "support/bucket.rs"]
mod bucket;
#[path = "store/conformance.rs"]
mod conformance;
#[path = "store/faults.rs"]
mod faults;
#[path = "store/kills.rs"]
mod kills;
#[path = "store/local.rs"]
mod local;
#[path = "store/locks.rs"]
mod locks;
#[path = "store/peers.rs"]
mod peers;
#[path = "support/proxy.rs"]
mod proxy;
#[path = "support/put_child.rs"]
mod put_child;

use std::{
    fs,
    path::{Path, PathBuf},
};

use maint::{
    adapters::store::{Store, StoreError},
    model::{
        contents::hex,
        manifest::FileDigest,
        store::{StoreConfig, Stored},
    },
};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use sha2::{Digest, Sha256};
use tokio_util::sync::CancellationToken;

/// A prefix of one's own in a shared bucket.
fn own_prefix(name: &str) -> String {
    format!("{name}-{}", std::process::id())
}

/// A store with a state directory and files to send.
struct Stage {
    dir: tempfile::TempDir,
    config: StoreConfig,
}

impl Stage {
    fn new(config: StoreConfig) -> Self {
        Self { dir: tempfile::tempdir().unwrap(), config }
    }

    fn state(&self) -> PathBuf {
        self.dir.path().join("state")
    }

    fn open(&self) -> Store {
        bucket::block_on(Store::open(&self.config, &self.state())).unwrap()
    }

    /// A file of random bytes: what compresses would hide what is stored.
    fn file(&self, name: &str, bytes: usize) -> (PathBuf, FileDigest) {
        let mut content = vec![0; bytes];
        StdRng::seed_from_u64(bytes as u64).fill(content.as_mut_slice());
        self.write(name, &content)
    }

    fn write(&self, name: &str, content: &[u8]) -> (PathBuf, FileDigest) {
        let path = self.dir.path().join(name);
        fs::write(&path, content).unwrap();
        (path, digest(name, content))
    }

    /// Journals of uploads that are not done with.
    fn journals(&self) -> Vec<String> {
        let names = fs::read_dir(self.state().join("uploads")).into_iter().flatten();
        names.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect()
    }
}

fn digest(name: &str, content: &[u8]) -> FileDigest {
    FileDigest { file: name.to_owned(), bytes: content.len() as u64, sha256: hex(&Sha256::digest(content)) }
}

fn put(store: &Store, key: &str, file: &Path, digest: &FileDigest) -> Result<Stored, StoreError> {
    bucket::block_on(store.put(key, file, digest, true, &CancellationToken::new(), &|_| ()))
}

fn put_text(store: &Store, key: &str, text: &str, immutable: bool) -> Result<Stored, StoreError> {
    bucket::block_on(store.put_bytes(key, text.as_bytes(), immutable, &CancellationToken::new()))
}

fn digest_of(store: &Store, key: &str) -> Result<FileDigest, StoreError> {
    bucket::block_on(store.digest(key, &CancellationToken::new(), &|_| ()))
}
