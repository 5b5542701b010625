//! Whether a copy is what its manifest says, as far as a store can tell without sending it back.

use serde::Serialize;

use super::{CopyState, key};
use crate::{
    adapters::store::{Store, StoreError},
    backup::verify::{self, Finding, SealedManifest, VerifyError},
    model::{
        copy::{COPY_FILE, COPY_FORMAT, COPY_VERSION, CopyList},
        failure::{Class, Diagnose, chain},
        manifest::{MANIFEST_FILE, MANIFEST_SIGNATURE_FILE, SUMS_FILE},
    },
    stream::hash::Sha,
};

/// Manifests, lists and signatures are small; a larger one is not ours.
const MAX_BYTES: u64 = 64 << 20;

/// Why a copy cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Manifest(#[from] VerifyError),
    #[error("the store {store} has no copy of {set}")]
    NoCopy { store: String, set: String },
    #[error("the copy of {set} in the store {store}: {problem}")]
    NotACopy { store: String, set: String, problem: String },
    #[error(
        "the copy of {set} in the store {store}: its format version is {version}; this maint reads up to {COPY_VERSION}"
    )]
    Newer { store: String, set: String, version: u32 },
}

impl Diagnose for CopyError {
    fn class(&self) -> Class {
        match self {
            // Nothing is known of what cannot be reached.
            Self::Store(e) if e.could_not_ask() => Class::Unverifiable,
            Self::Store(e) => e.class(),
            Self::Manifest(e) => e.class(),
            Self::NoCopy { .. } | Self::NotACopy { .. } => Class::Verification,
            Self::Newer { .. } => Class::Unverifiable,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Store(e) => e.hint(),
            Self::Manifest(e) => e.hint(),
            Self::NoCopy { store, set } => Some(format!("send it there: maint upload {set} --store {store}")),
            Self::NotACopy { .. } => Some("find out who wrote there; look for another copy meanwhile".into()),
            Self::Newer { .. } => Some("use a newer maint".into()),
        }
    }
}

/// A copy's own description: what is the same in all copies of the set, and what lies in this one.
#[derive(Debug, Clone)]
pub struct OpenedCopy {
    /// The manifest.
    pub sealed: SealedManifest,
    /// Its signature's bytes, where it has one.
    pub signature: Option<Vec<u8>>,
    /// What lies there.
    pub list: CopyList,
    /// SHA-256 of the list's bytes: what the record of the copy names it by.
    pub list_sha256: String,
}

/// What is known of a copy.
#[derive(Debug, Clone, Serialize)]
pub struct CopyReport {
    /// What it says of itself, where that can be read.
    #[serde(skip)]
    pub opened: Option<OpenedCopy>,
    /// What is wrong, or could not be asked.
    pub findings: Vec<Finding>,
}

/// Reads a copy's manifest, signature and `copy.json`.
///
/// # Errors
/// When the store cannot be asked, or there is no such copy, or its list is not one of this set.
pub async fn open(store: &Store, stack: &str, series: &str, set: &str) -> Result<OpenedCopy, CopyError> {
    let name = || (store.name().to_owned(), format!("{series}/{set}"));
    let refuse = |problem: String| {
        let (store, set) = name();
        CopyError::NotACopy { store, set, problem }
    };
    let key = |file: &str| key::set_key(stack, series, set, file);
    let Some(text) = store.read(&key(MANIFEST_FILE), MAX_BYTES).await? else {
        let (store, set) = name();
        return Err(CopyError::NoCopy { store, set });
    };
    let place = format!("{}:{}", store.name(), key(""));
    let sealed = verify::parse_manifest(place.trim_end_matches('/').as_ref(), text)?;
    let signature = store.read(&key(MANIFEST_SIGNATURE_FILE), MAX_BYTES).await?;
    let Some(text) = store.read(&key(COPY_FILE), MAX_BYTES).await? else {
        return Err(refuse(format!("{COPY_FILE} is missing")));
    };
    let head: Head = serde_json::from_slice(&text).map_err(|e| refuse(format!("{COPY_FILE} is damaged: {e}")))?;
    if head.format != COPY_FORMAT {
        return Err(refuse(format!("{COPY_FILE} has the format `{}`, not `{COPY_FORMAT}`", head.format)));
    }
    if head.version > COPY_VERSION {
        let (store, set) = name();
        return Err(CopyError::Newer { store, set, version: head.version });
    }
    let list: CopyList = serde_json::from_slice(&text).map_err(|e| refuse(format!("{COPY_FILE} is damaged: {e}")))?;
    if let Some(problem) = list.names_problem() {
        return Err(refuse(format!("{COPY_FILE} {problem}")));
    }
    if list.manifest_sha256 != sealed.sha256 {
        return Err(refuse(format!("{COPY_FILE} speaks of another manifest than the one beside it")));
    }
    Ok(OpenedCopy { sealed, signature, list, list_sha256: Sha::of(&text) })
}

#[derive(serde::Deserialize)]
struct Head {
    format: String,
    version: u32,
}

/// Looks whether a copy is whole: its lists agree with each other and with the set that is at hand, and everything in them
/// lies there at its length. Contents are not fetched.
///
/// # Errors
/// When the store cannot be asked; what is wrong with the copy is a finding.
pub async fn check(
    store: &Store,
    stack: &str,
    series: &str,
    state: &CopyState,
    manifest_sha256: Option<&str>,
) -> Result<CopyReport, StoreError> {
    let opened = match open(store, stack, series, &state.set).await {
        Ok(opened) => opened,
        Err(CopyError::Store(error)) => return Err(error),
        Err(error) => {
            let unknown = error.class() == Class::Unverifiable;
            let finding = Finding { file: COPY_FILE.into(), problem: chain(&error), unknown, hint: error.hint() };
            return Ok(CopyReport { opened: None, findings: vec![finding] });
        }
    };
    let mut findings = Vec::new();
    if manifest_sha256.is_some_and(|expected| expected != opened.sealed.sha256) {
        findings.push(Finding::new(MANIFEST_FILE, "is not the manifest of the set in the backup directory"));
    }
    findings.extend(differences(&opened, state));
    Ok(CopyReport { opened: Some(opened), findings })
}

/// Where a copy's lists do not agree with each other, or with what lies in the store.
pub fn differences(opened: &OpenedCopy, state: &CopyState) -> Vec<Finding> {
    let mut findings = disagreements(opened);
    findings.extend(presence(opened, state));
    findings
}

/// Where `copy.json` does not say what the manifest says.
fn disagreements(opened: &OpenedCopy) -> Vec<Finding> {
    let mut findings = Vec::new();
    let list = &opened.list;
    for file in &opened.sealed.manifest.files {
        match list.files.iter().find(|f| f.plain.file == file.file) {
            None => findings.push(Finding::new(&file.file, format!("stands in the manifest, but not in {COPY_FILE}"))),
            Some(copied) if copied.plain != *file => {
                findings.push(Finding::new(&file.file, format!("is another file in {COPY_FILE} than in the manifest")));
            }
            Some(_) => {}
        }
    }
    let known = |name: &str| name == SUMS_FILE || opened.sealed.manifest.files.iter().any(|f| f.file == name);
    for copied in list.files.iter().filter(|f| !known(&f.plain.file)) {
        findings.push(Finding::new(&copied.plain.file, format!("stands in {COPY_FILE}, but not in the manifest")));
    }
    findings
}

/// What is missing, of another length, or too much.
fn presence(opened: &OpenedCopy, state: &CopyState) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in opened.list.stored() {
        match state.objects.get(&file.file) {
            None => findings.push(Finding::new(&file.file, "is missing in the store")),
            Some(object) if object.bytes != file.bytes => {
                let problem = format!("has {} bytes in the store instead of {}", object.bytes, file.bytes);
                findings.push(Finding::new(&file.file, problem));
            }
            Some(_) => {}
        }
    }
    if !state.objects.contains_key(SUMS_FILE) && !opened.list.stored().any(|f| f.file == SUMS_FILE) {
        findings.push(Finding::new(SUMS_FILE, "is missing in the store"));
    }
    let ours = [MANIFEST_FILE, COPY_FILE, SUMS_FILE];
    let belongs = |name: &str| {
        ours.contains(&name)
            || (name == MANIFEST_SIGNATURE_FILE && opened.signature.is_some())
            || opened.list.stored().any(|f| f.file == name)
    };
    for name in state.objects.keys().filter(|name| !belongs(name)) {
        findings.push(Finding::new(name, "does not belong to the copy"));
    }
    findings
}
