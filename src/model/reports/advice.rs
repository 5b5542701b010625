//! What would make the stack better: each with its evidence and the exact command.

use serde::Serialize;

use super::Head;
use crate::model::finding::Finding;

/// The report.
#[derive(Debug, Clone, Serialize)]
pub struct Recommendations {
    /// What every report begins with.
    #[serde(flatten)]
    pub head: Head,
    /// What was looked at, area by area.
    pub areas: Vec<Area>,
}

/// One thing that was looked at.
#[derive(Debug, Clone, Serialize)]
pub struct Area {
    /// What it is called.
    pub title: String,
    /// What was looked at, and by which measure nothing more was found.
    pub looked: String,
    /// What should be done: `seen` is the evidence, `hint` the command.
    pub findings: Vec<Finding>,
}

impl Area {
    /// An area that was looked at.
    pub fn new(title: impl Into<String>, looked: impl Into<String>, findings: Vec<Finding>) -> Self {
        Self { title: title.into(), looked: looked.into(), findings }
    }

    /// An area that could not be looked at.
    pub fn unknown(title: impl Into<String>, why: impl Into<String>) -> Self {
        let title = title.into();
        let finding = Finding::unknown(title.to_lowercase(), why);
        Self { title, looked: String::new(), findings: vec![finding] }
    }
}

impl Recommendations {
    /// What it judges.
    pub fn findings(&self) -> impl Iterator<Item = &Finding> {
        self.areas.iter().flat_map(|area| &area.findings)
    }
}
