//! Prunes a series by its policy: what counts, what stands in the way, what goes, and the going in an order that a crash
//! at any moment leaves well.
//!
//! A set leaves its tombstone first, then loses its manifest, and with it is no set any more; then the rest, and last
//! the checksum list, by which a rerun knows what it is that it finishes.

mod error;
mod local;
mod marks;
mod store;

use chrono::{DateTime, Utc};
use serde::Serialize;

pub use error::RetentionError;
pub use local::{Op, Series, is_unfinished};
pub use marks::{acknowledge, pin, unpin};
pub use store::{StoredSeries, without_copy};

use super::anomaly;
use crate::model::{
    anomaly::Anomaly,
    ids::SeriesName,
    manifest::{Level, Manifest},
    record::{Body, Signed, pinned},
    retention::{Candidate, Decision, Keep, Standing},
};

/// What a pruning of a series in one place decided, before anything is done.
#[derive(Debug, Serialize)]
pub struct Pruning {
    /// The series.
    pub series: SeriesName,
    /// Where: `backups`, or a store's name.
    pub place: String,
    /// The policy, in words.
    pub policy: String,
    /// What becomes of every set, newest first.
    pub decisions: Vec<Decision>,
    /// Sets with anomalies that nobody acknowledged. While there is one, nothing is deleted.
    pub frozen: Vec<Frozen>,
    /// Sets that an earlier pruning began to delete.
    pub unfinished: Vec<String>,
    /// Sets that cannot be relied on, with what is wrong. They are kept, and others are kept in their stead.
    pub damaged: Vec<(String, String)>,
}

/// A set with anomalies that nobody acknowledged.
#[derive(Debug, Clone, Serialize)]
pub struct Frozen {
    /// Its name in the series.
    pub set: String,
    /// What is unusual about it.
    pub anomalies: Vec<Anomaly>,
}

/// What a pruning did.
#[derive(Debug, Default, Serialize)]
pub struct Pruned {
    /// Sets that were deleted, or whose deletion was finished, and how many bytes they had.
    pub removed: Vec<(String, u64)>,
    /// Sets that should go and that somebody reads, or pinned just now.
    pub in_use: Vec<String>,
    /// Sets that should go and that the store keeps until then.
    pub kept_until: Vec<(String, DateTime<Utc>)>,
}

impl Pruning {
    fn of(series: &SeriesName, place: &str, keep: &Keep) -> Self {
        Self {
            series: series.clone(),
            place: place.to_owned(),
            policy: keep.to_string(),
            decisions: Vec::new(),
            frozen: Vec::new(),
            unfinished: Vec::new(),
            damaged: Vec::new(),
        }
    }

    /// Sets that would go.
    pub fn doomed(&self) -> impl Iterator<Item = &Decision> {
        self.decisions.iter().filter(|d| !d.keep)
    }

    /// Why nothing is deleted, in one line with the next step; `None` where nothing stands in the way.
    pub fn freeze(&self) -> Option<String> {
        let first = self.frozen.first()?;
        let what = first.anomalies.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
        let more = match self.frozen.len() {
            1 => String::new(),
            n => format!(" (and {} more)", n - 1),
        };
        let set = format!("{}/{}", self.series, first.set);
        Some(format!(
            "nothing is pruned: {set} is unusual{more}: {what}; look at it, then: maint backups ack {set} --reason '…'"
        ))
    }
}

/// A set as a plan sees it; `records` are those of this very set, oldest first, and `problem` is why it cannot be relied on.
fn candidate(set: &str, manifest: &Manifest, records: &[Signed], problem: Option<String>) -> Candidate {
    let drilled = records.iter().any(|s| s.signature.is_believed() && matches!(s.record.body, Body::Drill(_)));
    let standing = match problem {
        Some(problem) => Standing::CountsNot(problem),
        None if manifest.verification.level < Level::Structure && !drilled => {
            Standing::CountsNot(format!("it was verified to \"{}\" only", manifest.verification.level))
        }
        None => Standing::Counts { at: manifest.run.slot.unwrap_or(manifest.run.started), sealed: manifest.run.sealed },
    };
    Candidate { set: set.to_owned(), standing, pinned: pinned(records).map(str::to_owned), held: None }
}

/// A set with anomalies that stand.
fn frozen(set: &str, manifest: &Manifest, records: &[Signed]) -> Option<Frozen> {
    let anomalies = anomaly::standing(manifest, records);
    (!anomalies.is_empty()).then(|| Frozen { set: set.to_owned(), anomalies })
}
