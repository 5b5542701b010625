//! Uploads under way, on disk before a store hears of them: so that they go on, or are aborted, whoever died.
//!
//! One file per upload: a line about the whole, then one per part that the store has confirmed.

use std::{
    fs::File,
    io::Write,
    path::{Path, PathBuf},
};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::StoreError;
use crate::{
    adapters::{
        files::{self, FileError},
        lock::{Lock, LockError},
    },
    model::{contents::hex, store::Overwrites},
};

/// Below the state directory.
const DIR: &str = "uploads";
const JOURNAL: &str = ".jsonl";
/// 10 000 parts of some 200 bytes.
const LONGEST: u64 = 8 << 20;

/// Where journals of uploads are.
pub(super) fn directory(state_dir: &Path) -> PathBuf {
    state_dir.join(DIR)
}

/// What an upload is of, and where it goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Head {
    /// The store, as `maint.toml` names it.
    pub(super) store: String,
    /// The bucket behind that name.
    pub(super) place: String,
    /// The key, without the store's prefix.
    pub(super) key: String,
    /// The file that is sent.
    pub(super) source: PathBuf,
    /// Its length.
    pub(super) bytes: u64,
    /// Its SHA-256.
    pub(super) sha256: String,
    /// How it is cut.
    pub(super) part_bytes: u64,
    /// When it was begun.
    pub(super) begun: DateTime<Utc>,
    /// The store's name for it; `None`: it was asked for one, and the answer may have been lost.
    pub(super) upload: Option<String>,
}

impl Head {
    /// Whether an upload of the other is one of this.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        (&self.place, &self.key, self.bytes, &self.sha256) == (&other.place, &other.key, other.bytes, &other.sha256)
    }
}

/// A part that the store has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct SentPart {
    /// Its number.
    pub(super) number: i32,
    /// Its SHA-256, in hex.
    pub(super) sha256: String,
    /// The store's tag of it.
    pub(super) tag: String,
}

/// The right to write one key of one store, with its journal; of this host's processes one has it at a time.
#[derive(Debug)]
pub(super) struct Claim {
    journal: PathBuf,
    lock: Lock,
}

impl Claim {
    /// Takes it.
    pub(super) fn take(dir: &Path, store: &str, key: &str) -> Result<Self, StoreError> {
        let id = hex(&Sha256::digest(key.as_bytes())[..16]);
        Self::take_over(&dir.join(format!("{store}-{id}{JOURNAL}")), store, key)
    }

    /// Takes that of a journal.
    pub(super) fn take_over(journal: &Path, store: &str, key: &str) -> Result<Self, StoreError> {
        let holder = format!("process {}", std::process::id());
        match Lock::try_acquire(&journal.with_extension("lock"), &holder) {
            Ok(lock) => Ok(Self { journal: journal.to_owned(), lock }),
            Err(LockError::File(error)) => Err(error.into()),
            Err(source) => Err(StoreError::Busy { store: store.to_owned(), key: key.to_owned(), source }),
        }
    }

    /// The upload that an earlier process left, and the parts of it that are confirmed.
    pub(super) fn left(&self) -> Result<Option<(Head, Vec<SentPart>)>, StoreError> {
        read(&self.journal)
    }

    /// Writes what is about to be done, or is under way; parts are added to what this gives.
    pub(super) fn write(&self, head: &Head, sent: &[SentPart]) -> Result<Journal, StoreError> {
        let mut text = line(&self.journal, head)?;
        for part in sent {
            text.extend(line(&self.journal, part)?);
        }
        files::write_alone(&self.journal, &text)?;
        Ok(Journal { file: files::create_log(&self.journal)?, path: self.journal.clone() })
    }

    /// There is nothing left to do.
    pub(super) fn clear(&self) -> Result<(), StoreError> {
        Ok(files::remove_file(&self.journal)?)
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        // Whoever waits for the lock gets it and finds nothing to do; an empty file that stays does no harm.
        let _ = files::remove_file(self.lock.path());
    }
}

/// An open journal.
#[derive(Debug)]
pub(super) struct Journal {
    file: File,
    path: PathBuf,
}

impl Journal {
    /// Adds a part. Not synced: a part that is forgotten is only sent again.
    pub(super) fn add(&mut self, part: &SentPart) -> Result<(), StoreError> {
        let text = line(&self.path, part)?;
        Ok(self.file.write_all(&text).map_err(|e| FileError::new("writing", &self.path, e))?)
    }
}

fn line(path: &Path, value: &impl Serialize) -> Result<Vec<u8>, StoreError> {
    let mut text = serde_json::to_vec(value).map_err(|source| StoreError::Journal { path: path.to_owned(), source })?;
    text.push(b'\n');
    Ok(text)
}

/// Reads a journal; `None` where there is none.
pub(super) fn read(path: &Path) -> Result<Option<(Head, Vec<SentPart>)>, StoreError> {
    let bytes = match files::read_limited(path, LONGEST) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        bytes => bytes?,
    };
    let mut lines = bytes.split(|b| *b == b'\n');
    let head = serde_json::from_slice(lines.next().unwrap_or_default())
        .map_err(|source| StoreError::Journal { path: path.to_owned(), source })?;
    // A line that was not finished when its writer died ends what is known.
    let sent = lines.map_while(|line| serde_json::from_slice(line).ok()).collect();
    Ok(Some((head, sent)))
}

/// The journals of one store.
pub(super) fn of_store(dir: &Path, store: &str) -> Result<Vec<PathBuf>, StoreError> {
    let names = match files::list(dir) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        names => names?,
    };
    let ours = names.iter().filter_map(|name| name.to_str()).filter(|name| {
        name.strip_suffix(JOURNAL).and_then(|id| id.rsplit_once('-')).is_some_and(|(of, _)| of == store)
    });
    Ok(ours.map(|name| dir.join(name)).collect())
}

/// What was learned about a store, and of which bucket behind its name.
#[derive(Debug, Serialize, Deserialize)]
struct Learned {
    place: String,
    overwrites: Overwrites,
}

fn learned_path(dir: &Path, store: &str) -> PathBuf {
    dir.join(format!("{store}.learned.json"))
}

/// What an earlier run learned about this place; `None`: nothing, or about another.
pub(super) fn learned(dir: &Path, store: &str, place: &str) -> Result<Option<Overwrites>, StoreError> {
    let bytes = match files::read_limited(&learned_path(dir, store), LONGEST) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        bytes => bytes?,
    };
    // What cannot be read is learned again.
    let known = serde_json::from_slice::<Learned>(&bytes).ok().filter(|known| known.place == place);
    Ok(known.map(|known| known.overwrites))
}

/// Keeps what was learned.
pub(super) fn learn(dir: &Path, store: &str, place: &str, overwrites: Overwrites) -> Result<(), StoreError> {
    let path = learned_path(dir, store);
    let text = line(&path, &Learned { place: place.to_owned(), overwrites })?;
    files::create_private_dir(dir)?;
    Ok(files::write_atomic(&path, &text)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head() -> Head {
        Head {
            store: "offsite".into(),
            place: "aws bucket/".into(),
            key: "a/b".into(),
            source: "/x".into(),
            bytes: 5,
            sha256: "00".into(),
            part_bytes: 3,
            begun: DateTime::UNIX_EPOCH,
            upload: Some("id".into()),
        }
    }

    #[test]
    fn a_torn_line_ends_what_is_known() {
        let dir = tempfile::tempdir().unwrap();
        let claim = Claim::take(dir.path(), "off-site", "a/b").unwrap();
        assert_eq!(claim.left().unwrap(), None);
        let part = |number| SentPart { number, sha256: "ab".into(), tag: "\"t\"".into() };
        // What a killed process left.
        std::fs::write(dir.path().join(format!(".{}.tmp", claim.journal.file_name().unwrap().display())), "half")
            .unwrap();
        let mut journal = claim.write(&head(), &[part(1)]).unwrap();
        journal.add(&part(2)).unwrap();
        journal.file.write_all(b"{\"number\":3,\"sha").unwrap();
        assert_eq!(claim.left().unwrap(), Some((head(), vec![part(1), part(2)])));
        assert_eq!(of_store(dir.path(), "off-site").unwrap(), std::slice::from_ref(&claim.journal));
        assert_eq!(of_store(dir.path(), "off").unwrap(), Vec::<PathBuf>::new());
        claim.clear().unwrap();
        drop(claim);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn one_process_writes_a_key() {
        let dir = tempfile::tempdir().unwrap();
        let claim = Claim::take(dir.path(), "s", "k").unwrap();
        assert!(matches!(Claim::take(dir.path(), "s", "k"), Err(StoreError::Busy { .. })));
        assert!(Claim::take(dir.path(), "s", "other").is_ok());
        drop(claim);
        assert!(Claim::take(dir.path(), "s", "k").is_ok());
    }
}
