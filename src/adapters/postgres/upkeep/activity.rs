//! Who does what on the server, and who is in whose way.

use std::{fmt, time::Duration};

use tokio_postgres::Row;

use crate::{
    adapters::postgres::{PostgresError, Session},
    model::units::Elapsed,
};

/// A transaction that others wait for.
#[derive(Debug, Clone, PartialEq)]
pub struct Holder {
    /// Its backend; `None`: a prepared transaction, which outlives its session.
    pub pid: Option<i32>,
    /// Its `application_name`, or the prepared transaction's name.
    pub application: String,
    /// Its role.
    pub user: String,
    /// What it is doing, e.g. `idle in transaction`.
    pub state: String,
    /// How old it is, in seconds; `None` where the role may not see it.
    pub age: Option<f64>,
}

impl Holder {
    fn of(row: &Row) -> Self {
        Self { pid: row.get(0), application: row.get(1), user: row.get(2), state: row.get(3), age: row.get(4) }
    }

    /// What ends it, for an operator who has looked at it.
    pub fn remedy(&self) -> String {
        match self.pid {
            Some(pid) => format!("SELECT pg_terminate_backend({pid})"),
            None => format!("ROLLBACK PREPARED '{}'", self.application.replace('\'', "''")),
        }
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.pid {
            Some(pid) => write!(f, "pid {pid}")?,
            None => write!(f, "the prepared transaction")?,
        }
        let age = self.age.and_then(|age| Duration::try_from_secs_f64(age).ok()).map(|age| Elapsed(age).to_string());
        let parts = [Some(&self.application), Some(&self.user), Some(&self.state), age.as_ref()];
        let parts: Vec<&str> =
            parts.into_iter().flatten().map(String::as_str).filter(|part| !part.is_empty()).collect();
        if parts.is_empty() { Ok(()) } else { write!(f, " ({})", parts.join(", ")) }
    }
}

/// The columns of a [`Holder`], from `pg_stat_activity` as `a`.
const HOLDER: &str = "a.pid, coalesce(a.application_name, ''), coalesce(a.usename::text, ''), \
     coalesce(a.state, a.backend_type, ''), \
     extract(epoch FROM clock_timestamp() - coalesce(a.xact_start, a.query_start))::float8";
/// The columns of a [`Holder`], from `pg_prepared_xacts` as `p`.
const PREPARED: &str = "NULL::int4, p.gid, p.owner::text, 'prepared', \
     extract(epoch FROM clock_timestamp() - p.prepared)::float8";

/// Transactions of this database older than `age` that keep a rebuild of any index waiting, the oldest first: those with
/// a snapshot, whatever table they read. Autovacuum and VACUUM are not waited for.
///
/// # Errors
/// When the connection is lost.
pub async fn long_transactions(session: &Session, age: Duration) -> Result<Vec<Holder>, PostgresError> {
    let sql = format!(
        "SELECT {HOLDER} FROM pg_stat_activity a WHERE a.datname = current_database() AND a.pid <> pg_backend_pid() \
         AND (a.backend_xmin IS NOT NULL OR a.backend_xid IS NOT NULL) \
         AND a.backend_type <> 'autovacuum worker' \
         AND NOT EXISTS (SELECT FROM pg_stat_progress_vacuum v WHERE v.pid = a.pid) \
         AND clock_timestamp() - coalesce(a.xact_start, a.query_start) > make_interval(secs => $1) \
         ORDER BY a.xact_start"
    );
    let rows = session.query("looking for old transactions", &sql, &[&age.as_secs_f64()]).await?;
    Ok(rows.iter().map(Holder::of).collect())
}

/// Prepared transactions that have locked a table: they last until somebody ends them by name.
///
/// # Errors
/// When the connection is lost.
pub async fn prepared_transactions(session: &Session, table: u32) -> Result<Vec<Holder>, PostgresError> {
    let sql = format!(
        "SELECT {PREPARED} FROM pg_prepared_xacts p WHERE p.database = current_database() \
         AND EXISTS (SELECT FROM pg_locks l JOIN pg_locks x ON x.virtualtransaction = l.virtualtransaction \
             WHERE l.locktype = 'relation' AND l.relation = $1 AND l.pid IS NULL AND x.pid IS NULL \
             AND x.locktype = 'transactionid' AND x.transactionid = p.transaction)"
    );
    let rows = session.query("looking for prepared transactions", &sql, &[&table]).await?;
    Ok(rows.iter().map(Holder::of).collect())
}

/// Who keeps maintenance of a table waiting (holds a lock that VACUUM's does not go with), the oldest first.
///
/// # Errors
/// When the connection is lost.
pub async fn holders(session: &Session, table: u32) -> Result<Vec<Holder>, PostgresError> {
    let sql = format!(
        "SELECT {HOLDER} FROM pg_locks l JOIN pg_stat_activity a USING (pid) \
         WHERE l.locktype = 'relation' AND l.relation = $1 AND l.granted AND l.pid <> pg_backend_pid() \
         AND l.mode IN ('ShareUpdateExclusiveLock', 'ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock', \
             'AccessExclusiveLock') ORDER BY 5 DESC NULLS LAST"
    );
    let rows = session.query("looking for the lock's holder", &sql, &[&table]).await?;
    let mut holders: Vec<Holder> = rows.iter().map(Holder::of).collect();
    holders.extend(prepared_transactions(session, table).await?);
    Ok(holders)
}

/// Whom a backend is waiting for just now.
///
/// # Errors
/// When the connection is lost.
pub async fn blockers_of(session: &Session, pid: i32) -> Result<Vec<Holder>, PostgresError> {
    Ok(waits_of(session, &[pid]).await?.into_iter().map(|(_, holder)| holder).collect())
}

/// Whom these backends are waiting for just now: backend and holder.
///
/// # Errors
/// When the connection is lost.
pub async fn waits_of(session: &Session, pids: &[i32]) -> Result<Vec<(i32, Holder)>, PostgresError> {
    // A prepared transaction is told as the backend 0, without its name.
    let sql = format!(
        "SELECT w.pid, {HOLDER} FROM (SELECT p AS pid, unnest(pg_blocking_pids(p)) AS by FROM unnest($1::int4[]) p) w \
         JOIN pg_stat_activity a ON a.pid = w.by \
         UNION ALL SELECT w.pid, NULL, '', '', 'prepared', NULL FROM (SELECT p AS pid FROM unnest($1::int4[]) p) w \
         WHERE 0 = ANY (pg_blocking_pids(w.pid))"
    );
    let rows = session.query("looking for who is in the way", &sql, &[&pids]).await?;
    let of = |row: &Row| {
        let (pid, application, user, state, age) = (row.get(1), row.get(2), row.get(3), row.get(4), row.get(5));
        (row.get(0), Holder { pid, application, user, state, age })
    };
    Ok(rows.iter().map(of).collect())
}

/// A build of an index that is under way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Build {
    /// Its backend.
    pub pid: i32,
    /// The table.
    pub table: u32,
    /// What it is at.
    pub phase: String,
    /// Work done and in all, in blocks, or in lockers where it waits.
    pub done: u64,
    /// See `done`.
    pub total: u64,
}

/// The builds that are under way in this database.
///
/// # Errors
/// When the connection is lost.
pub async fn builds(session: &Session) -> Result<Vec<Build>, PostgresError> {
    const SQL: &str = "SELECT pid, relid, coalesce(phase, ''), \
         CASE WHEN lockers_total > 0 THEN lockers_done ELSE blocks_done END, \
         CASE WHEN lockers_total > 0 THEN lockers_total ELSE blocks_total END \
         FROM pg_stat_progress_create_index WHERE datname = current_database()";
    let rows = session.query("looking for builds of indexes", SQL, &[]).await?;
    let whole = |row: &Row, at| u64::try_from(row.get::<_, Option<i64>>(at).unwrap_or(0)).unwrap_or(0);
    let build = |row: &Row| Build {
        pid: row.get(0),
        table: row.get::<_, Option<u32>>(1).unwrap_or(0),
        phase: row.get(2),
        done: whole(row, 3),
        total: whole(row, 4),
    };
    Ok(rows.iter().map(build).collect())
}

/// How far these backends' VACUUMs are: backend, phase, and the share of the heap that was read.
///
/// # Errors
/// When the connection is lost.
pub async fn vacuums(session: &Session, pids: &[i32]) -> Result<Vec<(i32, String, f64)>, PostgresError> {
    // The phases over indexes tell no total before 17: then the heap's share stands still.
    const SQL: &str = "SELECT pid, phase || CASE WHEN index_vacuum_count > 0 \
             THEN ', index pass ' || index_vacuum_count ELSE '' END, \
         (heap_blks_scanned::float8 / greatest(heap_blks_total, 1)) FROM pg_stat_progress_vacuum WHERE pid = ANY ($1)";
    let rows = session.query("asking how far VACUUM is", SQL, &[&pids]).await?;
    Ok(rows.iter().map(|row| (row.get(0), row.get(1), row.get(2))).collect())
}
