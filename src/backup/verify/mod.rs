//! Verifies what was captured, before it counts, and sets, whenever asked.
//!
//! [`fresh`] stops at the first difference, for one is enough to refuse a set; [`set`] goes on and names them all.

mod artifact;
mod dump;
mod manifest;
mod set;
mod tree;
mod whole;

use std::{
    path::{Path, PathBuf},
    sync::{
        Mutex,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};

use tokio_util::sync::CancellationToken;

pub use manifest::{SealedManifest, open, parse_manifest, read_manifest, read_signature};
pub use set::{Checked, Finding, SetReport, set};
pub use whole::{VerifiedSet, WholeError, whole};

use super::staging::Staging;
use crate::{
    adapters::{clock, files::FileError, host},
    model::{
        drill::Drill,
        event::StepEvents,
        failure::{Class, Diagnose},
        manifest::{Artifact, Evidence, Level, Verification},
    },
    stream::StreamError,
};

/// Why a verification failed or could not be done.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    #[error(transparent)]
    Stream(#[from] StreamError),
    #[error("{}: {problem}", path.display())]
    NotASet { path: PathBuf, problem: String },
    #[error("{}: the manifest {problem}", path.display())]
    NotBelieved { path: PathBuf, problem: String },
    #[error("{}: its format version is {version}; this maint reads up to {readable}", path.display())]
    Newer { path: PathBuf, version: u32, readable: u32 },
}

impl From<FileError> for VerifyError {
    fn from(error: FileError) -> Self {
        Self::Stream(error.into())
    }
}

impl Diagnose for VerifyError {
    fn class(&self) -> Class {
        match self {
            // What cannot be read could not be checked; that is not the same as being wrong.
            Self::Stream(StreamError::File(_)) | Self::Newer { .. } => Class::Unverifiable,
            Self::Stream(e) => e.class(),
            Self::NotASet { .. } | Self::NotBelieved { .. } => Class::Verification,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Stream(e) => e.hint(),
            Self::NotASet { .. } => Some("a set is a directory with manifest.json; see: maint backups".into()),
            Self::NotBelieved { .. } => {
                Some("see what else there is to say of it: maint verify; --untrusted restores it all the same".into())
            }
            Self::Newer { .. } => Some("use a newer maint".into()),
        }
    }
}

/// Captured artifacts that were verified. Only [`fresh`] makes one.
#[derive(Debug)]
pub struct Verified {
    pub(super) staging: Staging,
    pub(super) artifacts: Vec<Artifact>,
    pub(super) verification: Verification,
}

impl Verified {
    /// What was compared.
    pub fn verification(&self) -> &Verification {
        &self.verification
    }

    /// The same artifacts, restored and compared; only a drill can say so.
    pub(super) fn proven(mut self, drill: Drill) -> Self {
        self.verification.level = Level::Drill;
        self.verification.finished = clock::now();
        self.verification.millis += drill.millis;
        self.verification.drill = Some(drill);
        self
    }

    /// The same artifacts, to be published below the level that was asked for, which the manifest then says.
    #[must_use]
    pub fn falling_short(mut self, reason: String) -> Self {
        self.verification.shortfall = Some(reason);
        self
    }
}

/// Verifies freshly captured artifacts, read back from the disk. Blocking.
///
/// # Errors
/// When anything differs from what was captured, or cannot be read.
pub fn fresh(
    staging: Staging,
    artifacts: Vec<Artifact>,
    level: Level,
    cancel: &CancellationToken,
    events: &StepEvents,
) -> Result<Verified, VerifyError> {
    let begun = clock::monotonic();
    let evidence = all(staging.dir(), &artifacts, level, cancel, events)
        .into_iter()
        .collect::<Result<Vec<Evidence>, StreamError>>()?;
    let millis = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
    let verification = Verification { level, finished: clock::now(), millis, evidence, drill: None, shortfall: None };
    Ok(Verified { staging, artifacts, verification })
}

/// Checks one artifact of a set, read back from the disk. Blocking.
///
/// # Errors
/// When it differs from what was captured, or cannot be read.
pub fn one(
    dir: &Path,
    artifact: &Artifact,
    level: Level,
    cancel: &CancellationToken,
    events: &StepEvents,
) -> Result<Evidence, VerifyError> {
    let watch = Watch { cancel, events, done: AtomicU64::new(0), total: artifact.packed.bytes };
    Ok(artifact::check(dir, artifact, level, &watch)?)
}

/// What every check is given: where to stop, and whom to tell.
struct Watch<'a> {
    cancel: &'a CancellationToken,
    events: &'a StepEvents,
    done: AtomicU64,
    total: u64,
}

impl Watch<'_> {
    /// Counts packed bytes that were read.
    fn read(&self, bytes: u64, file: &str) -> Result<(), StreamError> {
        let done = self.done.fetch_add(bytes, Ordering::Relaxed) + bytes;
        self.events.progress(done, Some(self.total), format!("verifying {file}"));
        if self.cancel.is_cancelled() { Err(StreamError::Cancelled) } else { Ok(()) }
    }
}

/// Checks all artifacts on as many threads as the host has cores; results are in the artifacts' order.
fn all(
    dir: &Path,
    artifacts: &[Artifact],
    level: Level,
    cancel: &CancellationToken,
    events: &StepEvents,
) -> Vec<Result<Evidence, StreamError>> {
    let total = artifacts.iter().map(|a| a.packed.bytes).sum();
    let watch = Watch { cancel, events, done: AtomicU64::new(0), total };
    let next = AtomicUsize::new(0);
    let results: Vec<Mutex<Option<Result<Evidence, StreamError>>>> =
        artifacts.iter().map(|_| Mutex::default()).collect();
    std::thread::scope(|scope| {
        for _ in 0..host::cores().min(artifacts.len()) {
            scope.spawn(|| {
                while let Some((artifact, result)) = at(&next, artifacts, &results) {
                    let checked = artifact::check(dir, artifact, level, &watch);
                    *result.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(checked);
                }
            });
        }
    });
    let missing = || Err(StreamError::damaged(dir, "a check ended without a result"));
    results.into_iter().map(|r| r.into_inner().ok().flatten().unwrap_or_else(missing)).collect()
}

fn at<'a, A, B>(next: &AtomicUsize, a: &'a [A], b: &'a [B]) -> Option<(&'a A, &'a B)> {
    let index = next.fetch_add(1, Ordering::Relaxed);
    Some((a.get(index)?, b.get(index)?))
}
