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
    manifest::{MAX_MANIFEST_BYTES, SealedManifest, open, read_signature},
};
use crate::{
    adapters::{clock, files, signature::Trust},
    model::{
        drill::Drill,
        event::StepEvents,
        failure::{Class, Diagnose, chain},
        manifest::{Evidence, FileDigest, Level, MANIFEST_FILE, MANIFEST_SIGNATURE_FILE, Manifest, SUMS_FILE},
        signature::Signature,
    },
    stream::{StreamError, decode, hash::Sha},
};

/// What a verification of a set found.
#[derive(Debug, Serialize)]
pub struct SetReport {
    /// The set's manifest.
    pub manifest: Manifest,
    /// SHA-256 of its bytes.
    pub manifest_sha256: String,
    /// Who signed it.
    pub signature: Signature,
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
#[derive(Debug, Clone, Serialize)]
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
    /// Something wrong with a file.
    pub(in crate::backup) fn new(file: &str, problem: impl Into<String>) -> Self {
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

/// Verifies a published set; every difference becomes a finding. With a trust anchor, so does a signature that is not by
/// one of its keys. Blocking.
///
/// # Errors
/// When there is no manifest to compare with, or on cancellation.
pub fn set(
    dir: &Path,
    level: Level,
    trust: Option<&Trust>,
    cancel: &CancellationToken,
    events: &StepEvents,
) -> Result<SetReport, VerifyError> {
    let begun = clock::monotonic();
    let sealed = open(dir)?;
    let mut findings = Vec::new();
    let (own, signature) = signed(dir, &sealed, trust, &mut findings);
    let manifest = sealed.manifest;
    let mut expected: BTreeMap<&str, &FileDigest> = manifest.files.iter().map(|f| (f.file.as_str(), f)).collect();
    expected.extend(own.iter().map(|f| (f.file.as_str(), f)));
    sums(dir, &expected, &seal::sums(&manifest, &own), &mut findings);
    let present = presence(dir, &expected, &mut findings)?;

    let mut checked = own_checked(&own, &signature);
    let mut done: BTreeSet<&str> = own.iter().map(|f| f.file.as_str()).collect();
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
    Ok(SetReport { manifest, manifest_sha256: sealed.sha256, signature, level, checked, findings, drill: None, millis })
}

/// The manifest and, where it has one, its signature; with who made that. What is wrong with it is a finding.
fn signed(
    dir: &Path,
    sealed: &SealedManifest,
    trust: Option<&Trust>,
    findings: &mut Vec<Finding>,
) -> (Vec<FileDigest>, Signature) {
    let digest = |file: &str, bytes: u64, sha256: String| FileDigest { file: file.to_owned(), bytes, sha256 };
    let mut own = vec![digest(MANIFEST_FILE, sealed.text.len() as u64, sealed.sha256.clone())];
    let signature = match read_signature(dir) {
        Ok(bytes) => {
            let signature = sealed.signature(bytes.as_deref(), trust);
            let file = bytes.map(|b| digest(MANIFEST_SIGNATURE_FILE, b.len() as u64, Sha::of(&b)));
            own.extend(file);
            signature
        }
        Err(error) => {
            let (file, problem) = (MANIFEST_SIGNATURE_FILE.to_owned(), chain(&error));
            findings.push(Finding { file, problem: problem.clone(), unknown: true, hint: error.hint() });
            return (own, Signature::Unreadable { problem });
        }
    };
    let hint = match &signature {
        Signature::Missing => {
            "it was made before [sign] was configured, or somebody took the signature away: maint audit \
                               tells whether a later, signed set of its series vouches for it"
        }
        Signature::Untrusted { .. } => "find out whose key that is before you add it to the trust anchor",
        _ => "compare the set with another copy",
    };
    let finding = |problem| Finding { hint: Some(hint.to_owned()), ..Finding::new(MANIFEST_FILE, problem) };
    findings.extend(signature.problem().map(finding));
    (own, signature)
}

/// What is known of the manifest and its signature once they are as SHA256SUMS says.
fn own_checked(own: &[FileDigest], signature: &Signature) -> Vec<Checked> {
    let checks = |file: &FileDigest| {
        let mut checks = vec!["stands in SHA256SUMS".to_owned()];
        if let (Signature::Good { .. }, MANIFEST_SIGNATURE_FILE) = (signature, file.file.as_str()) {
            checks.insert(0, signature.to_string());
        }
        checks
    };
    own.iter().map(|f| Checked { file: f.file.clone(), bytes: f.bytes, checks: checks(f) }).collect()
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
        if *name == MANIFEST_SIGNATURE_FILE {
            findings.push(Finding::new(name, "is missing"));
            continue;
        }
        findings.push(Finding::new(SUMS_FILE, format!("lists {name}, which the manifest does not know")));
    }
    if findings.len() == before {
        findings.push(Finding::new(SUMS_FILE, "is not as it was written, though its digests are"));
    }
}
