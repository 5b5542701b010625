//! A lock that is held: watched, so that whoever lost it stops, and given back with what became of the run.

use std::time::Duration;

use tokio::{
    sync::oneshot,
    task::JoinHandle,
    time::{Instant, timeout},
};
use tokio_postgres::types::ToSql;
use tokio_util::sync::CancellationToken;

use super::{AdvisoryError, BEAT, LockKey, PATIENCE, Want, prove, sql};
use crate::{
    adapters::postgres::{PostgresError, Session},
    model::stack::{Docker, PostgresServer},
};

/// A connection that ended is noticed within this.
const LOOK: Duration = Duration::from_millis(250);

/// What is held, and for whom.
#[derive(Debug)]
pub(super) struct Term {
    pub(super) server: PostgresServer,
    pub(super) docker: Docker,
    pub(super) want: Want,
    pub(super) key: LockKey,
    pub(super) epoch: i64,
}

/// The lock. Dropped, it is given back without a word, and the slot is open to every host.
#[derive(Debug)]
pub struct Grant {
    epoch: i64,
    lost: CancellationToken,
    end: Option<oneshot::Sender<&'static str>>,
    watch: JoinHandle<Result<(), AdvisoryError>>,
}

impl Drop for Grant {
    fn drop(&mut self) {
        if self.end.is_some() {
            self.watch.abort();
        }
        // Whoever waits for that waits no longer.
        self.lost.cancel();
    }
}

impl Grant {
    pub(super) fn watch(session: Session, term: Term) -> Self {
        let (end, asked) = oneshot::channel();
        let lost = CancellationToken::new();
        let (epoch, tell) = (term.epoch, lost.clone());
        let watch = tokio::spawn(async move { hold(session, term, asked, &tell).await });
        Self { epoch, lost, end: Some(end), watch }
    }

    /// The run's number among all runs of the job on all hosts.
    pub fn epoch(&self) -> i64 {
        self.epoch
    }

    /// Cancelled when the lock is lost, or given back.
    pub fn lost(&self) -> &CancellationToken {
        &self.lost
    }

    /// Records how the run ended, and gives the lock back.
    ///
    /// # Errors
    /// When the lock was lost on the way: the run must not count as a success then.
    pub async fn end(mut self, state: &'static str) -> Result<(), AdvisoryError> {
        // A watch that ended already says why below.
        let _ = self.end.take().map(|end| end.send(state));
        match (&mut self.watch).await {
            Ok(ended) => ended,
            Err(panic) => Err(AdvisoryError::Lost(format!("its watch ended: {panic}"))),
        }
    }
}

/// Holds the lock until it is asked for the end, or the lock is lost.
async fn hold(
    session: Session,
    term: Term,
    mut asked: oneshot::Receiver<&'static str>,
    lost: &CancellationToken,
) -> Result<(), AdvisoryError> {
    let mut beat = Instant::now() + BEAT;
    let why = loop {
        tokio::select! {
            state = &mut asked => match state {
                Ok(state) => match end(&session, &term, state).await {
                    Err(AdvisoryError::Postgres(error)) => break error.to_string(),
                    ended => {
                        session.close().await;
                        return ended;
                    }
                },
                // Nobody is there any more.
                Err(_) => return Ok(()),
            },
            () = tokio::time::sleep(LOOK) => {}
        }
        if session.is_closed() {
            break "the connection was lost".to_owned();
        }
        if Instant::now() >= beat {
            if let Err(why) = alive(&session, &term).await {
                break why;
            }
            beat = Instant::now() + BEAT;
        }
    };
    lost.cancel();
    // Not before the run stopped: until then nobody else should begin. If somebody did, that is the better answer.
    let _ = asked.await;
    drop(session);
    Err(match timeout(PATIENCE, left(&term)).await {
        Ok(Ok(Some(stale))) => stale,
        _ => AdvisoryError::Lost(why),
    })
}

async fn alive(session: &Session, term: &Term) -> Result<(), String> {
    let Want { stack, job, .. } = &term.want;
    let sql = sql::alive(term.key);
    let params: [&(dyn ToSql + Sync); 4] = [stack, job, &term.want.slot(), &term.epoch];
    match timeout(PATIENCE, session.query("showing that the run lives", &sql, &params)).await {
        Ok(Ok(rows)) if rows.len() == 1 => Ok(()),
        Ok(Ok(_)) => Err("the server does not have it any more".to_owned()),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(format!("the server did not answer in {} s", PATIENCE.as_secs())),
    }
}

async fn end(session: &Session, term: &Term, state: &str) -> Result<(), AdvisoryError> {
    let ended = async {
        if record(session, term, &sql::end(term.key), state).await? == 0 {
            let lost = || AdvisoryError::Lost("the server does not have it any more".to_owned());
            return Err(stale(session, term).await?.unwrap_or_else(lost));
        }
        match prove::values(session, "giving the lock across hosts back", &sql::unlock(term.key)).await?[..] {
            [1] => Ok(()),
            _ => Err(AdvisoryError::NotHeld { endpoint: session.endpoint().to_string() }),
        }
    };
    let late = || AdvisoryError::Lost(format!("the server did not answer in {} s", PATIENCE.as_secs()));
    timeout(PATIENCE, ended).await.unwrap_or_else(|_| Err(late()))
}

async fn record(session: &Session, term: &Term, sql: &str, state: &str) -> Result<u64, PostgresError> {
    let Want { stack, job, .. } = &term.want;
    let params: [&(dyn ToSql + Sync); 5] = [stack, job, &term.want.slot(), &term.epoch, &state];
    let written = session.client().execute(sql, &params).await;
    written.map_err(|e| session.error("recording the run's end in maint.slot", &e))
}

/// Who took the job over.
async fn stale(session: &Session, term: &Term) -> Result<Option<AdvisoryError>, PostgresError> {
    let Want { stack, job, .. } = &term.want;
    let rows = session.query("asking for the slot", sql::ROW, &[stack, job, &term.want.slot()]).await?;
    let newer = rows.first().filter(|row| row.get::<_, i64>(0) > term.epoch);
    Ok(newer.map(|row| AdvisoryError::Stale {
        host: row.get(1),
        run: row.get(2),
        theirs: row.get(0),
        ours: term.epoch,
    }))
}

/// After a loss: what stopped is marked as interrupted, so that whoever comes next need not wait; or who came already.
async fn left(term: &Term) -> Result<Option<AdvisoryError>, AdvisoryError> {
    let Term { server, docker, .. } = term;
    let session = Session::connect(server, docker, &server.dbname, "maint (lost its lock)").await?;
    if record(&session, term, sql::LEFT, "interrupted").await? > 0 {
        return Ok(None);
    }
    Ok(stale(&session, term).await?)
}
