//! Which processes have which files open (`/proc/<pid>/fd`, proc(5)), and how to tell one to let go.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    os::fd::OwnedFd,
};

use rustix::{
    fs::{self, AtFlags, CWD, Dir, FileType, Mode, OFlags},
    io::Errno,
    process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal},
};

use super::files;

/// Device and inode.
pub type Identity = (u64, u64);

/// Who has what open.
#[derive(Debug, Default)]
pub struct Held {
    /// Processes by file.
    pub by: BTreeMap<Identity, BTreeSet<i32>>,
    /// How many processes could not be looked at: they may have any file open.
    pub unseen: usize,
}

/// Looks through every process for open files among those that are `wanted`.
///
/// # Errors
/// When there is no /proc.
pub fn held(wanted: &BTreeSet<Identity>) -> io::Result<Held> {
    let mut held = Held::default();
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let proc = fs::openat(CWD, "/proc", flags, Mode::empty())?;
    for entry in Dir::read_from(&proc)? {
        let entry = entry?;
        let Some(pid) = entry.file_name().to_str().ok().and_then(|name| name.parse::<i32>().ok()) else { continue };
        match fs::openat(&proc, format!("{pid}/fd"), flags, Mode::empty()) {
            Ok(table) => look(&table, pid, wanted, &mut held),
            Err(Errno::NOENT | Errno::SRCH) => {}
            Err(_) => held.unseen += 1,
        }
    }
    Ok(held)
}

fn look(table: &OwnedFd, pid: i32, wanted: &BTreeSet<Identity>, held: &mut Held) {
    let Ok(entries) = Dir::read_from(table) else {
        held.unseen += 1;
        return;
    };
    for entry in entries {
        match entry {
            Ok(entry) if entry.file_name().to_bytes().starts_with(b".") => {}
            Ok(entry) => {
                // Closed since it was listed. Or, where not even root may look (the host's own jailer, in a sandbox), not
                // known; whoever removes a file on this word must see besides that it did not change.
                let Ok(stat) = fs::statat(table, entry.file_name(), AtFlags::empty()) else { continue };
                let identity = (stat.st_dev, stat.st_ino);
                if FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile && wanted.contains(&identity) {
                    held.by.entry(identity).or_default().insert(pid);
                }
            }
            // It ended meanwhile.
            Err(Errno::NOENT | Errno::SRCH) => return,
            Err(_) => {
                held.unseen += 1;
                return;
            }
        }
    }
}

/// A process's name and number as people know it, e.g. `nginx (pid 12)`.
pub fn describe(pid: i32) -> String {
    let name = read(pid, "comm").unwrap_or_default();
    match name.trim() {
        "" => format!("pid {pid}"),
        name => format!("{name} (pid {pid})"),
    }
}

fn read(pid: i32, file: &str) -> Option<String> {
    let bytes = files::read_limited(&std::path::PathBuf::from(format!("/proc/{pid}/{file}")), 64 << 10).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// Whether a process is another one, or descends from it.
pub fn descends(pid: i32, from: i32) -> bool {
    let mut at = pid;
    for _ in 0..64 {
        if at == from {
            return true;
        }
        // The name before it may hold anything, parentheses too.
        let parent = read(at, "stat").and_then(|stat| {
            let rest = stat.rsplit_once(')')?.1.to_owned();
            rest.split_whitespace().nth(1)?.parse::<i32>().ok()
        });
        match parent {
            Some(parent) if parent > 0 => at = parent,
            _ => return false,
        }
    }
    false
}

/// A process that is sure to be the same one until it is let go of (pidfd_open(2)).
#[derive(Debug)]
pub struct Process(OwnedFd);

impl Process {
    /// Takes hold of a process.
    ///
    /// # Errors
    /// When there is none of that number.
    pub fn of(pid: i32) -> io::Result<Self> {
        let pid = Pid::from_raw(pid).filter(|pid| pid.as_raw_nonzero().get() > 1).ok_or(Errno::SRCH)?;
        Ok(Self(pidfd_open(pid, PidfdFlags::empty())?))
    }

    /// Sends it a signal.
    ///
    /// # Errors
    /// When it has ended, or belongs to somebody else.
    pub fn signal(&self, signal: Letting) -> io::Result<()> {
        Ok(pidfd_send_signal(&self.0, signal.raw())?)
    }
}

/// A signal that programs take as "open your logs anew".
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum Letting {
    /// nginx and many others.
    Usr1,
    /// As a program wants it.
    Usr2,
    /// syslog daemons and many others.
    Hup,
}

impl Letting {
    fn raw(self) -> Signal {
        match self {
            Self::Usr1 => Signal::USR1,
            Self::Usr2 => Signal::USR2,
            Self::Hup => Signal::HUP,
        }
    }

    /// As `docker kill` wants it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Usr1 => "SIGUSR1",
            Self::Usr2 => "SIGUSR2",
            Self::Hup => "SIGHUP",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_found_by_its_open_file() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let stat = fs::fstat(file.as_file()).unwrap();
        let wanted = BTreeSet::from([(stat.st_dev, stat.st_ino)]);
        let own = i32::try_from(std::process::id()).unwrap();
        let found = held(&wanted).unwrap();
        assert!(found.by.values().any(|pids| pids.contains(&own)));
        let path = file.into_temp_path();
        assert!(held(&wanted).unwrap().by.is_empty(), "closed, though its name is still there: {path:?}");
        assert!(descends(own, own));
        assert!(!descends(1, own));
    }
}
