//! A published set: every file against manifest and SHA256SUMS, every finding named.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use serde::Serialize;
use tokio_util::sync::CancellationToken;

use super::{
    super::{drill::DrillError, seal},
    VerifyError, all,
    artifact::compare,
};
use crate::{
    adapters::{clock, files},
    model::{
        drill::Drill,
        event::StepEvents,
        failure::{Class, Diagnose, chain},
        manifest::{
            Evidence, FileDigest, Level, MANIFEST_FILE, MANIFEST_FORMAT, MANIFEST_VERSION, Manifest, SUMS_FILE,
        },
    },
    stream::{StreamError, decode, hash::Sha},
};

/// A manifest is small even with a million files; a larger one is not ours.
const MAX_MANIFEST_BYTES: u64 = 64 << 20;

/// What a verification of a set found.
#[derive(Debug, Serialize)]
pub struct SetReport {
    /// The set's manifest.
    pub manifest: Manifest,
    /// The level that was asked for.
    pub level: Level,
    /// What was compared and is as it should be.
    pub checked: Vec<Checked>,
    /// What is not.
    pub findings: Vec<Finding>,
    /// What a drill showed, where one was asked for and found nothing wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drill: Option<Drill>,
    /// How long it took.
    pub millis: u64,
}

/// A file that is as it should be.
#[derive(Debug, Serialize)]
pub struct Checked {
    /// The file.
    pub file: String,
    /// Its length.
    pub bytes: u64,
    /// What was compared, in words.
    pub checks: Vec<String>,
}

/// A file that is not as it should be, or could not be checked.
#[derive(Debug, Serialize)]
pub struct Finding {
    /// The file.
    pub file: String,
    /// What is wrong.
    pub problem: String,
    /// It could not be read: nothing is known about it, which is not the same as being wrong.
    pub unknown: bool,
    /// The next step, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

impl Finding {
    fn new(file: &str, problem: impl Into<String>) -> Self {
        Self { file: file.to_owned(), problem: problem.into(), unknown: false, hint: None }
    }
}

impl SetReport {
    /// Adds what came out of a drill.
    ///
    /// # Errors
    /// When it was stopped.
    pub fn add_drill(&mut self, drilled: Result<Drill, DrillError>) -> Result<(), DrillError> {
        match drilled {
            Ok(drill) => {
                self.millis += drill.millis;
                self.drill = Some(drill);
            }
            Err(DrillError::Differs(differences)) => {
                let found = differences.into_iter().map(|d| Finding::new(&d.file, d.problem));
                self.findings.extend(found);
            }
            Err(error) if error.class() == Class::Interrupted => return Err(error),
            Err(error) => self.findings.push(Finding {
                file: "drill".into(),
                problem: chain(&error),
                unknown: error.class() != Class::Verification,
                hint: error.hint(),
            }),
        }
        Ok(())
    }

    /// What was compared, artifact by artifact.
    pub fn evidence(&self) -> Vec<Evidence> {
        let of_artifacts = self
            .checked
            .iter()
            .filter(|c| self.manifest.artifacts.iter().any(|artifact| artifact.packed.file == c.file));
        of_artifacts.map(|c| Evidence { file: c.file.clone(), checks: c.checks.clone() }).collect()
    }

    /// `Verification` where something is wrong, else `Unverifiable` where something could not be read.
    pub fn class(&self) -> Option<Class> {
        if self.findings.iter().any(|f| !f.unknown) {
            return Some(Class::Verification);
        }
        (!self.findings.is_empty()).then_some(Class::Unverifiable)
    }
}

/// Reads a set's manifest.
///
/// # Errors
/// When it cannot be read, is not a manifest, or is of a newer version.
pub fn read_manifest(dir: &Path) -> Result<Manifest, VerifyError> {
    parse(dir, &read_manifest_text(dir)?)
}

fn read_manifest_text(dir: &Path) -> Result<Vec<u8>, VerifyError> {
    let path = dir.join(MANIFEST_FILE);
    if !path.exists() {
        return Err(VerifyError::NotASet { path: dir.to_owned(), problem: format!("{MANIFEST_FILE} is missing") });
    }
    Ok(files::read_limited(&path, MAX_MANIFEST_BYTES)?)
}

fn parse(dir: &Path, text: &[u8]) -> Result<Manifest, VerifyError> {
    #[derive(serde::Deserialize)]
    struct Head {
        format: String,
        version: u32,
    }
    let path = dir.join(MANIFEST_FILE);
    let refuse = |problem: String| VerifyError::NotASet { path: path.clone(), problem };
    let head: Head = serde_json::from_slice(text).map_err(|e| refuse(format!("is not a manifest: {e}")))?;
    if head.format != MANIFEST_FORMAT {
        return Err(refuse(format!("its format is `{}`, not `{MANIFEST_FORMAT}`", head.format)));
    }
    if head.version > MANIFEST_VERSION {
        return Err(VerifyError::Newer { path, version: head.version, readable: MANIFEST_VERSION });
    }
    let manifest: Manifest = serde_json::from_slice(text).map_err(|e| refuse(format!("is damaged: {e}")))?;
    let owned = manifest.artifacts.iter().flat_map(|a| [&a.packed, &a.contents].into_iter().chain(&a.companions));
    if let Some(odd) = manifest.files.iter().chain(owned).find(|f| !is_plain_name(&f.file)) {
        return Err(refuse(format!("names a file outside the set: `{}`", odd.file)));
    }
    Ok(manifest)
}

fn is_plain_name(name: &str) -> bool {
    !name.is_empty() && !name.starts_with('.') && !name.contains(['/', '\0', '\n', '\\'])
}

/// Verifies a published set; every difference becomes a finding. Blocking.
///
/// # Errors
/// When there is no manifest to compare with, or on cancellation.
pub fn set(
    dir: &Path,
    level: Level,
    cancel: &CancellationToken,
    events: &StepEvents,
) -> Result<SetReport, VerifyError> {
    let begun = clock::monotonic();
    let text = read_manifest_text(dir)?;
    let manifest = parse(dir, &text)?;
    let mut findings = Vec::new();
    let mut expected: BTreeMap<&str, &FileDigest> = manifest.files.iter().map(|f| (f.file.as_str(), f)).collect();
    let own = FileDigest { file: MANIFEST_FILE.into(), bytes: text.len() as u64, sha256: Sha::of(&text) };
    expected.insert(MANIFEST_FILE, &own);
    sums(dir, &expected, &seal::sums(&manifest, &own), &mut findings);
    let present = presence(dir, &expected, &mut findings)?;

    let mut checked = Vec::new();
    let mut done: BTreeSet<&str> = BTreeSet::from([MANIFEST_FILE]);
    checked.push(Checked { file: own.file.clone(), bytes: own.bytes, checks: vec!["stands in SHA256SUMS".into()] });
    let whole: Vec<_> =
        manifest.artifacts.iter().filter(|a| is_consistent(a, &expected, &present, &mut findings)).cloned().collect();
    for (artifact, result) in whole.iter().zip(all(dir, &whole, level, cancel, events)) {
        match result {
            Ok(evidence) => {
                checked.push(Checked { file: evidence.file, bytes: artifact.packed.bytes, checks: evidence.checks });
                for file in [&artifact.contents].into_iter().chain(&artifact.companions) {
                    checked.push(Checked {
                        file: file.file.clone(),
                        bytes: file.bytes,
                        checks: vec!["SHA-256".into()],
                    });
                }
            }
            Err(error) => note(error, &artifact.packed.file, &mut findings)?,
        }
    }
    // Contents lists and companions were compared with their artifact.
    for artifact in &manifest.artifacts {
        if whole.iter().any(|a| a.packed.file == artifact.packed.file) {
            done.insert(&artifact.packed.file);
            done.insert(&artifact.contents.file);
            done.extend(artifact.companions.iter().map(|c| c.file.as_str()));
        }
    }
    for file in expected.values().filter(|f| present.contains(&f.file) && !done.contains(f.file.as_str())) {
        let path = dir.join(&file.file);
        match decode::digest(&path).and_then(|found| compare(&path, file, &found)) {
            Ok(()) => {
                checked.push(Checked { file: file.file.clone(), bytes: file.bytes, checks: vec!["SHA-256".into()] })
            }
            Err(error) => note(error, &file.file, &mut findings)?,
        }
    }
    let millis = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
    Ok(SetReport { manifest, level, checked, findings, drill: None, millis })
}

/// Turns an error about one file into a finding; a cancellation stays an error.
fn note(error: StreamError, file: &str, findings: &mut Vec<Finding>) -> Result<(), VerifyError> {
    let error = VerifyError::from(error);
    match &error {
        VerifyError::Stream(StreamError::Cancelled) => return Err(error),
        VerifyError::Stream(StreamError::Damaged { path, problem }) => {
            let named = path.file_name().map_or(file.into(), |n| n.to_string_lossy());
            findings.push(Finding::new(&named, problem));
        }
        other => {
            findings.push(Finding { file: file.to_owned(), problem: chain(other), unknown: true, hint: other.hint() })
        }
    }
    Ok(())
}

/// An artifact whose manifest entries agree and whose files are there can be looked into.
fn is_consistent(
    artifact: &crate::model::manifest::Artifact,
    expected: &BTreeMap<&str, &FileDigest>,
    present: &BTreeSet<String>,
    findings: &mut Vec<Finding>,
) -> bool {
    let mut whole = true;
    for file in [&artifact.packed, &artifact.contents].into_iter().chain(&artifact.companions) {
        match expected.get(file.file.as_str()) {
            Some(listed) if *listed == file => {}
            _ => {
                findings.push(Finding::new(MANIFEST_FILE, format!("says two different things about {}", file.file)));
                whole = false;
            }
        }
        whole &= present.contains(&file.file);
    }
    whole
}

/// Which expected files are there as regular files; missing, odd and extra ones are findings.
fn presence(
    dir: &Path,
    expected: &BTreeMap<&str, &FileDigest>,
    findings: &mut Vec<Finding>,
) -> Result<BTreeSet<String>, VerifyError> {
    let mut present = BTreeSet::new();
    for name in files::list(dir)? {
        let name = name.to_string_lossy().into_owned();
        if !files::is_regular(&dir.join(&name))? {
            findings.push(Finding::new(&name, "is not a regular file"));
        } else if expected.contains_key(name.as_str()) {
            present.insert(name);
        } else if name != SUMS_FILE {
            findings.push(Finding::new(&name, "does not belong to the set"));
        }
    }
    for name in expected.keys().filter(|name| !present.contains(**name)) {
        if !findings.iter().any(|f| f.file == **name) {
            findings.push(Finding::new(name, "is missing"));
        }
    }
    Ok(present)
}

/// SHA256SUMS must say exactly what the manifest says.
fn sums(dir: &Path, expected: &BTreeMap<&str, &FileDigest>, as_written: &str, findings: &mut Vec<Finding>) {
    let text = match files::read_limited(&dir.join(SUMS_FILE), MAX_MANIFEST_BYTES) {
        Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            findings.push(Finding::new(SUMS_FILE, "is missing"));
            return;
        }
        Err(e) => {
            findings.push(Finding { file: SUMS_FILE.into(), problem: chain(&e), unknown: true, hint: None });
            return;
        }
    };
    if text == as_written {
        return;
    }
    let before = findings.len();
    let mut listed = BTreeMap::new();
    for line in text.lines() {
        match line.split_once("  ") {
            Some((sha256, name)) => {
                listed.insert(name, sha256);
            }
            None => findings.push(Finding::new(SUMS_FILE, "has a line that sha256sum cannot read")),
        }
    }
    for (name, file) in expected {
        match listed.remove(name) {
            None => findings.push(Finding::new(SUMS_FILE, format!("does not list {name}"))),
            Some(sha256) if sha256 != file.sha256 && *name == MANIFEST_FILE => {
                findings.push(Finding::new(MANIFEST_FILE, "is not the one that SHA256SUMS lists"));
            }
            Some(sha256) if sha256 != file.sha256 => {
                findings.push(Finding::new(SUMS_FILE, format!("has another digest of {name} than the manifest")));
            }
            Some(_) => {}
        }
    }
    for name in listed.keys() {
        findings.push(Finding::new(SUMS_FILE, format!("lists {name}, which the manifest does not know")));
    }
    if findings.len() == before {
        findings.push(Finding::new(SUMS_FILE, "is not as it was written, though its digests are"));
    }
}
