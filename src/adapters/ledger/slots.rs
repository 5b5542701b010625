//! Every slot of every job: done by a run, or missed with its reason. Nothing is forgotten over a restart.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use rusqlite::{OptionalExtension, params};
use serde::Serialize;

use super::{Ledger, LedgerError};
use crate::model::{
    due::{Due, Missed, SlotRecord},
    ids::JobName,
};

/// Up to where a job's slots are accounted for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Watermark {
    /// The schedule by which they are, in its own words.
    pub schedule: String,
    /// The instant.
    pub settled: DateTime<Utc>,
}

/// A slot that passed without a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MissedRow {
    /// The job.
    pub job: String,
    /// The slot (RFC 3339).
    pub slot: String,
    /// Why, in a word.
    pub why: String,
    /// Why, in a sentence.
    pub detail: String,
    /// When that was noticed (RFC 3339).
    pub noted: String,
    /// A run that did it all the same, later and by hand.
    pub done_by: Option<String>,
}

/// A run that ended a slot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settled {
    /// Its id.
    pub run: String,
    /// How it ended, in a word.
    pub outcome: String,
}

impl Ledger {
    /// Up to where the job's slots are accounted for; `None`: it was never on duty.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn watermark(&self, job: &JobName) -> Result<Option<Watermark>, LedgerError> {
        let found = self.db.query_row("SELECT schedule, settled FROM duty WHERE job = ?", [job.as_str()], |r| {
            Ok((r.get::<_, String>(0)?, r.get::<_, String>(1)?))
        });
        let found = found.optional().map_err(self.sql("reading a job's watermark"))?;
        // A time that nobody can read is none: the job is on duty from now on.
        Ok(found.and_then(|(schedule, settled)| Some(Watermark { schedule, settled: settled.parse().ok()? })))
    }

    /// Puts a job on duty by a schedule: what is before `settled` is not owed.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn on_duty(&self, job: &JobName, mark: &Watermark, now: DateTime<Utc>) -> Result<(), LedgerError> {
        let written = self.db.execute(
            "INSERT INTO duty (job, schedule, since, settled) VALUES (?1, ?2, ?3, ?4) \
             ON CONFLICT (job) DO UPDATE SET schedule = ?2, settled = ?4",
            params![job.as_str(), mark.schedule, now.to_rfc3339(), mark.settled.to_rfc3339()],
        );
        written.map(drop).map_err(self.sql("putting a job on duty"))
    }

    /// What is known about a job's slots after an instant.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn slot_records(
        &self,
        job: &JobName,
        after: DateTime<Utc>,
    ) -> Result<BTreeMap<DateTime<Utc>, SlotRecord>, LedgerError> {
        let sql = self.sql("reading a job's slots");
        let since = [job.as_str(), &after.to_rfc3339()];
        let mut records = BTreeMap::new();
        let mut query = self.db.prepare_cached("SELECT slot FROM missed WHERE job = ? AND slot > ?").map_err(&sql)?;
        let missed = query.query_map(since, |r| r.get::<_, String>(0)).map_err(&sql)?;
        for slot in missed {
            if let Ok(slot) = slot.map_err(&sql)?.parse() {
                records.insert(slot, SlotRecord::Missed);
            }
        }
        // Of several runs one at work counts most, then one that ended by itself.
        let mut query = self
            .db
            .prepare_cached(
                "SELECT slot, sum(outcome IS NULL), sum(outcome <> 'interrupted'), count(*) FROM run \
                 WHERE job = ? AND slot > ? GROUP BY slot",
            )
            .map_err(&sql)?;
        let runs = query
            .query_map(since, |r| {
                let (running, ended) = (r.get::<_, i64>(1)?, r.get::<_, Option<i64>>(2)?.unwrap_or(0));
                let record = match (ended > 0, running > 0) {
                    (true, _) => SlotRecord::Settled,
                    (false, true) => SlotRecord::Running,
                    (false, false) => SlotRecord::Interrupted(r.get(3)?),
                };
                Ok((r.get::<_, String>(0)?, record))
            })
            .map_err(&sql)?;
        for row in runs {
            let (slot, record) = row.map_err(&sql)?;
            if let Ok(slot) = slot.parse() {
                records.insert(slot, record);
            }
        }
        Ok(records)
    }

    /// Records what a look at the job's slots found.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn account(&self, job: &JobName, due: &Due, now: DateTime<Utc>) -> Result<(), LedgerError> {
        let sql = self.sql("recording missed slots");
        let tx = self.db.unchecked_transaction().map_err(&sql)?;
        for missed in &due.missed {
            self.miss(job, missed, now)?;
        }
        // Two that look at the same time agree, whoever writes last; back it goes only where somebody sets it.
        tx.execute(
            "UPDATE duty SET settled = ?2 WHERE job = ?1 AND settled < ?2",
            [job.as_str(), &due.settled.to_rfc3339()],
        )
        .map_err(&sql)?;
        tx.commit().map_err(sql)
    }

    /// Records that a slot has no run. What is recorded already stays as it is.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn miss(&self, job: &JobName, missed: &Missed, now: DateTime<Utc>) -> Result<(), LedgerError> {
        let written = self.db.execute(
            "INSERT OR IGNORE INTO missed (job, slot, why, detail, noted) VALUES (?,?,?,?,?)",
            [job.as_str(), &missed.slot.to_rfc3339(), missed.why.word(), &missed.detail, &now.to_rfc3339()],
        );
        written.map(drop).map_err(self.sql("recording a missed slot"))
    }

    /// Slots that passed without a run, the newest first, at most `limit`; with `since`, those that were noticed after it
    /// and that nobody did, by hand or on another host.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn missed(
        &self,
        job: Option<&JobName>,
        since: Option<DateTime<Utc>>,
        limit: u32,
    ) -> Result<Vec<MissedRow>, LedgerError> {
        let sql = self.sql("reading missed slots");
        let mut query = self
            .db
            .prepare(
                "SELECT m.job, m.slot, m.why, m.detail, m.noted, r.id FROM missed m LEFT JOIN run r \
                 ON r.job = m.job AND r.slot = m.slot AND r.outcome IN ('ok', 'changed', 'warning') \
                 WHERE (?1 IS NULL OR m.job = ?1) AND (?2 IS NULL OR (m.noted > ?2 AND r.id IS NULL AND m.why <> 'elsewhere')) \
                 ORDER BY m.slot DESC, m.job LIMIT ?3",
            )
            .map_err(&sql)?;
        let since = since.map(|since| since.to_rfc3339());
        let rows = query.query_map(params![job.map(JobName::as_str), since, limit], |r| {
            Ok(MissedRow {
                job: r.get(0)?,
                slot: r.get(1)?,
                why: r.get(2)?,
                detail: r.get(3)?,
                noted: r.get(4)?,
                done_by: r.get(5)?,
            })
        });
        rows.map_err(&sql)?.collect::<Result<_, _>>().map_err(&sql)
    }

    /// The run that ended a slot by itself, well or badly.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn settled(&self, job: &JobName, slot: DateTime<Utc>) -> Result<Option<Settled>, LedgerError> {
        let found = self.db.query_row(
            "SELECT id, outcome FROM run WHERE job = ? AND slot = ? AND outcome <> 'interrupted' \
             ORDER BY outcome IN ('ok', 'changed', 'warning') DESC, started DESC LIMIT 1",
            [job.as_str(), &slot.to_rfc3339()],
            |r| Ok(Settled { run: r.get(0)?, outcome: r.get(1)? }),
        );
        found.optional().map_err(self.sql("looking for a slot's run"))
    }
}
