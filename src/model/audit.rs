//! What an audit looked at and found: the report behind its text, its JSON and its page.

use std::fmt;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{
    coverage::CoverageLine,
    failure::Class,
    ids::{JobName, SeriesName},
    manifest::{HostFacts, Level},
    period::PeriodKind,
    slots::SlotLine,
};

/// What `format` of a report says.
pub const AUDIT_FORMAT: &str = "maint-audit";
/// The format's version.
pub const AUDIT_VERSION: u32 = 1;

/// How bad a finding is. What could not be checked may hide anything, so that only proof of damage is worse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Worth knowing; nothing is wrong.
    Note,
    /// A gap, or a rule of the configuration that is not kept (exit 1).
    Policy,
    /// Could not be checked (exit 4).
    Unchecked,
    /// Content differs from what was captured, was tampered with, or is missing (exit 3).
    Tampered,
}

impl Severity {
    /// Worst first.
    pub const ALL: [Self; 4] = [Self::Tampered, Self::Unchecked, Self::Policy, Self::Note];

    /// How an audit with such a finding exits; `None`: as if it had none.
    pub fn class(self) -> Option<Class> {
        match self {
            Self::Note => None,
            Self::Policy => Some(Class::Failed),
            Self::Unchecked => Some(Class::Unverifiable),
            Self::Tampered => Some(Class::Verification),
        }
    }

    /// In words, for people.
    pub fn word(self) -> &'static str {
        match self {
            Self::Note => "to know",
            Self::Policy => "gap or policy",
            Self::Unchecked => "not checked",
            Self::Tampered => "tampered or missing",
        }
    }
}

/// What a finding is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Area {
    /// Bytes against digests.
    Content,
    /// Manifests against each other.
    Chain,
    /// Who signed what.
    Signature,
    /// What was learned of sets later.
    Records,
    /// Slots against sets.
    Schedule,
    /// Levels reached and drills' age.
    Drill,
    /// What is kept and what is not.
    Retention,
    /// Sets in stores.
    Copies,
    /// What no backup job names.
    Coverage,
}

impl Area {
    /// In one word, for people.
    pub fn word(self) -> &'static str {
        match self {
            Self::Content => "content",
            Self::Chain => "chain",
            Self::Signature => "signature",
            Self::Records => "records",
            Self::Schedule => "schedule",
            Self::Drill => "drill",
            Self::Retention => "retention",
            Self::Copies => "copies",
            Self::Coverage => "coverage",
        }
    }
}

/// One thing that an auditor should know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// What it is about.
    pub area: Area,
    /// What has it, e.g. `monthly/202608`, `monthly/202608 in offsite`, `database production/app`.
    pub subject: String,
    /// The set that it is about, as `series/name`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub set: Option<String>,
    /// What is wrong.
    pub problem: String,
    /// What to do about it.
    pub remedy: String,
}

impl Finding {
    /// A finding about something that is no set.
    pub fn new(severity: Severity, area: Area, subject: impl Into<String>, problem: impl Into<String>) -> Self {
        let (subject, problem) = (subject.into(), problem.into());
        Self { severity, area, subject, set: None, problem, remedy: String::new() }
    }

    /// A finding about a set, named `series/name`.
    pub fn of_set(severity: Severity, area: Area, set: &str, problem: impl Into<String>) -> Self {
        Self { set: Some(set.to_owned()), ..Self::new(severity, area, set, problem) }
    }

    /// Adds what to do about it.
    #[must_use]
    pub fn remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = remedy.into();
        self
    }

    /// Says that it is about a set's copy.
    #[must_use]
    pub fn in_store(mut self, store: &str) -> Self {
        self.subject = format!("{} in {store}", self.subject);
        self
    }
}

/// Everything that an audit looked at and found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Always `maint-audit`.
    pub format: String,
    /// The format's version.
    pub version: u32,
    /// The stack.
    pub stack: String,
    /// Where it was made, by which maint.
    pub host: HostFacts,
    /// The zone in which times are shown.
    pub timezone: String,
    /// When it began.
    pub begun: DateTime<Utc>,
    /// When it ended.
    pub finished: DateTime<Utc>,
    /// How far it looked.
    pub scope: Scope,
    /// The rows of sets.
    pub series: Vec<SeriesPart>,
    /// What exists on the host, and what backs it up.
    pub coverage: Vec<CoverageLine>,
    /// What is to be known, worst first.
    pub findings: Vec<Finding>,
}

/// How far an audit looked: without it, "nothing found" says nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scope {
    /// Where the sets are.
    pub backup_dir: String,
    /// The seed that chose the sample.
    pub seed: u64,
    /// How many sets were to be sampled in each place.
    pub sample: u32,
    /// What was sampled, as `series/name` or `series/name in store`.
    pub sampled: Vec<String>,
    /// Bytes that were read and compared on this host.
    pub bytes_read: u64,
    /// Bytes that were fetched back from stores.
    pub bytes_fetched: u64,
    /// The stores that were asked.
    pub stores: Vec<String>,
    /// The file with the keys that may sign; `None`: signatures say nothing.
    pub trust: Option<String>,
    /// What was left out on purpose, in words.
    pub left_out: Vec<String>,
}

/// A row of sets.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SeriesPart {
    /// Its name.
    pub series: SeriesName,
    /// The job that owns it; `None`: none of this configuration.
    pub job: Option<JobName>,
    /// When its slots are, in words.
    pub schedule: Option<String>,
    /// How long a set's period is; `None`: nobody says.
    pub period: Option<PeriodKind>,
    /// The level that the job asks for.
    pub asks: Option<Level>,
    /// Its sets, oldest first.
    pub sets: Vec<SetPart>,
    /// Its slots, oldest first.
    pub slots: Vec<SlotLine>,
    /// Sets that were pruned, which tombstones tell of, oldest first.
    pub pruned: Vec<PrunedPart>,
    /// The newest manifest of the chain: keep it off this host, and give it to the next audit.
    pub head: Option<Head>,
}

/// The end of a series' chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// The set.
    pub set: String,
    /// SHA-256 of its manifest.
    pub manifest_sha256: String,
}

/// A set that was removed on purpose.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PrunedPart {
    /// Its name in the series.
    pub set: String,
    /// Its period.
    pub period: String,
    /// The slot that it stood for.
    pub slot: Option<DateTime<Utc>>,
    /// When its run started.
    pub started: DateTime<Utc>,
    /// When it was sealed.
    pub sealed: DateTime<Utc>,
    /// The level to which it was verified before it was published.
    pub level: Level,
    /// Why, in the words of whoever decided.
    pub reason: String,
}

/// A set as an audit saw it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SetPart {
    /// `series/name`.
    pub set: String,
    /// Its period, by its name.
    pub period: String,
    /// SHA-256 of its manifest, where that can be read.
    pub manifest_sha256: Option<String>,
    /// What its manifest says; `None`: it has none that can be read.
    pub facts: Option<SetFacts>,
    /// How far this audit read it; `None`: not at all.
    pub read: Option<Level>,
    /// Who signed it, in words.
    pub signature: Mark,
    /// The worst that was found about it.
    pub worst: Option<Severity>,
    /// The stores that its records say it was copied to.
    #[serde(skip)]
    pub copied_to: Vec<String>,
    /// What stores have of it.
    pub copies: Vec<CopyPart>,
}

/// What a manifest and its records say.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SetFacts {
    /// The slot that it stands for.
    pub slot: Option<DateTime<Utc>>,
    /// When its run started.
    pub started: DateTime<Utc>,
    /// When it was sealed.
    pub sealed: DateTime<Utc>,
    /// How long capturing and verifying it took, in milliseconds.
    pub millis: u64,
    /// All its files together.
    pub bytes: u64,
    /// Rows in its dumps.
    pub rows: Option<u64>,
    /// The level that it reached, in its run or later.
    pub level: Level,
    /// Its newest drill.
    pub drilled: Option<DateTime<Utc>>,
    /// How long restoring took in that drill, in milliseconds.
    pub recovery_millis: Option<u64>,
    /// Why it was published below the level that its job asked for.
    pub shortfall: Option<String>,
    /// Why somebody pinned it.
    pub pinned: Option<String>,
}

impl SetPart {
    /// Its name in its series.
    pub fn name(&self) -> &str {
        self.set.rsplit('/').next().unwrap_or_default()
    }
}

/// What one store has of a set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CopyPart {
    /// The store.
    pub store: String,
    /// What was found.
    pub mark: Mark,
}

/// A thing that was looked at, in a word or two.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", content = "text", rename_all = "snake_case")]
pub enum Mark {
    /// As it should be.
    Good(String),
    /// Not looked at, or there is nothing to look at.
    Open(String),
    /// Could not be looked at.
    Unknown(String),
    /// Not as it should be.
    Bad(String),
}

impl Mark {
    /// The words.
    pub fn text(&self) -> &str {
        match self {
            Self::Good(text) | Self::Open(text) | Self::Unknown(text) | Self::Bad(text) => text,
        }
    }
}

impl Report {
    /// The worst finding.
    pub fn worst(&self) -> Option<Severity> {
        self.findings.iter().map(|f| f.severity).max()
    }

    /// How many findings have this severity.
    pub fn number(&self, severity: Severity) -> u64 {
        self.findings.iter().filter(|f| f.severity == severity).count() as u64
    }

    /// Every set of every series.
    pub fn sets(&self) -> impl Iterator<Item = &SetPart> {
        self.series.iter().flat_map(|s| &s.sets)
    }

    /// Puts findings in order, worst first, and tells each set the worst of its own.
    pub fn arrange(&mut self) {
        let key = |f: &Finding| (std::cmp::Reverse(f.severity), f.area, f.subject.clone());
        self.findings.sort_by_key(key);
        self.findings.dedup();
        for set in self.series.iter_mut().flat_map(|s| &mut s.sets) {
            let of_it = self.findings.iter().filter(|f| f.set.as_ref() == Some(&set.set));
            set.worst = of_it.map(|f| f.severity).max().filter(|s| *s > Severity::Note);
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damage_is_worse_than_doubt_and_doubt_worse_than_a_gap() {
        let worst = |severities: &[Severity]| severities.iter().max().and_then(|s| s.class());
        use Severity::{Note, Policy, Tampered, Unchecked};
        assert_eq!(worst(&[Policy, Tampered, Unchecked]), Some(Class::Verification));
        assert_eq!(worst(&[Policy, Unchecked, Note]), Some(Class::Unverifiable));
        assert_eq!(worst(&[Policy, Note]), Some(Class::Failed));
        assert_eq!(worst(&[Note]), None);
    }
}
