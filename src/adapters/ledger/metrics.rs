//! What monitoring is told, out of the ledger.

use chrono::{DateTime, Utc};
use rusqlite::OptionalExtension;

use super::{Ledger, LedgerError};
use crate::model::{
    due::SlotRecord,
    ids::JobName,
    metrics::{Deliveries, JobMetrics, LastRun},
    roster::JobFacts,
};

fn instant(text: &str) -> Option<DateTime<Utc>> {
    text.parse().ok()
}

impl Ledger {
    /// What is told of these jobs.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub fn metrics(&self, jobs: &[JobFacts], now: DateTime<Utc>) -> Result<Vec<JobMetrics>, LedgerError> {
        jobs.iter().map(|job| self.of_job(job, now)).collect()
    }

    fn of_job(&self, facts: &JobFacts, now: DateTime<Utc>) -> Result<JobMetrics, LedgerError> {
        let job = &facts.name;
        let settled = self.watermark(job)?.map_or(now, |mark| mark.settled);
        Ok(JobMetrics {
            job: job.clone(),
            severity: facts.severity,
            last: self.last_ended(job)?,
            last_success: self
                .newest("SELECT max(ended) FROM run WHERE job = ? AND outcome IN ('ok', 'changed', 'warning')", job)?,
            last_verified: self.last_verified(job)?,
            set_bytes: self.last_bytes(job)?,
            next: self.next_open(facts, settled)?,
            timeout: facts.timeout.as_secs_f64(),
            running: self.number("SELECT count(*) FROM run WHERE job = ? AND outcome IS NULL", job)?,
            runs: self.by_outcome(job)?,
            missed: self.number("SELECT count(*) FROM missed WHERE job = ? AND why <> 'elsewhere'", job)?,
        })
    }

    /// Messages by channel and by what became of them.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub fn deliveries_by_state(&self) -> Result<Vec<Deliveries>, LedgerError> {
        let sql = self.sql("counting deliveries");
        let text = "SELECT channel, replace(state, ' ', '_'), count(*) FROM delivery GROUP BY channel, state ORDER BY channel, state";
        let mut query = self.db.prepare_cached(text).map_err(&sql)?;
        let rows = query
            .query_map([], |r| Ok(Deliveries { channel: r.get(0)?, state: r.get(1)?, count: r.get(2)? }))
            .map_err(&sql)?;
        rows.collect::<Result<_, _>>().map_err(&sql)
    }

    /// The first slot that nothing ended, be it a run, another host or somebody who said why it was missed.
    fn next_open(&self, facts: &JobFacts, settled: DateTime<Utc>) -> Result<Option<DateTime<Utc>>, LedgerError> {
        let Some(schedule) = &facts.schedule else { return Ok(None) };
        let records = self.slot_records(&facts.name, settled)?;
        let mut next = schedule.next_after(settled);
        while let Some(slot) = next
            && matches!(records.get(&slot), Some(SlotRecord::Settled | SlotRecord::Missed))
        {
            next = schedule.next_after(slot);
        }
        Ok(next)
    }

    fn number(&self, text: &str, job: &JobName) -> Result<i64, LedgerError> {
        self.db.query_row(text, [job.as_str()], |r| r.get(0)).map_err(self.sql("counting runs"))
    }

    fn newest(&self, text: &str, job: &JobName) -> Result<Option<DateTime<Utc>>, LedgerError> {
        let found = self.db.query_row(text, [job.as_str()], |r| r.get::<_, Option<String>>(0));
        Ok(found.map_err(self.sql("reading runs"))?.as_deref().and_then(instant))
    }

    fn last_ended(&self, job: &JobName) -> Result<Option<LastRun>, LedgerError> {
        let text = "SELECT started, ended, outcome FROM run WHERE job = ? AND ended IS NOT NULL AND outcome IS NOT NULL
                    ORDER BY started DESC, id DESC LIMIT 1";
        let found = self
            .db
            .query_row(text, [job.as_str()], |r| Ok((r.get::<_, String>(0)?, r.get::<_, String>(1)?, r.get(2)?)));
        let found = found.optional().map_err(self.sql("reading runs"))?;
        Ok(found.and_then(|(started, ended, outcome)| {
            Some(LastRun { started: instant(&started)?, ended: instant(&ended)?, outcome })
        }))
    }

    fn last_verified(&self, job: &JobName) -> Result<Vec<(String, DateTime<Utc>)>, LedgerError> {
        let sql = self.sql("reading runs");
        let text = "SELECT set_level, max(ended) FROM run WHERE job = ? AND set_level IS NOT NULL AND ended IS NOT NULL
                    GROUP BY set_level ORDER BY set_level";
        let mut query = self.db.prepare_cached(text).map_err(&sql)?;
        let rows = query.query_map([job.as_str()], |r| Ok((r.get(0)?, r.get::<_, String>(1)?))).map_err(&sql)?;
        let rows: Vec<(String, String)> = rows.collect::<Result<_, _>>().map_err(&sql)?;
        Ok(rows.into_iter().filter_map(|(level, at)| Some((level, instant(&at)?))).collect())
    }

    fn last_bytes(&self, job: &JobName) -> Result<Option<u64>, LedgerError> {
        let text = "SELECT set_bytes FROM run WHERE job = ? AND set_bytes IS NOT NULL ORDER BY started DESC LIMIT 1";
        let found = self.db.query_row(text, [job.as_str()], |r| r.get::<_, i64>(0)).optional();
        Ok(found.map_err(self.sql("reading runs"))?.and_then(|bytes| u64::try_from(bytes).ok()))
    }

    fn by_outcome(&self, job: &JobName) -> Result<Vec<(String, i64)>, LedgerError> {
        let sql = self.sql("counting runs");
        let text = "SELECT outcome, count(*) FROM run WHERE job = ? AND outcome IS NOT NULL GROUP BY outcome";
        let mut query = self.db.prepare_cached(text).map_err(&sql)?;
        let rows = query.query_map([job.as_str()], |r| Ok((r.get(0)?, r.get(1)?))).map_err(&sql)?;
        rows.collect::<Result<_, _>>().map_err(&sql)
    }
}
