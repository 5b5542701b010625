//! What maintenance asks a database: its tables and indexes, what was done to them, and who is in the way.

mod activity;
mod indexes;
mod sizes;
mod tables;

use std::time::Duration;

pub use activity::{
    Build, Holder, blockers_of, builds, holders, long_transactions, prepared_transactions, vacuums, waits_of,
};
pub use indexes::{Index, InvalidIndex, index_after, invalid_indexes};
pub use sizes::{
    Estimated, Kind, Sized, estimated_indexes, estimated_tables, largest, measured_bloat, size_of_database,
};
pub use tables::{Counters, Upkept, counters, table_exists, tables};

use super::{Endpoint, PostgresError, Session};

/// Opens a session that does the work: no statement of it is timed out, none waits for a lock longer than `lock_timeout`,
/// and the server gives up by itself when maint is gone.
///
/// # Errors
/// As [`Session::open`].
pub async fn worker(
    endpoint: &Endpoint,
    dbname: &str,
    application_name: &str,
    lock_timeout: Duration,
) -> Result<Worker, PostgresError> {
    let session = Session::open(endpoint.clone(), dbname, application_name, lock_timeout).await?;
    // Functions in indexes are their owner's, and may rely on the database's own path; what we send is qualified.
    session.batch("setting up the session", "RESET search_path").await?;
    const FACTS: &str = "SELECT pg_backend_pid(), current_setting('server_version_num')::int4";
    let row = session.one("asking for the session's backend", FACTS, &[]).await?;
    let (pid, version): (i32, i32) = (row.get(0), row.get(1));
    if version >= 140_000 {
        // Not on every platform; without it the server goes on to the statement's end.
        let _ = session.batch("setting up the session", "SET client_connection_check_interval = '2s'").await;
    }
    if version >= 170_000 {
        session.batch("setting up the session", "SET transaction_timeout = 0").await?;
    }
    Ok(Worker { session, pid })
}

/// A session that does the work.
#[derive(Debug)]
pub struct Worker {
    /// Its connection.
    pub session: Session,
    /// Its backend.
    pub pid: i32,
}
