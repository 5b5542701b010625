//! Private servers of maint's own: by this host's programs ([`Throwaway`]) or in a container ([`Contained`]); a unix
//! socket in a private directory, gone when dropped.

mod container;
mod local;

use std::{path::Path, time::Duration};

pub use container::{Contained, Image};
pub use local::{Confinement, Recipe, RunAs, Throwaway, installed, newest};

use super::{PostgresError, Session};
use crate::{
    adapters::host,
    model::stack::{Docker, PostgresAddress, PostgresServer, SslMode},
};

/// A socket's path must fit `sun_path` (unix(7)).
const LONGEST_SOCKET_PATH: usize = 107;
/// How long a fresh server may take to answer.
const START_TIMEOUT: Duration = Duration::from_secs(60);
/// The socket's number; its directory is private, so it never collides.
const PORT: u16 = 5432;

/// Settings of a server that is loaded once, read once and thrown away: nothing is synced, nothing is archived, nothing
/// happens by itself.
pub fn drill_settings(preload: &[String]) -> Vec<(String, String)> {
    const MIB: u64 = 1 << 20;
    let memory = host::memory() / MIB;
    let mib = |share: u64, most: u64| format!("{}MB", (memory / share).clamp(32, most));
    let fixed = [
        ("fsync", "off"),
        ("synchronous_commit", "off"),
        ("full_page_writes", "off"),
        ("wal_level", "minimal"),
        ("max_wal_senders", "0"),
        ("max_wal_size", "4GB"),
        ("checkpoint_timeout", "1h"),
        ("archive_mode", "off"),
        ("autovacuum", "off"),
        ("jit", "off"),
        ("logging_collector", "off"),
        ("log_destination", "stderr"),
        ("max_locks_per_transaction", "256"),
        ("unix_socket_permissions", "0777"),
    ];
    let mut settings: Vec<_> = fixed.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
    settings.push(("shared_buffers".into(), mib(16, 1024)));
    settings.push(("maintenance_work_mem".into(), mib(32, 1024)));
    if !preload.is_empty() {
        settings.push(("shared_preload_libraries".into(), preload.join(",")));
    }
    settings
}

fn refuse(problem: impl Into<String>) -> PostgresError {
    PostgresError::Throwaway { problem: problem.into() }
}

fn socket_fits(socket_dir: &Path) -> Result<(), PostgresError> {
    let socket = socket_dir.join(format!(".s.PGSQL.{PORT}"));
    if socket.as_os_str().len() > LONGEST_SOCKET_PATH {
        return Err(refuse(format!(
            "the socket's path {} is longer than {LONGEST_SOCKET_PATH} bytes; use a shorter directory",
            socket.display()
        )));
    }
    Ok(())
}

async fn answers(server: &PostgresServer) -> Result<(), PostgresError> {
    // The socket is a file of this host: no engine is asked for it.
    let nowhere = Docker { host: String::new() };
    Session::connect(server, &nowhere, &server.dbname, "maint").await?.close().await;
    Ok(())
}

fn as_stack_server(name: &str, socket_dir: &Path, user: &str, dbname: &str) -> PostgresServer {
    PostgresServer {
        name: name.to_owned(),
        address: PostgresAddress::Socket { dir: socket_dir.to_owned(), port: PORT },
        tools_in: None,
        user: user.to_owned(),
        dbname: dbname.to_owned(),
        password: None,
        sslmode: SslMode::Disable,
        sslrootcert: None,
        bin_dir: None,
        lock_timeout: Duration::from_secs(10),
    }
}
