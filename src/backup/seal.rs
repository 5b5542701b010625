//! Writes RESTORE.md, manifest, its signature and SHA256SUMS of a verified set: the manifest last but for what covers it.

use std::{collections::BTreeMap, fmt::Write as _};

use super::{restore_md, staging::Staging, verify::Verified};
use crate::{
    adapters::{
        clock,
        files::{self, FileError},
        signature::{SignError, Signer},
    },
    model::{
        anomaly::Anomaly,
        failure::{Class, Diagnose},
        ids::{JobName, SeriesName},
        manifest::{
            FileDigest, HostFacts, MANIFEST_FILE, MANIFEST_FORMAT, MANIFEST_SIGNATURE_FILE, MANIFEST_VERSION, Manifest,
            Previous, RESTORE_FILE, RunFacts, SUMS_FILE,
        },
        signature::Namespace,
    },
    stream::{StreamError, artifact::write_text},
};

/// What the manifest says beyond artifacts and evidence.
#[derive(Debug, Clone)]
pub struct SetFacts {
    /// The stack's name.
    pub stack: String,
    /// The series.
    pub series: SeriesName,
    /// The period's label.
    pub period: String,
    /// The job.
    pub job: JobName,
    /// The run; `sealed` is set by [`seal`].
    pub run: RunFacts,
    /// The set before it in its series.
    pub previous: Option<Previous>,
    /// The host.
    pub host: HostFacts,
    /// Programs that took part.
    pub tools: BTreeMap<String, String>,
    /// What is unusual about the set.
    pub anomalies: Vec<Anomaly>,
}

/// A verified set with its manifest, ready to be published. Only [`seal`] makes one.
#[derive(Debug)]
pub struct Sealed {
    pub(super) staging: Staging,
    pub(super) manifest: Manifest,
    pub(super) manifest_sha256: String,
    pub(super) bytes: u64,
}

/// A set that could not be sealed.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    #[error(transparent)]
    Stream(#[from] StreamError),
    #[error("the set cannot be signed")]
    Sign(#[from] SignError),
}

impl From<FileError> for SealError {
    fn from(error: FileError) -> Self {
        Self::Stream(error.into())
    }
}

impl Diagnose for SealError {
    fn class(&self) -> Class {
        match self {
            Self::Stream(e) => e.class(),
            Self::Sign(e) => e.class(),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Stream(e) => e.hint(),
            Self::Sign(e) => e.hint(),
        }
    }
}

/// Seals a verified set, and signs it where something signs. Blocking.
///
/// # Errors
/// When a file cannot be written, the directory holds a file that no artifact owns, or it cannot be signed.
pub fn seal(verified: Verified, facts: SetFacts, signer: Option<&Signer>) -> Result<Sealed, SealError> {
    let Verified { staging, artifacts, verification } = verified;
    let dir = staging.dir().to_owned();
    let mut files: Vec<FileDigest> =
        artifacts.iter().flat_map(|a| [&a.packed, &a.contents].into_iter().chain(&a.companions)).cloned().collect();
    files.sort_by(|a, b| a.file.cmp(&b.file));
    for name in files::list(&dir)? {
        if !files.iter().any(|f| f.file.as_str() == name) {
            return Err(StreamError::damaged(dir.join(name), "belongs to no artifact of this set").into());
        }
    }
    let mut run = facts.run;
    run.sealed = clock::now();
    let mut manifest = Manifest {
        format: MANIFEST_FORMAT.into(),
        version: MANIFEST_VERSION,
        stack: facts.stack,
        series: facts.series,
        period: facts.period,
        job: facts.job,
        run,
        previous: facts.previous,
        host: facts.host,
        tools: facts.tools,
        artifacts,
        files,
        verification,
        anomalies: facts.anomalies,
    };
    let restore = restore_md::render(&manifest, signer.is_some());
    manifest.files.push(write_text(&dir, RESTORE_FILE, &restore)?);
    manifest.files.sort_by(|a, b| a.file.cmp(&b.file));
    let text = serde_json::to_string_pretty(&manifest).map_err(std::io::Error::from);
    let text = text.map_err(|e| FileError::new("writing", &dir.join(MANIFEST_FILE), e))? + "\n";
    let manifest_file = write_text(&dir, MANIFEST_FILE, &text)?;
    let manifest_sha256 = manifest_file.sha256.clone();
    let mut own = vec![manifest_file];
    if let Some(signer) = signer {
        let signature = signer.sign(text.as_bytes(), Namespace::Set)?;
        own.push(write_text(&dir, MANIFEST_SIGNATURE_FILE, &signature)?);
    }
    let mut bytes: u64 = manifest.files.iter().chain(&own).map(|f| f.bytes).sum();
    let sums = sums(&manifest, &own);
    bytes += write_text(&dir, SUMS_FILE, &sums)?.bytes;
    Ok(Sealed { staging, manifest, manifest_sha256, bytes })
}

/// SHA256SUMS of a set: every file of the manifest, then the manifest itself and its signature, where it has one. Names
/// are of our own making: no newline, no backslash, so no escape of sha256sum's is needed.
pub(super) fn sums(manifest: &Manifest, own: &[FileDigest]) -> String {
    let mut text = String::new();
    for file in manifest.files.iter().chain(own) {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{}  {}", file.sha256, file.file);
    }
    text
}
