//! `maint serve`: jobs at their slots where there is no systemd, or instead of its timers.
//!
//! [`serve`] is the loop: ticks, ends of runs, signals. [`shift`](self) looks what is due and starts it, `board` says whose turn
//! it is, `ticker` wakes. The ledger decides what was done: what this process believes is gone with it, and nothing is lost.

mod board;
mod said;
mod shift;
mod teller;
mod ticker;

use std::{
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    time::Instant,
};

pub use said::{Said, Voice};
use shift::Shift;
use ticker::Ticker;

use super::{due, recover::RecoverError, run::RunError};
use crate::{
    adapters::{
        clock,
        files::FileError,
        lock::{Lock, LockError},
        postgres::advisory::{self, AdvisoryError},
        supervisor::{self, State},
    },
    config::{Config, ConfigError},
    model::failure::{Class, Diagnose, chain},
};

/// How long cancelled runs may take to leave nothing behind.
const UNWIND: Duration = Duration::from_secs(60);

/// Why the daemon does not start.
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    #[error("timers of maint are enabled: {}; with the daemon every job would be started twice", shown(.0))]
    Timers(Vec<PathBuf>),
    #[error("another daemon is at work: {0}")]
    Another(LockError),
    #[error(transparent)]
    Lock(LockError),
    #[error(transparent)]
    File(#[from] FileError),
    #[error(transparent)]
    Run(#[from] RunError),
    #[error(transparent)]
    Recover(#[from] RecoverError),
    #[error(transparent)]
    Across(#[from] AdvisoryError),
    #[error("listening to signals")]
    Signals(#[source] io::Error),
    #[error("starting the ticker")]
    Ticker(#[from] tokio_cron_scheduler::JobSchedulerError),
}

fn shown(paths: &[PathBuf]) -> String {
    paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
}

impl Diagnose for DaemonError {
    fn class(&self) -> Class {
        match self {
            Self::Timers(_) => Class::Usage,
            Self::Another(e) | Self::Lock(e) => e.class(),
            Self::File(e) => e.class(),
            Self::Run(e) => e.class(),
            Self::Recover(e) => e.class(),
            Self::Across(e) => e.class(),
            Self::Signals(_) | Self::Ticker(_) => Class::Failed,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Timers(_) => Some("choose one: systemctl disable --now 'maint-*.timer', or no daemon".into()),
            Self::Another(_) => Some("one daemon per state directory; see: systemctl status maint".into()),
            Self::Lock(e) => e.hint(),
            Self::File(e) => e.hint(),
            Self::Run(e) => e.hint(),
            Self::Recover(e) => e.hint(),
            Self::Across(e) => e.hint(),
            Self::Signals(_) | Self::Ticker(_) => None,
        }
    }
}

/// Refuses to work beside timers of systemd, on the host whose file system begins at `root`.
///
/// # Errors
/// [`DaemonError::Timers`] where there are any.
pub fn refuse_beside_timers(root: &Path) -> Result<(), DaemonError> {
    match supervisor::enabled_timers(root)? {
        timers if timers.is_empty() => Ok(()),
        timers => Err(DaemonError::Timers(timers)),
    }
}

/// How far the end has come.
#[derive(Debug, Clone, Copy)]
enum Phase {
    /// It has not.
    Serving,
    /// Nothing new begins, and what runs may end by itself until then.
    Draining(Instant),
    /// What runs was told to stop, and may take until then.
    Cancelling(Instant),
}

struct Signals {
    hangup: Signal,
    terminate: Signal,
    interrupt: Signal,
}

/// What a signal asks for.
enum Asked {
    Reload,
    End,
}

impl Signals {
    fn listen() -> io::Result<Self> {
        Ok(Self {
            hangup: signal(SignalKind::hangup())?,
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) -> Asked {
        tokio::select! {
            _ = self.hangup.recv() => Asked::Reload,
            _ = self.terminate.recv() => Asked::End,
            _ = self.interrupt.recv() => Asked::End,
        }
    }
}

/// Serves until it is told to end; gives how many runs had to be cancelled for that. `load` reads the configuration anew.
///
/// # Errors
/// When it cannot begin: another daemon, a state directory that cannot be used.
pub async fn serve(
    config: Config,
    load: &dyn Fn() -> Result<Config, ConfigError>,
    voice: Voice,
) -> Result<usize, DaemonError> {
    let mut signals = Signals::listen().map_err(DaemonError::Signals)?;
    let lock = config.stack.state_dir.join("daemon.lock");
    let _lock = Lock::try_acquire(&lock, &format!("pid {}", std::process::id())).map_err(|error| match error {
        LockError::Held { .. } => DaemonError::Another(error),
        error => DaemonError::Lock(error),
    })?;
    try_locks(&config, &voice).await?;
    for note in due::put_right(&config.stack).await {
        voice(&Said::PutRight(note));
    }
    let watchdog = supervisor::watchdog();
    let ticker = Ticker::start(watchdog).await?;
    let mut shift = Shift::begin(config, voice)?;
    shift.tick();
    supervisor::tell(State::Ready);
    let mut alive = clock::monotonic();
    let mut phase = Phase::Serving;
    loop {
        tokio::select! {
            () = ticker.next() => {}
            () = shift.ended() => {}
            asked = signals.next() => match asked {
                Asked::Reload if matches!(phase, Phase::Serving) => reload(&mut shift, load),
                Asked::Reload => {}
                Asked::End => phase = end(&mut shift, phase),
            },
        }
        if let Phase::Serving = phase {
            shift.tick();
        } else if shift.is_idle() {
            break;
        }
        match phase {
            Phase::Draining(until) if Instant::now() >= until => phase = end(&mut shift, phase),
            Phase::Cancelling(until) if Instant::now() >= until => break,
            _ => {}
        }
        if watchdog.is_some_and(|often| alive.elapsed() >= often / 2) {
            supervisor::tell(State::Alive);
            alive = clock::monotonic();
        }
    }
    ticker.stop().await;
    shift.told().await;
    Ok(shift.finish())
}

/// Refuses servers that cannot hold locks across hosts. One that is away just now may be back when it is needed.
async fn try_locks(config: &Config, voice: &Voice) -> Result<(), AdvisoryError> {
    for server in config.lock_servers() {
        match advisory::self_test(server, &config.stack.docker).await {
            Ok(_) => {}
            Err(error) if error.class() == Class::Retryable => {
                voice(&Said::Warning(format!("the lock across hosts could not be tried: {}", chain(&error))));
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn reload(shift: &mut Shift, load: &dyn Fn() -> Result<Config, ConfigError>) {
    supervisor::tell(State::Reloading);
    shift.reload(load());
    supervisor::tell(State::Ready);
}

/// One step nearer to the end: drain, cancel, and, for whoever insists, at once.
fn end(shift: &mut Shift, phase: Phase) -> Phase {
    match phase {
        Phase::Serving => {
            supervisor::tell(State::Stopping);
            Phase::Draining(Instant::now() + shift.drain())
        }
        Phase::Draining(_) => {
            shift.cancel();
            Phase::Cancelling(Instant::now() + UNWIND)
        }
        Phase::Cancelling(_) => {
            super::signal::die();
            phase
        }
    }
}
