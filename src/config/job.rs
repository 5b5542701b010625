//! A job, resolved: what the engine runs.

use std::time::Duration;

use crate::{
    model::{
        due::CatchUp,
        ids::{JobName, SeriesName, StepId},
        manifest::Level,
        period::PeriodKind,
        retention::Keep,
        schedule::Schedule,
        severity::Severity,
    },
    steps::Step,
};

/// One file of `jobs/`.
#[derive(Debug, Clone)]
pub struct Job {
    /// The file's stem.
    pub name: JobName,
    /// What it is for, in one line.
    pub description: String,
    /// The runbook's procedure that it carries out.
    pub runbook: Option<String>,
    /// When its slots are; `None`: by hand only.
    pub schedule: Option<Schedule>,
    /// The zone of schedule and period.
    pub timezone: chrono_tz::Tz,
    /// How long the whole run may take.
    pub timeout: Duration,
    /// What happens when it is already running.
    pub overlap: Overlap,
    /// Locks across jobs, in the order in which they are taken.
    pub locks: Vec<String>,
    /// How long to wait for each lock.
    pub lock_wait: Duration,
    /// The server by which no two hosts run it at once, or for the same slot; `None`: there is one host.
    pub across_hosts: Option<String>,
    /// What makes it a backup job.
    pub backup: Option<BackupPolicy>,
    /// How the steps follow each other.
    pub mode: Mode,
    /// How bad a failure is.
    pub severity: Severity,
    /// What becomes of slots that passed without a run.
    pub catch_up: CatchUp,
    /// Up to how much later than its slot it starts, by host and job always the same.
    pub jitter: Duration,
    /// Its steps, in order.
    pub steps: Vec<JobStep>,
}

/// How a job's steps follow each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// One after the other; the first that fails ends the run, but for its `on_failure`.
    #[default]
    Sequence,
    /// All at once, and all to their end: for checks.
    Checklist,
}

/// What becomes of the steps after one that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnFailure {
    /// They are not begun.
    #[default]
    Stop,
    /// They are tried all the same; the job ends as its worst step did.
    Continue,
}

/// What happens when a job is started while it runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Overlap {
    /// The second run ends at once with exit code 5.
    #[default]
    Skip,
    /// The second run waits for up to `lock_wait`.
    Queue,
}

/// What becomes of the artifacts of a backup job.
#[derive(Debug, Clone)]
pub struct BackupPolicy {
    /// The row of sets it adds to.
    pub series: SeriesName,
    /// How long a set's period is.
    pub period: PeriodKind,
    /// How far a set is verified before it is published.
    pub verify: Level,
    /// What becomes of a set whose drill could not run.
    pub if_unverifiable: IfUnverifiable,
    /// The stores that get a copy of every set, by name.
    pub stores: Vec<String>,
    /// Which sets are kept in the backup directory; `None`: all.
    pub keep: Option<Keep>,
}

/// What becomes of a set whose drill could not run. One whose drill found a difference is never published.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum IfUnverifiable {
    /// Nothing is published, and the run ends with exit code 4.
    #[default]
    Fail,
    /// It is published and listed at the level that it reached, `structure`; the run ends with exit code 4 all the same.
    Keep,
}

/// One step of a job.
#[derive(Debug, Clone)]
pub struct JobStep {
    /// Its id, unique in the job.
    pub id: StepId,
    /// How long one attempt may take; `None`: as long as the job.
    pub timeout: Option<Duration>,
    /// How often a retryable failure is tried again.
    pub retries: u32,
    /// What becomes of the steps after it when it fails.
    pub on_failure: OnFailure,
    /// What it does.
    pub step: Step,
}
