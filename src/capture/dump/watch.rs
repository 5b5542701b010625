//! Looks, while a dump runs, for sessions that its locks keep waiting.
//!
//! An `ALTER TABLE` that waits for the dump's lock makes everybody wait who comes after it. So the dump gives way before
//! anyone has waited longer than the server's `lock_timeout`.

use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use super::{error::DumpError, snapshot::Snapshot};
use crate::adapters::{
    clock,
    postgres::{
        Endpoint, PostgresError, Session,
        catalogue::{self, Blocked},
    },
};

/// The longest time between two looks.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
const SHORTEST_PAUSE: Duration = Duration::from_millis(50);

/// Who looks on.
pub(super) struct Watcher {
    pub(super) endpoint: Endpoint,
    pub(super) database: String,
    /// The `application_name` of the dump's own session.
    pub(super) application: String,
    pub(super) lock_timeout: Duration,
}

/// When to look.
pub(super) struct Signals<'a> {
    /// The dump's first bytes have come: it holds all its locks.
    pub(super) began: &'a CancellationToken,
    /// The dump has ended.
    pub(super) ended: &'a CancellationToken,
    /// The dump has failed or is given up; the reason is known elsewhere.
    pub(super) stop: &'a CancellationToken,
}

impl Watcher {
    fn pause(&self) -> Duration {
        (self.lock_timeout / 10).clamp(SHORTEST_PAUSE, LONGEST_PAUSE)
    }

    /// Looks until the dump has ended; gives the reason to give it up, where there is one.
    pub(super) async fn watch(
        &self,
        session: Session,
        snapshot: &Snapshot,
        signals: Signals<'_>,
    ) -> Result<(), DumpError> {
        let mut session = Some(session);
        let mut seen = clock::monotonic();
        let mut compared = false;
        loop {
            tokio::select! {
                biased;
                () = signals.stop.cancelled() => return Ok(()),
                () = signals.began.cancelled(), if !compared => {
                    compared = true;
                    self.compare(&mut session, snapshot, &signals).await?;
                }
                // A small dump can end before anyone has read its first bytes.
                () = signals.ended.cancelled() => {
                    return if compared { Ok(()) } else { self.compare(&mut session, snapshot, &signals).await };
                }
                () = tokio::time::sleep(self.pause()) => match self.look_in_time(&mut session, &signals).await {
                    Ok(None) => seen = clock::monotonic(),
                    Ok(Some(blocked)) => return Err(self.give_way(session, blocked).await),
                    Err(source) => {
                        // A session that ended is replaced; until then nothing is known, and that may last no longer
                        // than a wait.
                        session = None;
                        self.tolerate(seen, source)?;
                    }
                },
            }
        }
    }

    /// Whether the dump sees the tables where the snapshot has them. Not to know is not to have a dump.
    async fn compare(
        &self,
        session: &mut Option<Session>,
        snapshot: &Snapshot,
        signals: &Signals<'_>,
    ) -> Result<(), DumpError> {
        let begun = clock::monotonic();
        loop {
            let compared = async { snapshot.changed(self.open(session).await?).await };
            let compared = tokio::select! {
                () = signals.stop.cancelled() => return Ok(()),
                compared = tokio::time::timeout(self.lock_timeout, compared) => compared,
            };
            match compared.unwrap_or_else(|_| Err(self.no_answer("comparing the tables"))) {
                Ok(tables) if tables.is_empty() => return Ok(()),
                Ok(tables) => return Err(DumpError::Changed { database: self.database.clone(), tables }),
                Err(source) => {
                    *session = None;
                    self.tolerate(begun, source)?;
                    tokio::time::sleep(SHORTEST_PAUSE).await;
                }
            }
        }
    }

    fn no_answer(&self, operation: &str) -> PostgresError {
        PostgresError::Lost {
            endpoint: self.endpoint.to_string(),
            operation: operation.to_owned(),
            message: format!("no answer in {} s", self.lock_timeout.as_secs_f64()),
        }
    }

    async fn open<'a>(&self, session: &'a mut Option<Session>) -> Result<&'a Session, PostgresError> {
        let open = match session.take() {
            Some(open) if !open.is_closed() => open,
            _ => self.connect().await?,
        };
        Ok(session.insert(open))
    }

    fn tolerate(&self, seen: Instant, source: PostgresError) -> Result<(), DumpError> {
        if seen.elapsed() < self.lock_timeout {
            return Ok(());
        }
        Err(DumpError::Unwatched { database: self.database.clone(), source: Box::new(source) })
    }

    /// One look; a server that does not answer is as good as gone.
    async fn look_in_time(
        &self,
        session: &mut Option<Session>,
        signals: &Signals<'_>,
    ) -> Result<Option<Blocked>, PostgresError> {
        let looked = tokio::select! {
            () = signals.ended.cancelled() => return Ok(None),
            looked = tokio::time::timeout(self.lock_timeout, self.look(session)) => looked,
        };
        looked.unwrap_or_else(|_| Err(self.no_answer("looking for blocked sessions")))
    }

    async fn look(&self, session: &mut Option<Session>) -> Result<Option<Blocked>, PostgresError> {
        let open = self.open(session).await?;
        let backends = catalogue::backends(open, &self.application).await?;
        if backends.is_empty() {
            return Ok(None);
        }
        let blocked = catalogue::blocked_by(open, &backends).await?;
        let limit = self.lock_timeout.saturating_sub(self.pause()).as_secs_f64();
        Ok(blocked.into_iter().find(|blocked| blocked.waiting >= limit))
    }

    /// A session for watching.
    ///
    /// # Errors
    /// When the server cannot be reached.
    pub(super) async fn connect(&self) -> Result<Session, PostgresError> {
        Session::open(self.endpoint.clone(), &self.database, "maint watch", self.lock_timeout).await
    }

    async fn give_way(&self, session: Option<Session>, blocked: Blocked) -> DumpError {
        const END: &str = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = $1";
        if let Some(session) = session {
            // `pg_dump` itself is stopped next; this only makes its locks go sooner.
            let _ = session.query("ending the dump's session", END, &[&self.application]).await;
        }
        let statement = blocked.statement.split_whitespace().collect::<Vec<_>>().join(" ");
        DumpError::Blocking {
            database: self.database.clone(),
            pid: blocked.pid,
            user: blocked.user,
            statement: statement.chars().take(300).collect(),
            waited: blocked.waiting,
        }
    }
}
