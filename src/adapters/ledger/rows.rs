//! What the ledger gives back.

use rusqlite::{Row, params};
use serde::Serialize;

use super::{Ledger, LedgerError};
use crate::model::{ids::JobName, outcome::Outcome};

/// A run, as the ledger has it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RunRow {
    /// Its id.
    pub id: String,
    /// The job.
    pub job: String,
    /// What started it.
    pub trigger: String,
    /// The slot that it stands for (RFC 3339).
    pub slot: Option<String>,
    /// Which try at that slot.
    pub attempt: u32,
    /// When it started (RFC 3339).
    pub started: String,
    /// When it ended (RFC 3339).
    pub ended: Option<String>,
    /// How; `None` while it runs, or when it died and nobody noticed yet.
    pub outcome: Option<Outcome>,
    /// The next thing to type or look at.
    pub hint: Option<String>,
    /// The process that ran it.
    pub pid: u32,
    /// The set that it published.
    pub set_path: Option<String>,
    /// The level to which that set was verified.
    pub set_level: Option<String>,
}

/// A step of a run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StepRow {
    /// Its id.
    pub id: String,
    /// How it ended.
    pub outcome: Outcome,
    /// How long it took.
    pub millis: u64,
    /// What it did.
    pub summary: String,
}

/// Something to look at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Note {
    /// The step that noted it.
    pub step: String,
    /// What.
    pub text: String,
}

pub(super) const COLUMNS: &str =
    "id, job, \"trigger\", slot, attempt, started, ended, outcome, reason, hint, pid, set_path, set_level";

fn outcome(word: Option<String>, reason: Option<String>) -> Option<Outcome> {
    // A word that this version does not know is shown as unknown, never as a success.
    word.map(|w| Outcome::from_parts(&w, reason).unwrap_or_else(|| Outcome::Unknown(format!("the ledger says `{w}`"))))
}

pub(super) fn run(row: &Row<'_>) -> rusqlite::Result<RunRow> {
    Ok(RunRow {
        id: row.get(0)?,
        job: row.get(1)?,
        trigger: row.get(2)?,
        slot: row.get(3)?,
        attempt: row.get(4)?,
        started: row.get(5)?,
        ended: row.get(6)?,
        outcome: outcome(row.get(7)?, row.get(8)?),
        hint: row.get(9)?,
        pid: row.get(10)?,
        set_path: row.get(11)?,
        set_level: row.get(12)?,
    })
}

impl Ledger {
    /// The newest runs first, at most `limit`.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn runs(&self, job: Option<&JobName>, limit: u32) -> Result<Vec<RunRow>, LedgerError> {
        let sql = self.sql("reading runs");
        let text =
            format!("SELECT {COLUMNS} FROM run WHERE ?1 IS NULL OR job = ?1 ORDER BY started DESC, id DESC LIMIT ?2");
        let mut query = self.db.prepare(&text).map_err(&sql)?;
        let rows = query.query_map(params![job.map(JobName::as_str), limit], run).map_err(&sql)?;
        rows.collect::<Result<_, _>>().map_err(&sql)
    }

    /// The run whose id begins or ends with `part`.
    ///
    /// # Errors
    /// When there is none, or more than one.
    pub fn run(&self, part: &str) -> Result<RunRow, LedgerError> {
        let sql = self.sql("reading a run");
        let text =
            format!("SELECT {COLUMNS} FROM run WHERE id LIKE ?1 || '%' OR id LIKE '%' || ?1 ORDER BY id DESC LIMIT 2");
        let hex = |c: char| c.is_ascii_hexdigit() || c == '-';
        if part.is_empty() || !part.chars().all(hex) {
            return Err(LedgerError::NoSuchRun(part.to_owned()));
        }
        let mut query = self.db.prepare(&text).map_err(&sql)?;
        let rows = query.query_map([part], run).map_err(&sql)?;
        let mut found = rows.collect::<Result<Vec<_>, _>>().map_err(&sql)?;
        match (found.pop(), found.is_empty()) {
            (None, _) => Err(LedgerError::NoSuchRun(part.to_owned())),
            (Some(_), false) => Err(LedgerError::Ambiguous(part.to_owned())),
            (Some(only), true) => Ok(only),
        }
    }

    /// The steps of a run, in order.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn steps(&self, run: &str) -> Result<Vec<StepRow>, LedgerError> {
        let sql = self.sql("reading steps");
        let text = "SELECT id, outcome, reason, millis, summary FROM step WHERE run = ? ORDER BY number";
        let mut query = self.db.prepare(text).map_err(&sql)?;
        let rows = query.query_map([run], |row| {
            Ok(StepRow {
                id: row.get(0)?,
                outcome: outcome(row.get(1)?, row.get(2)?).unwrap_or(Outcome::Interrupted),
                millis: u64::try_from(row.get::<_, i64>(3)?).unwrap_or(0),
                summary: row.get(4)?,
            })
        });
        rows.map_err(&sql)?.collect::<Result<_, _>>().map_err(&sql)
    }

    /// The notes of a run, in order.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn notes(&self, run: &str) -> Result<Vec<Note>, LedgerError> {
        let sql = self.sql("reading notes");
        let mut query = self.db.prepare("SELECT step, text FROM note WHERE run = ? ORDER BY rowid").map_err(&sql)?;
        let rows = query.query_map([run], |row| Ok(Note { step: row.get(0)?, text: row.get(1)? })).map_err(&sql)?;
        rows.collect::<Result<_, _>>().map_err(&sql)
    }
}
