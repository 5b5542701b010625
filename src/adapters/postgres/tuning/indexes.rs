//! Indexes that nobody uses, and scans that an index would spare.

use crate::{
    adapters::postgres::{PostgresError, Session},
    model::contents::TableName,
};

/// An index that no query used since the statistics began.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unused {
    /// Its name.
    pub name: TableName,
    /// Its table.
    pub table: TableName,
    /// Its bytes.
    pub bytes: u64,
    /// Rows that were inserted, changed or deleted in its table meanwhile: each one wrote into the index too.
    pub writes: i64,
    /// What makes it again.
    pub definition: String,
}

/// The unused indexes of at least so many bytes, the largest first. Those that keep something unique or back a constraint do
/// their work without being read; those of tables that nobody reads at all say nothing of their indexes.
///
/// # Errors
/// When the connection is lost.
pub async fn unused(session: &Session, at_least: u64) -> Result<Vec<Unused>, PostgresError> {
    const SQL: &str = "SELECT n.nspname::text, c.relname::text, t.relname::text, pg_relation_size(c.oid), \
         coalesce(s.n_tup_ins + s.n_tup_upd + s.n_tup_del, 0), pg_get_indexdef(c.oid) \
         FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_namespace n ON n.oid = c.relnamespace \
         JOIN pg_class t ON t.oid = i.indrelid JOIN pg_stat_user_indexes u ON u.indexrelid = c.oid \
         JOIN pg_stat_user_tables s ON s.relid = t.oid \
         WHERE u.idx_scan = 0 AND i.indisvalid AND NOT i.indisunique AND NOT i.indisexclusion AND NOT i.indisreplident \
         AND NOT i.indisclustered AND c.relkind = 'i' AND c.relpersistence = 'p' \
         AND NOT EXISTS (SELECT FROM pg_constraint k WHERE k.conindid = c.oid) \
         AND NOT EXISTS (SELECT FROM pg_inherits h WHERE h.inhrelid = c.oid) \
         AND s.seq_scan + coalesce(s.idx_scan, 0) > 0 AND pg_relation_size(c.oid) >= $1 \
         ORDER BY pg_relation_size(c.oid) DESC";
    let at_least = i64::try_from(at_least).unwrap_or(i64::MAX);
    let rows = session.query("looking for unused indexes", SQL, &[&at_least]).await?;
    let of = |row: &tokio_postgres::Row| Unused {
        name: TableName { schema: row.get(0), name: row.get(1) },
        table: TableName { schema: row.get(0), name: row.get(2) },
        bytes: u64::try_from(row.get::<_, i64>(3)).unwrap_or(0),
        writes: row.get(4),
        definition: row.get(5),
    };
    Ok(rows.iter().map(of).collect())
}

/// A foreign key whose own side has no index: each change of the other side reads the whole table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unindexed {
    /// Its name.
    pub name: String,
    /// The table that has it.
    pub table: TableName,
    /// The table that it points to.
    pub target: TableName,
    /// Its columns.
    pub columns: Vec<String>,
    /// The table's bytes.
    pub bytes: u64,
    /// The table's rows, roughly.
    pub rows: i64,
    /// Rows that were changed or deleted on the other side since the statistics began.
    pub changes: i64,
}

/// The foreign keys without an index of tables of at least so many rows, the largest table first.
///
/// # Errors
/// When the connection is lost.
pub async fn unindexed(session: &Session, rows: i64) -> Result<Vec<Unindexed>, PostgresError> {
    // An index helps where its first columns are those of the key, in any order, and it has all rows.
    const SQL: &str = "SELECT k.conname::text, n.nspname::text, t.relname::text, fn.nspname::text, f.relname::text, \
         (SELECT array_agg(a.attname::text ORDER BY o.position) FROM unnest(k.conkey) WITH ORDINALITY o(number, position) \
             JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = o.number), \
         pg_table_size(t.oid), greatest(t.reltuples, coalesce(s.n_live_tup, 0))::int8, \
         coalesce(fs.n_tup_upd + fs.n_tup_del, 0) \
         FROM pg_constraint k JOIN pg_class t ON t.oid = k.conrelid JOIN pg_namespace n ON n.oid = t.relnamespace \
         JOIN pg_class f ON f.oid = k.confrelid JOIN pg_namespace fn ON fn.oid = f.relnamespace \
         LEFT JOIN pg_stat_user_tables s ON s.relid = t.oid LEFT JOIN pg_stat_user_tables fs ON fs.relid = f.oid \
         WHERE k.contype = 'f' AND t.relkind IN ('r', 'p') AND k.conparentid = 0 \
         AND greatest(t.reltuples, coalesce(s.n_live_tup, 0))::float8 >= $1 \
         AND NOT EXISTS (SELECT FROM pg_index i WHERE i.indrelid = k.conrelid AND i.indisvalid AND i.indpred IS NULL \
             AND (SELECT array_agg(x ORDER BY x) FROM unnest((i.indkey::int2[])[0:cardinality(k.conkey) - 1]) x) \
               = (SELECT array_agg(x ORDER BY x) FROM unnest(k.conkey) x)) \
         ORDER BY t.reltuples DESC, k.conname";
    let least = rows as f64;
    let rows = session.query("looking for foreign keys without an index", SQL, &[&least]).await?;
    let of = |row: &tokio_postgres::Row| Unindexed {
        name: row.get(0),
        table: TableName { schema: row.get(1), name: row.get(2) },
        target: TableName { schema: row.get(3), name: row.get(4) },
        columns: row.get(5),
        bytes: u64::try_from(row.get::<_, i64>(6)).unwrap_or(0),
        rows: row.get(7),
        changes: row.get(8),
    };
    Ok(rows.iter().map(of).collect())
}

/// A large table that is read from its beginning to its end again and again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scanned {
    /// Its name.
    pub table: TableName,
    /// Its bytes.
    pub bytes: u64,
    /// How often it was read whole.
    pub scans: i64,
    /// Rows of an average reading.
    pub rows: i64,
    /// How often an index was used instead.
    pub by_index: i64,
}

/// Tables that were read whole at least `scans` times, at least `rows` rows each time, and more often than by an index.
///
/// # Errors
/// When the connection is lost.
pub async fn scanned(session: &Session, scans: i64, rows: i64) -> Result<Vec<Scanned>, PostgresError> {
    const SQL: &str = "SELECT schemaname::text, relname::text, pg_table_size(relid), seq_scan, seq_tup_read / seq_scan, \
         coalesce(idx_scan, 0) FROM pg_stat_user_tables WHERE seq_scan >= $1 AND seq_tup_read / greatest(seq_scan, 1) >= $2 \
         AND seq_scan > coalesce(idx_scan, 0) AND n_live_tup >= $2 ORDER BY seq_tup_read DESC LIMIT 20";
    let rows = session.query("looking for tables that are read whole", SQL, &[&scans, &rows]).await?;
    let of = |row: &tokio_postgres::Row| Scanned {
        table: TableName { schema: row.get(0), name: row.get(1) },
        bytes: u64::try_from(row.get::<_, i64>(2)).unwrap_or(0),
        scans: row.get(3),
        rows: row.get(4),
        by_index: row.get(5),
    };
    Ok(rows.iter().map(of).collect())
}
