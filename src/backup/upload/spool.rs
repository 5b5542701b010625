//! Where ciphertexts wait to be sent: one file at a time, with a list of those that are done.
//!
//! No two encryptions of a file are equal, so an upload that died can only go on with the very ciphertext that it had
//! begun to send. It waits in `.spool/` of the backup directory, which is on a disk that has room for sets.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::UploadError;
use crate::{
    adapters::files::{self, FileError},
    backup::verify::VerifiedSet,
    model::{copy::ENCRYPTED_SUFFIX, event::StepEvents, manifest::FileDigest},
    stream::{
        StreamError,
        encrypt::{self, Recipients},
    },
};

/// The directory of spools below `backups/`.
const SPOOL_DIR: &str = ".spool";
/// The list of ciphertexts in a spool.
const LIST_FILE: &str = "spool.json";
/// The list is small.
const MAX_LIST_BYTES: u64 = 64 << 20;
/// What stays free on the spool's disk.
const RESERVE_BYTES: u64 = 64 << 20;

/// The ciphertexts of one copy that is being made. Its directory stays until the copy is whole.
#[derive(Debug)]
pub(super) struct Spool {
    dir: PathBuf,
    list: List,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct List {
    manifest_sha256: String,
    encrypted_to: Vec<String>,
    /// By the plain file's name.
    files: BTreeMap<String, Spooled>,
}

/// One ciphertext.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Spooled {
    /// What it is.
    pub(super) cipher: FileDigest,
    /// Whether the store has it; the spool has it no longer then.
    pub(super) stored: bool,
}

/// Where spools of a series are.
fn series_dir(backup_dir: &Path, store: &str, series: &str) -> PathBuf {
    backup_dir.join(SPOOL_DIR).join(store).join(series)
}

/// Removes spools of sets that nobody will go on with; the caller has the series' upload lock.
pub(super) fn sweep(backup_dir: &Path, store: &str, series: &str, keep: &[&str]) -> Result<(), FileError> {
    let dir = series_dir(backup_dir, store, series);
    if !dir.is_dir() {
        return Ok(());
    }
    for name in files::list(&dir)? {
        if !keep.iter().any(|set| name == *set) {
            files::remove_tree(&dir.join(&name))?;
        }
    }
    Ok(())
}

impl Spool {
    /// Goes on with what an upload of the very set to the very recipients left, or begins anew.
    pub(super) fn open(
        backup_dir: &Path,
        store: &str,
        set: &VerifiedSet,
        recipients: &Recipients,
    ) -> Result<Self, UploadError> {
        let dir = series_dir(backup_dir, store, set.manifest().series.as_str()).join(set.name());
        let fresh = List {
            manifest_sha256: set.sealed().sha256.clone(),
            encrypted_to: recipients.keys(),
            files: BTreeMap::new(),
        };
        let path = dir.join(LIST_FILE);
        let left =
            files::read_limited(&path, MAX_LIST_BYTES).ok().and_then(|b| serde_json::from_slice::<List>(&b).ok());
        let list = match left {
            Some(left)
                if (&left.manifest_sha256, &left.encrypted_to) == (&fresh.manifest_sha256, &fresh.encrypted_to) =>
            {
                left
            }
            _ => {
                files::remove_tree(&dir)?;
                fresh
            }
        };
        files::create_private_dir(&dir)?;
        Ok(Self { dir, list })
    }

    /// Where a ciphertext waits.
    pub(super) fn path(&self, spooled: &Spooled) -> PathBuf {
        self.dir.join(&spooled.cipher.file)
    }

    /// Whether the largest of these fits on the disk.
    pub(super) fn check_space(&self, files_: &[FileDigest]) -> Result<(), UploadError> {
        let largest = files_.iter().map(|f| f.bytes).max().unwrap_or(0);
        let needed = encrypt::most_bytes(largest, self.list.encrypted_to.len()) + RESERVE_BYTES;
        let free = files::free_space(&self.dir)?;
        if free < needed {
            return Err(UploadError::Space { dir: self.dir.clone(), needed, free });
        }
        Ok(())
    }

    /// The ciphertext of a file: one that waits or was sent already, else made now. Blocking.
    pub(super) fn ciphertext(
        &mut self,
        set: &VerifiedSet,
        file: &FileDigest,
        recipients: &Recipients,
        cancel: &tokio_util::sync::CancellationToken,
        events: &StepEvents,
    ) -> Result<Spooled, UploadError> {
        if let Some(found) = self.list.files.get(&file.file)
            && (found.stored || self.path(found).exists())
        {
            return Ok(found.clone());
        }
        let name = format!("{}{ENCRYPTED_SUFFIX}", file.file);
        // Whoever left it is dead: the caller has the series' upload lock.
        files::remove_file(&self.dir.join(format!(".{name}.tmp")))?;
        let done = std::sync::atomic::AtomicU64::new(0);
        let took = |bytes: u64| {
            let done = done.fetch_add(bytes, std::sync::atomic::Ordering::Relaxed) + bytes;
            events.progress(done, Some(file.bytes), format!("encrypting {}", file.file));
            if cancel.is_cancelled() { Err(StreamError::Cancelled) } else { Ok(()) }
        };
        let source = set.dir().join(&file.file);
        let cipher = encrypt::encrypt(&source, file, &self.dir, &name, recipients, &took)?;
        let spooled = Spooled { cipher, stored: false };
        self.list.files.insert(file.file.clone(), spooled.clone());
        self.save()?;
        Ok(spooled)
    }

    /// Notes that the store has it, then lets the ciphertext go.
    pub(super) fn stored(&mut self, file: &str) -> Result<(), UploadError> {
        if let Some(spooled) = self.list.files.get_mut(file) {
            spooled.stored = true;
            let path = self.dir.join(&spooled.cipher.file);
            self.save()?;
            files::remove_file(&path)?;
        }
        Ok(())
    }

    /// Forgets a ciphertext that was sent, but of which the store has nothing of that length under its name.
    pub(super) fn forget_unless(&mut self, file: &str, is_there: impl Fn(&FileDigest) -> bool) {
        if self.list.files.get(file).is_some_and(|spooled| spooled.stored && !is_there(&spooled.cipher)) {
            self.list.files.remove(file);
        }
    }

    /// The copy is whole: nothing is gone on with.
    pub(super) fn remove(self) -> Result<(), UploadError> {
        Ok(files::remove_tree(&self.dir)?)
    }

    fn save(&self) -> Result<(), UploadError> {
        let text = serde_json::to_vec_pretty(&self.list)?;
        let path = self.dir.join(LIST_FILE);
        Ok(files::write_alone(&path, &text)?)
    }
}
