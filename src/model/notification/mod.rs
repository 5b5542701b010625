//! What is told, to whom, and when: pure rules, so that a year of failures can be tried in a second.
//!
//! A *happening* is how a run, or an attempt at one, ended. The same failure that goes on is one *incident*. The [`rules`]
//! say what of it is told; a [`Message`] says it in words.

pub mod rules;
mod text;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{failure::Class, notify::Channel, outcome::Outcome, severity::Severity};

/// How something ended, or that it never began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It went well.
    Ok,
    /// It went well, with something to look at.
    Warning,
    /// It failed.
    Failed,
    /// It could not be checked: nobody knows whether all is well.
    Unknown,
    /// A signal or the death of maint ended it.
    Interrupted,
    /// It could not begin.
    NotStarted,
    /// Its time passed without a run.
    Missed,
}

impl State {
    /// The state of an ended run; `None` where there is nothing to tell: it was left out on purpose.
    pub fn of(outcome: &Outcome) -> Option<Self> {
        Some(match outcome {
            Outcome::Ok | Outcome::Changed => Self::Ok,
            Outcome::Warning(_) => Self::Warning,
            Outcome::Unknown(_) => Self::Unknown,
            Outcome::Interrupted => Self::Interrupted,
            Outcome::Failed(_) => Self::Failed,
            Outcome::Skipped(_) => return None,
        })
    }

    /// Whether somebody has to do something. What could not be checked is never taken for well.
    pub fn is_failure(self) -> bool {
        !matches!(self, Self::Ok | Self::Warning)
    }
}

/// How a run, or an attempt at one, ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Happening {
    /// The job, or the systemd unit where it is none.
    pub about: String,
    /// What the job is for.
    pub description: Option<String>,
    /// The runbook's procedure.
    pub runbook: Option<String>,
    /// How bad a failure is.
    pub severity: Severity,
    /// How it ended.
    pub state: State,
    /// The first step that failed.
    pub step: Option<String>,
    /// What kind of failure it was.
    pub class: Option<Class>,
    /// Why.
    pub reason: Option<String>,
    /// The next thing to type or look at.
    pub hint: Option<String>,
    /// The run, where there was one.
    pub run: Option<String>,
    /// Which try at its slot.
    pub attempt: u32,
    /// When it ended.
    pub at: DateTime<Utc>,
    /// Where its logs are.
    pub log: Option<String>,
}

impl Happening {
    /// What makes two failures of a job the same one: the first step that failed, and how.
    pub fn fingerprint(&self) -> String {
        let class = self.class.unwrap_or(Class::Failed);
        match self.state {
            State::Ok | State::Warning => "warning".to_owned(),
            State::Missed => "missed".to_owned(),
            State::NotStarted => format!("not started/{class:?}").to_lowercase(),
            _ => format!("{}/{class:?}", self.step.as_deref().unwrap_or("run")).to_lowercase(),
        }
    }
}

/// That somebody knows and cares.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ack {
    /// Who.
    pub by: String,
    /// When.
    pub at: DateTime<Utc>,
    /// What they said.
    pub note: Option<String>,
}

/// A failure that goes on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Incident {
    /// Its number in the ledger; 0 before it is there.
    pub id: i64,
    /// What makes it the same.
    pub fingerprint: String,
    /// How it was last.
    pub what: Happening,
    /// When it was first.
    pub since: DateTime<Utc>,
    /// How often it was.
    pub times: u32,
    /// The level of escalation that was told of it.
    pub level: u8,
    /// When somebody was last told.
    pub told: DateTime<Utc>,
    /// Who knows.
    pub ack: Option<Ack>,
}

/// Why something is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    /// It failed.
    Failed,
    /// It goes on failing.
    Again,
    /// It is more severe than it was.
    Worse,
    /// Nobody acknowledged it.
    Escalated,
    /// It is well again.
    Recovered,
    /// It went well, with something to look at.
    Warning,
    /// It went well.
    Success,
    /// A heartbeat: a run ended.
    Ended,
    /// Somebody tries the channel.
    Test,
}

impl Why {
    /// As the ledger and the tables show it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::Again => "again",
            Self::Worse => "worse",
            Self::Escalated => "escalated",
            Self::Recovered => "recovered",
            Self::Warning => "warning",
            Self::Success => "success",
            Self::Ended => "ended",
            Self::Test => "test",
        }
    }
}

/// What is told, as every channel gets it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Message {
    /// Why it is told.
    pub why: Why,
    /// The stack.
    pub stack: String,
    /// The host.
    pub host: String,
    /// The zone of the times that people read.
    pub zone: String,
    /// The level of escalation.
    pub level: u8,
    /// The incident's number, where it is about one.
    pub incident: Option<i64>,
    /// How it is now.
    pub what: Happening,
    /// When the failure was first.
    pub since: Option<DateTime<Utc>>,
    /// How often it was.
    pub times: u32,
    /// Who knows.
    pub ack: Option<Ack>,
    /// When the message was made; it may be sent later.
    pub at: DateTime<Utc>,
}

/// Whether a channel hears of something that the rules tell. Whom a recovery reaches is another question: those who heard of
/// the failure.
pub fn reaches(channel: &Channel, telling: &rules::Telling) -> bool {
    use super::notify::Also;
    let what = &telling.incident.what;
    if channel.is_heartbeat() || !channel.hears(&what.about, what.severity) {
        return false;
    }
    match telling.why {
        Why::Failed | Why::Again | Why::Worse => match what.state {
            State::Warning => channel.level == 1 && channel.also.contains(&Also::Warning),
            _ => channel.level <= telling.incident.level,
        },
        Why::Escalated => (telling.level_before + 1..=telling.incident.level).contains(&channel.level),
        Why::Warning => channel.level == 1 && channel.also.contains(&Also::Warning),
        Why::Success => channel.level == 1 && channel.also.contains(&Also::Success),
        Why::Recovered | Why::Ended | Why::Test => false,
    }
}
