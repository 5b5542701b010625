//! The end of everything that a cage's user runs.

use std::time::Duration;

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use super::{CageError, UIDS};
use crate::adapters::{
    clock,
    files::{self, FileError},
};

/// How long killed processes may take to be gone.
const PATIENCE: Duration = Duration::from_secs(10);

/// Kills every process of a cage's user and waits until they are gone; gives their number. Other users are left alone.
///
/// # Errors
/// [`CageError::StillRunning`] when one of them does not go away.
pub fn reap(uid: u32) -> Result<usize, CageError> {
    if !UIDS.contains(&uid) {
        return Ok(0);
    }
    let begun = clock::monotonic();
    let mut most = 0;
    loop {
        let living = processes_of(uid)?;
        if living.is_empty() {
            return Ok(most);
        }
        most = most.max(living.len());
        if begun.elapsed() > PATIENCE {
            return Err(CageError::StillRunning { uid });
        }
        for pid in living {
            kill(pid, uid);
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Kills a process if it is still that user's: its number may have been given to another meanwhile.
fn kill(pid: Pid, uid: u32) {
    if let Ok(handle) = pidfd_open(pid, PidfdFlags::empty())
        && user_of(pid) == Some(uid)
    {
        let _ = pidfd_send_signal(handle, Signal::KILL);
    }
}

/// The processes whose real user this is, zombies apart.
pub(super) fn processes_of(uid: u32) -> Result<Vec<Pid>, FileError> {
    let names = files::list(std::path::Path::new("/proc"))?;
    let pids = names.iter().filter_map(|name| Pid::from_raw(name.to_str()?.parse().ok()?));
    Ok(pids.filter(|pid| user_of(*pid) == Some(uid)).collect())
}

/// The owner of /proc/PID would not do: a process can have it say root (prctl(2), PR_SET_DUMPABLE).
fn user_of(pid: Pid) -> Option<u32> {
    let status = std::fs::read_to_string(format!("/proc/{}/status", pid.as_raw_nonzero())).ok()?;
    let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)?.split_whitespace().next());
    if field("State:") == Some("Z") {
        return None;
    }
    field("Uid:")?.parse().ok()
}
