//! The embedded database of runs: `ledger.sqlite` in the state directory. Sets are the truth about backups; the ledger
//! is the truth about what was tried.

mod findings;
mod images;
mod metrics;
mod notify;
mod rows;
mod scans;
mod slots;
mod undecided;

use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use rusqlite::{Connection, OptionalExtension, params};

pub use findings::FindingRow;
pub use images::{ROLLBACK_IMAGES, ServiceImage};
pub use notify::{Delivery, DeliveryState};
pub use rows::{Note, RunRow, StepRow};
pub use slots::{MissedRow, Settled, Watermark};
pub use undecided::{Undecided, UndecidedSlot};

use super::files::{self, FileError};
use crate::model::{
    failure::{Class, Diagnose},
    ids::{JobName, RunId},
    manifest::Trigger,
    outcome::Outcome,
};

/// The ledger's file in the state directory.
pub const LEDGER_FILE: &str = "ledger.sqlite";
/// Append-only: a published migration never changes.
const MIGRATIONS: &[&str] = &[
    include_str!("001-runs.sql"),
    include_str!("002-findings.sql"),
    include_str!("003-slots.sql"),
    include_str!("004-notifications.sql"),
    include_str!("005-metrics.sql"),
    include_str!("006-images.sql"),
    include_str!("007-scans.sql"),
];
/// Another maint may be writing just now.
const BUSY_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(10);

/// The ledger could not be used.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    #[error(transparent)]
    File(#[from] FileError),
    #[error("{operation} in the ledger {}", path.display())]
    Sql { operation: &'static str, path: PathBuf, source: rusqlite::Error },
    #[error("the ledger {} is of a newer maint (version {found}; this one knows {known})", path.display())]
    Newer { path: PathBuf, found: usize, known: usize },
    #[error("there is no run {0}")]
    NoSuchRun(String),
    #[error("more than one run begins with {0}")]
    Ambiguous(String),
}

impl Diagnose for LedgerError {
    fn class(&self) -> Class {
        match self {
            Self::NoSuchRun(_) | Self::Ambiguous(_) => Class::Usage,
            Self::File(e) => e.class(),
            Self::Sql { .. } | Self::Newer { .. } => Class::Failed,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::File(e) => e.hint(),
            Self::Newer { .. } => Some("use the newer maint; a ledger is never taken back".into()),
            Self::NoSuchRun(_) | Self::Ambiguous(_) => Some("see which runs there are: maint runs".into()),
            Self::Sql { source, path, .. } => match source.sqlite_error_code() {
                Some(rusqlite::ErrorCode::DiskFull) => Some(format!("free space, see: df -h {}", path.display())),
                // SQLite says no more where it cannot enlarge its own files.
                Some(rusqlite::ErrorCode::SystemIoFailure) => Some(format!(
                    "see whether the disk is full: df -h {0}; and whether it is well: dmesg | tail",
                    path.display()
                )),
                Some(rusqlite::ErrorCode::DatabaseCorrupt | rusqlite::ErrorCode::NotADatabase) => Some(format!(
                    "move {} away: sets are not affected, but runs, slots and what people were told are forgotten",
                    path.display()
                )),
                _ => None,
            },
        }
    }
}

/// An open ledger.
#[derive(Debug)]
pub struct Ledger {
    db: Connection,
    path: PathBuf,
}

/// What is known when a run begins.
#[derive(Debug, Clone)]
pub struct NewRun {
    /// Its id.
    pub id: RunId,
    /// The job.
    pub job: JobName,
    /// What started it.
    pub trigger: Trigger,
    /// The slot that it stands for.
    pub slot: Option<DateTime<Utc>>,
    /// When it started.
    pub started: DateTime<Utc>,
}

/// What is known when a run ends.
#[derive(Debug, Clone)]
pub struct EndOfRun<'a> {
    /// How it ended.
    pub outcome: &'a Outcome,
    /// What kind of failure it was.
    pub class: Option<Class>,
    /// The next thing to type or look at.
    pub hint: Option<&'a str>,
    /// The set that it published, the level to which that was verified, and its bytes.
    pub set: Option<(&'a Path, String, u64)>,
}

/// A class as the ledger has it.
fn class_word(class: Class) -> Option<String> {
    serde_json::to_value(class).ok()?.as_str().map(str::to_owned)
}

impl Ledger {
    /// Opens the ledger of a state directory, and makes or upgrades it where that is needed.
    ///
    /// # Errors
    /// When it cannot be opened, or was written by a newer maint.
    pub fn open(state_dir: &Path) -> Result<Self, LedgerError> {
        files::create_private_dir(state_dir)?;
        let path = state_dir.join(LEDGER_FILE);
        files::touch_private(&path)?;
        let sql = |source| LedgerError::Sql { operation: "beginning to work", path: path.clone(), source };
        let db = Connection::open(&path).map_err(sql)?;
        db.busy_timeout(BUSY_TIMEOUT).map_err(sql)?;
        db.pragma_update(None, "journal_mode", "wal").map_err(sql)?;
        // Whole after a crash all the same; a loss of power may take the last moments back. What was known only then is
        // found again: a run without an end died. An end is different, and is synced: `end`.
        db.pragma_update(None, "synchronous", "normal").map_err(sql)?;
        db.pragma_update(None, "foreign_keys", true).map_err(sql)?;
        let mut this = Self { db, path };
        this.migrate()?;
        Ok(this)
    }

    fn sql(&self, operation: &'static str) -> impl Fn(rusqlite::Error) -> LedgerError + use<> {
        let path = self.path.clone();
        move |source| LedgerError::Sql { operation, path: path.clone(), source }
    }

    fn migrate(&mut self) -> Result<(), LedgerError> {
        let sql = self.sql("bringing tables up to date");
        let version: i64 = self.db.pragma_query_value(None, "user_version", |r| r.get(0)).map_err(&sql)?;
        let found = usize::try_from(version).unwrap_or(usize::MAX);
        if found > MIGRATIONS.len() {
            return Err(LedgerError::Newer { path: self.path.clone(), found, known: MIGRATIONS.len() });
        }
        if found == MIGRATIONS.len() {
            return Ok(());
        }
        // Another maint may be upgrading it at the same time: the version is read again inside the transaction.
        let tx = self.db.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate).map_err(&sql)?;
        let version: i64 = tx.pragma_query_value(None, "user_version", |r| r.get(0)).map_err(&sql)?;
        for migration in MIGRATIONS.iter().skip(usize::try_from(version).unwrap_or(usize::MAX)) {
            tx.execute_batch(migration).map_err(&sql)?;
        }
        tx.pragma_update(None, "user_version", i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX)).map_err(&sql)?;
        tx.commit().map_err(sql)
    }

    /// Records the beginning of a run; gives its attempt number: earlier runs for the same slot, plus one.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn begin(&self, run: &NewRun) -> Result<u32, LedgerError> {
        let slot = run.slot.map(|s| s.to_rfc3339());
        let attempt: u32 = match &slot {
            None => 1,
            Some(slot) => self
                .db
                .query_row("SELECT count(*) + 1 FROM run WHERE job = ? AND slot = ?", [run.job.as_str(), slot], |r| {
                    r.get(0)
                })
                .map_err(self.sql("counting attempts"))?,
        };
        self.db
            .execute(
                "INSERT INTO run (id, job, \"trigger\", slot, attempt, started, pid, maint) VALUES (?,?,?,?,?,?,?,?)",
                params![
                    run.id.to_string(),
                    run.job.as_str(),
                    run.trigger.to_string(),
                    slot,
                    attempt,
                    run.started.to_rfc3339(),
                    std::process::id(),
                    env!("CARGO_PKG_VERSION"),
                ],
            )
            .map_err(self.sql("recording a run"))?;
        Ok(attempt)
    }

    /// Whether a slot has a successful run already.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn succeeded(&self, job: &JobName, slot: DateTime<Utc>) -> Result<Option<String>, LedgerError> {
        let found = self.db.query_row(
            "SELECT id FROM run WHERE job = ? AND slot = ? AND outcome IN ('ok', 'changed', 'warning')",
            [job.as_str(), &slot.to_rfc3339()],
            |r| r.get(0),
        );
        found.optional().map_err(self.sql("looking for a slot's run"))
    }

    /// Records the end of a step.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn step(&self, run: RunId, number: usize, step: &StepRow) -> Result<(), LedgerError> {
        let written = self.db.execute(
            "INSERT INTO step (run, number, id, outcome, reason, millis, summary) VALUES (?,?,?,?,?,?,?)",
            params![
                run.to_string(),
                i64::try_from(number).unwrap_or(i64::MAX),
                step.id,
                step.outcome.word(),
                step.outcome.reason(),
                i64::try_from(step.millis).unwrap_or(i64::MAX),
                step.summary,
            ],
        );
        written.map(drop).map_err(self.sql("recording a step"))
    }

    /// Records something to look at.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn note(&self, run: RunId, note: &Note) -> Result<(), LedgerError> {
        let written = self.db.execute(
            "INSERT INTO note (run, step, text) VALUES (?,?,?)",
            params![run.to_string(), note.step, note.text],
        );
        written.map(drop).map_err(self.sql("recording a note"))
    }

    /// Records the end of a run.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn end(&self, run: RunId, ended: DateTime<Utc>, end: &EndOfRun<'_>) -> Result<(), LedgerError> {
        let sql = self.sql("recording the end of a run");
        // Whoever is told that it ended well must not find it interrupted after a loss of power, and done again.
        self.db.pragma_update(None, "synchronous", "full").map_err(&sql)?;
        let (set, level) = end.set.as_ref().map(|(p, l, _)| (p.to_string_lossy(), l.as_str())).unzip();
        let bytes = end.set.as_ref().map(|(_, _, bytes)| i64::try_from(*bytes).unwrap_or(i64::MAX));
        let written = self.db.execute(
            "UPDATE run SET ended = ?, outcome = ?, reason = ?, class = ?, hint = ?, set_path = ?, set_level = ?, \
             set_bytes = ? WHERE id = ?",
            params![
                ended.to_rfc3339(),
                end.outcome.word(),
                end.outcome.reason(),
                end.class.and_then(class_word),
                end.hint,
                set,
                level,
                bytes,
                run.to_string()
            ],
        );
        let ended = written.map(drop).map_err(&sql);
        self.db.pragma_update(None, "synchronous", "normal").map_err(sql)?;
        ended
    }

    /// Marks every run of `job` that never ended as interrupted; call it while holding the job's lock, which proves that
    /// they are dead. Gives their ids.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn interrupt_dead(&self, job: &JobName, now: DateTime<Utc>) -> Result<Vec<String>, LedgerError> {
        let sql = self.sql("marking dead runs");
        let mut update = self
            .db
            .prepare("UPDATE run SET ended = ?, outcome = 'interrupted' WHERE job = ? AND outcome IS NULL RETURNING id")
            .map_err(&sql)?;
        let ids = update.query_map([now.to_rfc3339().as_str(), job.as_str()], |r| r.get(0)).map_err(&sql)?;
        ids.collect::<Result<_, _>>().map_err(&sql)
    }

    /// Runs of `job` that never ended.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn unfinished(&self, job: &JobName) -> Result<Vec<String>, LedgerError> {
        let sql = self.sql("looking for unfinished runs");
        let mut query = self.db.prepare("SELECT id FROM run WHERE job = ? AND outcome IS NULL").map_err(&sql)?;
        let ids = query.query_map([job.as_str()], |r| r.get(0)).map_err(&sql)?;
        ids.collect::<Result<_, _>>().map_err(&sql)
    }

    /// Jobs with runs that never ended, dead or alive.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn unfinished_jobs(&self) -> Result<Vec<JobName>, LedgerError> {
        let sql = self.sql("looking for unfinished runs");
        let mut query = self.db.prepare("SELECT DISTINCT job FROM run WHERE outcome IS NULL").map_err(&sql)?;
        let names = query.query_map([], |r| r.get::<_, String>(0)).map_err(&sql)?;
        let names = names.collect::<Result<Vec<_>, _>>().map_err(&sql)?;
        Ok(names.into_iter().filter_map(|name| name.parse().ok()).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_hinted_at_also_where_sqlite_only_says_that_input_or_output_failed() {
        // SQLITE_IOERR_SHMSIZE and SQLITE_FULL: https://www.sqlite.org/rescode.html
        for code in [4874, 13] {
            let source = rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(code), None);
            let error =
                LedgerError::Sql { operation: "beginning to work", path: "/state/ledger.sqlite".into(), source };
            assert!(error.hint().unwrap().contains("df -h /state/ledger.sqlite"), "{code}");
        }
    }
}
