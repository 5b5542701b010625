//! What the last scan of each image found.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use rusqlite::OptionalExtension;

use super::{Ledger, LedgerError};
use crate::model::vulnerability::{Key, Scan, Vulnerability};

impl Ledger {
    /// What the last scan of this image's name found; `None`: it was never scanned.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn last_scan(&self, image: &str) -> Result<Option<BTreeSet<Key>>, LedgerError> {
        let sql = self.sql("reading the last scan");
        let found = self.db.query_row("SELECT 1 FROM scan WHERE image = ?", [image], |_| Ok(())).optional();
        if found.map_err(&sql)?.is_none() {
            return Ok(None);
        }
        let mut query = self.db.prepare("SELECT id, package FROM vulnerability WHERE image = ?").map_err(&sql)?;
        let keys = query.query_map([image], |row| Ok((row.get(0)?, row.get(1)?))).map_err(&sql)?;
        keys.collect::<Result<_, _>>().map(Some).map_err(&sql)
    }

    /// Keeps what a scan found in the place of the one before.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn keep_scan(
        &self,
        image: &str,
        id: &str,
        scanner: &str,
        scanned: DateTime<Utc>,
        scan: &Scan,
    ) -> Result<(), LedgerError> {
        let sql = self.sql("keeping a scan");
        let tx = self.db.unchecked_transaction().map_err(&sql)?;
        tx.execute("DELETE FROM scan WHERE image = ?", [image]).map_err(&sql)?;
        let row = [image, id, &scanned.to_rfc3339(), scanner];
        tx.execute("INSERT INTO scan (image, id, scanned, scanner) VALUES (?,?,?,?)", row).map_err(&sql)?;
        for (id, package) in scan.found.iter().map(Vulnerability::key) {
            let row = [image, id.as_str(), package.as_str()];
            tx.execute("INSERT OR IGNORE INTO vulnerability (image, id, package) VALUES (?,?,?)", row).map_err(&sql)?;
        }
        tx.commit().map_err(sql)
    }
}
