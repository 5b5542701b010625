//! What the checks of a run observed.

use rusqlite::{Row, params};
use serde::Serialize;

use super::{Ledger, LedgerError};
use crate::model::{
    finding::{Band, Finding, Quantity, Unit},
    ids::RunId,
};

/// An observation and the step that made it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FindingRow {
    /// The step.
    pub step: String,
    /// The observation.
    #[serde(flatten)]
    pub finding: Finding,
}

fn finding(row: &Row<'_>) -> rusqlite::Result<FindingRow> {
    let unit: Option<String> = row.get(3)?;
    let value: Option<f64> = row.get(2)?;
    Ok(FindingRow {
        step: row.get(0)?,
        finding: Finding {
            subject: row.get(1)?,
            value: value
                .map(|value| Quantity { value, unit: unit.and_then(|u| Unit::from_word(&u)).unwrap_or(Unit::Count) }),
            band: Band::from_word(&row.get::<_, String>(4)?),
            seen: row.get(5)?,
            source: row.get(6)?,
            hint: row.get(7)?,
            detail: None,
        },
    })
}

impl Ledger {
    /// Records what a step observed, in its order.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn findings_of(&self, run: RunId, step: &str, findings: &[Finding]) -> Result<(), LedgerError> {
        let sql = self.sql("recording findings");
        let tx = self.db.unchecked_transaction().map_err(&sql)?;
        for (number, finding) in findings.iter().enumerate() {
            // SQLite has no NaN: it would be stored as NULL, which says "not a number" as well.
            let written = tx.execute(
                "INSERT INTO finding (run, step, number, subject, value, unit, band, seen, source, hint)
                 VALUES (?,?,?,?,?,?,?,?,?,?)",
                params![
                    run.to_string(),
                    step,
                    i64::try_from(number).unwrap_or(i64::MAX),
                    finding.subject,
                    finding.value.map(|q| q.value),
                    finding.value.map(|q| q.unit.word()),
                    finding.band.word(),
                    finding.seen,
                    finding.source,
                    finding.hint,
                ],
            );
            written.map_err(&sql)?;
        }
        tx.commit().map_err(sql)
    }

    /// The findings of a run, in the order of its steps' ends.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn findings(&self, run: &str) -> Result<Vec<FindingRow>, LedgerError> {
        let sql = self.sql("reading findings");
        let text =
            "SELECT step, subject, value, unit, band, seen, source, hint FROM finding WHERE run = ? ORDER BY rowid";
        let mut query = self.db.prepare(text).map_err(&sql)?;
        let rows = query.query_map([run], finding).map_err(&sql)?;
        rows.collect::<Result<_, _>>().map_err(&sql)
    }
}
