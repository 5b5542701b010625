//! Blocking work for an async caller: it tells how far it is, and stops when it is told to.

use std::{
    fs::File,
    io::{self, Cursor, Read},
    path::{Path, PathBuf},
    sync::Arc,
};

use sha2::{Digest, Sha256};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::StoreError;
use crate::{
    adapters::files::{self, FileError},
    model::{contents::hex, manifest::FileDigest},
};

/// How much is read at once.
pub(super) const CHUNK: usize = 256 << 10;

/// Where bytes to send come from.
#[derive(Debug, Clone)]
pub(super) enum Source {
    /// A file.
    File(PathBuf),
    /// Bytes at hand, under the name that they will have.
    Bytes(PathBuf, Arc<[u8]>),
}

impl Source {
    /// What it is called in errors.
    pub(super) fn path(&self) -> &Path {
        match self {
            Self::File(path) | Self::Bytes(path, _) => path,
        }
    }

    /// Opens it; a link is refused.
    pub(super) fn open(&self) -> Result<Box<dyn Input>, FileError> {
        match self {
            Self::File(path) => Ok(Box::new(files::open_read(path)?)),
            Self::Bytes(_, bytes) => Ok(Box::new(Cursor::new(bytes.clone()))),
        }
    }
}

/// What can be read from any place of.
pub(super) trait Input: Read + io::Seek + Send {}
impl Input for File {}
impl Input for Cursor<Arc<[u8]>> {}

/// What blocking work tells its caller, and asks it.
#[derive(Debug, Clone)]
pub(super) struct Ticker {
    told: Option<mpsc::UnboundedSender<u64>>,
    cancel: CancellationToken,
    key: String,
}

impl Ticker {
    /// Tells of bytes done.
    ///
    /// # Errors
    /// When the work is to stop.
    pub(super) fn tick(&self, bytes: u64) -> Result<(), StoreError> {
        // Nobody listens any more where the caller was dropped: that is a stop as well.
        let heard = self.told.as_ref().is_none_or(|told| told.send(bytes).is_ok());
        if !heard || self.cancel.is_cancelled() {
            return Err(StoreError::Cancelled { key: self.key.clone() });
        }
        Ok(())
    }

    /// One that stops as this one, and tells nothing: for reading back.
    pub(super) fn silent(&self) -> Self {
        Self { told: None, ..self.clone() }
    }
}

/// Runs blocking work on a thread of its own; `progress` hears of every tick.
pub(super) async fn run<T: Send + 'static>(
    key: &str,
    cancel: &CancellationToken,
    progress: &(dyn Fn(u64) + Sync),
    work: impl FnOnce(&Ticker) -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    let (told, mut heard) = mpsc::unbounded_channel();
    let ticker = Ticker { told: Some(told), cancel: cancel.clone(), key: key.to_owned() };
    let thread = tokio::task::spawn_blocking(move || work(&ticker));
    while let Some(bytes) = heard.recv().await {
        progress(bytes);
    }
    thread.await.unwrap_or_else(|e| Err(StoreError::Thread { key: key.to_owned(), why: e.to_string() }))
}

/// Reads to the end: every chunk goes to `each`; gives length and SHA-256.
///
/// # Errors
/// When reading or `each` fails, or the work is to stop.
pub(super) fn pour(
    input: &mut dyn Read,
    path: &Path,
    ticker: &Ticker,
    mut each: impl FnMut(&[u8]) -> Result<(), StoreError>,
) -> Result<(u64, String), StoreError> {
    let (mut sha, mut total, mut buffer) = (Sha256::new(), 0, vec![0; CHUNK]);
    loop {
        let read = match input.read(&mut buffer) {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            read => read.map_err(|e| FileError::new("reading", path, e))?,
        };
        if read == 0 {
            return Ok((total, hex(&sha.finalize())));
        }
        sha.update(&buffer[..read]);
        each(&buffer[..read])?;
        total += read as u64;
        ticker.tick(read as u64)?;
    }
}

/// Says how what was found differs from a digest, where it does.
pub(super) fn difference(expected: &FileDigest, bytes: u64, sha256: &str) -> Option<String> {
    if bytes != expected.bytes {
        return Some(format!("it has {bytes} bytes instead of {}", expected.bytes));
    }
    (sha256 != expected.sha256).then(|| format!("its SHA-256 is {sha256} instead of {}", expected.sha256))
}

/// The last part of a key: the name of the file.
pub(super) fn file_name(key: &str) -> &str {
    key.rsplit('/').next().unwrap_or(key)
}
