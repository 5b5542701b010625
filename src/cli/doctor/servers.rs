//! What a dump of a server needs: a connection, tools that fit, permissions, clocks that agree.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::Check;
use crate::{
    adapters::{
        clock,
        postgres::{PostgresError, ServerState, Session, advisory},
    },
    capture::{
        dump::{self, DumpError},
        globals,
    },
    config::Config,
    model::{
        failure::{Class, Diagnose, chain},
        stack::{Docker, PostgresServer},
        units::ByteSize,
    },
};

/// How long a server may take to answer all questions.
const PATIENCE: Duration = Duration::from_secs(60);
/// Clocks further apart give periods that nobody expects.
const CLOCK_SKEW: f64 = 30.0;

/// What was found about one server.
pub(super) struct Checked {
    pub(super) checks: Vec<Check>,
    /// Size of its default database; 0 where it could not be asked.
    pub(super) database_bytes: u64,
}

/// Checks one server.
pub(super) async fn check(server: &PostgresServer, docker: &Docker, cancel: &CancellationToken) -> Checked {
    let mut checked = Checked { checks: Vec::new(), database_bytes: 0 };
    let asked = tokio::time::timeout(PATIENCE, ask(server, docker, cancel, &mut checked)).await;
    if asked.is_err() {
        let reason = format!("it did not answer everything in {} s", PATIENCE.as_secs());
        checked.checks.push(Check::unknown(&server.name, "answers", reason));
    }
    checked
}

async fn ask(server: &PostgresServer, docker: &Docker, cancel: &CancellationToken, checked: &mut Checked) {
    let name = server.name.as_str();
    let connected = async {
        let session = Session::connect(server, docker, &server.dbname, "maint doctor").await?;
        let state = session.state().await?;
        Ok::<_, PostgresError>((session, state))
    };
    let (session, state) = match connected.await {
        Ok(both) => both,
        Err(error) => {
            checked.checks.push(Check::failed(name, "connection", &error));
            for check in ["tools", "permissions", "role passwords", "clock"] {
                checked.checks.push(Check::unknown(name, check, "there is no connection"));
            }
            return;
        }
    };
    checked.checks.push(connection(&session, &state));
    checked.checks.push(match dump::tool_version(server, docker, &state, cancel).await {
        Ok(version) => Check::ok(name, "tools", format!("pg_dump {version}")),
        Err(error) => Check::failed(name, "tools", &error),
    });
    checked.checks.push(permissions(name, &session, &mut checked.database_bytes).await);
    checked.checks.push(match globals::may_read_passwords(&session).await {
        Ok(true) => Check::ok(name, "role passwords", format!("{} may read them", server.user)),
        Ok(false) => Check::warning(
            name,
            "role passwords",
            format!("{} may not read them", server.user),
            format!(
                "GRANT pg_read_all_data TO \"{}\", or set role_passwords = false in postgres_globals steps",
                server.user
            ),
        ),
        Err(error) => Check::unknown(name, "role passwords", chain(&error)),
    });
    checked.checks.push(clocks(name, &session).await);
    session.close().await;
}

fn connection(session: &Session, state: &ServerState) -> Check {
    let endpoint = session.endpoint();
    let found = format!("{endpoint}, database {}, PostgreSQL {}", session.database(), state.version);
    if state.in_recovery {
        let remedy = "dump the primary, or know that a standby has no rows of unlogged tables";
        return Check::warning(&endpoint.server, "connection", format!("{found}: a standby"), remedy);
    }
    Check::ok(&endpoint.server, "connection", found)
}

async fn permissions(name: &str, session: &Session, bytes: &mut u64) -> Check {
    const SIZE: &str = "SELECT pg_database_size(current_database())";
    match dump::check_permissions(session).await {
        Ok(()) => {}
        Err(DumpError::Postgres(error)) => return Check::unknown(name, "permissions", chain(&error)),
        Err(error) => return Check::failed(name, "permissions", &error),
    }
    match session.one("asking the database's size", SIZE, &[]).await {
        Ok(row) => {
            *bytes = u64::try_from(row.get::<_, i64>(0)).unwrap_or(0);
            let found = format!("all of {} can be read ({})", session.database(), ByteSize(*bytes));
            Check::ok(name, "permissions", found)
        }
        Err(error) => Check::unknown(name, "permissions", chain(&error)),
    }
}

async fn clocks(name: &str, session: &Session) -> Check {
    const NOW: &str = "SELECT extract(epoch FROM clock_timestamp())::float8";
    match session.one("asking the time", NOW, &[]).await {
        Ok(row) => {
            let apart = (clock::now().timestamp_micros() as f64 / 1e6 - row.get::<_, f64>(0)).abs();
            let found = format!("{apart:.1} s from the host's");
            if apart > CLOCK_SKEW {
                Check::warning(name, "clock", found, "set both by NTP; see: timedatectl")
            } else {
                Check::ok(name, "clock", found)
            }
        }
        Err(error) => Check::unknown(name, "clock", chain(&error)),
    }
}

/// Whether servers that hold locks across hosts can.
pub(super) async fn locks(config: &Config) -> Vec<Check> {
    let mut checks = Vec::new();
    for server in config.lock_servers() {
        let name = &server.name;
        let tried = tokio::time::timeout(PATIENCE, advisory::self_test(server, &config.stack.docker)).await;
        checks.push(match tried {
            Ok(Ok(found)) => Check::ok(name, "lock across hosts", found),
            Ok(Err(error)) if error.class() == Class::Retryable => {
                Check::unknown(name, "lock across hosts", chain(&error))
            }
            Ok(Err(error)) => Check::failed(name, "lock across hosts", &error),
            Err(_) => Check::unknown(name, "lock across hosts", format!("no answer in {} s", PATIENCE.as_secs())),
        });
    }
    checks
}
