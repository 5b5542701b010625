//! What the monthly reports say: plain data, which the page shows and JSON carries whole.

pub mod advice;
pub mod capacity;
pub mod performance;
pub mod seasons;
pub mod security;
pub mod statistics;

use std::path::PathBuf;

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::finding::{Band, Finding};

/// Where reports go, and what they look at.
#[derive(Debug, Clone, Default)]
pub struct ReportSettings {
    /// Where they are written: `<dir>/<series>/<period>.html` and `.json`.
    pub dir: PathBuf,
    /// What a forecast looks at.
    pub capacity: capacity::CapacitySettings,
}

/// What every report begins with.
#[derive(Debug, Clone, Serialize)]
pub struct Head {
    /// What it is called.
    pub title: String,
    /// The stack.
    pub stack: String,
    /// The host that made it.
    pub host: String,
    /// The version of maint that made it.
    pub maint: String,
    /// The period's label, which is also the file's name.
    pub period: String,
    /// The first instant that was looked at.
    pub from: DateTime<Utc>,
    /// The end of what was looked at.
    pub to: DateTime<Utc>,
    /// The zone in which its days are read.
    pub timezone: String,
    /// When it was made.
    pub made: DateTime<Utc>,
}

/// A report of any kind.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "report", rename_all = "snake_case")]
pub enum Report {
    /// How the stack did.
    Performance(performance::Performance),
    /// When something runs full.
    Capacity(capacity::Capacity),
    /// What would make it better.
    Recommendations(advice::Recommendations),
    /// How safe it is.
    Security(security::Security),
}

impl Report {
    /// What it begins with.
    pub fn head(&self) -> &Head {
        match self {
            Self::Performance(report) => &report.head,
            Self::Capacity(report) => &report.head,
            Self::Recommendations(report) => &report.head,
            Self::Security(report) => &report.head,
        }
    }

    /// Everything that it judges.
    pub fn findings(&self) -> Vec<&Finding> {
        match self {
            Self::Performance(report) => report.findings().collect(),
            Self::Capacity(report) => report.findings().collect(),
            Self::Recommendations(report) => report.findings().collect(),
            Self::Security(report) => report.findings().collect(),
        }
    }

    /// How it ends: the worst of it. Nothing to recommend is good; nothing to look at is not known.
    pub fn verdict(&self) -> Band {
        let of_nothing = if matches!(self, Self::Recommendations(_)) { Band::Good } else { Band::Unknown };
        self.worst().unwrap_or(of_nothing)
    }

    /// The worst of it; `None`: there was nothing to judge.
    pub fn worst(&self) -> Option<Band> {
        self.findings().iter().map(|f| f.band).max()
    }
}
