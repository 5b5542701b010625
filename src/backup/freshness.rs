//! Whether every slot that was due lately has its set, and whether that is whole as far as a look tells.
//!
//! The audit reads everything; this only lists, so that it can be asked every evening.

use std::path::Path;

use chrono::{DateTime, TimeDelta, Utc};

use super::{
    records::{self, RecordError},
    sets,
};
use crate::{
    adapters::{
        files::{self, FileError},
        signature::Trust,
    },
    model::{
        failure::{Class, Diagnose},
        manifest::{Level, Manifest},
        record::Body,
        roster::{BackupFacts, JobFacts},
        slots::{self, SlotLine, SlotRules, SlotState, Stands},
    },
};

/// No schedule of a runbook has its slots further apart.
const LOOK_BACK: TimeDelta = TimeDelta::days(400);

/// Why a series could not be looked at.
#[derive(Debug, thiserror::Error)]
pub enum FreshnessError {
    #[error(transparent)]
    File(#[from] FileError),
    #[error(transparent)]
    Record(#[from] RecordError),
}

impl Diagnose for FreshnessError {
    fn class(&self) -> Class {
        Class::Unverifiable
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::File(e) => e.hint(),
            Self::Record(e) => e.hint(),
        }
    }
}

/// A series as it stands.
#[derive(Debug)]
pub struct Fresh {
    /// Every slot since the time asked for, and the newest one before it that had passed.
    pub slots: Vec<SlotLine>,
    /// The newest set, by when it was sealed.
    pub newest: Option<Newest>,
}

/// The newest set of a series.
#[derive(Debug)]
pub struct Newest {
    /// Its name in the series.
    pub set: String,
    /// When it was sealed.
    pub sealed: DateTime<Utc>,
    /// The level to which it was verified.
    pub level: Level,
    /// All its files together.
    pub bytes: u64,
    /// What is wrong with it at a look: a file that is missing or shorter than its manifest says.
    pub damage: Option<String>,
}

/// Looks at a series. Blocking.
///
/// # Errors
/// When its sets cannot be listed.
pub fn look(
    series_dir: &Path,
    job: &JobFacts,
    backup: &BackupFacts,
    trust: Option<&Trust>,
    (since, now): (DateTime<Utc>, DateTime<Utc>),
) -> Result<Fresh, FreshnessError> {
    let mut stands = Vec::new();
    let mut newest: Option<Newest> = None;
    for entry in sets::of_series(series_dir)? {
        let Ok(manifest) = entry.manifest else { continue };
        stands.push(Stands {
            set: entry.name.clone(),
            period: manifest.period.clone(),
            slot: manifest.run.slot,
            started: Some(manifest.run.started),
            pruned: false,
        });
        if newest.as_ref().is_none_or(|newest| newest.sealed < manifest.run.sealed) {
            newest = Some(Newest {
                set: entry.name,
                sealed: manifest.run.sealed,
                level: manifest.verification.level,
                bytes: manifest.files.iter().map(|file| file.bytes).sum(),
                damage: damage(&entry.path, &manifest)?,
            });
        }
    }
    stands.extend(pruned(series_dir, trust)?);
    Ok(Fresh { slots: due(job, backup, &stands, since, now), newest })
}

fn due(
    job: &JobFacts,
    backup: &BackupFacts,
    stands: &[Stands],
    since: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Vec<SlotLine> {
    let Some(schedule) = &job.schedule else { return Vec::new() };
    // Slots before the first set were nobody's promise.
    let first = stands.iter().filter_map(|stand| stand.slot.or(stand.started)).min();
    let Some(from) = first.map(|first| first.max(now - LOOK_BACK)) else { return Vec::new() };
    let grace = TimeDelta::from_std(job.timeout).unwrap_or(TimeDelta::MAX);
    let rules = SlotRules { schedule, period: backup.period, zone: job.zone, grace };
    let (lines, _) = slots::compare(&rules, from, now, stands);
    let newest_passed = lines.iter().rposition(|line| line.state != SlotState::Due);
    let wanted = |(i, line): &(usize, SlotLine)| line.at >= since || Some(*i) == newest_passed;
    lines.into_iter().enumerate().filter(wanted).map(|(_, line)| line).collect()
}

fn damage(set: &Path, manifest: &Manifest) -> Result<Option<String>, FileError> {
    for file in &manifest.files {
        let path = set.join(&file.file);
        if !path.exists() {
            return Ok(Some(format!("{} is missing", file.file)));
        }
        match files::regular_length(&path)? {
            Some(bytes) if bytes == file.bytes => {}
            Some(bytes) => return Ok(Some(format!("{} has {bytes} bytes instead of {}", file.file, file.bytes))),
            None => return Ok(Some(format!("{} is no file", file.file))),
        }
    }
    Ok(None)
}

/// What retention removed on purpose stands for its slot.
fn pruned(series_dir: &Path, trust: Option<&Trust>) -> Result<Vec<Stands>, FreshnessError> {
    let mut stands = Vec::new();
    for name in records::names(series_dir)? {
        for signed in records::read(series_dir, &name, trust)?.records {
            if let (Body::Tombstone(tombstone), true) = (signed.record.body, signed.signature.is_believed()) {
                stands.push(Stands {
                    set: name.clone(),
                    period: tombstone.period,
                    slot: tombstone.slot,
                    started: Some(tombstone.started),
                    pruned: true,
                });
            }
        }
    }
    Ok(stands)
}
