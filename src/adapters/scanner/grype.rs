//! grype's command line and JSON (<https://oss.anchore.com/docs/reference/grype/>).

use std::path::Path;

use chrono::{DateTime, Utc};
use serde::Deserialize;

use super::{ScanError, json};
use crate::{
    adapters::process::Invocation,
    model::vulnerability::{Rating, Scan, Vulnerability},
};

const NAME: &str = "grype";

#[derive(Deserialize)]
struct Answer {
    matches: Vec<Match>,
    #[serde(default)]
    distro: Option<Distro>,
}

#[derive(Deserialize)]
struct Distro {
    #[serde(default)]
    name: String,
}

#[derive(Deserialize)]
struct Match {
    vulnerability: Found,
    artifact: Artifact,
}

#[derive(Deserialize)]
struct Found {
    id: String,
    #[serde(default)]
    severity: String,
    #[serde(default)]
    fix: Fix,
}

#[derive(Deserialize, Default)]
struct Fix {
    #[serde(default)]
    versions: Option<Vec<String>>,
}

#[derive(Deserialize)]
struct Artifact {
    name: String,
    #[serde(default)]
    version: String,
}

#[derive(Deserialize)]
struct Status {
    built: Option<DateTime<Utc>>,
    #[serde(default)]
    error: Option<String>,
}

pub(super) fn fetch(grype: Invocation) -> Invocation {
    quiet(grype).args(["db", "update"])
}

pub(super) fn status(grype: Invocation) -> Invocation {
    quiet(grype).args(["db", "status", "-o", "json"])
}

pub(super) fn scan(grype: Invocation, image: &str, answer: &Path) -> Invocation {
    // The database was fetched before, once; how old it may be is judged by maint, not twice.
    let grype = quiet(grype).env("GRYPE_DB_AUTO_UPDATE", "false").env("GRYPE_DB_VALIDATE_AGE", "false");
    grype.arg(format!("docker:{image}")).args(["--quiet", "-o", "json", "--file"]).arg(answer)
}

fn quiet(grype: Invocation) -> Invocation {
    grype.env("GRYPE_CHECK_FOR_APP_UPDATE", "false")
}

/// When the database at hand was built.
pub(super) fn built(said: &str) -> Result<Option<DateTime<Utc>>, ScanError> {
    let status: Status = json(NAME, said.as_bytes())?;
    match status.error.filter(|e| !e.is_empty()) {
        Some(problem) => Err(ScanError::Answer { scanner: NAME, problem }),
        None => Ok(status.built),
    }
}

pub(super) fn parse(answer: &[u8]) -> Result<Scan, ScanError> {
    let answer: Answer = json(NAME, answer)?;
    let found: Vec<_> = answer
        .matches
        .into_iter()
        .map(|m| Vulnerability {
            id: m.vulnerability.id,
            package: m.artifact.name,
            installed: m.artifact.version,
            fixed: m.vulnerability.fix.versions.and_then(|versions| versions.into_iter().next()),
            rating: Rating::from_word(&m.vulnerability.severity),
        })
        .collect();
    // It does not list packages: without a match, only a known distribution says that it saw something.
    let understood = !found.is_empty() || answer.distro.is_some_and(|d| !d.name.is_empty());
    Ok(Scan { found, packages: None, understood })
}
