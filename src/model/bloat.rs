//! How much of a table or btree index is air, by what the statistics say of its rows: an estimate that costs no reading.
//!
//! The arithmetic is that of ioguix' queries (<https://github.com/ioguix/pgsql-bloat-estimation>), which agree with
//! pgstattuple where statistics are fresh. Duplicates that a btree keeps once make an estimate too low, never too high.

/// What a page's header takes.
const PAGE_HEADER: f64 = 24.0;
/// What a btree page keeps for itself.
const BTREE_PAGE: f64 = 16.0;
/// What points at a row within its page.
const ITEM_POINTER: f64 = 4.0;
/// Everything begins at a multiple of this on the processors that PostgreSQL runs on today.
const ALIGN: f64 = 8.0;

/// What the catalogue and the statistics say of a table or index.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Facts {
    /// Its pages.
    pub pages: f64,
    /// Its rows; below zero where nobody ever counted.
    pub rows: f64,
    /// Bytes of a page.
    pub block: f64,
    /// How full a page is made, in percent.
    pub fillfactor: f64,
    /// Its columns.
    pub columns: i64,
    /// How many of them have statistics.
    pub known: i64,
    /// Whether any of them is ever null.
    pub nullable: bool,
    /// Bytes of a row's values, on average.
    pub width: f64,
    /// Whether a column has the type `name`, whose width the statistics do not tell.
    pub names: bool,
    /// Pages and rows beside it, in which long values lie.
    pub toast: (f64, f64),
}

/// How much of it is air.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bloat {
    /// The share, in percent.
    pub percent: f64,
    /// Bytes that a rebuild would give back.
    pub bytes: f64,
}

fn padded(bytes: f64) -> f64 {
    (bytes / ALIGN).ceil() * ALIGN
}

fn air(facts: &Facts, needed: f64) -> Bloat {
    let pages = facts.pages + facts.toast.0;
    let spare = (pages - needed).max(0.0);
    Bloat { percent: if pages > 0.0 { 100.0 * spare / pages } else { 0.0 }, bytes: spare * facts.block }
}

impl Facts {
    fn is_known(&self) -> bool {
        self.rows >= 0.0 && self.known >= self.columns && !self.names && self.block > PAGE_HEADER && self.pages > 0.0
    }

    /// A btree index; `None`: the statistics do not say.
    pub fn of_index(&self) -> Option<Bloat> {
        if !self.is_known() {
            return None;
        }
        let header = if self.nullable { 16.0 } else { 8.0 };
        let row = ITEM_POINTER + header + padded(self.width);
        let room = (self.block - PAGE_HEADER - BTREE_PAGE) * self.fillfactor / 100.0;
        Some(air(self, 1.0 + (self.rows / (room / row).floor().max(1.0)).ceil()))
    }

    /// A table with what lies beside it; `None`: the statistics do not say.
    pub fn of_table(&self) -> Option<Bloat> {
        if !self.is_known() {
            return None;
        }
        let bitmap = if self.nullable { f64::from(i32::try_from(self.columns).unwrap_or(0) / 8 + 1) } else { 0.0 };
        let row = ITEM_POINTER + padded(23.0 + bitmap) + padded(self.width);
        let room = (self.block - PAGE_HEADER) * self.fillfactor / 100.0;
        // Long values are cut so that four pieces fill a page.
        Some(air(self, (self.rows / (room / row)).ceil() + (self.toast.1.max(0.0) / 4.0).ceil()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts() -> Facts {
        Facts {
            pages: 276.0,
            rows: 100_000.0,
            block: 8192.0,
            fillfactor: 90.0,
            columns: 1,
            known: 1,
            nullable: false,
            width: 4.0,
            names: false,
            toast: (0.0, 0.0),
        }
    }

    #[test]
    fn a_fresh_index_has_next_to_none() {
        // CREATE TABLE t AS SELECT generate_series(1, 100000) id; CREATE INDEX: 276 pages on PostgreSQL 15.
        let fresh = facts().of_index().unwrap();
        assert!(fresh.percent < 2.0, "{fresh:?}");
        let twice = Facts { pages: 552.0, ..facts() }.of_index().unwrap();
        assert!((49.0..52.0).contains(&twice.percent), "{twice:?}");
        assert!((twice.bytes - 276.0 * 8192.0).abs() < 5.0 * 8192.0);
    }

    #[test]
    fn a_fresh_table_has_next_to_none() {
        // The same rows as a table: 443 pages.
        let table = Facts { pages: 443.0, fillfactor: 100.0, ..facts() };
        assert!(table.of_table().unwrap().percent < 2.0);
        let emptied = Facts { rows: 1000.0, ..table };
        assert!(emptied.of_table().unwrap().percent > 95.0);
    }

    #[test]
    fn what_the_statistics_do_not_say_is_not_guessed() {
        for odd in [
            Facts { rows: -1.0, ..facts() },
            Facts { known: 0, ..facts() },
            Facts { names: true, ..facts() },
            Facts { pages: 0.0, ..facts() },
        ] {
            assert_eq!((odd.of_index(), odd.of_table()), (None, None), "{odd:?}");
        }
    }
}
