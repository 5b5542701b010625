//! What ended, or passed, without anybody having decided who hears of it.

use super::{Ledger, LedgerError, RunRow, rows};
use crate::model::failure::Class;

/// A run that nobody decided about yet.
#[derive(Debug)]
pub struct Undecided {
    /// The run.
    pub run: RunRow,
    /// What kind of failure it was.
    pub class: Option<Class>,
}

/// A missed slot that nobody decided about yet.
#[derive(Debug)]
pub struct UndecidedSlot {
    /// The job.
    pub job: String,
    /// The slot (RFC 3339).
    pub slot: String,
    /// Why, in a word.
    pub why: String,
    /// Why, in a sentence.
    pub detail: String,
}

impl Ledger {
    /// Ended runs that nobody decided about, the oldest first.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn undecided(&self) -> Result<Vec<Undecided>, LedgerError> {
        let sql = self.sql("looking for runs to tell of");
        let query = format!(
            "SELECT {}, class FROM run WHERE considered = 0 AND outcome IS NOT NULL ORDER BY ended, id",
            rows::COLUMNS
        );
        let mut query = self.db.prepare(&query).map_err(&sql)?;
        let found = query.query_map([], |row| {
            let class: Option<String> = row.get("class")?;
            let class = class.and_then(|word| serde_json::from_value(word.into()).ok());
            Ok(Undecided { run: rows::run(row)?, class })
        });
        found.map_err(&sql)?.collect::<Result<_, _>>().map_err(&sql)
    }

    /// Nothing (more) is to be decided about a run.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn decided(&self, run: &str) -> Result<(), LedgerError> {
        let done = self.db.execute("UPDATE run SET considered = 1 WHERE id = ?", [run]);
        done.map(drop).map_err(self.sql("marking a run as told"))
    }

    /// Missed slots that nobody decided about, by job, the oldest first.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn undecided_slots(&self) -> Result<Vec<UndecidedSlot>, LedgerError> {
        let sql = self.sql("looking for missed slots to tell of");
        let query = "SELECT job, slot, why, detail FROM missed WHERE considered = 0 ORDER BY job, slot";
        let mut query = self.db.prepare(query).map_err(&sql)?;
        let found = query.query_map([], |row| {
            Ok(UndecidedSlot { job: row.get(0)?, slot: row.get(1)?, why: row.get(2)?, detail: row.get(3)? })
        });
        found.map_err(&sql)?.collect::<Result<_, _>>().map_err(&sql)
    }

    /// Nothing (more) is to be decided about the missed slots of now.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn decided_slots(&self) -> Result<(), LedgerError> {
        let done = self.db.execute("UPDATE missed SET considered = 1 WHERE considered = 0", []);
        done.map(drop).map_err(self.sql("marking missed slots as told"))
    }
}
