//! Reads a set's manifest and who signed it.

use std::path::Path;

use super::VerifyError;
use crate::{
    adapters::{
        files::{self, FileError},
        signature::{self, MAX_SIGNATURE_BYTES, Trust},
    },
    model::{
        manifest::{MANIFEST_FILE, MANIFEST_FORMAT, MANIFEST_SIGNATURE_FILE, MANIFEST_VERSION, Manifest},
        signature::{Namespace, Signature},
    },
    stream::hash::Sha,
};

/// A manifest is small even with a million files; a larger one is not ours.
pub(super) const MAX_MANIFEST_BYTES: u64 = 64 << 20;

/// A manifest as it lies in a set.
#[derive(Debug, Clone)]
pub struct SealedManifest {
    /// What it says.
    pub manifest: Manifest,
    /// SHA-256 of its bytes: what records and the next set's manifest name the set by.
    pub sha256: String,
    /// Its bytes: what is signed.
    pub text: Vec<u8>,
}

impl SealedManifest {
    /// Who signed it, by the bytes of its signature, where there is one.
    pub fn signature(&self, signature: Option<&[u8]>, trust: Option<&Trust>) -> Signature {
        signature::examine(trust, &self.text, signature, Namespace::Set, self.manifest.run.sealed)
    }
}

/// Reads a set's manifest.
///
/// # Errors
/// When it cannot be read, is not a manifest, or is of a newer version.
pub fn read_manifest(dir: &Path) -> Result<Manifest, VerifyError> {
    open(dir).map(|sealed| sealed.manifest)
}

/// Reads a set's manifest, and keeps what it is named and signed by.
///
/// # Errors
/// As [`read_manifest`].
pub fn open(dir: &Path) -> Result<SealedManifest, VerifyError> {
    let path = dir.join(MANIFEST_FILE);
    if !path.exists() {
        return Err(VerifyError::NotASet { path: dir.to_owned(), problem: format!("{MANIFEST_FILE} is missing") });
    }
    parse_manifest(dir, files::read_limited(&path, MAX_MANIFEST_BYTES)?)
}

/// The bytes of the signature in a set; `None` where there is none, or where something else has its name.
///
/// # Errors
/// When it cannot be read.
pub fn read_signature(dir: &Path) -> Result<Option<Vec<u8>>, FileError> {
    let path = dir.join(MANIFEST_SIGNATURE_FILE);
    match files::is_regular(&path) {
        Ok(true) => files::read_limited(&path, MAX_SIGNATURE_BYTES).map(Some),
        Ok(false) => Ok(None),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Reads the bytes of a manifest; `dir` is where they came from, for messages.
///
/// # Errors
/// When they are not a manifest, or one of a newer version.
pub fn parse_manifest(dir: &Path, text: Vec<u8>) -> Result<SealedManifest, VerifyError> {
    #[derive(serde::Deserialize)]
    struct Head {
        format: String,
        version: u32,
    }
    let path = dir.join(MANIFEST_FILE);
    let refuse = |problem: String| VerifyError::NotASet { path: path.clone(), problem };
    let head: Head = serde_json::from_slice(&text).map_err(|e| refuse(format!("is not a manifest: {e}")))?;
    if head.format != MANIFEST_FORMAT {
        return Err(refuse(format!("its format is `{}`, not `{MANIFEST_FORMAT}`", head.format)));
    }
    if head.version > MANIFEST_VERSION {
        return Err(VerifyError::Newer { path, version: head.version, readable: MANIFEST_VERSION });
    }
    let manifest: Manifest = serde_json::from_slice(&text).map_err(|e| refuse(format!("is damaged: {e}")))?;
    let owned = manifest.artifacts.iter().flat_map(|a| [&a.packed, &a.contents].into_iter().chain(&a.companions));
    if let Some(odd) = manifest.files.iter().chain(owned).find(|f| !is_plain_name(&f.file)) {
        return Err(refuse(format!("names a file outside the set: `{}`", odd.file)));
    }
    Ok(SealedManifest { manifest, sha256: Sha::of(&text), text })
}

fn is_plain_name(name: &str) -> bool {
    !name.is_empty() && !name.starts_with('.') && !name.contains(['/', '\0', '\n', '\\'])
}
