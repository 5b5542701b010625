//! Where a server is, resolved: what maint's own sessions and the client tools connect to.

use std::{fmt, path::PathBuf};

use super::PostgresError;
use crate::{
    adapters::{docker, secret},
    model::{
        secret::Secret,
        stack::{self, PostgresAddress, PostgresServer, SslMode},
    },
};

/// A server's address and how to log in, containers already resolved.
#[derive(Debug, Clone)]
pub struct Endpoint {
    /// The server's name in `maint.toml`.
    pub server: String,
    /// A host name, an address, or the directory of a unix socket.
    pub host: String,
    /// The TCP port, or the socket's number.
    pub port: u16,
    /// The role.
    pub user: String,
    /// TLS of TCP connections.
    pub sslmode: SslMode,
    /// The certificate authority for `verify-full`.
    pub sslrootcert: Option<PathBuf>,
    /// The role's password.
    pub password: Option<Secret>,
}

impl Endpoint {
    /// Resolves a server of the stack: asks Docker for a container's address, reads the password.
    ///
    /// # Errors
    /// When the password cannot be read, or the container has no address.
    pub async fn resolve(server: &PostgresServer, docker: &stack::Docker) -> Result<Self, PostgresError> {
        let (host, port) = match &server.address {
            PostgresAddress::Socket { dir, port } => (dir.to_string_lossy().into_owned(), *port),
            PostgresAddress::Host { host, port } => (host.clone(), *port),
            PostgresAddress::Container { name, port } => {
                docker::Docker::connect(&docker.host).await?.container_address(name, *port).await?
            }
        };
        let password = server.password.as_ref().map(secret::read).transpose()?;
        Ok(Self {
            server: server.name.clone(),
            host,
            port,
            user: server.user.clone(),
            sslmode: server.sslmode,
            sslrootcert: server.sslrootcert.clone(),
            password,
        })
    }

    /// Whether it is a unix socket (without a host: at libpq's usual place): TLS and keepalives do not apply.
    pub fn is_socket(&self) -> bool {
        self.host.is_empty() || self.host.starts_with('/')
    }

    /// A libpq connection string (manual 34.1.1) without a password. Needed because a plain `--dbname` that holds `=`
    /// is taken for one.
    pub fn conninfo(&self, dbname: &str, application_name: &str) -> String {
        let mut text = String::new();
        let mut add = |key: &str, value: &str| {
            if !text.is_empty() {
                text.push(' ');
            }
            text.push_str(key);
            text.push_str("='");
            for c in value.chars() {
                if matches!(c, '\'' | '\\') {
                    text.push('\\');
                }
                text.push(c);
            }
            text.push('\'');
        };
        add("host", &self.host);
        add("port", &self.port.to_string());
        add("user", &self.user);
        add("dbname", dbname);
        add("application_name", application_name);
        add("connect_timeout", "10");
        if !self.is_socket() {
            add("keepalives_idle", "30");
            add("sslmode", sslmode(self.sslmode));
            if self.sslmode == SslMode::VerifyFull
                && let Some(ca) = self.ca_file()
            {
                add("sslrootcert", &ca.to_string_lossy());
            }
        }
        text
    }

    /// libpq before 16 cannot name the host's own certificates, so their file is given.
    fn ca_file(&self) -> Option<PathBuf> {
        const HOST_BUNDLES: [&str; 3] =
            ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"];
        self.sslrootcert.clone().or_else(|| HOST_BUNDLES.iter().map(PathBuf::from).find(|p| p.exists()))
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_socket() {
            write!(f, "{} ({}/.s.PGSQL.{})", self.server, self.host, self.port)
        } else {
            write!(f, "{} ({}:{})", self.server, self.host, self.port)
        }
    }
}

fn sslmode(mode: SslMode) -> &'static str {
    match mode {
        SslMode::Disable => "disable",
        SslMode::Prefer => "prefer",
        SslMode::Require => "require",
        SslMode::VerifyFull => "verify-full",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odd_names_stay_values() {
        let endpoint = Endpoint {
            server: "s".into(),
            host: "/run/pg".into(),
            port: 5432,
            user: r"o'b\x".into(),
            sslmode: SslMode::Require,
            sslrootcert: None,
            password: Some(Secret::new("geheim".into())),
        };
        let text = endpoint.conninfo("host=evil", "maint");
        assert_eq!(
            text,
            r"host='/run/pg' port='5432' user='o\'b\\x' dbname='host=evil' application_name='maint' connect_timeout='10'"
        );
        assert!(!format!("{endpoint:?}").contains("geheim"));
    }
}
