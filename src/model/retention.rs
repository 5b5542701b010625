//! Which sets of a series are kept: a pure plan with the reason of every keep and delete.
//!
//! Only sets that were verified count. A rule (`monthly = 12`) looks at the newest 12 months *that have a set* and keeps the
//! newest set of each, so that months without a backup cost nobody an older one. What does not count is never deleted by
//! a plan: what is not understood is not in its power.

use std::{collections::BTreeMap, fmt, time::Duration};

use chrono::{DateTime, Datelike, TimeDelta, Utc};
use chrono_tz::Tz;
use serde::{Serialize, Serializer};

use super::{
    failure::{Class, Diagnose},
    period::PeriodKind,
};

/// A policy: how many sets are kept of which kind. A set that any rule keeps stays.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Keep {
    /// The newest so many sets.
    pub last: u32,
    /// The newest set of each of the newest so many days that have one.
    pub daily: u32,
    /// The same with ISO weeks.
    pub weekly: u32,
    /// The same with months.
    pub monthly: u32,
    /// The same with years.
    pub yearly: u32,
    /// Every set that is younger than the newest by no more than this. Reckoned from the newest set, not from now: when
    /// backups stop, nothing is deleted for it.
    pub within: Option<Duration>,
}

impl Keep {
    /// Whether no rule keeps anything.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    fn rules(&self) -> impl Iterator<Item = (Rule, u32)> {
        let all = [
            (Rule::Last, self.last),
            (Rule::Daily, self.daily),
            (Rule::Weekly, self.weekly),
            (Rule::Monthly, self.monthly),
            (Rule::Yearly, self.yearly),
        ];
        all.into_iter().filter(|(_, n)| *n > 0)
    }
}

impl fmt::Display for Keep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts: Vec<String> = self.rules().map(|(rule, n)| format!("{rule} {n}")).collect();
        parts.extend(self.within.map(|within| format!("within {}", humantime::format_duration(within))));
        f.pad(&parts.join(", "))
    }
}

/// A rule that counts buckets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// Every set is its own bucket.
    Last,
    /// A day in the job's zone.
    Daily,
    /// An ISO week in the job's zone.
    Weekly,
    /// A month in the job's zone.
    Monthly,
    /// A year in the job's zone.
    Yearly,
}

impl Rule {
    /// The bucket that a set falls into.
    fn bucket(self, set: &str, at: DateTime<Utc>, zone: Tz) -> String {
        match self {
            Self::Last => set.to_owned(),
            Self::Daily => PeriodKind::Day.label(at, zone),
            Self::Weekly => PeriodKind::Week.label(at, zone),
            Self::Monthly => PeriodKind::Month.label(at, zone),
            Self::Yearly => format!("{:04}", at.with_timezone(&zone).year()),
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Last => "last",
            Self::Daily => "daily",
            Self::Weekly => "weekly",
            Self::Monthly => "monthly",
            Self::Yearly => "yearly",
        })
    }
}

/// A set that a plan decides on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// Its name in the series, e.g. `202608-2`.
    pub set: String,
    /// Whether it counts.
    pub standing: Standing,
    /// Why somebody pinned it, where somebody did.
    pub pinned: Option<String>,
    /// Why it must not go now whatever the policy says, e.g. because a store has no copy of it yet.
    pub held: Option<String>,
}

/// Whether a set counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// It was verified to `structure` at least, and its files are there.
    Counts {
        /// Its slot, else the start of its run: the time that its buckets are reckoned from.
        at: DateTime<Utc>,
        /// When it was sealed.
        sealed: DateTime<Utc>,
    },
    /// It does not, for this reason; it is kept.
    CountsNot(String),
}

/// What becomes of a set, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Decision {
    /// Its name in the series.
    pub set: String,
    /// Whether it stays.
    pub keep: bool,
    /// Every reason to keep it; of one that goes, why each rule lets it go.
    pub reasons: Vec<Reason>,
}

impl Decision {
    /// The reasons in one line.
    pub fn why(&self) -> String {
        self.reasons.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
    }
}

/// Why a set stays or goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// The newest set that counts stays whatever the policy says.
    Newest,
    /// The newest of one of the rule's buckets.
    InBucket { rule: Rule, number: u32, of: u32, bucket: String },
    /// Young enough.
    Within(Duration),
    /// Pinned, with the reason that was given.
    Pinned(String),
    /// Something else holds it.
    Held(String),
    /// It does not count, and what does not count is not decided on.
    CountsNot(String),
    /// The rule has newer buckets enough.
    Beyond { rule: Rule, of: u32 },
    /// Its bucket has a newer set.
    Behind { rule: Rule, bucket: String, newer: String },
    /// Too old.
    NotWithin(Duration),
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Newest => f.write_str("the newest verified set"),
            Self::InBucket { rule: Rule::Last, number, of, .. } => write!(f, "last {number} of {of}"),
            Self::InBucket { rule, number, of, bucket } => write!(f, "{rule} {number} of {of} ({bucket})"),
            Self::Within(span) => write!(f, "within {} of the newest", humantime::format_duration(*span)),
            Self::Pinned(why) => write!(f, "pinned: {why}"),
            Self::Held(why) => f.write_str(why),
            Self::CountsNot(why) => write!(f, "does not count: {why}"),
            Self::Beyond { rule, of } => write!(f, "beyond {rule} {of}"),
            Self::Behind { rule, bucket, newer } => write!(f, "{rule}: {bucket} has the newer {newer}"),
            Self::NotWithin(span) => write!(f, "not within {} of the newest", humantime::format_duration(*span)),
        }
    }
}

impl Serialize for Reason {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A plan that cannot be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("this host's clock says {now}, but the set {set} was sealed at {sealed}: nothing is deleted by such a clock")]
pub struct ClockBehind {
    /// The set from the future.
    pub set: String,
    /// When it was sealed.
    pub sealed: DateTime<Utc>,
    /// The clock's time.
    pub now: DateTime<Utc>,
}

impl Diagnose for ClockBehind {
    fn class(&self) -> Class {
        Class::Unverifiable
    }

    fn hint(&self) -> Option<String> {
        Some("set the clock right, see: timedatectl; if the set's own time is wrong, move its directory away".into())
    }
}

/// A set that counts.
struct Counted<'a> {
    at: DateTime<Utc>,
    sealed: DateTime<Utc>,
    candidate: &'a Candidate,
    keeps: Vec<Reason>,
    lets_go: Vec<Reason>,
}

/// Decides on every candidate; newest first, and behind them those that do not count.
///
/// # Errors
/// When a set was sealed after `now`: a clock that was set back could make anything look old or new.
pub fn plan(keep: &Keep, zone: Tz, now: DateTime<Utc>, candidates: &[Candidate]) -> Result<Vec<Decision>, ClockBehind> {
    let mut counted = Vec::new();
    let mut others = Vec::new();
    for candidate in candidates {
        match &candidate.standing {
            Standing::Counts { at, sealed } => {
                counted.push(Counted { at: *at, sealed: *sealed, candidate, keeps: Vec::new(), lets_go: Vec::new() })
            }
            Standing::CountsNot(why) => others.push(Decision {
                set: candidate.set.clone(),
                keep: true,
                reasons: vec![Reason::CountsNot(why.clone())],
            }),
        }
    }
    if let Some(late) = counted.iter().filter(|c| c.sealed > now).max_by_key(|c| c.sealed) {
        return Err(ClockBehind { set: late.candidate.set.clone(), sealed: late.sealed, now });
    }
    counted.sort_by(|a, b| (b.at, b.sealed, &b.candidate.set).cmp(&(a.at, a.sealed, &a.candidate.set)));
    judge(keep, zone, &mut counted);
    others.sort_by(|a, b| b.set.cmp(&a.set));
    Ok(counted.into_iter().map(decision).chain(others).collect())
}

/// Every rule's word on every set; `counted` is newest first.
fn judge(keep: &Keep, zone: Tz, counted: &mut [Counted<'_>]) {
    for (rule, of) in keep.rules() {
        // By name and not by neighbourhood: in some zones a day comes back after its midnight.
        let mut buckets: BTreeMap<String, String> = BTreeMap::new();
        for set in counted.iter_mut() {
            let bucket = rule.bucket(&set.candidate.set, set.at, zone);
            let number = u32::try_from(buckets.len()).unwrap_or(u32::MAX).saturating_add(1);
            if let Some(newer) = buckets.get(&bucket) {
                set.lets_go.push(Reason::Behind { rule, bucket, newer: newer.clone() });
                continue;
            }
            buckets.insert(bucket.clone(), set.candidate.set.clone());
            if number <= of {
                set.keeps.push(Reason::InBucket { rule, number, of, bucket });
            } else {
                set.lets_go.push(Reason::Beyond { rule, of });
            }
        }
    }
    let Some(newest) = counted.first().map(|c| c.at) else { return };
    if let Some(within) = keep.within {
        // A span beyond what a calendar holds keeps everything.
        let oldest = TimeDelta::from_std(within).ok().and_then(|span| newest.checked_sub_signed(span));
        for set in counted.iter_mut() {
            if oldest.is_none_or(|oldest| set.at >= oldest) {
                set.keeps.push(Reason::Within(within));
            } else {
                set.lets_go.push(Reason::NotWithin(within));
            }
        }
    }
    // The newest in time, and the one that was made last: for a slot of the past that may be another one.
    let last_sealed = counted.iter().enumerate().max_by_key(|(_, c)| c.sealed).map_or(0, |(i, _)| i);
    for index in [Some(0), (last_sealed != 0).then_some(last_sealed)].into_iter().flatten() {
        if let Some(set) = counted.get_mut(index) {
            set.keeps.insert(0, Reason::Newest);
        }
    }
}

fn decision(set: Counted<'_>) -> Decision {
    let mut keeps = set.keeps;
    keeps.extend(set.candidate.pinned.clone().map(Reason::Pinned));
    let name = set.candidate.set.clone();
    if keeps.is_empty() {
        // What is held back for another reason is told only where it is all that keeps the set.
        keeps.extend(set.candidate.held.clone().map(Reason::Held));
    }
    match keeps.is_empty() {
        true => Decision { set: name, keep: false, reasons: set.lets_go },
        false => Decision { set: name, keep: true, reasons: keeps },
    }
}
