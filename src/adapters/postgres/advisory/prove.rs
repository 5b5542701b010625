//! Whether a server can hold a lock for a session at all. A pooler cannot: what one session locks, another one has.

use super::{AdvisoryError, LockKey, sql};
use crate::adapters::postgres::Session;

/// So many transactions of either session are looked at.
const ROUNDS: usize = 4;

/// What a transaction says of the session that it is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Seen {
    backend: i64,
    held: bool,
}

/// Takes a lock of its own in `session`, and looks whether it stays there while `other` is at work. Both are direct, or
/// this fails.
pub(super) async fn direct(session: &Session, other: &Session) -> Result<(), AdvisoryError> {
    let recovery = values(session, "asking for the server's role", "SELECT pg_is_in_recovery()::int").await?;
    if recovery == [1] {
        return Err(AdvisoryError::Standby { endpoint: session.endpoint().to_string() });
    }
    // Of this process alone: two that prove at once must not be in each other's way.
    let key = LockKey::probe();
    let [1] = values(session, "taking a lock to try it", &sql::try_lock(key)).await?[..] else {
        return Err(pooler(session, "a lock that nobody knows was taken already"));
    };
    let first = seen(session, key).await?;
    for _ in 0..ROUNDS {
        other.batch("beginning a transaction", "BEGIN").await.map_err(|e| moved(session, e))?;
        let theirs = seen(other, key).await?;
        let ours = seen(session, key).await?;
        other.batch("ending a transaction", "COMMIT").await.map_err(|e| moved(session, e))?;
        if theirs.backend == first.backend || theirs.held {
            return Err(pooler(session, "two sessions share one backend"));
        }
        if ours.backend != first.backend {
            return Err(pooler(session, "the backend of a session changed between two transactions"));
        }
        if !ours.held {
            return Err(pooler(session, "a lock that was taken is not in pg_locks"));
        }
    }
    match values(session, "giving the tried lock back", &sql::unlock(key)).await?[..] {
        [1] => Ok(()),
        _ => Err(pooler(session, "a lock that was taken could not be given back")),
    }
}

async fn seen(session: &Session, key: LockKey) -> Result<Seen, AdvisoryError> {
    match values(session, "looking at the own lock", &sql::own_lock(key)).await?[..] {
        [backend, held] => Ok(Seen { backend, held: held == 1 }),
        _ => Err(pooler(session, "the server does not tell its backend")),
    }
}

/// The numbers of a one-row answer; without prepared statements, which poolers lose.
pub(super) async fn values(session: &Session, operation: &str, sql: &str) -> Result<Vec<i64>, AdvisoryError> {
    let messages =
        session.client().simple_query(sql).await.map_err(|e| moved(session, session.error(operation, &e)))?;
    let row = messages.iter().find_map(|message| match message {
        tokio_postgres::SimpleQueryMessage::Row(row) => Some(row),
        _ => None,
    });
    let Some(row) = row else { return Ok(Vec::new()) };
    Ok((0..row.len()).filter_map(|i| row.get(i)?.parse().ok()).collect())
}

fn moved(session: &Session, error: crate::adapters::postgres::PostgresError) -> AdvisoryError {
    use crate::adapters::postgres::PostgresError;
    match error {
        // Found by the session itself, by the age of its backend.
        PostgresError::Pooler { .. } => pooler(session, "the session began before maint connected"),
        error => error.into(),
    }
}

fn pooler(session: &Session, saw: &str) -> AdvisoryError {
    AdvisoryError::Pooler { endpoint: session.endpoint().to_string(), saw: saw.to_owned() }
}
