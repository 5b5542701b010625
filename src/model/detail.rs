//! What a finding is about, field by field: for the tables of a report and for machines. Its words say the same to people.

use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserialize, Serialize};

use super::vulnerability::Vulnerability;

/// The fields of a finding.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "about", rename_all = "snake_case")]
pub enum Detail {
    /// An image that its registry was asked for.
    Image {
        /// What its name stood for: the registry's digest, or the id of one that no registry has.
        before: Option<String>,
        /// What it stands for now.
        now: Option<String>,
        /// Containers that still run another one.
        behind: Vec<String>,
    },
    /// Vulnerabilities of an image that can be fixed.
    Vulnerabilities {
        /// Whether the scan before did not have them.
        new: bool,
        /// Which.
        found: Vec<Vulnerability>,
    },
    /// What somebody decided to live with.
    Decision {
        /// The last day on which it counts.
        until: NaiveDate,
        /// Why.
        reason: String,
    },
    /// Until when a certificate is valid.
    Certificate {
        /// The first instant.
        from: DateTime<Utc>,
        /// The last one.
        until: DateTime<Utc>,
        /// The share of its life that is left; below zero: it is over.
        left: f64,
    },
}
