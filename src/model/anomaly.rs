//! What is unusual about a fresh set beside the last ones of its series: size, rows, tables, duration.
//!
//! An anomaly does not make a backup bad. It stops the deleting of older sets until somebody has looked, for a set that
//! shrank may be the one that pushes out the last good one. So a missed anomaly is worse than a needless one, but not
//! by much: who is asked every month stops to look.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    manifest::{Artifact, Manifest, Source},
    units::{ByteSize, Elapsed, count},
};

/// With how many of the last sets a fresh one is compared.
pub const BASELINE: usize = 5;
/// Growth and duration are judged only with so many sets to compare with: a young series grows by leaps.
const SEASONED: usize = 3;
/// Less than the smallest over this, or more than the largest times this, is unusual.
const FACTOR: u64 = 2;
/// Smaller differences are not worth a question: bytes, rows, entries.
const LEAST_BYTES: u64 = 1_000_000;
const LEAST_ROWS: u64 = 100;
const LEAST_ENTRIES: u64 = 20;
/// Longer than the longest times this, and by ten minutes at least, is unusual.
const SLOWER: u64 = 3;
const LEAST_MILLIS: u64 = 600_000;
/// So many names are told.
const NAMED: usize = 5;

/// Something unusual about a set, as its manifest tells it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Anomaly {
    /// What kind it is.
    pub kind: AnomalyKind,
    /// What it is about: a step's artifact, e.g. `db` or `db/app`, or `run`.
    pub subject: String,
    /// What is unusual, in words, with what was usual.
    pub problem: String,
}

impl std::fmt::Display for Anomaly {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.subject, self.problem)
    }
}

/// What is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AnomalyKind {
    /// An artifact that the last set had is not in this one.
    Artifact,
    /// Plain bytes.
    Size,
    /// Rows.
    Rows,
    /// Files and directories.
    Entries,
    /// Tables that are gone or emptied.
    Tables,
    /// How long the run took.
    Duration,
    /// Nothing could be compared.
    NotCompared,
}

/// A set's measures.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Profile {
    /// Its artifacts by step and source.
    pub artifacts: BTreeMap<String, Measures>,
    /// How long steps and verification took; `None`: not known.
    pub millis: Option<u64>,
}

/// An artifact's measures.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Measures {
    /// Plain bytes: compression is not what is compared.
    pub bytes: u64,
    /// Rows.
    pub rows: Option<u64>,
    /// Entries of a tree.
    pub entries: Option<u64>,
    /// Rows by table, where the contents list was read.
    pub tables: Option<BTreeMap<String, u64>>,
}

impl Profile {
    /// What a manifest alone tells: everything but the single tables.
    pub fn of(manifest: &Manifest) -> Self {
        let millis = Some(manifest.run.millis).filter(|millis| *millis > 0);
        Self { artifacts: measures(&manifest.artifacts), millis }
    }
}

/// Artifacts by a name that stays from set to set.
pub fn measures(artifacts: &[Artifact]) -> BTreeMap<String, Measures> {
    let of =
        |a: &Artifact| Measures { bytes: a.plain_bytes, rows: a.counts.rows, entries: a.counts.entries, tables: None };
    artifacts.iter().map(|a| (subject(a), of(a))).collect()
}

/// An artifact's name that stays from set to set: its file's name has the period in it.
pub fn subject(artifact: &Artifact) -> String {
    match &artifact.source {
        Source::PostgresDatabase(facts) => format!("{}/{}", artifact.step, facts.database),
        _ => artifact.step.to_string(),
    }
}

/// Compares a fresh set with the last ones, newest first.
pub fn unusual(fresh: &Profile, baseline: &[Profile]) -> Vec<Anomaly> {
    let mut found = Vec::new();
    let Some(last) = baseline.first() else { return found };
    for subject in last.artifacts.keys().filter(|subject| !fresh.artifacts.contains_key(*subject)) {
        found.push(anomaly(AnomalyKind::Artifact, subject, "is missing; the last set had it".into()));
    }
    for (subject, measures) in &fresh.artifacts {
        let before: Vec<&Measures> = baseline.iter().filter_map(|p| p.artifacts.get(subject)).collect();
        let bytes: Vec<u64> = before.iter().map(|m| m.bytes).collect();
        found.extend(
            band(measures.bytes, &bytes, LEAST_BYTES, |n| ByteSize(n).to_string())
                .map(|problem| anomaly(AnomalyKind::Size, subject, problem)),
        );
        let rows: Vec<u64> = before.iter().filter_map(|m| m.rows).collect();
        found.extend(
            measures
                .rows
                .and_then(|now| band(now, &rows, LEAST_ROWS, |n| count(n, "row")))
                .map(|problem| anomaly(AnomalyKind::Rows, subject, problem)),
        );
        let entries: Vec<u64> = before.iter().filter_map(|m| m.entries).collect();
        found.extend(
            measures
                .entries
                .and_then(|now| band(now, &entries, LEAST_ENTRIES, |n| count(n, "entry")))
                .map(|problem| anomaly(AnomalyKind::Entries, subject, problem)),
        );
        found.extend(tables(subject, measures, &before));
    }
    found.extend(duration(fresh, baseline));
    found
}

fn anomaly(kind: AnomalyKind, subject: &str, problem: String) -> Anomaly {
    Anomaly { kind, subject: subject.to_owned(), problem }
}

/// What is outside of what was usual.
fn band(now: u64, before: &[u64], least: u64, show: impl Fn(u64) -> String) -> Option<String> {
    let (low, high) = (*before.iter().min()?, *before.iter().max()?);
    let all_gone = now == 0 && low > 0;
    let shrunk = now < low.div_ceil(FACTOR) && low - now >= least;
    let grown = before.len() >= SEASONED && now > high.saturating_mul(FACTOR) && now - high >= least;
    if !all_gone && !shrunk && !grown {
        return None;
    }
    let usual = if low == high { show(low) } else { format!("{} to {}", show(low), show(high)) };
    Some(match before.len() {
        1 => format!("{}, where the last set had {usual}", show(now)),
        n => format!("{}, where the last {n} sets had {usual}", show(now)),
    })
}

/// Tables that the last set had and this one has not, and tables that always had rows and now have none.
fn tables(subject: &str, fresh: &Measures, before: &[&Measures]) -> Vec<Anomaly> {
    let before: Vec<&BTreeMap<String, u64>> = before.iter().filter_map(|m| m.tables.as_ref()).collect();
    let (Some(now), Some(last)) = (&fresh.tables, before.first()) else { return Vec::new() };
    let gone: Vec<&str> = last.keys().filter(|t| !now.contains_key(*t)).map(String::as_str).collect();
    let full = |table: &str| before.iter().all(|tables| tables.get(table).is_some_and(|rows| *rows >= LEAST_ROWS));
    let emptied: BTreeSet<&str> =
        now.iter().filter(|(table, rows)| **rows == 0 && full(table)).map(|(table, _)| table.as_str()).collect();
    let mut found = Vec::new();
    if !gone.is_empty() {
        let problem = format!("{} gone since the last set: {}", count(gone.len() as u64, "table"), names(&gone));
        found.push(anomaly(AnomalyKind::Tables, subject, problem));
    }
    if !emptied.is_empty() {
        let emptied: Vec<&str> = emptied.into_iter().collect();
        let problem = format!("{} without any row now: {}", count(emptied.len() as u64, "table"), names(&emptied));
        found.push(anomaly(AnomalyKind::Tables, subject, problem));
    }
    found
}

fn names(of: &[&str]) -> String {
    let told = of.iter().take(NAMED).copied().collect::<Vec<_>>().join(", ");
    if of.len() > NAMED { format!("{told} and {} more", of.len() - NAMED) } else { told }
}

fn duration(fresh: &Profile, baseline: &[Profile]) -> Option<Anomaly> {
    let now = fresh.millis?;
    let before: Vec<u64> = baseline.iter().filter_map(|p| p.millis).collect();
    let longest = *before.iter().max()?;
    let slow = now > longest.saturating_mul(SLOWER) && now - longest >= LEAST_MILLIS;
    let time = |millis| Elapsed(std::time::Duration::from_millis(millis));
    (slow && before.len() >= SEASONED).then(|| {
        let problem =
            format!("took {}, where the last {} sets took {} at most", time(now), before.len(), time(longest));
        anomaly(AnomalyKind::Duration, "run", problem)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn profile(rows: u64, tables: &[(&str, u64)]) -> Profile {
        let tables = tables.iter().map(|(name, rows)| ((*name).to_owned(), *rows)).collect();
        let measures = Measures { bytes: rows * 1000, rows: Some(rows), entries: None, tables: Some(tables) };
        Profile { artifacts: BTreeMap::from([("db/app".into(), measures)]), millis: Some(60_000) }
    }

    fn told(fresh: &Profile, baseline: &[Profile]) -> String {
        unusual(fresh, baseline).iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn what_is_usual_is_not_told() {
        let old = profile(10_000, &[("a", 9_000), ("b", 1_000)]);
        for rows in [5_000, 9_999, 10_000, 20_000, 1_000_000] {
            assert_eq!(told(&profile(rows, &[("a", rows), ("b", 1), ("c", 0)]), std::slice::from_ref(&old)), "");
        }
        assert_eq!(told(&old, &[]), "");
    }

    #[test]
    fn what_shrank_is_told_with_what_was_usual() {
        let old = [profile(10_000, &[("a", 10_000)]), profile(12_000, &[("a", 12_000)])];
        assert_eq!(
            told(&profile(4_999, &[("a", 4_999)]), &old),
            "db/app: 5.0 MB, where the last 2 sets had 10.0 MB to 12.0 MB\n\
             db/app: 4 999 rows, where the last 2 sets had 10 000 rows to 12 000 rows"
        );
        // A handful of rows is not worth a question, unless all of them are gone.
        let few = [profile(60, &[("a", 60)])];
        assert_eq!(told(&profile(20, &[("a", 20)]), &few), "");
        assert_eq!(
            told(&profile(0, &[("a", 0)]), &few),
            "db/app: 0 B, where the last set had 60.0 kB\ndb/app: 0 rows, where the last set had 60 rows"
        );
    }

    #[test]
    fn growth_is_told_once_there_is_a_measure() {
        let old = vec![profile(1_000, &[]); 3];
        assert_eq!(told(&profile(3_000, &[]), &old[..2]), "");
        assert!(told(&profile(3_000, &[]), &old).contains("3 000 rows, where the last 3 sets had 1 000 rows"));
    }

    #[test]
    fn gone_and_emptied_tables_are_named() {
        let old = [profile(10_000, &[("a", 9_800), ("b", 200)]), profile(10_000, &[("a", 9_800), ("b", 150)])];
        assert_eq!(
            told(&profile(10_000, &[("b", 0), ("c", 10_000)]), &old),
            "db/app: 1 table gone since the last set: a\ndb/app: 1 table without any row now: b"
        );
        // A queue that is empty now and then is no news.
        let queue = [old[0].clone(), profile(10_000, &[("a", 10_000), ("b", 0)])];
        assert_eq!(told(&profile(10_000, &[("a", 10_000), ("b", 0)]), &queue), "");
    }

    #[test]
    fn an_artifact_that_is_gone_and_a_slow_run_are_told() {
        let old = vec![profile(10_000, &[]); 3];
        let mut fresh = profile(10_000, &[]);
        fresh.millis = Some(60_000 + LEAST_MILLIS);
        assert_eq!(told(&fresh, &old), "run: took 11 min 00 s, where the last 3 sets took 1 min 00 s at most");
        assert_eq!(told(&fresh, &old[..2]), "");
        fresh = Profile { artifacts: BTreeMap::new(), millis: None };
        assert_eq!(told(&fresh, &old), "db/app: is missing; the last set had it");
    }
}
