//! Who is told what goes wrong, resolved from `[notify.NAME]` and `[escalation]`.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use globset::{Glob, GlobMatcher};

use super::{secret::SecretSource, severity::Severity};

/// How long a request to a channel may take, unless it says otherwise.
pub const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// Where a heartbeat's URL has the job.
pub const JOB_MARK: &str = "{job}";

/// Everybody who is told, and when.
#[derive(Debug, Clone, Default)]
pub struct Notify {
    /// By name.
    pub channels: BTreeMap<String, Channel>,
    /// What becomes of a failure that nobody acknowledges.
    pub escalation: Escalation,
}

/// What becomes of a failure that nobody acknowledges; the runbook's matrix ("Issue Escalation Flow").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Escalation {
    /// When level 2 is told, from the first failure.
    pub level2_after: Duration,
    /// When level 3 is told, from the first failure.
    pub level3_after: Duration,
    /// How often the same failure is told again.
    pub repeat_after: Duration,
}

impl Default for Escalation {
    fn default() -> Self {
        Self {
            level2_after: Duration::from_secs(30 * 60),
            level3_after: Duration::from_secs(2 * 3600),
            repeat_after: Duration::from_secs(24 * 3600),
        }
    }
}

impl Escalation {
    /// The level that a failure reaches at an age.
    pub fn level(&self, age: chrono::TimeDelta) -> u8 {
        match age.to_std().unwrap_or_default() {
            age if age >= self.level3_after => 3,
            age if age >= self.level2_after => 2,
            _ => 1,
        }
    }
}

/// One way to tell somebody.
#[derive(Debug, Clone)]
pub struct Channel {
    /// Its name in `maint.toml`.
    pub name: String,
    /// How.
    pub kind: ChannelKind,
    /// It hears of jobs that are at least this severe.
    pub min_severity: Severity,
    /// The jobs that it hears of; empty: all.
    pub jobs: Vec<JobPattern>,
    /// The level of escalation at which it is told: 1 at once.
    pub level: u8,
    /// What it hears of besides failures and recoveries.
    pub also: Vec<Also>,
    /// How long one request may take.
    pub within: Duration,
}

/// What a channel may hear of besides failures and recoveries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Also {
    /// Runs that went well, with something to look at.
    Warning,
    /// Runs that went well.
    Success,
}

/// How a channel is reached.
#[derive(Debug, Clone)]
pub enum ChannelKind {
    /// An incoming webhook of Slack (or of what speaks the same: Mattermost, Rocket.Chat).
    Slack {
        /// Whoever knows it can write there.
        url: SecretSource,
        /// For a server of one's own.
        ca_file: Option<PathBuf>,
    },
    /// A POST of JSON.
    Webhook {
        /// Where to.
        url: SecretSource,
        /// A header of its own: name and value.
        header: Option<(String, SecretSource)>,
        /// What signs the body (HMAC-SHA256).
        hmac: Option<SecretSource>,
        /// The authority of the server's certificate.
        ca_file: Option<PathBuf>,
    },
    /// E-mail.
    Email(Box<Email>),
    /// A dead man's switch: told of every start and end; it raises the alarm when it hears nothing.
    Heartbeat {
        /// `{job}` in it is the job.
        url: SecretSource,
        /// What stands for `{job}` where that is not the job's name.
        slugs: BTreeMap<String, String>,
        /// The authority of the server's certificate.
        ca_file: Option<PathBuf>,
    },
}

impl ChannelKind {
    /// As `type` has it.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Slack { .. } => "slack",
            Self::Webhook { .. } => "webhook",
            Self::Email(_) => "email",
            Self::Heartbeat { .. } => "heartbeat",
        }
    }

    /// The secrets that it needs, each with what it is called.
    pub fn secrets(&self) -> Vec<(&SecretSource, &'static str)> {
        match self {
            Self::Slack { url, .. } | Self::Heartbeat { url, .. } => vec![(url, "url")],
            Self::Webhook { url, header, hmac, .. } => {
                let mut secrets = vec![(url, "url")];
                secrets.extend(header.as_ref().map(|(_, value)| (value, "header")));
                secrets.extend(hmac.as_ref().map(|key| (key, "key")));
                secrets
            }
            Self::Email(mail) => mail.login.iter().map(|(_, password)| (password, "password")).collect(),
        }
    }
}

/// How e-mail is sent.
#[derive(Debug, Clone)]
pub struct Email {
    /// The mail server.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// How the connection is encrypted.
    pub tls: MailTls,
    /// The authority of the server's certificate; `None`: the host's own.
    pub ca_file: Option<PathBuf>,
    /// User and password, where the server asks for them.
    pub login: Option<(String, SecretSource)>,
    /// The sender.
    pub from: String,
    /// The recipients.
    pub to: Vec<String>,
}

/// How the connection to a mail server is encrypted. Certificates are always checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MailTls {
    /// After a greeting in plain text; nothing is sent where the server does not offer it.
    #[default]
    Starttls,
    /// From the first byte.
    Implicit,
    /// Not at all: for a mail server on this host.
    None,
}

impl MailTls {
    /// The port that goes with it.
    pub fn port(self) -> u16 {
        match self {
            Self::Starttls => 587,
            Self::Implicit => 465,
            Self::None => 25,
        }
    }
}

/// A job by name or glob pattern.
#[derive(Debug, Clone)]
pub struct JobPattern {
    text: String,
    glob: GlobMatcher,
}

impl JobPattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// When it is none.
    pub fn parse(text: &str) -> Result<Self, String> {
        let glob = Glob::new(text).map_err(|e| e.kind().to_string())?;
        Ok(Self { text: text.to_owned(), glob: glob.compile_matcher() })
    }

    /// Whether it names this job.
    pub fn names(&self, job: &str) -> bool {
        self.glob.is_match(job)
    }

    /// As it was written.
    pub fn text(&self) -> &str {
        &self.text
    }
}

impl Channel {
    /// Whether it hears of a job at all.
    pub fn hears(&self, job: &str, severity: Severity) -> bool {
        let severe = severity <= self.min_severity;
        severe && (self.jobs.is_empty() || self.jobs.iter().any(|pattern| pattern.names(job)))
    }

    /// Whether it is a dead man's switch.
    pub fn is_heartbeat(&self) -> bool {
        matches!(self.kind, ChannelKind::Heartbeat { .. })
    }
}
