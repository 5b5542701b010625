//! trivy's command line and JSON (<https://trivy.dev/latest/docs/configuration/reporting/#json>).

use std::path::Path;

use chrono::{DateTime, Utc};
use serde::Deserialize;

use super::{ScanError, json};
use crate::{
    adapters::process::Invocation,
    model::vulnerability::{Rating, Scan, Vulnerability},
};

const NAME: &str = "trivy";

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    schema_version: u32,
    #[serde(default)]
    metadata: Metadata,
    #[serde(default)]
    results: Option<Vec<Target>>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase")]
struct Metadata {
    #[serde(rename = "OS")]
    os: Option<serde_json::Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Target {
    #[serde(default)]
    packages: Option<Vec<serde_json::Value>>,
    #[serde(default)]
    vulnerabilities: Option<Vec<Found>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Found {
    #[serde(rename = "VulnerabilityID")]
    id: String,
    pkg_name: String,
    #[serde(default)]
    installed_version: String,
    #[serde(default)]
    fixed_version: String,
    #[serde(default)]
    severity: String,
}

#[derive(Deserialize)]
struct Version {
    #[serde(rename = "VulnerabilityDB")]
    database: Option<DatabaseVersion>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DatabaseVersion {
    updated_at: DateTime<Utc>,
}

pub(super) fn fetch(trivy: Invocation) -> Invocation {
    trivy.args(["image", "--download-db-only", "--no-progress"])
}

pub(super) fn status(trivy: Invocation) -> Invocation {
    trivy.args(["version", "--format", "json"])
}

pub(super) fn scan(trivy: Invocation, image: &str, answer: &Path) -> Invocation {
    // The database was fetched before, once; exit code 0 whatever it finds, so that another one means that it failed.
    let flags = ["image", "--image-src", "docker", "--scanners", "vuln", "--list-all-pkgs", "--skip-db-update"];
    trivy.args(flags).args(["--no-progress", "--exit-code", "0", "--format", "json", "--output"]).arg(answer).arg(image)
}

/// When the database at hand was built.
pub(super) fn built(said: &str) -> Result<Option<DateTime<Utc>>, ScanError> {
    let version: Version = json(NAME, said.as_bytes())?;
    Ok(version.database.map(|d| d.updated_at))
}

pub(super) fn parse(answer: &[u8]) -> Result<Scan, ScanError> {
    let answer: Answer = json(NAME, answer)?;
    if answer.schema_version != 2 {
        let problem = format!("schema version {}, expected 2", answer.schema_version);
        return Err(ScanError::Answer { scanner: NAME, problem });
    }
    let targets = answer.results.unwrap_or_default();
    let packages = targets.iter().map(|t| t.packages.as_ref().map_or(0, Vec::len)).sum();
    let found = targets.into_iter().flat_map(|t| t.vulnerabilities.unwrap_or_default());
    let found: Vec<_> = found
        .map(|f| Vulnerability {
            id: f.id,
            package: f.pkg_name,
            installed: f.installed_version,
            fixed: Some(f.fixed_version).filter(|v| !v.is_empty()),
            rating: Rating::from_word(&f.severity),
        })
        .collect();
    let understood = packages > 0 || !found.is_empty() || answer.metadata.os.is_some();
    Ok(Scan { found, packages: (packages > 0).then_some(packages), understood })
}
