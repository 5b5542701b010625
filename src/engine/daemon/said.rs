//! What the daemon says: a line for the journal each.

use std::{fmt, path::PathBuf, sync::Arc, time::Duration};

use chrono::{DateTime, Utc};

use crate::model::{
    due::{Missed, instant},
    event::{Event, EventSink},
    ids::{JobName, RunId},
    outcome::Outcome,
    units::{Elapsed, count},
};

/// Where the daemon's lines go.
pub type Voice = Arc<dyn Fn(&Said) + Send + Sync>;

/// One line.
#[derive(Debug)]
pub enum Said {
    /// It is on duty.
    Ready { config: PathBuf, jobs: usize, max_running: usize },
    /// The configuration was read anew.
    Reloaded { config: PathBuf, jobs: usize },
    /// It was not: the old one stays.
    NotReloaded(String),
    /// Something valid that is worth a look.
    Warning(String),
    /// What a dead run left is put right.
    PutRight(String),
    /// The wall clock jumped; slots are looked at anew.
    ClockMoved { from: DateTime<Utc>, to: DateTime<Utc> },
    /// A run began.
    Started { job: JobName, slot: DateTime<Utc>, run: RunId, attempt: u32 },
    /// A run ended.
    Ended { job: JobName, run: RunId, outcome: Outcome, took: Duration, hint: Option<String> },
    /// A slot needs no run of ours.
    Skipped { job: JobName, slot: DateTime<Utc>, why: String },
    /// A slot has no run.
    Missed { job: JobName, missed: Missed },
    /// A run could not begin, or a look at the ledger failed.
    Trouble { job: JobName, what: String },
    /// A channel took a message, or did not.
    Told { channel: String, about: String, why: String, accepted: bool, error: Option<String> },
    /// What is to be told could not be looked at.
    Untold(String),
    /// No new run begins; those at work may go on for so long.
    Draining { running: usize, drain: Duration },
    /// Those at work are stopped.
    Cancelling { running: usize },
    /// It ends.
    Stopped { cancelled: usize },
}

impl fmt::Display for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ready { config, jobs, max_running } => {
                write!(f, "ready: {}, at most {max_running} at once; {}", on_duty(*jobs), config.display())
            }
            Self::Reloaded { config, jobs } => write!(f, "reloaded {}: {}", config.display(), on_duty(*jobs)),
            Self::NotReloaded(why) => write!(f, "NOT reloaded, the old configuration stays:\n{why}"),
            Self::Warning(text) => write!(f, "warning: {text}"),
            Self::PutRight(text) => f.write_str(text),
            Self::ClockMoved { from, to } => {
                write!(f, "the clock went from {} to {}: slots are looked at anew", instant(*from), instant(*to))
            }
            Self::Started { job, slot, run, attempt } => {
                write!(f, "{job}: started for the slot {}, run {run}, attempt {attempt}", instant(*slot))
            }
            Self::Ended { job, run, outcome, took, hint } => {
                write!(f, "{job}: {outcome} after {}, run {run}", Elapsed(*took))?;
                hint.as_ref().map_or(Ok(()), |hint| write!(f, "; hint: {hint}"))
            }
            Self::Skipped { job, slot, why } => write!(f, "{job}: slot {} skipped: {why}", instant(*slot)),
            Self::Missed { job, missed } => {
                write!(f, "{job}: slot {} missed, {}: {}", instant(missed.slot), missed.why, missed.detail)
            }
            Self::Trouble { job, what } => write!(f, "{job}: {what}"),
            Self::Told { channel, about, why, accepted: true, .. } => write!(f, "told {channel}: {about}, {why}"),
            Self::Told { channel, about, why, error, .. } => {
                let error = error.as_deref().unwrap_or("nobody knows why");
                write!(f, "NOT told {channel} ({about}, {why}): {error}")
            }
            Self::Untold(what) => write!(f, "nobody could be told: {what}"),
            Self::Draining { running, drain } => write!(
                f,
                "stopping: {} may go on for up to {}; a second signal cancels",
                count(*running as u64, "run"),
                Elapsed(*drain)
            ),
            Self::Cancelling { running } => write!(f, "cancelling {}", count(*running as u64, "run")),
            Self::Stopped { cancelled: 0 } => f.write_str("stopped"),
            Self::Stopped { cancelled } => write!(f, "stopped; {} interrupted", count(*cancelled as u64, "run")),
        }
    }
}

fn on_duty(jobs: usize) -> String {
    format!("{} on duty", count(jobs as u64, "job"))
}

/// A run's events as lines: its beginning and its end.
pub(super) fn sink(voice: &Voice, job: &JobName, slot: DateTime<Utc>) -> EventSink {
    let (voice, job) = (voice.clone(), job.clone());
    EventSink::new(move |event| match event {
        Event::RunStarted { run, attempt, .. } => voice(&Said::Started { job: job.clone(), slot, run, attempt }),
        Event::RunFinished { run, outcome, millis, hint } => {
            voice(&Said::Ended { job: job.clone(), run, outcome, took: Duration::from_millis(millis), hint });
        }
        // Heartbeats are no news while they are heard.
        Event::Told { why, accepted: true, .. } if why == "ended" => {}
        Event::Told { channel, about, why, accepted, error } => {
            voice(&Said::Told { channel, about, why, accepted, error });
        }
        _ => {}
    })
}
