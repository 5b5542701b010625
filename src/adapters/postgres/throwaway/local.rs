//! A server by the programs of this host, on a unix socket in a private directory.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use rustix::process::Signal;
use tokio_util::sync::CancellationToken;

use super::{PORT, START_TIMEOUT, answers, as_stack_server, refuse, socket_fits};
use crate::{
    adapters::{
        cage::{self, Cage},
        clock, files,
        postgres::{
            PostgresError,
            tools::{self, ToolVersion},
        },
        process::{self, Invocation, Running},
    },
    model::stack::PostgresServer,
};

/// How long a server may take to end.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);

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

/// What keeps a server in its place.
#[derive(Debug, Clone, Default)]
pub enum Confinement {
    /// Nothing: for a server whose content is maint's own.
    #[default]
    None,
    /// Nothing but its user; it runs at a low priority and ends with maint.
    Leash {
        /// As in nice(1).
        nice: u8,
    },
    /// A cage around the recipe's directory; its user runs the server, whatever the recipe says.
    Cage(Cage),
}

impl Confinement {
    fn apply(&self, program: Invocation) -> Invocation {
        match self {
            Self::None => program,
            Self::Leash { nice } => cage::gently(*nice, cage::leashed(program)),
            Self::Cage(cage) => cage.confine(program),
        }
    }
}

/// A running private server; stopped when dropped.
#[derive(Debug)]
pub struct Throwaway {
    running: Running,
    confinement: Confinement,
    pid_file: PathBuf,
    socket_dir: PathBuf,
    bin_dir: PathBuf,
    superuser: String,
}

impl Throwaway {
    /// Makes a cluster below the recipe's directory and starts it.
    ///
    /// # Errors
    /// When `initdb` is missing or fails, the socket's path is too long, or the server does not answer in a minute.
    pub async fn start(recipe: &Recipe, cancel: &CancellationToken) -> Result<Self, PostgresError> {
        Self::start_in(recipe, Confinement::None, cancel).await
    }

    /// The same, kept in its place. To be awaited where the runtime lasts: not in a runtime of its own that ends before.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub async fn start_in(
        recipe: &Recipe,
        confinement: Confinement,
        cancel: &CancellationToken,
    ) -> Result<Self, PostgresError> {
        let bin_dir = server_programs(recipe.bin_dir.as_deref(), cancel).await?;
        let owner = match &confinement {
            Confinement::Cage(cage) => Some(RunAs { uid: cage.uid(), gid: cage.uid() }),
            _ => recipe.run_as,
        };
        if owner.is_none() && rustix::process::geteuid().is_root() {
            return Err(refuse("PostgreSQL refuses to run as root, and no other user was given"));
        }
        let (data, socket_dir) = (recipe.dir.join("data"), recipe.dir.join("s"));
        socket_fits(&socket_dir)?;
        for dir in [&data, &socket_dir] {
            files::create_private_dir(dir)?;
        }
        if let Some(RunAs { uid, gid }) = owner {
            // A cage's directory stays root's.
            let top = (!matches!(confinement, Confinement::Cage(_))).then_some(&recipe.dir);
            for dir in top.into_iter().chain([&data, &socket_dir]) {
                files::give(dir, uid, gid)?;
            }
        }
        let place = |program: &str| {
            let program = Invocation::new(bin_dir.join(program));
            match (&confinement, recipe.run_as) {
                // The cage has its own way to become its user.
                (Confinement::Cage(_), _) | (_, None) => program.dir(&recipe.dir),
                (_, Some(RunAs { uid, gid })) => program.dir(&recipe.dir).user(uid, gid),
            }
        };
        let initdb = place("initdb")
            .args(["--auth=trust", "--no-instructions", "--no-sync", "--encoding=UTF8"])
            .arg(format!("--username={}", recipe.superuser))
            .arg("--pgdata")
            .arg(&data)
            .args(&recipe.initdb_options);
        process::output(&confinement.apply(initdb), cancel).await?;
        let options = [("listen_addresses", String::new()), ("port", PORT.to_string())].into_iter();
        let options = options.chain([("unix_socket_directories", socket_dir.display().to_string())]);
        let settings = options.map(|(key, value)| (key.to_owned(), value)).chain(recipe.settings.iter().cloned());
        let server = settings.fold(place("postgres").arg("-D").arg(&data), |server, (key, value)| {
            server.arg("-c").arg(format!("{key}={value}"))
        });
        let (running, log) = process::stream(&confinement.apply(server))?;
        drop(log);
        let pid_file = data.join("postmaster.pid");
        let superuser = recipe.superuser.clone();
        let mut this = Self { running, confinement, pid_file, socket_dir, bin_dir, superuser };
        this.wait_until_ready(cancel).await?;
        Ok(this)
    }

    async fn wait_until_ready(&mut self, cancel: &CancellationToken) -> Result<(), PostgresError> {
        let begun = clock::monotonic();
        let server = self.server("throwaway", "postgres");
        loop {
            if let Ok(end) = tokio::time::timeout(Duration::from_millis(50), self.running.wait(cancel)).await {
                let end = end?;
                return Err(refuse(self.running.failure(end).to_string()));
            }
            match answers(&server).await {
                Ok(()) => return Ok(()),
                Err(_) if begun.elapsed() < START_TIMEOUT => {}
                Err(_) => return Err(refuse(format!("it did not answer in a minute: {}", self.running.stderr()))),
            }
        }
    }

    /// The server as a stack names it.
    pub fn server(&self, name: &str, dbname: &str) -> PostgresServer {
        let bin_dir = Some(self.bin_dir.clone());
        PostgresServer { bin_dir, ..as_stack_server(name, &self.socket_dir, &self.superuser, dbname) }
    }

    /// The last lines that it wrote to its log.
    pub fn said(&self) -> String {
        self.running.stderr()
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
        if let Confinement::Cage(_) = self.confinement {
            // The kernel ends everything in the cage with bubblewrap; the drop waits for that.
            return self.running.stop().await;
        }
        self.running.signal(Signal::QUIT);
        let never = CancellationToken::new();
        if tokio::time::timeout(STOP_TIMEOUT, self.running.wait(&never)).await.is_err() {
            self.running.stop().await;
        }
    }
}

impl Drop for Throwaway {
    /// It has nothing to keep: SIGQUIT ends every backend at once (manual 18.5), and lets the server give back its shared
    /// memory, which SIGKILL would not. In a cage the memory goes with the cage.
    fn drop(&mut self) {
        if let Confinement::Cage(cage) = &self.confinement {
            self.running.signal(Signal::KILL);
            // What stays is found by the sweep, by its user.
            let _ = cage::reap(cage.uid());
            return;
        }
        self.running.signal(Signal::QUIT);
        let begun = clock::monotonic();
        while self.pid_file.exists() && begun.elapsed() < STOP_TIMEOUT {
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

/// Directories with `initdb` and `postgres`, with their versions, oldest first; and where was looked. A program that
/// does not even tell its version is none.
pub async fn installed(bin_dir: Option<&Path>, cancel: &CancellationToken) -> (Vec<(ToolVersion, PathBuf)>, String) {
    let dirs = tools::candidates(bin_dir);
    let mut found = Vec::new();
    for dir in dirs.iter().filter(|dir| dir.join("initdb").is_file() && dir.join("postgres").is_file()) {
        if let Ok(version) = tools::version_of(&dir.join("initdb"), cancel).await {
            found.push((version, dir.clone()));
        }
    }
    // The first directory of a version stays the first of those.
    found.sort_by(|a, b| a.0.cmp(&b.0));
    (found, dirs.iter().map(|dir| dir.display().to_string()).collect::<Vec<_>>().join(", "))
}

/// The directory of the newest version that will do; of several, where one looks first.
pub fn newest(found: Vec<(ToolVersion, PathBuf)>, will_do: impl Fn(&ToolVersion) -> bool) -> Option<PathBuf> {
    let fitting = found.into_iter().rev().filter(|(version, _)| will_do(version));
    fitting.max_by(|a, b| a.0.cmp(&b.0)).map(|(_, dir)| dir)
}

/// The newest directory with `initdb` and `postgres`.
async fn server_programs(bin_dir: Option<&Path>, cancel: &CancellationToken) -> Result<PathBuf, PostgresError> {
    let (found, looked_in) = installed(bin_dir, cancel).await;
    let newest = newest(found, |_| true);
    newest.ok_or_else(|| refuse(format!("`initdb` was not found in {looked_in}; install the package postgresql")))
}
