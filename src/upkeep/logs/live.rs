//! Logs that are being written: renamed, their writer told to open anew, and packed once it has let go.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use chrono::{DateTime, Utc};
use tokio_util::sync::CancellationToken;

use super::{
    names,
    select::{self, Log},
};
use crate::{
    adapters::{
        clock,
        docker::Docker,
        files,
        holders::{self, Identity, Letting, Process},
        plant::Ground,
        tree::{self, Dir},
    },
    model::{event::StepEvents, failure::chain, units::Elapsed},
    upkeep::UpkeepError,
};

const LONGEST_PAUSE: Duration = Duration::from_millis(500);
const SHORTEST_PAUSE: Duration = Duration::from_millis(50);

/// Who is told to open its logs anew.
#[derive(Debug, Clone)]
pub enum Writer {
    /// A container's program.
    Container(String),
    /// The program whose process id is in a file.
    PidFile(PathBuf),
}

/// How logs that are being written are rotated.
#[derive(Debug, Clone)]
pub struct Live {
    /// Who is told, and by which signal; `None`: nobody, the writer opens its log anew by itself.
    pub signal: Option<(Writer, Letting)>,
    /// How long the writer may take to let go.
    pub wait: Duration,
    /// A log is rotated when it is at least this large, in bytes.
    pub at_least: u64,
}

/// What came of it.
#[derive(Debug, Default)]
pub(super) struct Rotated {
    /// Nobody writes to these any more.
    pub(super) released: Vec<Log>,
    /// Somebody still does: left unpacked.
    pub(super) held: Vec<(Log, BTreeSet<i32>)>,
    /// Why nobody was told, where that was so.
    pub(super) untold: Option<String>,
    /// Logs that could not be renamed.
    pub(super) failed: Vec<(Log, io::Error)>,
    /// How many were renamed.
    pub(super) renamed: usize,
}

/// Where the logs are.
pub(super) struct Yard<'a> {
    pub(super) base: &'a Dir,
    pub(super) path: &'a Path,
    pub(super) now: DateTime<Utc>,
    pub(super) docker_host: &'a str,
    pub(super) cancel: &'a CancellationToken,
    pub(super) events: &'a StepEvents,
}

impl Yard<'_> {
    /// Rotates logs that are held; rotated ones that are held since an earlier run are waited for with them.
    pub(super) async fn rotate(&self, live: &Live, logs: Vec<(Log, BTreeSet<i32>)>) -> Result<Rotated, UpkeepError> {
        let mut rotated = Rotated::default();
        let pids: BTreeSet<i32> = logs.iter().flat_map(|(_, by)| by.iter().copied()).collect();
        let teller = match &live.signal {
            None => Teller::Nobody,
            // Asked before anything is renamed: a log that nobody lets go of is better under its own name.
            Some((writer, signal)) => match self.teller(writer, *signal, &pids).await {
                Ok(teller) => teller,
                Err(why) => {
                    rotated.untold = Some(why);
                    rotated.held = logs;
                    return Ok(rotated);
                }
            },
        };
        let mut waiting = Vec::new();
        for (log, by) in logs {
            if names::unstamped(&log.name).is_some() {
                waiting.push((log, by));
                continue;
            }
            match self.rename(&log) {
                Ok(renamed) => {
                    rotated.renamed += 1;
                    waiting.push((renamed, by));
                }
                Err(error) => rotated.failed.push((log, error)),
            }
        }
        rotated.untold = teller.tell().await.err();
        self.wait(live, waiting, &mut rotated).await?;
        Ok(rotated)
    }

    fn rename(&self, log: &Log) -> io::Result<Log> {
        let dir = select::open(self.base, &log.dir)?;
        let name = names::stamped(&log.name, self.now);
        Ground::of(&dir)?.rename(&log.name, &name)?;
        let facts = tree::facts(Some(&dir), &name)?;
        Ok(Log { dir: log.dir.clone(), name, facts })
    }

    async fn teller(&self, writer: &Writer, signal: Letting, pids: &BTreeSet<i32>) -> Result<Teller, String> {
        match writer {
            Writer::Container(name) => {
                let asked = async {
                    let engine = Docker::connect(self.docker_host).await?;
                    engine.container(name).await.map(|found| (engine, found))
                };
                let (engine, found) = asked.await.map_err(|e| chain(&e))?;
                if found.container.state != crate::adapters::docker::State::Running {
                    return Err(format!("the container {name} is not running"));
                }
                Ok(Teller::Container(engine, name.clone(), signal))
            }
            Writer::PidFile(path) => {
                let text = files::read_config(path, 64).map_err(|e| chain(&e))?;
                let pid = String::from_utf8_lossy(&text).trim().parse::<i32>();
                let pid = pid.map_err(|_| format!("{} holds no process id", path.display()))?;
                let process = Process::of(pid).map_err(|e| format!("pid {pid} of {}: {e}", path.display()))?;
                // A number that went to another program must not be signalled: most programs die of it.
                if !pids.iter().any(|holder| holders::descends(*holder, pid)) {
                    let told = holders::describe(pid);
                    return Err(format!("{told}, named by {}, has none of these logs open", path.display()));
                }
                Ok(Teller::Process(process, pid, signal))
            }
        }
    }

    /// Waits until nobody has them open, as long as may be.
    async fn wait(
        &self,
        live: &Live,
        mut waiting: Vec<(Log, BTreeSet<i32>)>,
        rotated: &mut Rotated,
    ) -> Result<(), UpkeepError> {
        let begun = clock::monotonic();
        let mut pause = SHORTEST_PAUSE;
        while !waiting.is_empty() {
            let held = self.held(&waiting)?;
            let (still, free): (Vec<_>, Vec<_>) =
                waiting.into_iter().partition(|(log, _)| held.contains_key(&log.facts.identity));
            rotated.released.extend(free.into_iter().map(|(log, _)| log));
            waiting = still;
            for (log, by) in &mut waiting {
                by.clone_from(held.get(&log.facts.identity).unwrap_or(&BTreeSet::new()));
            }
            let Some((log, by)) = waiting.first() else { break };
            if begun.elapsed() >= live.wait {
                break;
            }
            let who: Vec<String> = by.iter().take(3).map(|pid| holders::describe(*pid)).collect();
            let waited = Elapsed(begun.elapsed());
            let doing = format!("waiting {waited} for {} to let go of {}", who.join(", "), log.path(self.path));
            self.events.progress(0, None, doing);
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.cancel.cancelled() => return Err(UpkeepError::Interrupted),
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
        rotated.held.append(&mut waiting);
        // What was written until the writer let go belongs to the log.
        for log in &mut rotated.released {
            let dir = select::open(self.base, &log.dir).map_err(|source| self.unread(source))?;
            log.facts = tree::facts(Some(&dir), &log.name).map_err(|source| self.unread(source))?;
        }
        Ok(())
    }

    fn unread(&self, source: io::Error) -> UpkeepError {
        UpkeepError::Reading { dir: self.path.to_owned(), source }
    }

    fn held(&self, logs: &[(Log, BTreeSet<i32>)]) -> Result<BTreeMap<Identity, BTreeSet<i32>>, UpkeepError> {
        let wanted = logs.iter().map(|(log, _)| log.facts.identity).collect();
        holders::held(&wanted).map(|held| held.by).map_err(|source| self.unread(source))
    }
}

/// Who is told, found and checked.
enum Teller {
    Nobody,
    Container(Docker, String, Letting),
    Process(Process, i32, Letting),
}

impl Teller {
    async fn tell(&self) -> Result<(), String> {
        match self {
            Self::Nobody => Ok(()),
            Self::Container(engine, name, signal) => engine.kill(name, signal.name()).await.map_err(|e| chain(&e)),
            Self::Process(process, pid, signal) => {
                process.signal(*signal).map_err(|e| format!("signalling pid {pid}: {e}"))
            }
        }
    }
}
