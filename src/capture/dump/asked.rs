//! What the source says of itself, independently of `pg_dump`: rows counted in the dump's own snapshot, sequences before
//! and after, and every object by name. A restore is compared with it.

use std::collections::BTreeMap;

use tokio_util::sync::CancellationToken;

use super::error::DumpError;
use crate::{
    adapters::postgres::{
        PostgresError, Session,
        catalogue::{self, Table},
        inventory,
    },
    model::contents::{Line, SequenceLine, SequenceValue, TableName},
    stream::{StreamError, artifact::ArtifactWriter},
};

/// Sequences and their values.
pub(super) type Sequences = BTreeMap<TableName, (SequenceValue, i64)>;

/// Records roles and objects as the session sees them.
///
/// # Errors
/// When the connection is lost, or the list cannot be written.
pub(super) async fn record_objects(session: &Session, writer: &mut ArtifactWriter) -> Result<(), DumpError> {
    for name in catalogue::roles(session).await? {
        writer.record(&Line::Role { name })?;
    }
    let mut written: Result<(), StreamError> = Ok(());
    let mut found = |object| {
        if written.is_ok() {
            written = writer.record(&Line::Object(object));
        }
    };
    let catalogues = inventory::database(session, None, None, &mut found).await?;
    written?;
    Ok(writer.record(&Line::Inventory { catalogues })?)
}

/// Names the tables that others hold for themselves, where one of their locks was not obtained in time.
pub(super) async fn name_the_locked(error: DumpError, watching: &Session) -> DumpError {
    const LOCKED: &str = "SELECT string_agg(DISTINCT relation::regclass::text, ', ') FROM pg_locks \
         WHERE mode = 'AccessExclusiveLock' AND granted AND relation >= 16384 \
         AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
    match error {
        DumpError::Postgres(PostgresError::LockTimeout { endpoint, operation, message }) => {
            let asked = watching.one("looking for locks", LOCKED, &[]).await;
            let names = asked.ok().and_then(|row| row.get::<_, Option<String>>(0));
            let of = names.map(|names| format!("; held by others: {names}")).unwrap_or_default();
            PostgresError::LockTimeout { endpoint, operation, message: message + &of }.into()
        }
        other => other,
    }
}

/// Records how the sequences were before the dump, and how they are now. One that is gone, or new, was dumped or not:
/// nothing can be said of it.
///
/// # Errors
/// When the connection is lost, or the list cannot be written.
pub(super) async fn record_sequences(
    now: &Session,
    before: &Sequences,
    writer: &mut ArtifactWriter,
) -> Result<(), DumpError> {
    let after = catalogue::sequences(now).await?;
    for (sequence, (before, increment)) in before {
        if let Some((after, _)) = after.get(sequence) {
            let (sequence, before, after, increment) = (sequence.clone(), *before, *after, *increment);
            let line = SequenceLine { sequence, before, after, increment };
            writer.record(&Line::Sequence(line))?;
        }
    }
    Ok(())
}

/// A session that sees what the dump sees.
pub(super) struct Counter(Session);

impl Counter {
    /// Takes over the exported snapshot.
    ///
    /// # Errors
    /// When the snapshot is gone.
    pub(super) async fn take(session: Session, snapshot: &str) -> Result<Self, PostgresError> {
        // Off means an error where rows would be hidden, instead of fewer rows.
        let begin = format!(
            "SET row_security = off; SET max_parallel_workers_per_gather = 0; \
             BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET TRANSACTION SNAPSHOT '{snapshot}'"
        );
        session.batch("taking over the snapshot", &begin).await?;
        Ok(Self(session))
    }

    /// Counts the rows of every table, in the tables' order; fewer where it was stopped.
    ///
    /// # Errors
    /// When the connection is lost.
    pub(super) async fn count(self, tables: &[Table], stop: &CancellationToken) -> Result<Vec<u64>, PostgresError> {
        let mut counts = Vec::with_capacity(tables.len());
        for table in tables {
            // An extension's condition begins with WHERE.
            let condition = table.extension_condition.as_deref().unwrap_or_default();
            let sql = format!("SELECT count(*) FROM ONLY {} {condition}", table.name.quoted());
            let operation = format!("counting the rows of {}", table.name);
            let row = tokio::select! {
                row = self.0.one(&operation, &sql, &[]) => row?,
                () = stop.cancelled() => return Ok(counts),
            };
            counts.push(u64::try_from(row.get::<_, i64>(0)).unwrap_or(0));
        }
        self.0.close().await;
        Ok(counts)
    }
}

/// Compares what was counted with what was dumped, and records it.
///
/// # Errors
/// [`DumpError::Counted`] with the first table that differs.
pub(super) fn compare(
    database: &str,
    tables: &[Table],
    counts: &[u64],
    dumped: &[(TableName, u64)],
    writer: &mut ArtifactWriter,
) -> Result<(), DumpError> {
    let dumped: BTreeMap<&TableName, u64> = dumped.iter().map(|(name, rows)| (name, *rows)).collect();
    for (Table { name, .. }, counted) in tables.iter().zip(counts) {
        let found = dumped.get(name).copied().unwrap_or(0);
        if found != *counted {
            let (database, table) = (database.to_owned(), name.clone());
            return Err(DumpError::Counted { database, table, dumped: found, counted: *counted });
        }
        writer.record(&Line::Counted { table: name.clone(), rows: *counted })?;
    }
    Ok(())
}
