//! Tables, and how often they were vacuumed and analysed.

use std::{collections::BTreeMap, time::SystemTime};

use chrono::{DateTime, Utc};

use crate::{
    adapters::postgres::{PostgresError, Session},
    model::contents::TableName,
};

/// A table that can be vacuumed or analysed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upkept {
    /// Its name, unquoted.
    pub name: TableName,
    /// `pg_class.oid`.
    pub oid: u32,
    /// Has no rows of its own: only its statistics can be made.
    pub partitioned: bool,
    /// Belongs to the server, not to this database.
    pub shared: bool,
    /// Belongs to the system.
    pub system: bool,
    /// Its size when it was last looked at, in bytes; asked without a lock, so that a locked table can be listed.
    pub bytes: u64,
}

/// Every table and materialized view of the database, the largest first; of other sessions' temporary ones none. Of the
/// server's shared catalogues only where the role may: they are otherwise autovacuum's alone.
///
/// # Errors
/// When the connection is lost.
pub async fn tables(session: &Session) -> Result<Vec<Upkept>, PostgresError> {
    const SQL: &str = "SELECT n.nspname::text, c.relname::text, c.oid, c.relkind = 'p', c.relisshared, \
         n.nspname ~ '^pg_' OR n.nspname = 'information_schema', \
         (greatest(c.relpages, 0)::int8 + greatest(coalesce(t.relpages, 0), 0)::int8) \
             * current_setting('block_size')::int8 AS bytes \
         FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
         LEFT JOIN pg_class t ON t.oid = c.reltoastrelid \
         WHERE c.relkind IN ('r', 'm', 'p') AND c.relpersistence <> 't' \
         AND (NOT c.relisshared OR (SELECT rolsuper FROM pg_roles WHERE rolname = current_user)) \
         ORDER BY bytes DESC, n.nspname COLLATE \"C\", c.relname COLLATE \"C\"";
    let rows = session.query("listing the tables", SQL, &[]).await?;
    let table = |row: &tokio_postgres::Row| Upkept {
        name: TableName { schema: row.get(0), name: row.get(1) },
        oid: row.get(2),
        partitioned: row.get(3),
        shared: row.get(4),
        system: row.get(5),
        bytes: u64::try_from(row.get::<_, i64>(6)).unwrap_or(0),
    };
    Ok(rows.iter().map(table).collect())
}

/// How often a table was vacuumed and analysed by hand, as the server counts it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// `vacuum_count`.
    pub vacuumed: i64,
    /// `analyze_count`.
    pub analysed: i64,
    /// The last analysis, by hand or by itself.
    pub last_analysed: Option<DateTime<Utc>>,
}

/// The counters of tables by oid; `None` where the server does not count (`track_counts`).
///
/// # Errors
/// When the connection is lost.
pub async fn counters(session: &Session, oids: &[u32]) -> Result<Option<BTreeMap<u32, Counters>>, PostgresError> {
    const SQL: &str = "SELECT o, pg_stat_get_vacuum_count(o), pg_stat_get_analyze_count(o), \
         greatest(pg_stat_get_last_analyze_time(o), pg_stat_get_last_autoanalyze_time(o)) \
         FROM unnest($1::oid[]) o WHERE current_setting('track_counts')::bool";
    let rows = session.query("asking what was done to the tables", SQL, &[&oids]).await?;
    if rows.is_empty() && !oids.is_empty() {
        return Ok(None);
    }
    let of = |row: &tokio_postgres::Row| {
        let last_analysed = row.get::<_, Option<SystemTime>>(3).map(DateTime::from);
        (row.get(0), Counters { vacuumed: row.get(1), analysed: row.get(2), last_analysed })
    };
    Ok(Some(rows.iter().map(of).collect()))
}

/// Whether a table is still there.
///
/// # Errors
/// When the connection is lost.
pub async fn table_exists(session: &Session, oid: u32) -> Result<bool, PostgresError> {
    const SQL: &str = "SELECT EXISTS (SELECT FROM pg_class WHERE oid = $1)";
    Ok(session.one("looking for a table", SQL, &[&oid]).await?.get(0))
}
