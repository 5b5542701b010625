//! Uploads under way, on disk before a store hears of them: so that they go on, or are aborted, whoever died.

use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::StoreError;
use crate::{
    adapters::{
        files,
        lock::{Lock, LockError},
    },
    model::contents::hex,
};

/// Below the state directory.
const DIR: &str = "uploads";

/// Where journals of uploads are.
pub(super) fn directory(state_dir: &Path) -> PathBuf {
    state_dir.join(DIR)
}

/// The right to write one key of one store; of this host's processes one has it at a time.
#[derive(Debug)]
pub(super) struct Claim {
    lock: Lock,
}

impl Claim {
    /// Takes it.
    pub(super) fn take(dir: &Path, store: &str, key: &str) -> Result<Self, StoreError> {
        let holder = format!("process {}", std::process::id());
        let id = hex(&Sha256::digest(key.as_bytes())[..16]);
        match Lock::try_acquire(&dir.join(format!("{store}-{id}.lock")), &holder) {
            Ok(lock) => Ok(Self { lock }),
            Err(LockError::File(error)) => Err(error.into()),
            Err(source) => Err(StoreError::Busy { store: store.to_owned(), key: key.to_owned(), source }),
        }
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        // Whoever waits for the lock gets it and finds nothing to do; an empty file that stays does no harm.
        let _ = files::remove_file(self.lock.path());
    }
}
