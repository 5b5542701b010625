//! What a run would do. Pure: no I/O, no clock; its display is the dry run.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use chrono::{DateTime, Utc};

use crate::{
    backup::publish::Completeness,
    config::{BackupPolicy, IfUnverifiable, Job, JobStep, OnFailure},
    model::{
        failure::{Class, Diagnose},
        ids::StepId,
        manifest::Level,
        retention::Keep,
        stack::Stack,
        units::Elapsed,
    },
};

/// What the caller asks for beyond the job.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Choice {
    /// Only these steps.
    pub only: Vec<StepId>,
    /// Not these steps.
    pub skip: Vec<StepId>,
    /// The slot that the run stands for.
    pub slot: Option<DateTime<Utc>>,
}

/// Why there is no plan.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    #[error("the job {job} has no step `{step}`; its steps are {}", known.join(", "))]
    UnknownStep { job: String, step: StepId, known: Vec<String> },
    #[error("--only and --skip leave no step of the job {job}")]
    NothingLeft { job: String },
    #[error("--only and --skip leave the job {job} nothing to capture, so there would be no set")]
    NothingCaptured { job: String },
}

impl Diagnose for PlanError {
    fn class(&self) -> Class {
        Class::Usage
    }
}

/// A job, ready to be carried out.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The job.
    pub job: Job,
    /// The slot that the run stands for.
    pub slot: Option<DateTime<Utc>>,
    /// The period's label: of the slot, or of now.
    pub period: String,
    /// Whether all steps run.
    pub completeness: Completeness,
    /// What each of the job's steps would do, in order.
    pub steps: Vec<PlannedStep>,
    /// Which sets are kept, place by place.
    pub kept: Vec<(String, Keep)>,
    backup_dir: PathBuf,
}

/// A step, and whether it runs.
#[derive(Debug, Clone)]
pub struct PlannedStep {
    /// The step.
    pub step: JobStep,
    /// What it would do, line by line.
    pub lines: Vec<String>,
    /// Whether `--only` or `--skip` leave it out.
    pub left_out: bool,
}

impl Plan {
    /// Plans a job.
    ///
    /// # Errors
    /// When the choice names an unknown step, or leaves nothing to do.
    pub fn of(job: &Job, stack: &Stack, choice: &Choice, now: DateTime<Utc>) -> Result<Self, PlanError> {
        let name = || job.name.to_string();
        for step in choice.only.iter().chain(&choice.skip) {
            if !job.steps.iter().any(|s| s.id == *step) {
                let known = job.steps.iter().map(|s| s.id.to_string()).collect();
                return Err(PlanError::UnknownStep { job: name(), step: step.clone(), known });
            }
        }
        let left_out = |id: &StepId| (!choice.only.is_empty() && !choice.only.contains(id)) || choice.skip.contains(id);
        let steps: Vec<PlannedStep> = job
            .steps
            .iter()
            .map(|s| PlannedStep { lines: s.step.plan(stack), left_out: left_out(&s.id), step: s.clone() })
            .collect();
        if steps.iter().all(|s| s.left_out) {
            return Err(PlanError::NothingLeft { job: name() });
        }
        if job.backup.is_some() && !steps.iter().any(|s| !s.left_out && s.step.step.captures()) {
            return Err(PlanError::NothingCaptured { job: name() });
        }
        let kind = job.backup.as_ref().map_or(crate::model::period::PeriodKind::Instant, |b| b.period);
        let completeness = if steps.iter().any(|s| s.left_out) { Completeness::Partial } else { Completeness::Whole };
        Ok(Self {
            period: kind.label(choice.slot.unwrap_or(now), job.timezone),
            slot: choice.slot,
            completeness,
            steps,
            kept: kept(job, stack),
            backup_dir: stack.backup_dir.clone(),
            job: job.clone(),
        })
    }

    /// Steps that run.
    pub fn chosen(&self) -> impl Iterator<Item = &JobStep> {
        self.steps.iter().filter(|s| !s.left_out).map(|s| &s.step)
    }

    /// Where the set would be, unless that name is taken.
    pub fn place(&self) -> Option<PathBuf> {
        let backup = self.job.backup.as_ref()?;
        Some(self.completeness.series_dir(&self.backup_dir, backup.series.as_str()).join(&self.period))
    }
}

/// The policies of a job's series: in the backup directory and in its stores.
fn kept(job: &Job, stack: &Stack) -> Vec<(String, Keep)> {
    let Some(backup) = &job.backup else { return Vec::new() };
    let stores = backup.stores.iter().filter_map(|name| Some((name.clone(), stack.stores.get(name)?.keep.clone()?)));
    backup.keep.clone().map(|keep| ("backups".to_owned(), keep)).into_iter().chain(stores).collect()
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let job = &self.job;
        writeln!(f, "{}: {}", job.name, job.description)?;
        if let Some(runbook) = &job.runbook {
            writeln!(f, "  runbook   {runbook}")?;
        }
        if let Some(slot) = self.slot {
            writeln!(f, "  slot      {}", slot.with_timezone(&job.timezone).format("%Y-%m-%d %H:%M %Z"))?;
        }
        if !job.locks.is_empty() {
            writeln!(f, "  locks     {} (waits up to {})", job.locks.join(", "), Elapsed(job.lock_wait))?;
        }
        if let Some(server) = &job.across_hosts {
            writeln!(f, "  hosts     one at a time, by a lock on the server {server}")?;
        }
        writeln!(f, "  timeout   {}", Elapsed(job.timeout))?;
        for (number, planned) in self.steps.iter().enumerate() {
            let JobStep { id, step, .. } = &planned.step;
            let left_out = if planned.left_out { " (left out)" } else { "" };
            writeln!(f, "  {}. {id}{left_out}: {}", number + 1, step.summary())?;
            if !planned.left_out {
                for line in &planned.lines {
                    writeln!(f, "     - {line}")?;
                }
                if planned.step.on_failure == OnFailure::Continue {
                    writeln!(f, "     - if it fails, the steps after it are tried all the same")?;
                }
            }
        }
        match (&job.backup, self.place()) {
            (Some(backup), Some(place)) => self.tail(f, backup, &place),
            _ => Ok(()),
        }
    }
}

impl Plan {
    /// What follows the steps.
    fn tail(&self, f: &mut fmt::Formatter<'_>, backup: &BackupPolicy, place: &Path) -> fmt::Result {
        let number = self.steps.len() + 1;
        writeln!(
            f,
            "  {number}. verify what was captured, read back from the disk, to the level \"{}\"",
            backup.verify.min(Level::Structure)
        )?;
        let mut number = number + 1;
        if backup.verify == Level::Drill {
            writeln!(
                f,
                "  {number}. drill: restore it into a throwaway PostgreSQL and scratch directories, and compare"
            )?;
            let otherwise = match backup.if_unverifiable {
                IfUnverifiable::Fail => "nothing is published",
                IfUnverifiable::Keep => "it is published at the level \"structure\"",
            };
            writeln!(f, "     - where it cannot run, {otherwise}, and the run ends with 4")?;
            number += 1;
        }
        writeln!(f, "  {number}. publish it as {} (-2, -3 … if that is taken)", place.display())?;
        if self.completeness == Completeness::Partial {
            writeln!(f, "     a partial set: nothing counts it as a backup, and no store gets it")?;
            return Ok(());
        }
        if !backup.stores.is_empty() {
            number += 1;
            writeln!(f, "  {number}. send it, and earlier sets that have no copy, to {}", backup.stores.join(", "))?;
        }
        if !self.kept.is_empty() {
            writeln!(f, "  {}. prune older sets: the newest and what is pinned stay", number + 1)?;
            for (place, keep) in &self.kept {
                writeln!(f, "     - {place}: keep {keep}")?;
            }
            writeln!(f, "     - nothing goes while a set is unusual and nobody has looked: maint backups ack SET")?;
        }
        Ok(())
    }
}
