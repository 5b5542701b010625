//! An open connection of maint's own, and the facts of the server behind it.

use std::{
    collections::VecDeque,
    future::poll_fn,
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite},
    task::JoinHandle,
};
use tokio_postgres::{AsyncMessage, Client, Config, NoTls, Row, error::Severity, types::ToSql};

use super::{Endpoint, PostgresError, tls};
use crate::{
    adapters::clock,
    model::stack::{Docker, PostgresServer, SslMode},
};

/// How long a connection attempt may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// A quiet connection is probed after this long: a session holds its snapshot for as long as the dump runs.
const KEEPALIVE: Duration = Duration::from_secs(30);
/// Data that nobody acknowledges for this long ends the connection.
const UNACKNOWLEDGED: Duration = Duration::from_secs(120);
/// How long an orderly goodbye may take.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);
/// A backend that is this much older than the connection to it belongs to a pooler.
const POOLED_BEFORE: f64 = 5.0;
/// How many notices are kept until somebody asks for them.
const KEPT_NOTICES: usize = 1000;

/// An open connection with the task that drives it. Dropped, it hangs up; the server rolls back.
#[derive(Debug)]
pub struct Session {
    client: Client,
    driver: Driver,
    notices: Notices,
    endpoint: Endpoint,
    database: String,
}

/// What the server said beside its answers, the newest of it.
type Notices = Arc<Mutex<VecDeque<Notice>>>;

/// What the server said beside an answer: some work that it left undone it tells only here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// Whether it is a warning.
    pub warning: bool,
    /// What it said.
    pub message: String,
}

/// A server as it answers now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerState {
    /// `server_version_num`, e.g. 150018.
    pub version_num: u32,
    /// `server_version`, e.g. `15.18 (Debian 15.18-0+deb12u1)`.
    pub version: String,
    /// `system_identifier` of `pg_control_system()`.
    pub system_identifier: String,
    /// The WAL position: written on a primary, replayed on a standby.
    pub lsn: String,
    /// Whether it is a standby.
    pub in_recovery: bool,
    /// The encoding of the session's database.
    pub encoding: String,
    /// The role with oid 10: the one that an empty server already has.
    pub bootstrap_superuser: String,
    /// Whether the session's role is a superuser.
    pub superuser: bool,
    /// `shared_preload_libraries`; empty where the role may not see it.
    pub preload: Vec<String>,
}

impl Session {
    /// Connects to a database of the server.
    ///
    /// The session's settings are pinned: names resolve in `pg_catalog` only, statements and idle transactions are not
    /// timed out, and nothing waits for a lock longer than the server's `lock_timeout` in `maint.toml`.
    ///
    /// # Errors
    /// By cause: secret, address, TLS, login, database; see [`PostgresError`].
    pub async fn connect(
        server: &PostgresServer,
        docker: &Docker,
        dbname: &str,
        application_name: &str,
    ) -> Result<Self, PostgresError> {
        let endpoint = Endpoint::resolve(server, docker).await?;
        Self::open(endpoint, dbname, application_name, server.lock_timeout).await
    }

    /// Connects to an endpoint that is resolved already.
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    pub async fn open(
        endpoint: Endpoint,
        dbname: &str,
        application_name: &str,
        lock_timeout: Duration,
    ) -> Result<Self, PostgresError> {
        let begun = clock::monotonic();
        let config = config(&endpoint, dbname, application_name);
        let notices = Notices::default();
        let (client, driver) = if endpoint.is_socket() || endpoint.sslmode == SslMode::Disable {
            let (client, connection) =
                config.connect(NoTls).await.map_err(|e| PostgresError::connecting(&endpoint, dbname, e))?;
            (client, Driver::start(connection, Arc::clone(&notices)))
        } else {
            let tls = tls::connector(&endpoint)?;
            let (client, connection) =
                config.connect(tls).await.map_err(|e| PostgresError::connecting(&endpoint, dbname, e))?;
            (client, Driver::start(connection, Arc::clone(&notices)))
        };
        let session = Self { client, driver, notices, endpoint, database: dbname.to_owned() };
        let settings = format!(
            "SET search_path = pg_catalog; SET statement_timeout = 0; SET idle_in_transaction_session_timeout = 0; \
             SET lock_timeout = {}",
            lock_timeout.as_millis()
        );
        session.batch("setting up the session", &settings).await?;
        session.refuse_pooler(begun).await?;
        Ok(session)
    }

    /// A direct connection has a backend as young as itself. Ages are compared, not clocks.
    async fn refuse_pooler(&self, begun: std::time::Instant) -> Result<(), PostgresError> {
        const AGE: &str = "SELECT extract(epoch FROM clock_timestamp() - backend_start)::float8 \
                           FROM pg_stat_get_activity(pg_backend_pid())";
        let row = self.one("asking the session's age", AGE, &[]).await?;
        let age: Option<f64> = row.get(0);
        if age.is_some_and(|age| age > begun.elapsed().as_secs_f64() + POOLED_BEFORE) {
            return Err(PostgresError::Pooler { endpoint: self.endpoint.to_string() });
        }
        Ok(())
    }

    /// The client, for what the helpers below do not cover; see [`error`](Self::error) for its errors.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// The client, for transactions.
    pub fn client_mut(&mut self) -> &mut Client {
        &mut self.client
    }

    /// What the session is connected to; the client tools can be given the same.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// The session's database.
    pub fn database(&self) -> &str {
        &self.database
    }

    /// Whether the connection is gone.
    pub fn is_closed(&self) -> bool {
        self.client.is_closed()
    }

    /// Classifies an error of the client; `operation` says what was asked, e.g. "listing tables".
    pub fn error(&self, operation: &str, error: &tokio_postgres::Error) -> PostgresError {
        PostgresError::statement(&self.endpoint, operation, error)
    }

    /// Asks for rows.
    ///
    /// # Errors
    /// Classified; `operation` is named.
    pub async fn query(
        &self,
        operation: &str,
        sql: &str,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, PostgresError> {
        self.client.query(sql, params).await.map_err(|e| self.error(operation, &e))
    }

    /// Asks for exactly one row.
    ///
    /// # Errors
    /// Classified; `operation` is named.
    pub async fn one(&self, operation: &str, sql: &str, params: &[&(dyn ToSql + Sync)]) -> Result<Row, PostgresError> {
        self.client.query_one(sql, params).await.map_err(|e| self.error(operation, &e))
    }

    /// Runs statements without parameters or results.
    ///
    /// # Errors
    /// Classified; `operation` is named.
    pub async fn batch(&self, operation: &str, sql: &str) -> Result<(), PostgresError> {
        self.client.batch_execute(sql).await.map_err(|e| self.error(operation, &e))
    }

    /// The server as it is now.
    ///
    /// # Errors
    /// When the connection is lost.
    pub async fn state(&self) -> Result<ServerState, PostgresError> {
        const STATE: &str = "SELECT current_setting('server_version_num')::int8, current_setting('server_version'), \
             (SELECT system_identifier::text FROM pg_control_system()), \
             (CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END)::text, \
             pg_is_in_recovery(), current_setting('server_encoding'), \
             (SELECT rolname::text FROM pg_roles WHERE oid = 10), \
             (SELECT rolsuper FROM pg_roles WHERE rolname = current_user), \
             (SELECT setting FROM pg_settings WHERE name = 'shared_preload_libraries')";
        let row = self.one("asking the server's state", STATE, &[]).await?;
        Ok(ServerState {
            version_num: u32::try_from(row.get::<_, i64>(0)).unwrap_or(0),
            version: row.get(1),
            system_identifier: row.get(2),
            // NULL on a standby that has replayed nothing yet.
            lsn: row.get::<_, Option<String>>(3).unwrap_or_default(),
            in_recovery: row.get(4),
            encoding: row.get(5),
            bootstrap_superuser: row.get(6),
            superuser: row.get(7),
            preload: libraries(&row.get::<_, Option<String>>(8).unwrap_or_default()),
        })
    }

    /// What the server said beside its answers since this was last asked.
    pub fn take_notices(&self) -> Vec<Notice> {
        self.notices.lock().map(|mut kept| kept.drain(..).collect()).unwrap_or_default()
    }

    /// Asks the server to end the statement that is under way; it ends with an error, or had ended before.
    ///
    /// # Errors
    /// When the request cannot be sent.
    pub async fn cancel_statement(&self) -> Result<(), PostgresError> {
        let token = self.client.cancel_token();
        let sent = if self.endpoint.is_socket() || self.endpoint.sslmode == SslMode::Disable {
            token.cancel_query(NoTls).await
        } else {
            token.cancel_query(tls::connector(&self.endpoint)?).await
        };
        sent.map_err(|e| self.error("cancelling a statement", &e))
    }

    /// Says goodbye, so that the server logs no lost connection.
    pub async fn close(self) {
        let Self { client, mut driver, .. } = self;
        drop(client);
        // A server that does not answer is hung up on when the driver is dropped.
        let _ = tokio::time::timeout(CLOSE_TIMEOUT, &mut driver.0).await;
    }
}

/// The names in a list of libraries, without quotes and directories.
fn libraries(list: &str) -> Vec<String> {
    let names = list.split(',').map(|name| name.trim().trim_matches('"'));
    let names = names.map(|name| name.rsplit('/').next().unwrap_or(name));
    names.filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

/// The task that moves a connection's bytes; dropped, it hangs up.
#[derive(Debug)]
struct Driver(JoinHandle<()>);

impl Driver {
    fn start<S, T>(mut connection: tokio_postgres::Connection<S, T>, notices: Notices) -> Self
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
        T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        Self(tokio::spawn(async move {
            loop {
                match poll_fn(|context| connection.poll_message(context)).await {
                    Some(Ok(AsyncMessage::Notice(notice))) => keep(&notices, &notice),
                    Some(Ok(_)) => {}
                    // The statement that was under way gets the error too.
                    Some(Err(error)) => return tracing::debug!(%error, "a PostgreSQL connection ended"),
                    None => return,
                }
            }
        }))
    }
}

fn keep(notices: &Notices, notice: &tokio_postgres::error::DbError) {
    let Ok(mut kept) = notices.lock() else { return };
    if kept.len() == KEPT_NOTICES {
        kept.pop_front();
    }
    // The word itself is in the server's language.
    let warning = notice.parsed_severity() == Some(Severity::Warning);
    kept.push_back(Notice { warning, message: notice.message().to_owned() });
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.0.abort();
    }
}

fn config(endpoint: &Endpoint, dbname: &str, application_name: &str) -> Config {
    let mut config = Config::new();
    config
        .host(&endpoint.host)
        .port(endpoint.port)
        .user(&endpoint.user)
        .dbname(dbname)
        .application_name(application_name)
        .connect_timeout(CONNECT_TIMEOUT)
        .keepalives_idle(KEEPALIVE)
        .keepalives_interval(KEEPALIVE / 3)
        .keepalives_retries(6)
        .tcp_user_timeout(UNACKNOWLEDGED)
        .ssl_mode(match endpoint.sslmode {
            SslMode::Disable => tokio_postgres::config::SslMode::Disable,
            SslMode::Prefer => tokio_postgres::config::SslMode::Prefer,
            SslMode::Require | SslMode::VerifyFull => tokio_postgres::config::SslMode::Require,
        });
    if let Some(password) = &endpoint.password {
        config.password(password.reveal());
    }
    config
}
