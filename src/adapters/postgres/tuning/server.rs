//! The cache, the settings, and since when the server counts.

use std::time::SystemTime;

use chrono::{DateTime, Utc};

use crate::adapters::postgres::{PostgresError, Session};

/// What the server counted of the session's database.
#[derive(Debug, Clone, PartialEq)]
pub struct Traffic {
    /// Since when.
    pub since: DateTime<Utc>,
    /// Blocks that were found in the cache.
    pub hit: i64,
    /// Blocks that were asked from the system.
    pub read: i64,
    /// The database's bytes.
    pub bytes: i64,
    /// Checkpoints because time was up.
    pub checkpoints_timed: i64,
    /// Checkpoints because there was much WAL, or somebody asked.
    pub checkpoints_asked: i64,
    /// Bytes of WAL.
    pub wal: i64,
    /// Standbys, whose use of indexes is counted there.
    pub standbys: i64,
    /// Whether this server is itself one.
    pub in_recovery: bool,
}

/// Asks.
///
/// # Errors
/// When the connection is lost.
pub async fn traffic(session: &Session) -> Result<Traffic, PostgresError> {
    // PostgreSQL 17 counts checkpoints elsewhere.
    const VERSION: &str = "SELECT current_setting('server_version_num')::int4";
    let version: i32 = session.one("asking for the server's version", VERSION, &[]).await?.get(0);
    let checkpoints = if version >= 170_000 {
        "(SELECT num_timed FROM pg_stat_checkpointer), (SELECT num_requested FROM pg_stat_checkpointer)"
    } else {
        "(SELECT checkpoints_timed FROM pg_stat_bgwriter), (SELECT checkpoints_req FROM pg_stat_bgwriter)"
    };
    let sql = format!(
        "SELECT greatest(coalesce(stats_reset, pg_postmaster_start_time()), '-infinity'), blks_hit, blks_read, \
         pg_database_size(datid), {checkpoints}, (SELECT wal_bytes::int8 FROM pg_stat_wal), \
         (SELECT count(*) FROM pg_stat_replication), pg_is_in_recovery() FROM pg_stat_database WHERE datname = current_database()"
    );
    let row = session.one("asking what the server counted", &sql, &[]).await?;
    Ok(Traffic {
        since: row.get::<_, SystemTime>(0).into(),
        hit: row.get(1),
        read: row.get(2),
        bytes: row.get(3),
        checkpoints_timed: row.get(4),
        checkpoints_asked: row.get(5),
        wal: row.get(6),
        standbys: row.get(7),
        in_recovery: row.get(8),
    })
}

/// A setting as it is in force for new sessions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// Its name.
    pub name: String,
    /// Its value, with its unit: `128MB`.
    pub value: String,
    /// The same in bytes or the setting's own unit, where it is a number.
    pub number: Option<i64>,
    /// Where it comes from: `default`, `configuration file`, `command line`.
    pub source: String,
    /// Whether it takes a restart to change it.
    pub restart: bool,
}

/// Asks for some settings.
///
/// # Errors
/// When the connection is lost.
pub async fn settings(session: &Session, names: &[&str]) -> Result<Vec<Setting>, PostgresError> {
    const SQL: &str = "SELECT name, current_setting(name), source, context = 'postmaster', \
         CASE WHEN vartype IN ('integer', 'real') AND unit IN ('8kB', 'kB', 'MB', 'B') \
             THEN pg_size_bytes(setting || CASE unit WHEN '8kB' THEN ' kB' ELSE ' ' || unit END) \
                 * CASE unit WHEN '8kB' THEN 8 ELSE 1 END \
             WHEN vartype = 'integer' THEN setting::int8 END \
         FROM pg_settings WHERE name = ANY($1) ORDER BY name";
    let rows = session.query("asking for settings", SQL, &[&names]).await?;
    let of = |row: &tokio_postgres::Row| Setting {
        name: row.get(0),
        value: row.get(1),
        source: row.get(2),
        restart: row.get(3),
        number: row.get(4),
    };
    Ok(rows.iter().map(of).collect())
}
