//! How safe the stack is: what the steps of a run found, under the names of what they look at.

use serde::Serialize;

use super::Head;
use crate::model::finding::{Band, Finding};

/// The report.
#[derive(Debug, Clone, Serialize)]
pub struct Security {
    /// What every report begins with.
    #[serde(flatten)]
    pub head: Head,
    /// Step by step, in the order in which they ran.
    pub parts: Vec<Part>,
}

/// What a step looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Subject {
    /// Images and their registries.
    Images,
    /// Known vulnerabilities of what runs.
    Vulnerabilities,
    /// Certificates, as files and as they are served.
    Certificates,
    /// Whether certificates could be renewed.
    Renewal,
    /// Something else.
    Other,
}

impl Subject {
    /// What a kind of step, by its name in TOML, looks at.
    pub fn of(kind: &str) -> Self {
        match kind {
            "image_pull" => Self::Images,
            "image_scan" => Self::Vulnerabilities,
            "certificate" => Self::Certificates,
            "cert_renew" => Self::Renewal,
            _ => Self::Other,
        }
    }
}

/// One step.
#[derive(Debug, Clone, Serialize)]
pub struct Part {
    /// Its id.
    pub step: String,
    /// What it looked at.
    pub subject: Subject,
    /// What it did, in one line.
    pub summary: String,
    /// What it found. Never empty: that it found nothing to look at is a finding too.
    pub findings: Vec<Finding>,
}

impl Part {
    /// The worst of it.
    pub fn worst(&self) -> Band {
        self.findings.iter().map(|finding| finding.band).max().unwrap_or(Band::Unknown)
    }
}

impl Security {
    /// What it judges.
    pub fn findings(&self) -> impl Iterator<Item = &Finding> {
        self.parts.iter().flat_map(|part| &part.findings)
    }
}
