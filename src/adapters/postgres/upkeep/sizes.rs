//! How large tables and indexes are, and what the statistics say of their rows.

use std::time::SystemTime;

use chrono::{DateTime, Utc};
use tokio_postgres::Row;

use crate::{
    adapters::postgres::{PostgresError, Session},
    model::{bloat::Facts, contents::TableName},
};

/// What something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A table or materialized view.
    Table,
    /// A btree index.
    Index,
}

/// A table or index with what an estimate needs.
#[derive(Debug, Clone, PartialEq)]
pub struct Estimated {
    /// What it is.
    pub kind: Kind,
    /// Its name.
    pub name: TableName,
    /// `pg_class.oid`.
    pub oid: u32,
    /// The table: of an index the indexed one, of a table itself.
    pub table: (TableName, u32),
    /// Belongs to the system.
    pub system: bool,
    /// An exclusion constraint's index, which cannot be rebuilt concurrently.
    pub exclusion: bool,
    /// Its bytes, as of the last VACUUM or ANALYZE.
    pub bytes: u64,
    /// What an estimate is made of.
    pub facts: Facts,
    /// When the statistics were made.
    pub analysed: Option<DateTime<Utc>>,
    /// The share of rows that changed since, in percent.
    pub changed: f64,
    /// Where the tablespace is on the server's host; `None`: in the data directory.
    pub tablespace: Option<String>,
}

/// A relation with the bytes of everything that belongs to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sized {
    /// Its name.
    pub name: TableName,
    /// With indexes and long values; `None`: locked exclusively, so that nobody can look.
    pub bytes: Option<u64>,
}

/// The columns that tables and indexes share, of `c` with the columns' statistics `s` and the table `t`.
const SHARED: &str = "c.oid, t.oid, tn.nspname::text, t.relname::text, \
     n.nspname ~ '^pg_' OR n.nspname = 'information_schema', c.relpages::float8, c.reltuples::float8, \
     current_setting('block_size')::float8, s.columns, s.known, coalesce(s.nullable, false), \
     coalesce(s.width, 0)::float8, coalesce(s.names, false), \
     greatest(pg_stat_get_last_analyze_time(t.oid), pg_stat_get_last_autoanalyze_time(t.oid)), \
     coalesce(100 * pg_stat_get_mod_since_analyze(t.oid) / greatest(t.reltuples, 1), 0)::float8, \
     nullif(pg_tablespace_location(c.reltablespace), ''), n.nspname::text, c.relname::text";
/// What the statistics say of some columns, `a` being a column and `st` its statistics.
const STATISTICS: &str = "count(*) AS columns, count(st.avg_width) AS known, bool_or(st.null_frac > 0) AS nullable, \
     sum((1 - st.null_frac) * st.avg_width) AS width, bool_or(a.atttypid = 'name'::regtype) AS names";

fn unsigned(number: f64) -> u64 {
    format!("{:.0}", number.max(0.0)).parse().unwrap_or(0)
}

fn estimated(row: &Row, kind: Kind) -> Estimated {
    let (pages, block): (f64, f64) = (row.get(5), row.get(7));
    let facts = Facts {
        pages,
        rows: row.get(6),
        block,
        columns: row.get(8),
        known: row.get(9),
        nullable: row.get(10),
        width: row.get(11),
        names: row.get(12),
        fillfactor: f64::from(row.get::<_, i32>(18)),
        toast: (row.get(20), row.get(21)),
    };
    Estimated {
        kind,
        name: TableName { schema: row.get(16), name: row.get(17) },
        oid: row.get(0),
        table: (TableName { schema: row.get(2), name: row.get(3) }, row.get(1)),
        system: row.get(4),
        exclusion: row.get(19),
        bytes: unsigned((pages + facts.toast.0) * block),
        facts,
        analysed: row.get::<_, Option<SystemTime>>(13).map(DateTime::from),
        changed: row.get(14),
        tablespace: row.get(15),
    }
}

/// The btree indexes of at least so many bytes, the largest first. Invalid ones are left out.
///
/// # Errors
/// When the connection is lost.
pub async fn estimated_indexes(session: &Session, at_least: u64) -> Result<Vec<Estimated>, PostgresError> {
    let sql = format!(
        "SELECT {SHARED}, coalesce(substring(array_to_string(c.reloptions, ' ') FROM 'fillfactor=([0-9]+)')::int4, 90), \
         i.indisexclusion, 0::float8, 0::float8 \
         FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_namespace n ON n.oid = c.relnamespace \
         JOIN pg_class t ON t.oid = i.indrelid JOIN pg_namespace tn ON tn.oid = t.relnamespace \
         CROSS JOIN LATERAL (SELECT {STATISTICS} FROM generate_series(0, i.indnatts - 1) k \
             JOIN pg_attribute a ON a.attrelid = CASE i.indkey[k] WHEN 0 THEN c.oid ELSE t.oid END \
                 AND a.attnum = CASE i.indkey[k] WHEN 0 THEN k + 1 ELSE i.indkey[k] END \
             LEFT JOIN pg_stats st ON st.schemaname = tn.nspname AND NOT st.inherited AND st.attname = a.attname \
                 AND st.tablename = CASE i.indkey[k] WHEN 0 THEN c.relname ELSE t.relname END) s \
         WHERE c.relkind = 'i' AND c.relam = (SELECT oid FROM pg_am WHERE amname = 'btree') AND i.indisvalid \
         AND c.relpersistence <> 't' AND c.relpages::int8 * current_setting('block_size')::int8 >= $1::int8 \
         ORDER BY c.relpages DESC, c.oid"
    );
    let at_least = i64::try_from(at_least).unwrap_or(i64::MAX);
    let rows = session.query("estimating the indexes' bloat", &sql, &[&at_least]).await?;
    Ok(rows.iter().map(|row| estimated(row, Kind::Index)).collect())
}

/// The tables of at least so many bytes, the largest first.
///
/// # Errors
/// When the connection is lost.
pub async fn estimated_tables(session: &Session, at_least: u64) -> Result<Vec<Estimated>, PostgresError> {
    let sql = format!(
        "SELECT {SHARED}, coalesce(substring(array_to_string(c.reloptions, ' ') FROM 'fillfactor=([0-9]+)')::int4, 100), \
         false, coalesce(x.relpages, 0)::float8, coalesce(x.reltuples, 0)::float8 \
         FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_class t ON t.oid = c.oid \
         JOIN pg_namespace tn ON tn.oid = t.relnamespace LEFT JOIN pg_class x ON x.oid = c.reltoastrelid \
         CROSS JOIN LATERAL (SELECT {STATISTICS} FROM pg_attribute a \
             LEFT JOIN pg_stats st ON st.schemaname = n.nspname AND st.tablename = c.relname AND NOT st.inherited \
                 AND st.attname = a.attname WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped) s \
         WHERE c.relkind IN ('r', 'm') AND c.relpersistence <> 't' \
         AND (c.relpages::int8 + coalesce(x.relpages, 0)) * current_setting('block_size')::int8 >= $1::int8 \
         ORDER BY c.relpages + coalesce(x.relpages, 0) DESC, c.oid"
    );
    let at_least = i64::try_from(at_least).unwrap_or(i64::MAX);
    let rows = session.query("estimating the tables' bloat", &sql, &[&at_least]).await?;
    Ok(rows.iter().map(|row| estimated(row, Kind::Table)).collect())
}

/// The largest tables with everything that belongs to them. They are found without a lock and looked at one by one: the
/// server's own function waits for whoever has a table locked.
///
/// # Errors
/// When the connection is lost.
pub async fn largest(session: &Session, most: u32) -> Result<Vec<Sized>, PostgresError> {
    const SQL: &str = "SELECT n.nspname::text, c.relname::text, c.oid FROM pg_class c \
         JOIN pg_namespace n ON n.oid = c.relnamespace LEFT JOIN pg_class x ON x.oid = c.reltoastrelid \
         LEFT JOIN LATERAL (SELECT sum(ic.relpages) AS pages FROM pg_index i JOIN pg_class ic ON ic.oid = i.indexrelid \
             WHERE i.indrelid = c.oid) ix ON true \
         WHERE c.relkind IN ('r', 'm') AND c.relpersistence <> 't' \
         ORDER BY c.relpages + coalesce(x.relpages, 0) + coalesce(ix.pages, 0) DESC, c.oid LIMIT $1::int8";
    const SIZE: &str = "SELECT coalesce(pg_total_relation_size($1::oid), 0)";
    let mut found = Vec::new();
    for row in session.query("listing the largest tables", SQL, &[&i64::from(most)]).await? {
        let oid: u32 = row.get(2);
        let bytes = match session.one("asking a table's size", SIZE, &[&oid]).await {
            Ok(row) => Some(u64::try_from(row.get::<_, i64>(0)).unwrap_or(0)),
            Err(PostgresError::LockTimeout { .. }) => None,
            Err(other) => return Err(other),
        };
        found.push(Sized { name: TableName { schema: row.get(0), name: row.get(1) }, bytes });
    }
    found.sort_by_key(|sized| std::cmp::Reverse(sized.bytes));
    Ok(found)
}

/// The bytes of the session's database.
///
/// # Errors
/// When the connection is lost, or the role may not connect to it.
pub async fn size_of_database(session: &Session) -> Result<u64, PostgresError> {
    let row = session.one("asking the database's size", "SELECT pg_database_size(current_database())", &[]).await?;
    Ok(u64::try_from(row.get::<_, i64>(0)).unwrap_or(0))
}

/// The share of a table that is dead or free, in percent, read from its pages by pgstattuple; `None`: the extension is
/// not there, or the role may not use it.
///
/// # Errors
/// When the connection is lost.
pub async fn measured_bloat(session: &Session, table: u32) -> Result<Option<f64>, PostgresError> {
    const WHERE: &str = "SELECT quote_ident(n.nspname) FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace \
         WHERE e.extname = 'pgstattuple'";
    let found = session.query("looking for pgstattuple", WHERE, &[]).await?;
    let Some(schema) = found.first().map(|row| row.get::<_, String>(0)) else { return Ok(None) };
    let sql = format!(
        "SELECT (dead_tuple_percent + approx_free_percent)::float8 FROM {schema}.pgstattuple_approx($1::oid::regclass)"
    );
    match session.one("measuring a table's bloat", &sql, &[&table]).await {
        Ok(row) => Ok(Some(row.get(0))),
        Err(PostgresError::Denied { .. } | PostgresError::LockTimeout { .. } | PostgresError::Query { .. }) => Ok(None),
        Err(other) => Err(other),
    }
}
