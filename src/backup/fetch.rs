//! Brings a copy back from a store into a scratch directory: fetched, decrypted, and compared with what it should be. What
//! comes out is a set as it stood in the backup directory, for verify, drill and restore.

use std::{
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

use tokio_util::sync::CancellationToken;

use super::{
    copies::{self, CopyError, OpenedCopy},
    staging::Staging,
    verify::{Finding, SetReport},
};
use crate::{
    adapters::{
        clock,
        files::{self, FileError},
        lock::LockError,
        store::{Store, StoreError},
    },
    model::{
        copy::CopiedFile,
        event::StepEvents,
        failure::{Class, Diagnose, chain},
        manifest::{FileDigest, MANIFEST_FILE, MANIFEST_SIGNATURE_FILE, Manifest},
        units::ByteSize,
    },
    stream::{
        StreamError,
        encrypt::{self, EncryptError, Identities},
    },
};

/// What stays free on the scratch directory's disk.
const RESERVE_BYTES: u64 = 64 << 20;

/// Why a copy could not be brought back at all.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    #[error(transparent)]
    Copy(#[from] CopyError),
    #[error("the copy of {set} in the store {store} is encrypted, and no identity was given")]
    Closed { store: String, set: String },
    #[error(transparent)]
    Encrypt(#[from] EncryptError),
    #[error("fetching needs {} in {}; {} are free", ByteSize(*needed), dir.display(), ByteSize(*free))]
    Space { dir: PathBuf, needed: u64, free: u64 },
    #[error(transparent)]
    Lock(#[from] LockError),
    #[error(transparent)]
    File(#[from] FileError),
    #[error("decrypting ended by itself: {0}")]
    Thread(String),
}

impl From<StoreError> for FetchError {
    fn from(error: StoreError) -> Self {
        Self::Copy(error.into())
    }
}

impl Diagnose for FetchError {
    fn class(&self) -> Class {
        match self {
            Self::Copy(e) => e.class(),
            Self::Closed { .. } => Class::Unverifiable,
            Self::Encrypt(e) => e.class(),
            Self::Lock(e) => e.class(),
            Self::File(e) => e.class(),
            Self::Space { .. } | Self::Thread(_) => Class::Failed,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Copy(e) => e.hint(),
            Self::Closed { .. } => Some("name the file with the secret key: --identity FILE".into()),
            Self::Encrypt(e) => e.hint(),
            Self::Space { dir, .. } => {
                Some(format!("free space, or fetch one item alone with --item; see: df -h {}", dir.display()))
            }
            Self::Lock(e) => e.hint(),
            Self::File(e) => e.hint(),
            Self::Thread(_) => None,
        }
    }
}

/// Which files of a set are fetched.
pub type Wanted<'a> = &'a (dyn Fn(&Manifest, &str) -> bool + Sync);

/// Which copy, and where it is brought to.
#[derive(Debug, Clone, Copy)]
pub struct FetchRequest<'a> {
    /// The store.
    pub store: &'a Store,
    /// The stack's name.
    pub stack: &'a str,
    /// The series.
    pub series: &'a str,
    /// The set's name in it.
    pub set: &'a str,
    /// The directory below whose `.staging/` it is brought; gone with [`Fetched`].
    pub backup_dir: &'a Path,
    /// The keys that open it.
    pub identities: Option<&'a Identities>,
}

/// A copy that was brought back. Its directory goes with it.
#[derive(Debug)]
pub struct Fetched {
    /// What the copy says of itself.
    pub opened: OpenedCopy,
    /// What is wrong with the copy as such; [`verify::set`](super::verify::set) finds what is wrong with the set in it.
    pub findings: Vec<Finding>,
    dir: PathBuf,
    _scratch: Staging,
}

impl Fetched {
    /// The set's directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// What is wrong with the files that were wanted, and what is with others.
    pub fn findings_of(&self, wanted: Wanted<'_>) -> (Vec<&Finding>, Vec<&Finding>) {
        let manifest = &self.opened.sealed.manifest;
        let of = |copied: &CopiedFile| wanted(manifest, &copied.plain.file);
        let names: Vec<&str> = self
            .opened
            .list
            .files
            .iter()
            .filter(|copied| of(copied))
            .flat_map(|copied| [copied.plain.file.as_str(), copied.stored().file.as_str()])
            .collect();
        self.findings.iter().partition(|f| names.contains(&f.file.as_str()) || wanted(manifest, &f.file))
    }

    /// Adds what is wrong with the copy to what is wrong with the set in it: of one file, what the copy's finding says.
    pub fn add_findings(&self, report: &mut SetReport) {
        let known = |file: &str| self.findings.iter().any(|f| f.file == file);
        report.findings.retain(|finding| !known(&finding.file));
        report.findings.extend(self.findings.iter().cloned());
    }
}

/// Fetches those files of a copy that are `wanted`, and manifest and signature in any case. A file that is not as it should
/// be is a finding, and the others are fetched all the same.
///
/// # Errors
/// When the store cannot be asked, there is no such copy, it cannot be opened, or there is no room for it.
pub async fn fetch(
    request: FetchRequest<'_>,
    wanted: Wanted<'_>,
    cancel: &CancellationToken,
    events: &StepEvents,
) -> Result<Fetched, FetchError> {
    let FetchRequest { store, stack, series, set, .. } = request;
    let opened = copies::open(store, stack, series, set).await?;
    let state = copies::state(store, stack, series, set).await?;
    let findings = copies::differences(&opened, &state);
    if !opened.list.encrypted_to.is_empty() && request.identities.is_none() {
        return Err(FetchError::Closed { store: store.name().to_owned(), set: format!("{series}/{set}") });
    }
    let scratch = Staging::create(request.backup_dir, clock::run_id())?;
    let dir = scratch.dir().join(set);
    files::create_private_dir(&dir)?;
    files::write_atomic(&dir.join(MANIFEST_FILE), &opened.sealed.text)?;
    if let Some(signature) = &opened.signature {
        files::write_atomic(&dir.join(MANIFEST_SIGNATURE_FILE), signature)?;
    }
    let files: Vec<CopiedFile> =
        opened.list.files.iter().filter(|f| wanted(&opened.sealed.manifest, &f.plain.file)).cloned().collect();
    check_space(&dir, &files)?;
    let total = files.iter().map(|f| f.stored().bytes).sum();
    let mut fetching =
        Fetching { request, scratch: &scratch, dir: &dir, findings, cancel, events, done: AtomicU64::new(0), total };
    for file in &files {
        fetching.one(file).await?;
    }
    let findings = fetching.findings;
    Ok(Fetched { opened, findings, dir, _scratch: scratch })
}

/// Whether everything fits, with the largest ciphertext beside what comes out of it.
fn check_space(dir: &Path, files_: &[CopiedFile]) -> Result<(), FetchError> {
    let plain: u64 = files_.iter().map(|f| f.plain.bytes).sum();
    let largest = files_.iter().filter_map(|f| f.encrypted.as_ref()).map(|c| c.bytes).max().unwrap_or(0);
    let needed = plain.saturating_add(largest).saturating_add(RESERVE_BYTES);
    let free = files::free_space(dir)?;
    if free < needed { Err(FetchError::Space { dir: dir.to_owned(), needed, free }) } else { Ok(()) }
}

struct Fetching<'a> {
    request: FetchRequest<'a>,
    scratch: &'a Staging,
    dir: &'a Path,
    findings: Vec<Finding>,
    cancel: &'a CancellationToken,
    events: &'a StepEvents,
    done: AtomicU64,
    total: u64,
}

impl Fetching<'_> {
    async fn one(&mut self, file: &CopiedFile) -> Result<(), FetchError> {
        let target = match &file.encrypted {
            Some(cipher) => self.scratch.dir().join(&cipher.file),
            None => self.dir.join(&file.plain.file),
        };
        let Some(found) = self.fetch(file.stored(), &target).await? else { return Ok(()) };
        if let Some(problem) = difference(file.stored(), &found) {
            self.findings.push(Finding::new(&file.stored().file, problem));
        }
        if file.encrypted.is_some() {
            // Also one whose digest is another: that it cannot be opened is then the end of it, else it is not even lost.
            self.decrypt(&target, &file.plain).await?;
            files::remove_file(&target)?;
        }
        Ok(())
    }

    /// `None`: it is not there, which is a finding already.
    async fn fetch(&mut self, file: &FileDigest, target: &Path) -> Result<Option<FileDigest>, FetchError> {
        let FetchRequest { store, stack, series, set, .. } = self.request;
        let key = copies::set_key(stack, series, set, &file.file);
        let tell = |bytes: u64| {
            let done = self.done.fetch_add(bytes, Ordering::Relaxed) + bytes;
            self.events.progress(done.min(self.total), Some(self.total), format!("fetching {}", file.file));
        };
        match store.fetch(&key, target, self.cancel, &tell).await {
            Ok(found) => Ok(Some(found)),
            Err(StoreError::NotThere { .. }) => {
                if !self.findings.iter().any(|f| f.file == file.file) {
                    self.findings.push(Finding::new(&file.file, "is missing in the store"));
                }
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }

    async fn decrypt(&mut self, cipher: &Path, plain: &FileDigest) -> Result<(), FetchError> {
        let Some(identities) = self.request.identities.cloned() else { return Ok(()) };
        let (source, expected, dir) = (cipher.to_owned(), plain.clone(), self.dir.to_owned());
        let cancel = self.cancel.clone();
        let opening = tokio::task::spawn_blocking(move || {
            let took = |_| if cancel.is_cancelled() { Err(StreamError::Cancelled) } else { Ok(()) };
            encrypt::decrypt(&source, &expected, &dir, &identities, &took)
        });
        match opening.await.map_err(|panic| FetchError::Thread(panic.to_string()))? {
            Ok(()) => Ok(()),
            Err(EncryptError::Stream(StreamError::Damaged { problem, .. })) => {
                self.findings.push(Finding::new(&plain.file, format!("its ciphertext {problem}")));
                Ok(())
            }
            Err(error) => Err(error.into()),
        }
    }
}

fn difference(expected: &FileDigest, found: &FileDigest) -> Option<String> {
    if expected.bytes != found.bytes {
        return Some(format!("has {} bytes in the store instead of {}", found.bytes, expected.bytes));
    }
    (expected.sha256 != found.sha256)
        .then(|| format!("its SHA-256 in the store is {} instead of {}", found.sha256, expected.sha256))
}

/// Reads everything that lies in a store of a copy and compares it with `copy.json`; nothing is written, and no key is
/// needed. What is encrypted is then known to be as it was sent, and no more.
///
/// # Errors
/// When the store cannot be asked.
pub async fn compare_stored(
    request: FetchRequest<'_>,
    opened: &OpenedCopy,
    cancel: &CancellationToken,
    events: &StepEvents,
) -> Result<Vec<Finding>, StoreError> {
    let FetchRequest { store, stack, series, set, .. } = request;
    let state = copies::state(store, stack, series, set).await?;
    let mut findings = copies::differences(opened, &state);
    let total: u64 = opened.list.stored().map(|f| f.bytes).sum();
    let done = AtomicU64::new(0);
    for file in opened.list.stored() {
        if findings.iter().any(|f| f.file == file.file) {
            continue;
        }
        let tell = |bytes: u64| {
            let done = done.fetch_add(bytes, Ordering::Relaxed) + bytes;
            events.progress(done.min(total), Some(total), format!("reading {}", file.file));
        };
        match store.digest(&copies::set_key(stack, series, set, &file.file), cancel, &tell).await {
            Ok(found) => findings.extend(difference(file, &found).map(|problem| Finding::new(&file.file, problem))),
            Err(error) if error.could_not_ask() => {
                let (problem, hint) = (chain(&error), error.hint());
                findings.push(Finding { file: file.file.clone(), problem, unknown: true, hint });
            }
            Err(StoreError::NotThere { .. }) => findings.push(Finding::new(&file.file, "is missing in the store")),
            Err(error) => return Err(error),
        }
    }
    Ok(findings)
}

/// Opens a copy as far as that needs no key, and compares everything that lies there with what was sent. Gives how much it
/// is, and what is wrong.
///
/// # Errors
/// When the store cannot be asked, or there is no such copy.
pub async fn compare_closed(
    request: FetchRequest<'_>,
    cancel: &CancellationToken,
    events: &StepEvents,
) -> Result<(u64, Vec<Finding>), FetchError> {
    let opened = copies::open(request.store, request.stack, request.series, request.set).await?;
    let bytes = opened.list.stored().map(|f| f.bytes).sum();
    Ok((bytes, compare_stored(request, &opened, cancel, events).await?))
}
