//! What the host's jobs promise, as steps and reports need to know it: who runs when, and which sets should stand.

use std::time::Duration;

use chrono_tz::Tz;

use super::{
    ids::{JobName, SeriesName},
    manifest::Level,
    period::PeriodKind,
    schedule::Schedule,
    severity::Severity,
};

/// One job.
#[derive(Debug, Clone)]
pub struct JobFacts {
    /// Its name.
    pub name: JobName,
    /// When its slots are; `None`: by hand only.
    pub schedule: Option<Schedule>,
    /// The zone of schedule and period.
    pub zone: Tz,
    /// How long a run may take.
    pub timeout: Duration,
    /// How bad a failure is.
    pub severity: Severity,
    /// What a backup job promises.
    pub backup: Option<BackupFacts>,
}

/// What a backup job promises.
#[derive(Debug, Clone)]
pub struct BackupFacts {
    /// The row of sets it adds to.
    pub series: SeriesName,
    /// How long a set's period is.
    pub period: PeriodKind,
    /// How far a set is verified.
    pub verify: Level,
    /// The stores that get a copy of every set.
    pub stores: Vec<String>,
}
