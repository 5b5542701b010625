//! The service manager: what it is told (`sd_notify`), what it asks for (its watchdog), and which timers of maint it has.

use std::{
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use sd_notify::NotifyState;

use super::files::{self, FileError};

/// Where units are enabled: by `systemctl enable`, by `enable --runtime`, and by packages.
const UNIT_DIRS: [&str; 3] = ["etc/systemd/system", "run/systemd/system", "usr/lib/systemd/system"];

/// What the service manager is told.
#[derive(Debug, Clone, Copy)]
pub enum State<'a> {
    /// It works now; also after a reload.
    Ready,
    /// It reads its configuration anew.
    Reloading,
    /// It ends.
    Stopping,
    /// It is alive.
    Alive,
    /// What it does, in a line.
    Status(&'a str),
}

/// Tells the service manager, where there is one. One that does not listen is no reason to stop.
pub fn tell(state: State<'_>) {
    let told = match state {
        State::Ready => sd_notify::notify(false, &[NotifyState::Ready]),
        State::Reloading => {
            NotifyState::monotonic_usec_now().and_then(|now| sd_notify::notify(false, &[NotifyState::Reloading, now]))
        }
        State::Stopping => sd_notify::notify(false, &[NotifyState::Stopping]),
        State::Alive => sd_notify::notify(false, &[NotifyState::Watchdog]),
        State::Status(line) => sd_notify::notify(false, &[NotifyState::Status(line)]),
    };
    if let Err(error) = told {
        tracing::debug!(%error, "the service manager does not listen");
    }
}

/// How often it wants to hear that this process is alive, halved; `None`: never.
pub fn watchdog() -> Option<Duration> {
    let mut usec = 0;
    sd_notify::watchdog_enabled(false, &mut usec).then(|| Duration::from_micros(usec / 2))
}

/// Timers of maint that are enabled on the host whose file system begins at `root`.
///
/// # Errors
/// When a directory of units cannot be read.
pub fn enabled_timers(root: &Path) -> Result<Vec<PathBuf>, FileError> {
    let mut timers = Vec::new();
    for dir in UNIT_DIRS.map(|dir| root.join(dir)) {
        let wants = |name: &std::ffi::OsString| name.to_string_lossy().ends_with(".wants");
        for wants in list(&dir)?.iter().filter(|name| wants(name)).map(|name| dir.join(name)) {
            let ours = list(&wants)?.into_iter().filter(|unit| {
                let unit = unit.to_string_lossy();
                unit.starts_with("maint-") && unit.ends_with(".timer")
            });
            timers.extend(ours.map(|unit| wants.join(unit)));
        }
    }
    Ok(timers)
}

fn list(dir: &Path) -> Result<Vec<std::ffi::OsString>, FileError> {
    match files::list(dir) {
        Err(error) if [io::ErrorKind::NotFound, io::ErrorKind::NotADirectory].contains(&error.kind()) => Ok(Vec::new()),
        listed => listed,
    }
}
