//! A private server of maint's own: a unix socket in a private directory, gone when it is dropped.

use std::{
    os::unix::fs::chown,
    path::{Path, PathBuf},
    time::Duration,
};

use rustix::process::Signal;
use tokio_util::sync::CancellationToken;

use super::{PostgresError, tools};
use crate::{
    adapters::{
        clock,
        files::{self, FileError},
        process::{self, Invocation, ProcessError, Running},
    },
    model::stack::{PostgresAddress, PostgresServer, SslMode},
};

/// A socket's path must fit `sun_path` (unix(7)).
const LONGEST_SOCKET_PATH: usize = 107;
/// How long a server may take to end.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a fresh server may take to answer.
const START_TIMEOUT: Duration = Duration::from_secs(60);
/// The socket's number; its directory is private, so it never collides.
const PORT: u16 = 5432;

/// Who runs the server: PostgreSQL refuses root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RunAs {
    /// Numeric user.
    pub uid: u32,
    /// Its group.
    pub gid: u32,
}

impl RunAs {
    /// Whom to run a server as: nobody else where maint is not root, else the user `postgres`.
    ///
    /// # Errors
    /// When maint is root and the host has no user `postgres`.
    pub async fn unprivileged(cancel: &CancellationToken) -> Result<Option<Self>, PostgresError> {
        if !rustix::process::geteuid().is_root() {
            return Ok(None);
        }
        let number = async |flag: &str| {
            let said = process::output(&Invocation::new("id").args([flag, "postgres"]), cancel).await?;
            said.trim().parse().map_err(|_| refuse(format!("`id {flag} postgres` says: {said}")))
        };
        Ok(Some(Self { uid: number("-u").await?, gid: number("-g").await? }))
    }
}

/// What to start.
#[derive(Debug, Clone)]
pub struct Recipe {
    /// A directory of the server's own; it must exist, and is emptied by nobody but the caller.
    pub dir: PathBuf,
    /// Where `initdb` and `postgres` are; `None`: the newest that the host has.
    pub bin_dir: Option<PathBuf>,
    /// Another user to run it as; needed when maint runs as root.
    pub run_as: Option<RunAs>,
    /// The superuser's name.
    pub superuser: String,
    /// Further options of `initdb`, e.g. `--locale-provider=icu`.
    pub initdb_options: Vec<String>,
    /// Settings as `postgres -c` takes them, e.g. `("fsync", "off")`.
    pub settings: Vec<(String, String)>,
}

/// A running private server; stopped when dropped.
#[derive(Debug)]
pub struct Throwaway {
    running: Running,
    pid_file: PathBuf,
    socket_dir: PathBuf,
    bin_dir: PathBuf,
    superuser: String,
}

fn refuse(problem: impl Into<String>) -> PostgresError {
    PostgresError::Throwaway { problem: problem.into() }
}

impl Throwaway {
    /// Makes a cluster below the recipe's directory and starts it.
    ///
    /// # Errors
    /// When `initdb` is missing or fails, the socket's path is too long, or the server does not answer in a minute.
    pub async fn start(recipe: &Recipe, cancel: &CancellationToken) -> Result<Self, PostgresError> {
        let bin_dir = server_programs(recipe.bin_dir.as_deref(), cancel).await?;
        if recipe.run_as.is_none() && rustix::process::geteuid().is_root() {
            return Err(refuse("PostgreSQL refuses to run as root, and no other user was given"));
        }
        let (data, socket_dir) = (recipe.dir.join("data"), recipe.dir.join("s"));
        let socket = socket_dir.join(format!(".s.PGSQL.{PORT}"));
        if socket.as_os_str().len() > LONGEST_SOCKET_PATH {
            return Err(refuse(format!(
                "the socket's path {} is longer than {LONGEST_SOCKET_PATH} bytes; use a shorter directory",
                socket.display()
            )));
        }
        for dir in [&data, &socket_dir] {
            files::create_private_dir(dir)?;
        }
        if let Some(RunAs { uid, gid }) = recipe.run_as {
            for dir in [&recipe.dir, &data, &socket_dir] {
                chown(dir, Some(uid), Some(gid)).map_err(|e| FileError::new("changing the owner of", dir, e))?;
            }
        }
        let initdb = as_user(Invocation::new(bin_dir.join("initdb")), recipe)
            .args(["--auth=trust", "--no-instructions", "--no-sync", "--encoding=UTF8"])
            .arg(format!("--username={}", recipe.superuser))
            .arg("--pgdata")
            .arg(&data)
            .args(&recipe.initdb_options);
        process::output(&initdb, cancel).await?;
        let mut server = as_user(Invocation::new(bin_dir.join("postgres")), recipe)
            .arg("-D")
            .arg(&data)
            .args(["-c", "listen_addresses="])
            .arg("-c")
            .arg(format!("unix_socket_directories={}", socket_dir.display()))
            .arg("-c")
            .arg(format!("port={PORT}"));
        for (key, value) in &recipe.settings {
            server = server.arg("-c").arg(format!("{key}={value}"));
        }
        let (running, log) = process::stream(&server)?;
        drop(log);
        let pid_file = data.join("postmaster.pid");
        let mut this = Self { running, pid_file, socket_dir, bin_dir, superuser: recipe.superuser.clone() };
        this.wait_until_ready(cancel).await?;
        Ok(this)
    }

    async fn wait_until_ready(&mut self, cancel: &CancellationToken) -> Result<(), PostgresError> {
        let begun = clock::monotonic();
        let ready = Invocation::new(self.bin_dir.join("pg_isready"))
            .arg("--quiet")
            .arg(format!("--host={}", self.socket_dir.display()))
            .arg(format!("--port={PORT}"));
        loop {
            if let Ok(end) = tokio::time::timeout(Duration::from_millis(50), self.running.wait(cancel)).await {
                let end = end?;
                return Err(refuse(self.running.failure(end).to_string()));
            }
            match process::output(&ready, cancel).await {
                Ok(_) => return Ok(()),
                Err(ProcessError::Failed { .. }) if begun.elapsed() < START_TIMEOUT => {}
                Err(ProcessError::Failed { .. }) => {
                    return Err(refuse(format!("it did not answer in a minute: {}", self.running.stderr())));
                }
                Err(other) => return Err(other.into()),
            }
        }
    }

    /// The server as a stack names it.
    pub fn server(&self, name: &str, dbname: &str) -> PostgresServer {
        PostgresServer {
            name: name.to_owned(),
            address: PostgresAddress::Socket { dir: self.socket_dir.clone(), port: PORT },
            tools_in: None,
            user: self.superuser.clone(),
            dbname: dbname.to_owned(),
            password: None,
            sslmode: SslMode::Disable,
            sslrootcert: None,
            bin_dir: Some(self.bin_dir.clone()),
            lock_timeout: Duration::from_secs(10),
        }
    }

    /// The directory of its socket.
    pub fn socket_dir(&self) -> &Path {
        &self.socket_dir
    }

    /// The directory of its programs.
    pub fn bin_dir(&self) -> &Path {
        &self.bin_dir
    }

    /// Stops it and waits until it is gone; its directory is the caller's to remove.
    pub async fn stop(mut self) {
        self.running.signal(Signal::QUIT);
        let never = CancellationToken::new();
        if tokio::time::timeout(STOP_TIMEOUT, self.running.wait(&never)).await.is_err() {
            self.running.stop().await;
        }
    }
}

impl Drop for Throwaway {
    /// It has nothing to keep: SIGQUIT ends every backend at once (manual 18.5), and lets the server give back its shared
    /// memory, which SIGKILL would not.
    fn drop(&mut self) {
        self.running.signal(Signal::QUIT);
        let begun = clock::monotonic();
        while self.pid_file.exists() && begun.elapsed() < STOP_TIMEOUT {
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

fn as_user(invocation: Invocation, recipe: &Recipe) -> Invocation {
    let invocation = invocation.dir(&recipe.dir);
    match recipe.run_as {
        Some(RunAs { uid, gid }) => invocation.user(uid, gid),
        None => invocation,
    }
}

/// The newest directory with `initdb` and `postgres`.
async fn server_programs(bin_dir: Option<&Path>, cancel: &CancellationToken) -> Result<PathBuf, PostgresError> {
    let dirs = tools::candidates(bin_dir);
    let mut newest = None;
    for dir in dirs.iter().filter(|dir| dir.join("initdb").is_file() && dir.join("postgres").is_file()) {
        let version = tools::version_of(&dir.join("initdb"), cancel).await?;
        if newest.as_ref().is_none_or(|(best, _)| version > *best) {
            newest = Some((version, dir));
        }
    }
    let looked_in = || dirs.iter().map(|d| d.display().to_string()).collect::<Vec<_>>().join(", ");
    newest
        .map(|(_, dir)| dir.clone())
        .ok_or_else(|| refuse(format!("`initdb` was not found in {}; install the package postgresql", looked_in())))
}
