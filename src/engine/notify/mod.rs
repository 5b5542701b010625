//! Tells people: what is told is decided and recorded in one transaction of the ledger, and sent from there. So that
//! whoever dies in between loses nothing: the next [`tick`] decides about every run that ended, and sends what is left.

mod beat;
mod decide;
mod send;

pub(super) use beat::Beats;
pub use decide::{UnitFailure, unit_ended};
pub(super) use send::directly;

use chrono::{DateTime, Utc};

use crate::{
    adapters::{
        clock, host,
        ledger::{DeliveryState, Ledger, LedgerError},
        lock::LockError,
    },
    config::{Config, Job},
    model::{
        failure::{Class, Diagnose, chain},
        notification::{Ack, Happening, Incident, Message, State, Why},
        stack::Stack,
    },
};

/// Why it could not be decided or recorded what is told. That a channel does not take a message is none of these.
#[derive(Debug, thiserror::Error)]
pub enum TellError {
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    #[error(transparent)]
    Lock(#[from] LockError),
    #[error("there is no channel `{0}`")]
    NoSuchChannel(String),
}

impl Diagnose for TellError {
    fn class(&self) -> Class {
        match self {
            Self::Ledger(e) => e.class(),
            Self::Lock(e) => e.class(),
            Self::NoSuchChannel(_) => Class::Usage,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Ledger(e) => e.hint(),
            Self::Lock(e) => e.hint(),
            Self::NoSuchChannel(_) => Some("maint.toml has them as [notify.NAME]".into()),
        }
    }
}

/// What became of one message to one channel.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Told {
    /// The channel.
    pub channel: String,
    /// The job or unit.
    pub about: String,
    /// Why it was told.
    pub why: String,
    /// How far it came.
    pub state: DeliveryState,
    /// Why it was not taken.
    pub error: Option<String>,
    /// What to do about that.
    pub hint: Option<String>,
    /// When it is tried again.
    pub next_try: Option<DateTime<Utc>>,
}

/// Which messages are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Haste {
    /// Those whose time has come.
    Due,
    /// All that wait.
    All,
}

/// Decides about runs that ended and slots that passed without one, lets climb what nobody acknowledged, and sends what is due. Cheap where there is nothing:
/// at the end of every run, every minute in the daemon, from a timer.
///
/// # Errors
/// When the ledger cannot be used.
pub async fn tick(config: &Config, haste: Haste) -> Result<Vec<Told>, TellError> {
    let now = clock::now();
    {
        let ledger = Ledger::open(&config.stack.state_dir)?;
        decide::everything(config, &ledger, now)?;
        decide::climb(&config.stack, &ledger, now)?;
    }
    send::due(&config.stack, now, haste).await
}

/// systemd says that a unit failed. Gives what was told; `None` where maint had told of it itself.
///
/// # Errors
/// When what waits cannot be looked at.
pub async fn unit_failed(config: &Config, failure: &UnitFailure) -> Result<Option<Vec<Told>>, TellError> {
    match unit_ended(config, &failure.unit, Some(failure)) {
        Ok(new) => {
            let told = tick(config, Haste::Due).await?;
            Ok(new.then_some(told))
        }
        Err(error) => {
            tracing::warn!("what is told cannot be recorded, and may be told again: {}", chain(&error));
            Ok(Some(directly(&config.stack, &failure.happening(config, clock::now())).await))
        }
    }
}

/// A run could not begin.
///
/// # Errors
/// When the ledger cannot be used.
pub(super) fn not_started(config: &Config, what: &Happening) -> Result<(), TellError> {
    record(&config.stack, what)
}

/// Somebody knows of a failure: it does not climb any more. Gives what was acknowledged.
///
/// # Errors
/// When the ledger cannot be used.
pub fn acknowledge(stack: &Stack, about: &str, until: DateTime<Utc>, ack: &Ack) -> Result<Vec<Incident>, TellError> {
    let ledger = Ledger::open(&stack.state_dir)?;
    let mut known = ledger.incidents(Some(about))?;
    known.retain(|incident| incident.since <= until && incident.what.state.is_failure());
    let mut done = Vec::new();
    for incident in known {
        if ledger.acknowledge(incident.id, ack)? {
            done.push(Incident { ack: Some(ack.clone()), ..incident });
        }
    }
    Ok(done)
}

/// Tries a channel: sends a test, and gives what became of it.
///
/// # Errors
/// When there is no such channel, or the ledger cannot be used.
pub async fn test(config: &Config, channel: &str) -> Result<Told, TellError> {
    let unknown = || TellError::NoSuchChannel(channel.to_owned());
    let channel = config.stack.notify.channels.get(channel).ok_or_else(unknown)?;
    let now = clock::now();
    let heard = config.jobs.values().find(|job| channel.hears(job.name.as_str(), job.severity));
    let what = match heard {
        Some(job) => blank(job, now),
        None => Happening { about: "test".into(), severity: channel.min_severity, ..nameless(now) },
    };
    let what = Happening { severity: channel.min_severity, ..what };
    let message = message(&config.stack, Why::Test, &what, now);
    send::test(&config.stack, channel, &message).await
}

/// Decides about something that has no run of its own, and records what is told of it.
fn record(stack: &Stack, what: &Happening) -> Result<(), TellError> {
    let (ledger, now) = (Ledger::open(&stack.state_dir)?, clock::now());
    Ok(ledger.as_one(|| decide::tell(stack, &ledger, what, now))?)
}

/// A happening of a job of which nothing is known yet.
pub(super) fn blank(job: &Job, at: DateTime<Utc>) -> Happening {
    Happening {
        about: job.name.to_string(),
        description: Some(job.description.clone()),
        runbook: job.runbook.clone(),
        severity: job.severity,
        ..nameless(at)
    }
}

fn nameless(at: DateTime<Utc>) -> Happening {
    Happening {
        about: String::new(),
        description: None,
        runbook: None,
        severity: crate::model::severity::Severity::default(),
        state: State::Ok,
        step: None,
        class: None,
        reason: None,
        hint: None,
        run: None,
        attempt: 1,
        at,
        log: None,
    }
}

/// A message that is about no incident.
fn message(stack: &Stack, why: Why, what: &Happening, at: DateTime<Utc>) -> Message {
    Message {
        why,
        stack: stack.name.clone(),
        host: host::name(),
        zone: stack.timezone.name().to_owned(),
        level: 1,
        incident: None,
        what: what.clone(),
        since: None,
        times: 1,
        ack: None,
        at,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_daemon_can_tick_in_a_task() {
        fn can_move<T: Send>(_: T) {}
        let _compiles = |config: &Config| can_move(tick(config, Haste::Due));
    }
}
