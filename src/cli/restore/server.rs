//! Which PostgreSQL server a database is restored to.

use std::{path::PathBuf, time::Duration};

use clap::Args;

use super::{Failure, Global};
use crate::{
    config,
    model::{
        secret::SecretSource,
        shell,
        stack::{Docker, PostgresAddress, PostgresServer, SslMode},
    },
};

/// Which server to restore to. By default the one that `maint.toml` has under the set's own name for it.
#[derive(Debug, Args)]
pub struct ServerArgs {
    /// A server of maint.toml; default: the one that the set comes from
    #[arg(long, value_name = "NAME", conflicts_with_all = ["host", "port", "user", "password_file"])]
    server: Option<String>,
    /// A host name, or the directory of a unix socket; needs no maint.toml
    #[arg(long)]
    host: Option<String>,
    /// The server's port
    #[arg(long, requires = "host")]
    port: Option<u16>,
    /// The role, best a superuser
    #[arg(long, requires = "host")]
    user: Option<String>,
    /// A file with the role's password
    #[arg(long, requires = "host", value_name = "FILE")]
    password_file: Option<PathBuf>,
}

impl ServerArgs {
    pub(super) fn is_given(&self) -> bool {
        self.server.is_some() || self.host.is_some()
    }

    /// The same once more, for a command line.
    pub(super) fn again(&self) -> String {
        let mut words = String::new();
        let port = self.port.map(|port| port.to_string());
        let file = self.password_file.as_ref().map(|path| path.display().to_string());
        let options = [
            ("server", &self.server),
            ("host", &self.host),
            ("port", &port),
            ("user", &self.user),
            ("password-file", &file),
        ];
        for (name, value) in options {
            if let Some(value) = value {
                words.push_str(&format!(" --{name} {}", shell::word(value)));
            }
        }
        words
    }

    /// The server and the engine that its container may be on.
    pub(super) fn resolve(&self, source: &str, global: &Global) -> Result<(PostgresServer, Docker), Failure> {
        if let Some(host) = &self.host {
            return Ok((self.by_address(host), Docker::default()));
        }
        let Some(config) = config::load_if_any(global.config.as_deref())? else {
            return Err(Failure::usage(
                "without a maint.toml the server must be named",
                "say where it is: --host HOST or --host /var/run/postgresql, and --user postgres",
            ));
        };
        let name = self.server.as_deref().unwrap_or(source);
        match config.stack.postgres.get(name) {
            Some(server) => Ok((server.clone(), config.stack.docker.clone())),
            None => {
                let known = config.stack.postgres.keys().cloned().collect::<Vec<_>>().join(", ");
                Err(Failure::usage(
                    format!("{} has no server {name}", config.path.display()),
                    format!("name one with --server (it has: {known}), or say where it is with --host"),
                ))
            }
        }
    }

    fn by_address(&self, host: &str) -> PostgresServer {
        const PORT: u16 = 5432;
        const LOCK_TIMEOUT: Duration = Duration::from_secs(60);
        let port = self.port.unwrap_or(PORT);
        let address = if host.starts_with('/') {
            PostgresAddress::Socket { dir: host.into(), port }
        } else {
            PostgresAddress::Host { host: host.to_owned(), port }
        };
        PostgresServer {
            name: "target".into(),
            address,
            tools_in: None,
            user: self.user.clone().unwrap_or_else(|| "postgres".into()),
            dbname: "postgres".into(),
            password: self.password_file.clone().map(SecretSource::File),
            sslmode: SslMode::Prefer,
            sslrootcert: None,
            bin_dir: None,
            lock_timeout: LOCK_TIMEOUT,
        }
    }
}
