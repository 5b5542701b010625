//! Stores: one interface over another directory of this host and an S3 bucket.
//!
//! Keys are relative, `<stack>/<series>/<period>/<file>`; the store adds its prefix. What is sent is hashed again on its
//! way and must equal its digest; what stands under a key that is written once is never replaced.

mod error;
mod journal;
mod local;
mod s3;
mod work;

use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use tokio_util::sync::CancellationToken;

pub use error::StoreError;
use journal::Claim;
use local::Local;
use s3::{Put, S3};
use work::Source;

use crate::model::{
    contents::hex,
    manifest::FileDigest,
    store::{Deleted, Object, Overwrites, Place, StoreConfig, Stored, key_problem},
};

/// Told of bytes that are done, as they are.
pub type Progress<'a> = &'a (dyn Fn(u64) + Sync);

/// An opened store.
#[derive(Debug)]
pub struct Store {
    name: String,
    uploads: PathBuf,
    place: Backend,
}

#[derive(Debug)]
enum Backend {
    Local(Local),
    S3(Box<S3>),
}

impl Store {
    /// Opens it: the directory is there, or the keys can be read. A bucket is asked nothing yet.
    ///
    /// # Errors
    /// When the directory is not there or not mounted, or a key or certificate cannot be read.
    pub async fn open(config: &StoreConfig, state_dir: &Path) -> Result<Self, StoreError> {
        let place = match &config.place {
            Place::Local { dir, mounted } => Backend::Local(Local::open(&config.name, dir, *mounted, &config.prefix)?),
            Place::S3(settings) => Backend::S3(Box::new(S3::open(config, settings).await?)),
        };
        Ok(Self { name: config.name.clone(), uploads: journal::directory(state_dir), place })
    }

    /// Its name in `maint.toml`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Puts a file under a key. Equal content that stands there is left, and so is any other where `immutable`.
    /// An upload that ended in the middle goes on where it was.
    ///
    /// # Errors
    /// [`StoreError::Source`] when the file is not what `digest` says, [`StoreError::Changed`] when something else stands
    /// under an immutable key or the store has other content than was sent, and where the store fails. Nothing is visible
    /// then, and what was sent is either gone or goes on with the next call.
    pub async fn put(
        &self,
        key: &str,
        file: &Path,
        digest: &FileDigest,
        immutable: bool,
        cancel: &CancellationToken,
        progress: Progress<'_>,
    ) -> Result<Stored, StoreError> {
        self.put_source(key, Source::File(file.to_owned()), digest, immutable, cancel, progress).await
    }

    /// Puts a small object under a key, and reads it back.
    ///
    /// # Errors
    /// As [`put`](Self::put).
    pub async fn put_bytes(
        &self,
        key: &str,
        bytes: &[u8],
        immutable: bool,
        cancel: &CancellationToken,
    ) -> Result<Stored, StoreError> {
        let digest = FileDigest {
            file: work::file_name(key).to_owned(),
            bytes: bytes.len() as u64,
            sha256: hex(&Sha256::digest(bytes)),
        };
        let source = Source::Bytes(key.into(), bytes.into());
        self.put_source(key, source, &digest, immutable, cancel, &|_| ()).await
    }

    /// Whether the store itself refuses to write a key twice, or only maint looks before it writes. Learned once per store,
    /// by writing an object again as it stands there: give a small one that [`put_bytes`](Self::put_bytes) has put.
    ///
    /// # Errors
    /// When the store fails, or what was learned cannot be kept.
    pub async fn overwrites(
        &self,
        key: &str,
        bytes: &[u8],
        cancel: &CancellationToken,
    ) -> Result<Overwrites, StoreError> {
        check(key)?;
        match &self.place {
            // renameat2(2) with NOREPLACE.
            Backend::Local(_) => Ok(Overwrites::Refused),
            Backend::S3(s3) => {
                if let Some(known) = journal::learned(&self.uploads, &self.name, &s3.place())? {
                    return Ok(known);
                }
                let overwrites = s3.overwrites(key, bytes, cancel).await?;
                journal::learn(&self.uploads, &self.name, &s3.place(), overwrites)?;
                Ok(overwrites)
            }
        }
    }

    async fn put_source(
        &self,
        key: &str,
        source: Source,
        digest: &FileDigest,
        immutable: bool,
        cancel: &CancellationToken,
        progress: Progress<'_>,
    ) -> Result<Stored, StoreError> {
        check(key)?;
        let claim = Claim::take(&self.uploads, &self.name, key)?;
        match &self.place {
            Backend::Local(local) => {
                let (local, at, digest) = (local.clone(), key.to_owned(), digest.clone());
                work::run(key, cancel, progress, move |ticker| local.put(&at, &source, &digest, immutable, ticker))
                    .await
            }
            Backend::S3(s3) => s3.put(&Put { key, source, digest, immutable, claim, cancel, progress }).await,
        }
    }

    /// Reads a small object whole; `None`: there is none.
    ///
    /// # Errors
    /// When it is longer than `limit`, or the store fails.
    pub async fn read(&self, key: &str, limit: u64) -> Result<Option<Vec<u8>>, StoreError> {
        check(key)?;
        match &self.place {
            Backend::Local(local) => {
                let (local, at) = (local.clone(), key.to_owned());
                quietly(key, move || local.read(&at, limit)).await
            }
            Backend::S3(s3) => s3.read(key, limit).await,
        }
    }

    /// Fetches an object into a file of ours, 0600, whole or not at all; gives the digest of what was written.
    ///
    /// # Errors
    /// [`StoreError::NotThere`] where there is none; when the file cannot be written, or the store fails.
    pub async fn fetch(
        &self,
        key: &str,
        target: &Path,
        cancel: &CancellationToken,
        progress: Progress<'_>,
    ) -> Result<FileDigest, StoreError> {
        check(key)?;
        match &self.place {
            Backend::Local(local) => {
                let (local, at, target) = (local.clone(), key.to_owned(), target.to_owned());
                work::run(key, cancel, progress, move |ticker| local.fetch(&at, &target, ticker)).await
            }
            Backend::S3(s3) => s3.fetch(key, target, cancel, progress).await,
        }
    }

    /// Reads an object whole and gives its digest; nothing is written.
    ///
    /// # Errors
    /// [`StoreError::NotThere`] where there is none, or when the store fails.
    pub async fn digest(
        &self,
        key: &str,
        cancel: &CancellationToken,
        progress: Progress<'_>,
    ) -> Result<FileDigest, StoreError> {
        check(key)?;
        match &self.place {
            Backend::Local(local) => {
                let (local, at) = (local.clone(), key.to_owned());
                work::run(key, cancel, progress, move |ticker| local.digest(&at, ticker)).await
            }
            Backend::S3(s3) => s3.digest(key, cancel, progress).await,
        }
    }

    /// Every object whose key begins with this text, sorted by key; with an empty one, all below the store's prefix.
    ///
    /// # Errors
    /// When the store fails: a list is whole, or there is none.
    pub async fn list(&self, prefix: &str) -> Result<Vec<Object>, StoreError> {
        if !prefix.is_empty() {
            check(prefix.strip_suffix('/').unwrap_or(prefix))?;
        }
        match &self.place {
            Backend::Local(local) => {
                let (local, prefix) = (local.clone(), prefix.to_owned());
                quietly(&prefix.clone(), move || local.list(&prefix)).await
            }
            Backend::S3(s3) => s3.list(prefix).await,
        }
    }

    /// Deletes an object; one that is not there is fine.
    ///
    /// # Errors
    /// When the store fails or does not allow it.
    pub async fn delete(&self, key: &str) -> Result<Deleted, StoreError> {
        check(key)?;
        match &self.place {
            Backend::Local(local) => {
                let (local, at) = (local.clone(), key.to_owned());
                quietly(key, move || local.delete(&at)).await
            }
            Backend::S3(s3) => s3.delete(key).await,
        }
    }

    /// Aborts the uploads of this host that nobody will go on with: their file is gone, or they are a week old. Gives
    /// their keys.
    ///
    /// # Errors
    /// When a journal cannot be read, or the store fails.
    pub async fn sweep(&self) -> Result<Vec<String>, StoreError> {
        match &self.place {
            Backend::Local(_) => Ok(Vec::new()),
            Backend::S3(s3) => s3.sweep(&self.uploads).await,
        }
    }
}

fn check(key: &str) -> Result<(), StoreError> {
    key_problem(key).map_or(Ok(()), |problem| Err(StoreError::Key { key: key.to_owned(), problem }))
}

/// Short blocking work that nobody wants to stop or watch.
async fn quietly<T: Send + 'static>(
    key: &str,
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    work::run(key, &CancellationToken::new(), &|_| (), move |_| work()).await
}
