//! One lock for a job on several hosts: an advisory lock of a PostgreSQL session of its own, and a table that says which
//! slot was done by whom. The lock keeps two hosts from running at once, the table from running one after the other; an
//! epoch that grows with every run makes sure that nobody who lost the lock records a success afterwards.

mod error;
mod prove;
mod sql;
mod watch;

pub use error::AdvisoryError;
pub use watch::Grant;

use std::time::Duration;

use sha2::{Digest, Sha256};
use tokio_postgres::types::ToSql;

use super::{PostgresError, Session};
use crate::{
    adapters::clock,
    model::stack::{Docker, PostgresServer},
};

/// How often a holder shows that it lives, and looks whether it still holds.
const BEAT: Duration = Duration::from_secs(5);
/// A holder that was not seen for so long noticed that it lost the lock, and stopped.
const SILENT: Duration = Duration::from_secs(10);
/// How long one statement about the lock may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// The first of a lock's two numbers ("main" in ASCII): with it no application's lock is ours.
const CLASS: i32 = 0x6d61_696e;

/// A lock's two numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LockKey {
    class: i32,
    of: i32,
}

impl LockKey {
    /// A job's.
    pub fn of(stack: &str, job: &str) -> Self {
        let digest = Sha256::digest(format!("{stack}\0{job}"));
        let number = digest.iter().take(4).fold(0_u32, |number, byte| (number << 8) | u32::from(*byte));
        Self { class: CLASS, of: number.cast_signed() }
    }

    /// One that nobody else has.
    fn probe() -> Self {
        Self { class: CLASS + 1, ..Self::of("probe", &clock::run_id().to_string()) }
    }

    /// That of making the table.
    fn table() -> Self {
        Self { class: CLASS + 2, of: 0 }
    }
}

/// A run that wants to be the only one on all hosts.
#[derive(Debug, Clone)]
pub struct Want {
    /// The stack's name: the same on all its hosts.
    pub stack: String,
    /// The job.
    pub job: String,
    /// The slot; `None`: a run for no slot, which only waits for its turn.
    pub slot: Option<String>,
    /// The run's id.
    pub run: String,
    /// This host's name, for people.
    pub host: String,
    /// What tells this host from all others.
    pub host_id: String,
    /// Whether a slot that failed is tried again.
    pub again: bool,
}

impl Want {
    /// The table's word for the slot.
    fn slot(&self) -> &str {
        self.slot.as_deref().unwrap_or("")
    }
}

/// What became of asking.
#[derive(Debug)]
pub enum Claim {
    /// This run, and no other.
    Granted(Grant),
    /// Another one does the same slot just now: who.
    AtWork(String),
    /// Another one ended the slot: who, and how.
    Done(String),
    /// The job's lock is held for something else: by whom.
    Held(String),
}

/// A connection of its own to the server, proven to be one.
async fn connect(server: &PostgresServer, docker: &Docker, name: &str) -> Result<Session, AdvisoryError> {
    let session = Session::connect(server, docker, &server.dbname, name).await.map_err(prove::classify)?;
    session.batch("setting up the session", sql::KEEPALIVE).await?;
    let other =
        Session::connect(server, docker, &server.dbname, "maint (is it a pooler?)").await.map_err(prove::classify)?;
    let proven = prove::direct(&session, &other).await;
    other.close().await;
    proven.map(|()| session)
}

/// Whether the server can hold locks across hosts. Makes nothing. Gives what was found.
///
/// # Errors
/// When it cannot, or cannot be asked.
pub async fn self_test(server: &PostgresServer, docker: &Docker) -> Result<String, AdvisoryError> {
    let session = connect(server, docker, "maint (self-test)").await?;
    let found = match prove::values(&session, "looking for maint.slot", sql::USABLE).await?[..] {
        [1] => "sessions keep their locks, and maint.slot can be used",
        [_] => return Err(no_table(&session, "the role may not use it")),
        [] if prove::values(&session, "asking for the role's rights", sql::MAY_CREATE).await? == [1] => {
            "sessions keep their locks; maint.slot is made on first use"
        }
        [..] => return Err(no_table(&session, "it is not there, and the role may not make it")),
    };
    let found = format!("{}: {found}", session.endpoint());
    session.close().await;
    Ok(found)
}

fn no_table(session: &Session, problem: &str) -> AdvisoryError {
    let role = session.endpoint().user.replace('"', "\"\"");
    let sql = format!(
        "{}; GRANT USAGE ON SCHEMA maint TO \"{role}\"; GRANT SELECT, INSERT, UPDATE, DELETE ON maint.slot TO \"{role}\"",
        sql::CREATE
    );
    let endpoint = session.endpoint().to_string();
    AdvisoryError::Table { endpoint, database: session.database().to_owned(), problem: problem.to_owned(), sql }
}

/// Makes the table where it is not there.
async fn table(session: &Session) -> Result<(), AdvisoryError> {
    match prove::values(session, "looking for maint.slot", sql::USABLE).await?[..] {
        [1] => return Ok(()),
        [_] => return Err(no_table(session, "the role may not use it")),
        [] | [..] => {}
    }
    // Two hosts that make it at once would both fail, for all the IF NOT EXISTS.
    let LockKey { class, of } = LockKey::table();
    let sql = format!("BEGIN; SELECT pg_advisory_xact_lock({class}, {of}); {}; COMMIT", sql::CREATE);
    match session.batch("making maint.slot", &sql).await {
        Ok(()) => Ok(()),
        Err(error) => {
            // What made it fail stands in the error; the transaction is of no use any more.
            let _ = session.batch("rolling back", "ROLLBACK").await;
            match error {
                PostgresError::Denied { message, .. } => Err(no_table(session, &message)),
                error => Err(error.into()),
            }
        }
    }
}

/// Asks for a job's lock, and for its slot. Waits some seconds at most: for a holder to say what for, or to notice its loss.
///
/// # Errors
/// When the server cannot hold such locks, or cannot be asked.
pub async fn claim(server: &PostgresServer, docker: &Docker, want: &Want) -> Result<Claim, AdvisoryError> {
    let session = connect(server, docker, &format!("maint {} on {}", want.job, want.host)).await?;
    table(&session).await?;
    let key = LockKey::of(&want.stack, &want.job);
    let began = clock::monotonic();
    while prove::values(&session, "taking the lock across hosts", &sql::try_lock(key)).await? != [1] {
        // Whoever has it took it a moment ago and has yet to say what for, or gives it back just now.
        let waited = began.elapsed() > PATIENCE;
        let unknown = || waited.then(|| Claim::Held("another host".into()));
        if let Some(held) = held(&session, want).await?.or_else(unknown) {
            session.close().await;
            return Ok(held);
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    if let Some(done) = earlier(&session, want).await? {
        session.close().await;
        return Ok(done);
    }
    let_others_notice(&session, want).await?;
    let params: [&(dyn ToSql + Sync); 6] = [&want.stack, &want.job, &want.slot(), &want.host, &want.host_id, &want.run];
    let epoch: i64 = session.one("recording the run in maint.slot", sql::BEGIN, &params).await?.get(0);
    let params: [&(dyn ToSql + Sync); 3] = [&want.stack, &want.job, &epoch];
    session.query("recording dead runs in maint.slot", sql::BURY, &params).await?;
    session.query("forgetting old slots", sql::FORGET, &params).await?;
    let (server, docker, want) = (server.clone(), docker.clone(), want.clone());
    Ok(Claim::Granted(Grant::watch(session, watch::Term { server, docker, want, key, epoch })))
}

/// Who has the lock, as far as the table tells.
async fn held(session: &Session, want: &Want) -> Result<Option<Claim>, AdvisoryError> {
    let lately = (SILENT + PATIENCE).as_secs_f64();
    let rows = session.query("asking who is at work", sql::AT_WORK, &[&want.stack, &want.job, &lately]).await?;
    Ok(rows.first().map(|row| {
        let (host, run, slot): (String, String, String) = (row.get(0), row.get(1), row.get(2));
        let holder = format!("run {run} of {} on {host}", want.job);
        if want.slot.is_some() && slot == want.slot() { Claim::AtWork(holder) } else { Claim::Held(holder) }
    }))
}

/// Another host that lost the lock a moment ago may not have noticed yet, and be at work. Own runs are known to be dead:
/// whoever asks has the job's lock on this host.
async fn let_others_notice(session: &Session, want: &Want) -> Result<(), AdvisoryError> {
    let began = clock::monotonic();
    let lately = SILENT.as_secs_f64();
    let params: [&(dyn ToSql + Sync); 4] = [&want.stack, &want.job, &lately, &want.host_id];
    while !session.query("asking who was at work", sql::OTHERS, &params).await?.is_empty() && began.elapsed() < SILENT {
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
    Ok(())
}

/// What was made of the slot before; `None`: it is to be done. The lock is held.
async fn earlier(session: &Session, want: &Want) -> Result<Option<Claim>, AdvisoryError> {
    if want.slot.is_none() {
        return Ok(None);
    }
    let rows = session.query("asking for the slot", sql::ROW, &[&want.stack, &want.job, &want.slot()]).await?;
    let Some(row) = rows.first() else { return Ok(None) };
    let (host, run, state): (String, String, String) = (row.get(1), row.get(2), row.get(3));
    Ok(match state.as_str() {
        "ok" | "changed" | "warning" => Some(Claim::Done(format!("run {run} on {host} did it"))),
        "running" | "interrupted" => None,
        _ if want.again => None,
        state => Some(Claim::Done(format!("run {run} on {host} tried it ({state})"))),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_differ_by_stack_and_job_and_stay() {
        let key = LockKey::of("shop", "nightly");
        assert_eq!(key, LockKey::of("shop", "nightly"));
        for other in [LockKey::of("shop", "weekly"), LockKey::of("shopn", "ightly"), LockKey::of("", "shop\0nightly")] {
            assert_ne!(key, other);
        }
        assert_ne!(key.class, LockKey::probe().class);
    }
}
