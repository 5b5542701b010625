//! A cage for programs that are not trusted, by bubblewrap: a user of its own, no capabilities, no network, and of the
//! file system only programs, read-only, and one directory.
//!
//! It ends with maint, however maint ends: the kernel kills bubblewrap with the thread that started it, and the process
//! namespace with bubblewrap. What could outlive even that is found by its user id, which nobody else has.

mod reap;
mod view;

use std::{
    ops::RangeInclusive,
    path::{Path, PathBuf},
};

use tokio_util::sync::CancellationToken;

pub use reap::reap;

use super::{
    files::{self, FileError},
    host,
    process::{self, Invocation, ProcessError},
};
use crate::model::failure::{Class, Diagnose};

/// Where the user ids of cages come from. No distribution gives these out, systemd neither (systemd.io/UIDS-GIDS).
pub const UIDS: RangeInclusive<u32> = 0x7000_0000..=0x77ff_ffff;

/// Why there is no cage.
#[derive(Debug, thiserror::Error)]
pub enum CageError {
    #[error("a cage needs root, for a user id of its own")]
    NotRoot,
    #[error("a cage needs the program `{program}`, which is not on this host")]
    Missing { program: &'static str },
    #[error("bubblewrap cannot make a cage on this host")]
    Refused { source: ProcessError },
    #[error("what bubblewrap made is no cage: {problem}")]
    Leaky { problem: String },
    #[error("processes of the cage's user {uid} cannot be ended")]
    StillRunning { uid: u32 },
    #[error(transparent)]
    File(#[from] FileError),
}

impl Diagnose for CageError {
    fn class(&self) -> Class {
        match self {
            Self::Refused { source: ProcessError::Cancelled { .. } } => Class::Interrupted,
            _ => Class::Unverifiable,
        }
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::NotRoot => "run maint as root".into(),
            Self::Missing { program: "bwrap" } => "install it: apt-get install bubblewrap".into(),
            Self::Missing { .. } => "install it: apt-get install util-linux".into(),
            Self::Refused { .. } | Self::Leaky { .. } => {
                "maint itself may run in a container without CAP_SYS_ADMIN; try: bwrap --unshare-all --ro-bind / / true"
                    .into()
            }
            Self::StillRunning { uid } => format!("look at them: ps -u {uid}"),
            Self::File(e) => return e.hint(),
        })
    }
}

/// A cage around one directory.
#[derive(Debug, Clone)]
pub struct Cage {
    dir: PathBuf,
    uid: u32,
    nice: u8,
    bwrap: PathBuf,
    setpriv: PathBuf,
    read_only: Vec<PathBuf>,
    /// Whether what runs inside cannot make user namespaces either, which are a large surface of the kernel.
    locked: bool,
}

impl Cage {
    /// Makes a cage whose programs see `dir` and may write to what is [given](Self::give) to them there, and tries it. The
    /// directory itself stays root's: nothing in it can be replaced by what runs inside. `read_only`: what they may read
    /// beyond the system's programs.
    ///
    /// # Errors
    /// When there is no cage to be had on this host; the error says why.
    pub async fn prepare(
        dir: &Path,
        read_only: &[PathBuf],
        nice: u8,
        cancel: &CancellationToken,
    ) -> Result<Self, CageError> {
        if !rustix::process::geteuid().is_root() {
            return Err(CageError::NotRoot);
        }
        let find = |program| host::find_program(program).ok_or(CageError::Missing { program });
        let (bwrap, setpriv) = (find("bwrap")?, find("setpriv")?);
        let uid = free_uid(cancel).await?;
        files::write_atomic(&dir.join(view::PASSWD), view::passwd(uid).as_bytes())?;
        files::set_mode(&dir.join(view::PASSWD), 0o644)?;
        files::give(dir, 0, uid)?;
        files::set_mode(dir, 0o750)?;
        let read_only = read_only.to_owned();
        let mut this = Self { dir: dir.to_owned(), uid, nice, bwrap, setpriv, read_only, locked: true };
        match this.rehearse(cancel).await {
            // Where the kernel lets nobody make user namespaces there is none to be locked, and bubblewrap before 0.8
            // cannot do it.
            Err(CageError::Refused { source: ProcessError::Failed { .. } }) => {
                this.locked = false;
                this.rehearse(cancel).await?;
            }
            other => other?,
        }
        Ok(this)
    }

    /// Whether a cage can be had here, found out by making one below `dir`. Says what it keeps away.
    ///
    /// # Errors
    /// When there is none to be had; the error says why.
    pub async fn available(dir: &Path, cancel: &CancellationToken) -> Result<String, CageError> {
        let dir = dir.join(format!("maint-cage-{}", super::clock::run_id()));
        files::create_private_dir(&dir)?;
        let made = Self::prepare(&dir, &[], 0, cancel).await;
        files::remove_tree(&dir)?;
        Ok(made?.describe())
    }

    /// Puts a program into the cage. It has nothing of maint's environment.
    pub fn confine(&self, program: Invocation) -> Invocation {
        let program = if self.locked { program.under(view::lock(&self.bwrap)) } else { program };
        let unprivileged = program.under(view::unprivileged(&self.setpriv, self.uid));
        gently(self.nice, unprivileged.under(view::cage(&self.bwrap, &self.dir, &self.read_only)).kept())
    }

    /// Gives a directory below the cage's to its user.
    ///
    /// # Errors
    /// When it cannot be given.
    pub fn give(&self, dir: &Path) -> Result<(), CageError> {
        Ok(files::give(dir, self.uid, self.uid)?)
    }

    /// The user that runs in it, and its group.
    pub fn uid(&self) -> u32 {
        self.uid
    }

    /// What it keeps away, in words.
    pub fn describe(&self) -> String {
        let namespaces = if self.locked { ", no namespaces of its own" } else { "" };
        format!("bubblewrap: uid {}, no network, no capabilities{namespaces}, read-only system", self.uid)
    }

    /// Runs a harmless program and believes only what the kernel says of it.
    async fn rehearse(&self, cancel: &CancellationToken) -> Result<(), CageError> {
        let look = Invocation::new("cat").args(["/proc/self/status", "/proc/net/dev"]);
        let said = process::output(&self.confine(look), cancel).await;
        let said = said.map_err(|source| CageError::Refused { source })?;
        match view::leak(&said, self.uid) {
            None => Ok(()),
            Some(problem) => Err(CageError::Leaky { problem }),
        }
    }
}

/// A user id that has no name and no process.
async fn free_uid(cancel: &CancellationToken) -> Result<u32, CageError> {
    loop {
        let mut random = [0; 4];
        let filled = rustix::rand::getrandom(&mut random, rustix::rand::GetRandomFlags::empty());
        filled.map_err(|e| FileError::new("reading", Path::new("/dev/urandom"), e.into()))?;
        let uid = UIDS.start() | (u32::from_ne_bytes(random) & (UIDS.end() - UIDS.start()));
        let known = process::output(&Invocation::new("getent").args(["passwd", &uid.to_string()]), cancel).await;
        match known {
            Ok(_) => {}
            Err(source @ ProcessError::Cancelled { .. }) => return Err(CageError::Refused { source }),
            Err(_) if reap::processes_of(uid)?.is_empty() => return Ok(uid),
            Err(_) => {}
        }
    }
}

/// Runs a program at a lower priority for processor and disk, as far as this host has the programs for it.
pub fn gently(nice: u8, program: Invocation) -> Invocation {
    let program = match host::find_program("ionice") {
        Some(ionice) => program.under(Invocation::new(ionice).args(["-t", "-c", "2", "-n", "7"])),
        None => program,
    };
    match host::find_program("nice") {
        Some(path) => program.under(Invocation::new(path).arg("-n").arg(nice.to_string())),
        None => program,
    }
}

/// Has the kernel end a program with SIGQUIT when maint ends: for programs that run without a cage.
pub fn leashed(program: Invocation) -> Invocation {
    match host::find_program("setpriv") {
        Some(path) => program.under(Invocation::new(path).args(["--pdeathsig", "QUIT", "--no-new-privs", "--"])).kept(),
        None => program,
    }
}
