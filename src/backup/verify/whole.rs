//! A published set that was read whole and found as it was captured: what may leave the host.

use std::path::{Path, PathBuf};

use tokio_util::sync::CancellationToken;

use super::{
    super::{publish::PARTIAL_DIR, seal},
    SealedManifest, SetReport, VerifyError, open, read_signature, set,
};
use crate::{
    adapters::signature::Trust,
    model::{
        event::StepEvents,
        failure::{Class, Diagnose},
        manifest::{FileDigest, Level, MANIFEST_FILE, MANIFEST_SIGNATURE_FILE, Manifest, SUMS_FILE},
        signature::Signature,
        units::count,
    },
    stream::{StreamError, hash::Sha},
};

/// A set that was verified just now. Only [`whole`] makes one.
#[derive(Debug)]
pub struct VerifiedSet {
    dir: PathBuf,
    name: String,
    sealed: SealedManifest,
    signature: Option<Vec<u8>>,
    files: Vec<FileDigest>,
}

impl VerifiedSet {
    /// Its directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Its name in its series, e.g. `202608-2`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it holds.
    pub fn manifest(&self) -> &Manifest {
        &self.sealed.manifest
    }

    /// The manifest's bytes, and what they are named by.
    pub fn sealed(&self) -> &SealedManifest {
        &self.sealed
    }

    /// The signature's bytes, where it is signed.
    pub fn signature(&self) -> Option<&[u8]> {
        self.signature.as_deref()
    }

    /// Every file but manifest and signature; the checksum list last.
    pub fn files(&self) -> &[FileDigest] {
        &self.files
    }
}

/// Why a set may not leave the host.
#[derive(Debug, thiserror::Error)]
pub enum WholeError {
    #[error(transparent)]
    Verify(#[from] VerifyError),
    #[error("{}: {}: {first}", dir.display(), count(report.findings.len() as u64, "finding"))]
    Findings { dir: PathBuf, first: String, report: Box<SetReport> },
    #[error("{}: {problem}", dir.display())]
    NoSet { dir: PathBuf, problem: &'static str },
}

impl From<StreamError> for WholeError {
    fn from(error: StreamError) -> Self {
        Self::Verify(error.into())
    }
}

impl Diagnose for WholeError {
    fn class(&self) -> Class {
        match self {
            Self::Verify(e) => e.class(),
            Self::Findings { report, .. } => report.class().unwrap_or(Class::Verification),
            Self::NoSet { .. } => Class::Usage,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Verify(e) => e.hint(),
            Self::Findings { dir, .. } => {
                Some(format!("nothing was sent; see everything that is wrong: maint verify {}", dir.display()))
            }
            Self::NoSet { .. } => Some("name a set of the backup directory; see: maint backups".into()),
        }
    }
}

/// Verifies a set of the backup directory; only one without a finding is given back. With a trust anchor, a signature that is
/// wrong or by another key is one; that there is none is not. Blocking.
///
/// # Errors
/// When anything differs, is missing or cannot be read, when it is a partial set, or on cancellation.
pub fn whole(
    dir: &Path,
    level: Level,
    trust: Option<&Trust>,
    cancel: &CancellationToken,
    events: &StepEvents,
) -> Result<VerifiedSet, WholeError> {
    let dir = std::path::absolute(dir).unwrap_or_else(|_| dir.to_owned());
    let refuse = |problem| WholeError::NoSet { dir: dir.clone(), problem };
    if dir.components().any(|part| part.as_os_str() == PARTIAL_DIR) {
        return Err(refuse("is a partial set, which nothing counts and nobody uploads"));
    }
    let mut report = set(&dir, level, trust, cancel, events)?;
    if let (Signature::Missing, Some(problem)) = (&report.signature, report.signature.problem()) {
        // Made before there was a key: its copy says no more than it does, and the audit speaks of both.
        report.findings.retain(|finding| finding.problem != problem);
    }
    if let Some(first) = report.findings.first() {
        let first = format!("{} {}", first.file, first.problem);
        return Err(WholeError::Findings { dir, first, report: Box::new(report) });
    }
    let sealed = open(&dir)?;
    if sealed.sha256 != report.manifest_sha256 {
        return Err(StreamError::damaged(dir.join(MANIFEST_FILE), "changed while the set was verified").into());
    }
    let name = dir.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let number = name.strip_prefix(&sealed.manifest.period).map(|rest| rest.strip_prefix('-').unwrap_or(rest));
    if number.is_none_or(|n| n.chars().any(|c| !c.is_ascii_digit())) {
        return Err(refuse("has not the name of its period"));
    }
    let signature = read_signature(&dir).map_err(StreamError::from)?;
    let digest = |file: &str, bytes: &[u8]| FileDigest {
        file: file.to_owned(),
        bytes: bytes.len() as u64,
        sha256: Sha::of(bytes),
    };
    let mut own = vec![digest(MANIFEST_FILE, &sealed.text)];
    own.extend(signature.as_deref().map(|bytes| digest(MANIFEST_SIGNATURE_FILE, bytes)));
    let sums = digest(SUMS_FILE, seal::sums(&sealed.manifest, &own).as_bytes());
    let files = sealed.manifest.files.iter().cloned().chain([sums]).collect();
    Ok(VerifiedSet { dir, name, sealed, signature, files })
}
