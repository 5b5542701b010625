//! The connections of a load: one that executes the dump in order, and more where several can work at once.

use std::{borrow::Cow, time::Duration};

use super::{LoadError, LoadOptions};
use crate::{
    adapters::{
        clock,
        postgres::{Endpoint, PostgresError, Session},
    },
    model::contents::hex,
    stream::dump::SqlStatement,
};

/// What a role's or database's settings must not decide (`ALTER ROLE … SET`); a dump's head sets the rest.
const PINNED: &str = "SET default_transaction_read_only = off; SET default_transaction_isolation = 'read committed'; \
     SET DateStyle = ISO; SET IntervalStyle = postgres";
/// How long leftover sessions may take to end.
const END_TIMEOUT: Duration = Duration::from_secs(5);

/// Sets the options' settings on a session.
pub(super) async fn settings(session: &Session, options: &LoadOptions<'_>) -> Result<(), PostgresError> {
    const SET: &str = "SELECT set_config($1, $2, false)";
    for (name, value) in options.settings {
        session.one(&format!("setting {name}"), SET, &[name, value]).await?;
    }
    Ok(())
}

/// The connections.
pub(super) struct Connections<'a> {
    options: &'a LoadOptions<'a>,
    endpoint: Endpoint,
    application: String,
    /// Executes the dump in order.
    pub(super) main: Session,
    others: Vec<Session>,
    /// The dump's own settings, the last of each name.
    dump_settings: Vec<(String, SqlStatement)>,
}

impl<'a> Connections<'a> {
    /// Opens the first one. All of them connect as `application`.
    pub(super) async fn open(options: &'a LoadOptions<'a>, application: &str) -> Result<Self, LoadError> {
        let endpoint = Endpoint::resolve(options.server, options.docker).await?;
        let main = connect(options, &endpoint, application).await?;
        let application = application.to_owned();
        Ok(Self { options, endpoint, application, main, others: Vec::new(), dump_settings: Vec::new() })
    }

    /// Executes a setting of the dump wherever the dump goes.
    pub(super) async fn set(&mut self, name: &str, statement: SqlStatement) -> Result<(), LoadError> {
        for session in self.all() {
            match execute(session, &statement).await {
                // A newer pg_dump's, which servers before 17 do not know.
                Err(LoadError::Refused { .. }) if name == "transaction_timeout" => return Ok(()),
                other => other?,
            }
        }
        self.dump_settings.retain(|(other, _)| other != name);
        self.dump_settings.push((name.to_owned(), statement));
        Ok(())
    }

    /// Every open connection, the main one first.
    pub(super) fn all(&self) -> impl Iterator<Item = &Session> {
        std::iter::once(&self.main).chain(&self.others)
    }

    /// Opens more of them until there are as many as are wanted, or as many as there is work for.
    pub(super) async fn widen(&mut self, work: usize) -> Result<(), LoadError> {
        while self.others.len() + 1 < self.options.jobs.min(work) {
            let session = connect(self.options, &self.endpoint, &self.application).await?;
            for (_, statement) in &self.dump_settings {
                execute(&session, statement).await?;
            }
            self.others.push(session);
        }
        Ok(())
    }

    /// Ends all but the main one, and waits until they hold nothing any more.
    pub(super) async fn narrow(&mut self) -> Result<(), LoadError> {
        self.others.clear();
        self.main.batch("beginning anew", "ROLLBACK").await?;
        Ok(end(&self.main, &self.application).await?)
    }

    /// Says goodbye.
    pub(super) async fn close(self) {
        for session in self.others {
            session.close().await;
        }
        self.main.close().await;
    }
}

async fn connect(options: &LoadOptions<'_>, endpoint: &Endpoint, application: &str) -> Result<Session, LoadError> {
    let session = Session::open(endpoint.clone(), options.dbname, application, options.server.lock_timeout).await?;
    session.batch("setting up the session", PINNED).await?;
    settings(&session, options).await?;
    Ok(session)
}

/// Executes a statement of the dump.
pub(super) async fn execute(session: &Session, statement: &SqlStatement) -> Result<(), LoadError> {
    try_execute(session, statement).await.map_err(|e| LoadError::statement(session, statement, &e))
}

/// Executes a statement of the dump; the caller knows what a refusal means.
pub(super) async fn try_execute(session: &Session, statement: &SqlStatement) -> Result<(), tokio_postgres::Error> {
    session.client().batch_execute(&sendable(&statement.text)).await
}

/// A client's statements are UTF-8; a dump of an `SQL_ASCII` database is whatever was stored. Such a statement travels
/// as hex digits, and the server takes its bytes as they are.
fn sendable(text: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(text) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => Cow::Owned(format!(
            "DO $$ BEGIN EXECUTE pg_catalog.convert_from(pg_catalog.decode('{}', 'hex'), 'SQL_ASCII'); END $$",
            hex(text)
        )),
    }
}

/// Ends every other session of this application, and waits until they are gone.
async fn end(session: &Session, application: &str) -> Result<(), PostgresError> {
    const END: &str = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
         WHERE application_name = $1 AND pid <> pg_backend_pid()";
    let begun = clock::monotonic();
    loop {
        let left: i64 = session.one("ending the other sessions", END, &[&application]).await?.get(0);
        if left == 0 || begun.elapsed() > END_TIMEOUT {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// After a failure: ends what is still at work on the server, as far as that can be done in a few seconds.
pub(super) async fn end_all(options: &LoadOptions<'_>, application: &str) {
    let ended = async {
        let session = Session::connect(options.server, options.docker, options.dbname, "maint").await?;
        end(&session, application).await?;
        session.close().await;
        Ok::<_, PostgresError>(())
    };
    // A server that is gone has nothing at work.
    let _ = tokio::time::timeout(END_TIMEOUT, ended).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_that_are_no_text_travel_as_digits() {
        assert_eq!(sendable("SELECT 'ä'".as_bytes()), "SELECT 'ä'");
        assert!(sendable(b"SELECT '\xe4'").contains("decode('53454c4543542027e427', 'hex')"));
    }
}
