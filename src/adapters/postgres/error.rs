//! What can go wrong with a server or its tools, by SQLSTATE (manual, appendix A), and what to do about it.

use std::path::PathBuf;

use tokio_postgres::error::{DbError, SqlState};

use super::Endpoint;
use crate::{
    adapters::{docker::DockerError, files::FileError, process::ProcessError, secret::SecretError},
    model::failure::{Class, Diagnose},
};

/// A connection, query or tool that failed.
#[derive(Debug, thiserror::Error)]
pub enum PostgresError {
    #[error(transparent)]
    Secret(#[from] SecretError),
    #[error(transparent)]
    Process(#[from] ProcessError),
    #[error(transparent)]
    File(#[from] FileError),
    #[error(transparent)]
    Docker(#[from] DockerError),
    #[error("TLS to {endpoint}: {problem}")]
    Tls { endpoint: String, problem: String },
    #[error("connecting to {endpoint}")]
    Unreachable { endpoint: String, socket: bool, source: Box<dyn std::error::Error + Send + Sync> },
    #[error("{endpoint} refused the role {role}: {message}")]
    Login { endpoint: String, role: String, message: String, password_given: bool, peer: bool },
    #[error("{endpoint} has no database {database}")]
    NoDatabase { endpoint: String, database: String },
    #[error("{endpoint} takes no connections now: {message}")]
    NotReady { endpoint: String, message: String },
    #[error("{operation} on {endpoint}: not permitted to {role}: {message}")]
    Denied { endpoint: String, operation: String, role: String, message: String },
    #[error("{operation} on {endpoint}: a lock was not obtained in time: {message}")]
    LockTimeout { endpoint: String, operation: String, message: String },
    #[error("{operation} on {endpoint}: the connection was lost: {message}")]
    Lost { endpoint: String, operation: String, message: String },
    #[error("{operation} on {endpoint}: {message}")]
    Query { endpoint: String, operation: String, code: String, message: String },
    #[error("the password for {endpoint} has a line break, which a passfile of libpq cannot hold")]
    Password { endpoint: String },
    #[error("{endpoint} is a connection pooler: the session began before maint connected")]
    Pooler { endpoint: String },
    #[error("`{program}` of PostgreSQL {server_version} or later was not found in {looked_in}")]
    NoTool { program: &'static str, server_version: String, looked_in: String },
    #[error("`{}` has version {tool}, older than the server's {server_version}", path.display())]
    ToolTooOld { path: PathBuf, tool: String, server_version: String },
    #[error("`{program}` does not tell its version: {said}")]
    ToolVersion { program: String, said: String },
    #[error("the private server did not start: {problem}")]
    Throwaway { problem: String },
}

/// The server's own words: message, and detail where there is one.
fn words(error: &DbError) -> String {
    match error.detail() {
        Some(detail) => format!("{} ({detail})", error.message()),
        None => error.message().to_owned(),
    }
}

/// Whether a SQLSTATE says that the session is over but another one may do.
fn is_lost(code: &SqlState) -> bool {
    [SqlState::ADMIN_SHUTDOWN, SqlState::CRASH_SHUTDOWN, SqlState::IDLE_SESSION_TIMEOUT].contains(code)
        || code.code().starts_with("08")
}

impl PostgresError {
    /// Classifies the failure of a connection attempt.
    pub(super) fn connecting(endpoint: &Endpoint, database: &str, error: tokio_postgres::Error) -> Self {
        let at = endpoint.to_string();
        let Some(db) = error.as_db_error() else {
            let text = crate::model::failure::chain(&error);
            if text.contains("password missing") {
                return Self::Login {
                    endpoint: at,
                    role: endpoint.user.clone(),
                    message: "it asks for a password and none is configured".into(),
                    password_given: false,
                    peer: false,
                };
            }
            if text.contains("TLS") || text.contains("certificate") {
                return Self::Tls { endpoint: at, problem: text };
            }
            return Self::Unreachable { endpoint: at, socket: endpoint.is_socket(), source: Box::new(error) };
        };
        let code = db.code();
        if *code == SqlState::INVALID_CATALOG_NAME {
            Self::NoDatabase { endpoint: at, database: database.to_owned() }
        } else if code.code().starts_with("28") {
            Self::Login {
                endpoint: at,
                role: endpoint.user.clone(),
                message: words(db),
                password_given: endpoint.password.is_some(),
                peer: db.message().starts_with("Peer"),
            }
        } else if *code == SqlState::CANNOT_CONNECT_NOW || *code == SqlState::TOO_MANY_CONNECTIONS || is_lost(code) {
            Self::NotReady { endpoint: at, message: words(db) }
        } else {
            Self::by_state(at, "connecting".to_owned(), &endpoint.user, db)
        }
    }

    /// Classifies the failure of a statement; `operation` says what it was for.
    pub fn statement(endpoint: &Endpoint, operation: &str, error: &tokio_postgres::Error) -> Self {
        let (endpoint, role, operation) = (endpoint.to_string(), &endpoint.user, operation.to_owned());
        match error.as_db_error() {
            Some(db) => Self::by_state(endpoint, operation, role, db),
            None if error.is_closed() || std::error::Error::source(error).is_some_and(|s| s.is::<std::io::Error>()) => {
                Self::Lost { endpoint, operation, message: crate::model::failure::chain(error) }
            }
            None => {
                let message = crate::model::failure::chain(error);
                Self::Query { endpoint, operation, code: String::new(), message }
            }
        }
    }

    fn by_state(endpoint: String, operation: String, role: &str, db: &DbError) -> Self {
        let code = db.code();
        let message = words(db);
        if *code == SqlState::INSUFFICIENT_PRIVILEGE {
            Self::Denied { endpoint, operation, role: role.to_owned(), message }
        } else if *code == SqlState::LOCK_NOT_AVAILABLE {
            Self::LockTimeout { endpoint, operation, message }
        } else if is_lost(code) {
            Self::Lost { endpoint, operation, message }
        } else {
            Self::Query { endpoint, operation, code: code.code().to_owned(), message }
        }
    }
}

impl Diagnose for PostgresError {
    fn class(&self) -> Class {
        match self {
            Self::Secret(e) => e.class(),
            Self::Process(e) => e.class(),
            Self::File(e) => e.class(),
            Self::Docker(e) => e.class(),
            Self::Unreachable { .. } | Self::NotReady { .. } | Self::Lost { .. } | Self::LockTimeout { .. } => {
                Class::Retryable
            }
            // A deadlock or a serialisation failure: the server asks for another try (manual 13.5).
            Self::Query { code, .. } if code.starts_with("40") => Class::Retryable,
            _ => Class::Failed,
        }
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Secret(e) => return e.hint(),
            Self::Process(e) => return e.hint(),
            Self::File(e) => return e.hint(),
            Self::Docker(e) => return e.hint(),
            Self::Tls { .. } => "check sslmode and sslrootcert of this server in maint.toml".into(),
            Self::Unreachable { socket: true, .. } => {
                "start the server, or correct `socket` and `port` in maint.toml; see: pg_lsclusters".into()
            }
            Self::Unreachable { .. } => "start the server, or correct `host` and `port` in maint.toml".into(),
            Self::Login { peer: true, role, .. } => format!(
                "peer authentication wants the operating system's user of the same name: run maint as {role}, map the user in pg_ident.conf, or connect by host with a password"
            ),
            Self::Login { password_given: true, role, .. } => format!(
                "correct the password where `password_file` of this server points, or set the role's: ALTER ROLE {role} PASSWORD …; and see pg_hba.conf"
            ),
            Self::Login { .. } => "set `password_file` for this server in maint.toml, and see pg_hba.conf".into(),
            Self::NoDatabase { .. } => "correct `dbname` in maint.toml or the step; list them with: psql -l".into(),
            Self::NotReady { .. } => "wait until it is up, or raise max_connections".into(),
            Self::Denied { role, .. } => {
                format!("GRANT pg_read_all_data TO {role}, or run the step with a superuser; see: maint doctor")
            }
            Self::LockTimeout { .. } => {
                "try again when the statement that holds the lock has ended; see pg_stat_activity".into()
            }
            Self::Lost { .. } => "see the server's log; the step can be run again".into(),
            Self::Password { .. } => "keep only the password in its file, on one line".into(),
            Self::Pooler { .. } => {
                "point maint at the server itself: a dump needs a session and a snapshot of its own".into()
            }
            Self::NoTool { server_version, .. } | Self::ToolTooOld { server_version, .. } => {
                let major = server_version.split('.').next().unwrap_or(server_version);
                format!("install postgresql-client-{major} or later, or set `bin_dir` of this server in maint.toml")
            }
            Self::Query { .. } | Self::ToolVersion { .. } | Self::Throwaway { .. } => return None,
        })
    }
}
