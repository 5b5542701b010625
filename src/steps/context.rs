//! What a step is given, and what it gives back.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

use chrono::{DateTime, Utc};
use tokio_util::sync::CancellationToken;

use crate::model::{
    contents::Codec,
    event::StepEvents,
    finding::{self, Finding},
    ids::{self, JobName, RunId, StepId},
    manifest::Artifact,
    outcome::Outcome,
    roster::JobFacts,
    secret::Secret,
    stack::Stack,
};

/// A step of the same run that stands before the one that is told of it.
#[derive(Debug, Clone)]
pub struct Earlier {
    /// Its id.
    pub step: StepId,
    /// Its kind's name in TOML.
    pub kind: &'static str,
    /// How it ended; `None`: it was left out of this run.
    pub ended: Option<Ended>,
}

/// How a step ended, with or without an error.
#[derive(Debug, Clone)]
pub struct Ended {
    /// How.
    pub outcome: Outcome,
    /// What to do about an error.
    pub hint: Option<String>,
    /// What it did, in one line for people.
    pub summary: String,
    /// What it observed.
    pub findings: Vec<Finding>,
}

/// What a step is given.
#[derive(Debug, Clone)]
pub struct StepContext {
    /// The resolved configuration of the host.
    pub stack: Arc<Stack>,
    /// Every job of the host and what it promises.
    pub jobs: Arc<Vec<JobFacts>>,
    /// The job that the step belongs to.
    pub job: JobName,
    /// The run that the step belongs to.
    pub run: RunId,
    /// When the run started.
    pub started: DateTime<Utc>,
    /// The step's own id.
    pub step: StepId,
    /// The period's label, e.g. `202608`.
    pub period: String,
    /// The job's steps before this one.
    pub earlier: Arc<[Earlier]>,
    /// Where artifacts are written; private to the run.
    pub staging: PathBuf,
    /// A secret of this host, made once: key of derived values that must be stable and not guessable.
    pub host_secret: Secret,
    /// Fires when the run is to end.
    pub cancel: CancellationToken,
    /// The step's voice.
    pub events: StepEvents,
}

impl StepContext {
    /// The stem of a file of this step: `<step>[-<part>]-<period>`, the part percent-encoded.
    pub fn stem(&self, part: Option<&str>) -> String {
        match part {
            Some(part) => format!("{}-{}-{}", self.step, ids::in_file_name(part), self.period),
            None => format!("{}-{}", self.step, self.period),
        }
    }

    /// The name of an artifact: stem, `sql` or `tar`, and the codec's ending.
    pub fn artifact_name(&self, part: Option<&str>, format: &str, codec: Codec) -> String {
        format!("{}.{format}.{}", self.stem(part), codec.extension())
    }
}

/// What a step gives back when it ended without an error.
#[derive(Debug, Clone, PartialEq)]
pub struct StepReport {
    /// How it ended.
    pub outcome: Outcome,
    /// What it did, in one line for people.
    pub summary: String,
    /// What it observed.
    pub findings: Vec<Finding>,
    /// What it captured.
    pub artifacts: Vec<Artifact>,
    /// Programs that took part, with their versions.
    pub tools: BTreeMap<String, String>,
}

impl StepReport {
    /// A report on captured artifacts: `Warning` with the first of their warnings, else `Ok`.
    pub fn captured(summary: String, artifacts: Vec<Artifact>, tools: BTreeMap<String, String>) -> Self {
        let warnings: Vec<&String> = artifacts.iter().flat_map(|a| &a.warnings).collect();
        let outcome = match warnings.as_slice() {
            [] => Outcome::Ok,
            [only] => Outcome::Warning((*only).clone()),
            [first, rest @ ..] => Outcome::Warning(format!("{first} (and {} more)", rest.len())),
        };
        Self { outcome, summary, findings: Vec::new(), artifacts, tools }
    }

    /// A report on what a check observed: as good as its worst finding.
    pub fn found(summary: impl Into<String>, findings: Vec<Finding>) -> Self {
        let outcome = finding::outcome(&findings);
        Self { findings, ..Self::done(outcome, summary) }
    }

    /// A report on work that captured and observed nothing.
    pub fn done(outcome: Outcome, summary: impl Into<String>) -> Self {
        let (findings, artifacts) = (Vec::new(), Vec::new());
        Self { outcome, summary: summary.into(), findings, artifacts, tools: BTreeMap::new() }
    }
}
