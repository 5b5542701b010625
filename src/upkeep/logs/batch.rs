//! Replaces logs by packed copies, many at a time: two syncs of the file system for hundreds of files.
//!
//! The order is what makes it safe. A copy is written, synced and read back before the log is touched; then the log is
//! hidden, so that nobody can open it by its name any more; only then is the question asked whether somebody still has it
//! open. Who has, keeps it. The copy gets its name, that is synced, and last the log goes. A maint that is killed anywhere
//! in between leaves a log under one of two names, and the next one knows both.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    path::{Path, PathBuf},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use chrono::{DateTime, Utc};
use tokio_util::sync::CancellationToken;

use super::{
    names,
    pack::{Packed, Packer},
    select::{self, Log},
};
use crate::adapters::{
    holders::{self, Identity},
    host,
    plant::Ground,
    tree::{self, Dir},
};

/// How many logs are replaced at once.
const FILES: usize = 2000;
/// How many directories are open at once.
const DIRS: usize = 200;
/// A batch is closed once it holds this many plain bytes: what a kill costs is at most its packing.
const BYTES: u64 = 1 << 30;
const MOST_WORKERS: usize = 4;

/// What became of a log.
#[derive(Debug)]
pub(super) enum Became {
    /// Its packed copy, in bytes.
    Packed(u64),
    /// Somebody has it open, or wrote to it meanwhile.
    StillWritten(BTreeSet<i32>),
    /// It could not be replaced; it is as it was.
    Failed(io::Error),
}

/// The surroundings of a batch.
pub(super) struct Place<'a> {
    pub(super) base: &'a Dir,
    pub(super) now: DateTime<Utc>,
    pub(super) cancel: &'a CancellationToken,
}

/// An open directory, for reading and for writing.
struct Open {
    dir: Dir,
    ground: Ground,
}

fn open(base: &Dir, path: &Path) -> io::Result<Open> {
    let dir = select::open(base, path)?;
    let ground = Ground::of(&dir)?;
    Ok(Open { dir, ground })
}

/// Cuts logs into batches; they come sorted by directory.
pub(super) fn batches(logs: &[Log]) -> Vec<&[Log]> {
    let mut batches = Vec::new();
    let mut from = 0;
    let (mut bytes, mut dirs) = (0, BTreeSet::new());
    for (at, log) in logs.iter().enumerate() {
        if at > from && (at - from >= FILES || bytes >= BYTES || dirs.len() >= DIRS && !dirs.contains(&log.dir)) {
            batches.push(&logs[from..at]);
            (from, bytes) = (at, 0);
            dirs.clear();
        }
        bytes += log.facts.size;
        dirs.insert(log.dir.clone());
    }
    batches.push(&logs[from..]);
    batches
}

/// The directories of a batch, open.
type Dirs = BTreeMap<PathBuf, Open>;

fn of<'a>(dirs: &'a Dirs, log: &Log) -> io::Result<&'a Open> {
    dirs.get(&log.dir).ok_or_else(|| io::ErrorKind::NotFound.into())
}

/// Replaces the logs of a batch; gives what became of each, in their order.
pub(super) fn replace(place: &Place<'_>, logs: &[Log]) -> io::Result<Vec<Became>> {
    let mut dirs = Dirs::new();
    for log in logs {
        if !dirs.contains_key(&log.dir) {
            dirs.insert(log.dir.clone(), open(place.base, &log.dir)?);
        }
    }
    let packed = each(place, logs, |packer, _, log| {
        let Open { dir, ground } = of(&dirs, log)?;
        packer.pack(dir, &log.name, ground, &names::temporary(&log.name))
    })?;
    sync(&dirs)?;
    let verified = each(place, logs, |packer, index, log| {
        let Some(Ok(packed)) = packed.get(index) else { return Ok(()) };
        packer.verify(&of(&dirs, log)?.dir, &names::temporary(&log.name), packed)
    })?;
    let copies = packed.into_iter().zip(verified).map(|(packed, verified)| verified.and(packed)).collect();
    Settling { place, dirs: &dirs, logs }.settle(copies)
}

/// Does something with every log, in several threads; gives the results in the logs' order.
fn each<T: Send>(
    place: &Place<'_>,
    logs: &[Log],
    work: impl Fn(&mut Packer, usize, &Log) -> io::Result<T> + Sync,
) -> io::Result<Vec<io::Result<T>>> {
    let next = AtomicUsize::new(0);
    let results = Mutex::new(Vec::with_capacity(logs.len()));
    let worker = || -> io::Result<()> {
        let mut packer = Packer::new()?;
        let mut own = Vec::new();
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(log) = logs.get(index) else { break };
            let stopped = place.cancel.is_cancelled();
            let result = if stopped { Err(io::ErrorKind::Interrupted.into()) } else { work(&mut packer, index, log) };
            own.push((index, result));
        }
        results.lock().unwrap_or_else(PoisonError::into_inner).append(&mut own);
        Ok(())
    };
    let workers = host::cores().clamp(1, MOST_WORKERS).min(logs.len().max(1));
    std::thread::scope(|scope| {
        let threads: Vec<_> = (1..workers).map(|_| scope.spawn(worker)).collect();
        let own = worker();
        let panicked = |_| Err(io::Error::other("a worker panicked"));
        threads.into_iter().map(|thread| thread.join().unwrap_or_else(panicked)).fold(own, Result::and)
    })?;
    let mut results = results.into_inner().unwrap_or_else(PoisonError::into_inner);
    results.sort_unstable_by_key(|(index, _)| *index);
    Ok(results.into_iter().map(|(_, result)| result).collect())
}

/// Writes everything to the disks that the directories are on.
fn sync(dirs: &Dirs) -> io::Result<()> {
    let mut synced = BTreeSet::new();
    for open in dirs.values() {
        if synced.insert(open.dir.facts()?.identity.0) {
            open.ground.sync()?;
        }
    }
    Ok(())
}

/// The second half: copies that are whole take the logs' places.
struct Settling<'a> {
    place: &'a Place<'a>,
    dirs: &'a Dirs,
    logs: &'a [Log],
}

impl Settling<'_> {
    fn settle(&self, copies: Vec<io::Result<Packed>>) -> io::Result<Vec<Became>> {
        let hidden: Vec<Result<Packed, Became>> =
            self.logs.iter().zip(copies).map(|(log, copy)| self.hide(log, copy)).collect();
        let wanted: BTreeSet<Identity> = hidden.iter().flatten().map(|packed| packed.facts.identity).collect();
        let held = match holders::held(&wanted) {
            Ok(held) if held.unseen == 0 => held,
            Ok(_) => return self.give_up(&hidden, io::ErrorKind::PermissionDenied.into()),
            Err(error) => return self.give_up(&hidden, error),
        };
        let placed: Vec<Result<Packed, Became>> = self
            .logs
            .iter()
            .zip(hidden)
            .map(|(log, packed)| {
                let packed = packed?;
                let by = held.by.get(&packed.facts.identity).cloned().unwrap_or_default();
                self.publish(log, packed, by)
            })
            .collect();
        if let Err(error) = sync(self.dirs) {
            return self.give_up(&placed, error);
        }
        Ok(self.logs.iter().zip(placed).map(|(log, placed)| self.remove(log, placed)).collect())
    }

    fn hide(&self, log: &Log, copy: io::Result<Packed>) -> Result<Packed, Became> {
        let hidden = copy.and_then(|packed| {
            if self.place.cancel.is_cancelled() {
                return Err(io::ErrorKind::Interrupted.into());
            }
            of(self.dirs, log)?.ground.rename(&log.name, &names::hidden(&log.name)).map(|()| packed)
        });
        hidden.map_err(|error| {
            self.drop_copy(log);
            Became::Failed(error)
        })
    }

    /// Gives the copy its name, unless the log is no longer what was packed.
    fn publish(&self, log: &Log, packed: Packed, by: BTreeSet<i32>) -> Result<Packed, Became> {
        let published = of(self.dirs, log).and_then(|Open { dir, ground }| {
            let now = tree::facts(Some(dir), &names::hidden(&log.name))?;
            let same = (now.identity, now.size, now.mtime_ns, now.links)
                == (packed.facts.identity, packed.facts.size, packed.facts.mtime_ns, 1);
            if !same || !by.is_empty() {
                return Ok(false);
            }
            let temporary = names::temporary(&log.name);
            match ground.rename(&temporary, &names::packed(&log.name)) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                    let stamped = names::stamped(&log.name, self.place.now);
                    ground.rename(&temporary, &names::packed(&stamped))?;
                }
                renamed => renamed?,
            }
            Ok(true)
        });
        let became = match published {
            Ok(true) => return Ok(packed),
            Ok(false) => Became::StillWritten(by),
            Err(error) => Became::Failed(error),
        };
        self.drop_copy(log);
        Err(self.bring_back(log, became))
    }

    fn remove(&self, log: &Log, placed: Result<Packed, Became>) -> Became {
        match placed {
            Err(became) => became,
            Ok(packed) => match of(self.dirs, log).and_then(|open| open.ground.unlink(&names::hidden(&log.name))) {
                Ok(()) => Became::Packed(packed.bytes),
                Err(error) => Became::Failed(error),
            },
        }
    }

    /// Brings every log that is hidden back: better two of it than none.
    fn give_up(&self, hidden: &[Result<Packed, Became>], error: io::Error) -> io::Result<Vec<Became>> {
        for (log, _) in self.logs.iter().zip(hidden).filter(|(_, packed)| packed.is_ok()) {
            self.drop_copy(log);
            bring_back(of(self.dirs, log)?, &log.name, self.place.now)?;
        }
        Err(error)
    }

    fn bring_back(&self, log: &Log, became: Became) -> Became {
        let back = of(self.dirs, log).and_then(|open| bring_back(open, &log.name, self.place.now));
        back.err().map_or(became, Became::Failed)
    }

    fn drop_copy(&self, log: &Log) {
        // Its name says what it is: the next run removes what this one could not.
        let _ = of(self.dirs, log).and_then(|open| open.ground.unlink(&names::temporary(&log.name)));
    }
}

/// Gives a hidden log its name again; a stamped one where there is a new log by now.
fn bring_back(open: &Open, name: &[u8], now: DateTime<Utc>) -> io::Result<()> {
    let hidden = names::hidden(name);
    match open.ground.rename(&hidden, name) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            open.ground.rename(&hidden, &names::stamped(name, now))
        }
        renamed => renamed,
    }
}

/// Finishes, or takes back, what a killed maint left in a directory. Gives whether a log came back.
pub(super) fn recover(place: &Place<'_>, path: &Path, left: &names::Leftover) -> io::Result<bool> {
    let open = open(place.base, path)?;
    let name = match left {
        names::Leftover::Temporary(name) => {
            return open.ground.unlink(&names::temporary(name)).map(|()| false);
        }
        names::Leftover::Hidden(name) => name,
    };
    let hidden = names::hidden(name);
    let copy = match tree::open_file(Some(&open.dir), &names::packed(name)) {
        Ok(copy) => Some(copy),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(error),
    };
    if let Some(copy) = copy {
        let log = tree::open_file(Some(&open.dir), &hidden)?;
        if Packer::new()?.is_copy(&log, &copy)? {
            open.ground.sync()?;
            return open.ground.unlink(&hidden).map(|()| false);
        }
    }
    bring_back(&open, name, place.now).map(|()| true)
}
