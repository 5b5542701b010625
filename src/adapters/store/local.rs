//! A store that is another directory or mount of this host.

use std::{
    io::{self, Seek, Write},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use chrono::{DateTime, Utc};

use super::{
    StoreError,
    work::{self, Source, Ticker},
};
use crate::{
    adapters::files::{self, AtomicFile, FileError},
    model::{
        manifest::FileDigest,
        store::{Deleted, Object, Proof, Stored},
    },
};

/// A directory whose files are the objects. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Local {
    store: String,
    /// The directory with the prefix.
    root: PathBuf,
}

impl Local {
    /// Finds the directory there, and mounted where it should be.
    pub(super) fn open(store: &str, dir: &Path, mounted: bool, prefix: &str) -> Result<Self, StoreError> {
        let unreachable = |why: String| {
            let (store, key) = (store.to_owned(), dir.display().to_string());
            Err(StoreError::Unreachable { store, operation: "opening", key, why })
        };
        let meta = match std::fs::metadata(dir) {
            Ok(meta) if meta.is_dir() => meta,
            Ok(_) => return unreachable("it is not a directory".into()),
            Err(e) => return unreachable(e.to_string()),
        };
        let above = dir.parent().and_then(|above| std::fs::metadata(above).ok());
        if mounted && above.is_some_and(|above| above.dev() == meta.dev()) {
            return unreachable("nothing is mounted there".into());
        }
        Ok(Self { store: store.to_owned(), root: dir.join(prefix) })
    }

    fn path(&self, key: &str) -> PathBuf {
        if key.is_empty() { self.root.clone() } else { self.root.join(key) }
    }

    /// Sorts what the file system said about a key.
    fn sort(&self, operation: &'static str, key: &str, error: FileError) -> StoreError {
        let (store, key) = (self.store.clone(), key.to_owned());
        match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => StoreError::NotThere { store, key },
            io::ErrorKind::PermissionDenied => StoreError::Denied { store, operation, key, why: error.to_string() },
            io::ErrorKind::StaleNetworkFileHandle | io::ErrorKind::HostUnreachable | io::ErrorKind::TimedOut => {
                StoreError::Unreachable { store, operation, key, why: error.to_string() }
            }
            _ => StoreError::File(error),
        }
    }

    /// Copies under a temporary name, reads that back from the disk, and gives it its name.
    pub(super) fn put(
        &self,
        key: &str,
        source: &Source,
        digest: &FileDigest,
        immutable: bool,
        ticker: &Ticker,
    ) -> Result<Stored, StoreError> {
        let old = Stored { new: false, version: None, proof: Proof::ReadBack, kept_until: None };
        let quiet = ticker.silent();
        match self.digest(key, &quiet) {
            Ok(found) => match work::difference(digest, found.bytes, &found.sha256) {
                None => return ticker.tick(digest.bytes).map(|()| old),
                Some(what) if immutable => return Err(self.changed(key, what)),
                Some(_) => {}
            },
            Err(StoreError::NotThere { .. }) => {}
            Err(e) => return Err(e),
        }
        let target = self.path(key);
        let (dir, name) = (target.parent().unwrap_or(&self.root), work::file_name(key));
        files::create_private_dir(dir).map_err(|e| self.sort("writing", key, e))?;
        // Whoever left it is dead: the caller has the lock of this key.
        files::remove_file(&dir.join(format!(".{name}.tmp")))?;
        let copy = AtomicFile::create(dir, name).map_err(|e| self.sort("writing", key, e))?;
        self.copy(&copy, key, source, digest, ticker)?;
        let done = if immutable { copy.finish_new()? } else { copy.finish().map(|_| true)? };
        if done { Ok(Stored { new: true, ..old }) } else { Err(self.changed(key, "somebody else wrote it".into())) }
    }

    fn changed(&self, key: &str, what: String) -> StoreError {
        StoreError::Changed { store: self.store.clone(), key: key.to_owned(), what }
    }

    fn copy(
        &self,
        copy: &AtomicFile,
        key: &str,
        source: &Source,
        digest: &FileDigest,
        ticker: &Ticker,
    ) -> Result<(), StoreError> {
        let failed = |what: &'static str| move |e| FileError::new(what, copy.target(), e);
        let mut file = copy.file();
        let (bytes, sha256) = work::pour(&mut source.open()?, source.path(), ticker, |chunk| {
            Ok(file.write_all(chunk).map_err(failed("writing"))?)
        })?;
        if let Some(what) = work::difference(digest, bytes, &sha256) {
            return Err(StoreError::Source { path: source.path().to_owned(), what });
        }
        file.sync_all().map_err(failed("syncing"))?;
        files::drop_cache(file);
        file.rewind().map_err(failed("reading"))?;
        let (bytes, sha256) = work::pour(&mut file, copy.target(), &ticker.silent(), |_| Ok(()))?;
        work::difference(digest, bytes, &sha256).map_or(Ok(()), |what| Err(self.changed(key, what)))
    }

    /// Reads an object whole and gives its digest.
    pub(super) fn digest(&self, key: &str, ticker: &Ticker) -> Result<FileDigest, StoreError> {
        self.read_through(key, ticker, |_| Ok(()))
    }

    /// Copies an object to a file of ours, whole or not at all.
    pub(super) fn fetch(&self, key: &str, target: &Path, ticker: &Ticker) -> Result<FileDigest, StoreError> {
        let name = target.file_name().unwrap_or_default().to_string_lossy();
        let copy = AtomicFile::create(target.parent().unwrap_or(Path::new(".")), &name)?;
        let failed = |e| FileError::new("writing", target, e);
        let digest = self.read_through(key, ticker, |chunk| Ok(copy.file().write_all(chunk).map_err(failed)?))?;
        copy.finish()?;
        Ok(digest)
    }

    fn read_through(
        &self,
        key: &str,
        ticker: &Ticker,
        each: impl FnMut(&[u8]) -> Result<(), StoreError>,
    ) -> Result<FileDigest, StoreError> {
        let path = self.path(key);
        let mut file = files::open_read(&path).map_err(|e| self.sort("reading", key, e))?;
        let (bytes, sha256) = work::pour(&mut file, &path, ticker, each)?;
        Ok(FileDigest { file: work::file_name(key).to_owned(), bytes, sha256 })
    }

    /// Reads a small object whole.
    pub(super) fn read(&self, key: &str, limit: u64) -> Result<Option<Vec<u8>>, StoreError> {
        let path = self.path(key);
        let long = || StoreError::Long { store: self.store.clone(), key: key.to_owned(), limit };
        match std::fs::symlink_metadata(&path) {
            Ok(meta) if meta.len() > limit => return Err(long()),
            _ => {}
        }
        match files::read_limited(&path, limit).map_err(|e| self.sort("reading", key, e)) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(StoreError::NotThere { .. }) => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// Every object whose key begins so, sorted; what a copy in progress has written is none.
    pub(super) fn list(&self, prefix: &str) -> Result<Vec<Object>, StoreError> {
        let mut found = Vec::new();
        // Keys begin with the text, which may end inside a name.
        let above = prefix.rsplit_once('/').map_or("", |(above, _)| above);
        self.walk(above, prefix, &mut found)?;
        found.sort_by(|a, b| a.key.cmp(&b.key));
        Ok(found)
    }

    fn walk(&self, below: &str, prefix: &str, found: &mut Vec<Object>) -> Result<(), StoreError> {
        let names = match files::list(&self.path(below)).map_err(|e| self.sort("listing", below, e)) {
            Err(StoreError::NotThere { .. }) => return Ok(()),
            names => names?,
        };
        for name in names {
            let name = name.to_string_lossy();
            let key = if below.is_empty() { name.to_string() } else { format!("{below}/{name}") };
            let failed = |e| self.sort("listing", &key, FileError::new("asking about", &self.path(&key), e));
            let meta = std::fs::symlink_metadata(self.path(&key)).map_err(failed)?;
            if meta.is_dir() && (key.starts_with(prefix) || prefix.starts_with(&format!("{key}/"))) {
                self.walk(&key, prefix, found)?;
            } else if meta.is_file() && key.starts_with(prefix) && !(name.starts_with('.') && name.ends_with(".tmp")) {
                let modified = meta.modified().map_err(failed)?;
                found.push(Object { key, bytes: meta.len(), modified: DateTime::<Utc>::from(modified) });
            }
        }
        Ok(())
    }

    /// Removes an object, and the directories that are empty then.
    pub(super) fn delete(&self, key: &str) -> Result<Deleted, StoreError> {
        let path = self.path(key);
        files::remove_file(&path)
            .map_err(|e| match self.sort("deleting", key, e) {
                // A part of its path is a file: then there is no such object.
                StoreError::NotThere { .. } => None,
                other => Some(other),
            })
            .or_else(|e| e.map_or(Ok(()), Err))?;
        for dir in path.ancestors().skip(1).take_while(|dir| *dir != self.root) {
            if !files::remove_empty_dir(dir).map_err(|e| self.sort("deleting", key, e))? {
                break;
            }
        }
        if let Some(dir) = path.ancestors().skip(1).find(|dir| dir.is_dir()) {
            files::sync_dir(dir)?;
        }
        Ok(Deleted::Gone)
    }
}
