//! The daemon at work: looks what is due, starts it when its turn has come, and takes note of how it ended.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use chrono::{DateTime, Utc};
use tokio::task::{Id, JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

use super::{
    DaemonError,
    board::{Board, Offered, Start},
    said::{self, Said, Voice},
    teller::Teller,
};
use crate::{
    adapters::{
        clock, host,
        ledger::Ledger,
        supervisor::{self, State},
    },
    config::{Config, ConfigError, Job},
    engine::{
        due::{self, Moment, Tried},
        recover::{self, RecoverError},
        run::{self, Order, Place, RunError},
    },
    model::{
        due::{Missed, Why, instant, offset},
        failure::chain,
        ids::JobName,
        manifest::Trigger,
        outcome::Outcome,
    },
};

/// A job whose slot is open, or that could not be looked at, is looked at again after this.
const AGAIN: chrono::Duration = chrono::Duration::seconds(30);
/// How often it is looked for runs that died beside the daemon.
const ROUND: Duration = Duration::from_secs(60);
/// A clock that differs by more from what the monotonic one says was set, or the host was asleep.
const JUMP: chrono::Duration = chrono::Duration::seconds(10);

/// A job with a schedule.
struct Watched {
    /// How much later than its slots it starts on this host.
    lag: Duration,
    /// When it is to be looked at.
    look: DateTime<Utc>,
}

/// The daemon's state.
pub(super) struct Shift {
    config: Arc<Config>,
    voice: Voice,
    ledger: Ledger,
    board: Board,
    watched: BTreeMap<JobName, Watched>,
    runs: JoinSet<Result<Tried, RunError>>,
    of_task: HashMap<Id, (JobName, DateTime<Utc>)>,
    cancel: CancellationToken,
    cancelled: usize,
    /// Both clocks, as they were read last.
    clocks: (DateTime<Utc>, std::time::Instant),
    status: String,
    teller: Teller,
    /// When it was last looked for runs that died.
    round: std::time::Instant,
}

impl Shift {
    pub(super) fn begin(config: Config, voice: Voice) -> Result<Self, DaemonError> {
        let ledger = run::open_ledger(&config.stack)?;
        let mut this = Self {
            config: Arc::new(config),
            voice,
            ledger,
            board: Board::default(),
            watched: BTreeMap::new(),
            runs: JoinSet::new(),
            of_task: HashMap::new(),
            cancel: CancellationToken::new(),
            cancelled: 0,
            clocks: (clock::now(), clock::monotonic()),
            status: String::new(),
            teller: Teller::default(),
            round: clock::monotonic(),
        };
        this.watch();
        let config = this.config.path.clone();
        let max_running = this.config.stack.daemon.max_running;
        this.warn();
        this.say(Said::Ready { config, jobs: this.watched.len(), max_running });
        Ok(this)
    }

    fn say(&self, said: Said) {
        (self.voice)(&said);
    }

    fn warn(&self) {
        for warning in &self.config.warnings {
            self.say(Said::Warning(warning.to_string()));
        }
    }

    /// Every job with a schedule is looked at with the next tick.
    fn watch(&mut self) {
        let (host, now) = (host::name(), clock::now());
        let scheduled = self.config.jobs.values().filter(|job| job.schedule.is_some());
        let watched = |job: &Job| Watched { lag: offset(&host, &job.name, job.jitter), look: now };
        self.watched = scheduled.map(|job| (job.name.clone(), watched(job))).collect();
    }

    /// Looks at the jobs whose time has come, and starts whose turn it is.
    pub(super) fn tick(&mut self) {
        let now = clock::now();
        self.mind_the_clock(now);
        if self.round.elapsed() >= ROUND {
            self.round = clock::monotonic();
            self.find_dead(now);
        }
        let due: Vec<JobName> =
            self.watched.iter().filter(|(_, watched)| watched.look <= now).map(|(name, _)| name.clone()).collect();
        for name in due {
            self.look(&name, now);
        }
        let most = self.config.stack.daemon.max_running;
        let starts: Vec<Start> = std::iter::from_fn(|| self.board.next(most, clock::monotonic())).collect();
        let places = run::places(starts.len());
        starts.into_iter().zip(places).for_each(|(start, place)| self.start(start, place));
        self.tell_status();
        self.teller.tick(&self.config, &self.voice);
    }

    /// After a sleep or a step of the clock nothing that was computed before is believed.
    fn mind_the_clock(&mut self, now: DateTime<Utc>) {
        let (wall, monotonic) = self.clocks;
        let passed = chrono::Duration::from_std(monotonic.elapsed()).unwrap_or_default();
        self.clocks = (now, clock::monotonic());
        if (now - (wall + passed)).abs() > JUMP {
            self.say(Said::ClockMoved { from: wall + passed, to: now });
            for watched in self.watched.values_mut() {
                watched.look = now;
            }
        }
    }

    /// Runs by hand may have died, of jobs with and without a schedule. Their slots are looked at anew.
    fn find_dead(&mut self, now: DateTime<Utc>) {
        let state_dir = &self.config.stack.state_dir;
        let found = self.ledger.unfinished_jobs().map_err(RecoverError::from).and_then(|jobs| {
            let dead = |job: JobName| Ok((recover::runs(&self.ledger, state_dir, &job, true)?, job));
            jobs.into_iter().map(dead).collect::<Result<Vec<_>, RecoverError>>()
        });
        match found {
            Ok(found) => {
                for (runs, job) in found.into_iter().filter(|(runs, _)| !runs.is_empty()) {
                    runs.iter().for_each(|run| self.say(Said::PutRight(due::dead(run))));
                    if let Some(watched) = self.watched.get_mut(&job) {
                        watched.look = now;
                    }
                }
            }
            Err(error) => tracing::warn!(error = %chain(&error), "it cannot be looked for runs that died"),
        }
    }

    fn look(&mut self, name: &JobName, now: DateTime<Utc>) {
        let config = self.config.clone();
        let (Some(job), Some(watched)) = (config.jobs.get(name), self.watched.get_mut(name)) else { return };
        let lag = chrono::Duration::from_std(watched.lag).unwrap_or_default();
        let next = job.schedule.as_ref().and_then(|schedule| schedule.next_after(now - lag)).map(|slot| slot + lag);
        let found = match due::look(&self.ledger, &config.stack, job, &Moment::of_daemon(watched.lag)) {
            Ok(found) => found,
            Err(error) => {
                watched.look = now + AGAIN;
                return self.say(Said::Trouble { job: name.clone(), what: chain(&error) });
            }
        };
        let again = found.due.open.then_some(now + AGAIN);
        watched.look = [next, again].into_iter().flatten().min().unwrap_or(DateTime::<Utc>::MAX_UTC);
        for run in found.dead {
            self.say(Said::PutRight(due::dead(&run)));
        }
        for missed in found.due.missed {
            self.say(Said::Missed { job: name.clone(), missed });
        }
        if let Some(slot) = found.due.run {
            self.offer(job, slot);
        }
    }

    fn offer(&mut self, job: &Job, slot: DateTime<Utc>) {
        let missed = match self.board.offer(job, slot, clock::monotonic()) {
            Offered::Waits | Offered::Known => return,
            Offered::Instead(older) => {
                let detail = format!("it waited for its turn; the slot {} stands for it", instant(slot));
                Missed { slot: older, why: Why::CaughtUp, detail }
            }
            Offered::Overlapped(running) => {
                let detail = format!("the run for the slot {} was still at work", instant(running));
                Missed { slot, why: Why::Overlapped, detail }
            }
        };
        if let Err(error) = self.ledger.miss(&job.name, &missed, clock::now()) {
            self.say(Said::Trouble { job: job.name.clone(), what: chain(&error) });
        }
        self.say(Said::Missed { job: job.name.clone(), missed });
    }

    fn start(&mut self, Start { job, slot }: Start, place: Place) {
        let (config, cancel) = (self.config.clone(), self.cancel.clone());
        let sink = said::sink(&self.voice, &job.name, slot);
        let name = job.name.clone();
        let order = Order::of_slot(slot, Trigger::Daemon).together(place);
        let run = async move { due::run_slot(&config, &job, slot, &order, &sink, &cancel).await };
        let task = self.runs.spawn(run);
        self.of_task.insert(task.id(), (name, slot));
    }

    /// Waits for the end of a run, and takes note of it; for ever where none runs.
    pub(super) async fn ended(&mut self) {
        match self.runs.join_next_with_id().await {
            None => std::future::pending().await,
            Some(Ok((id, tried))) => self.note_end(id, Ok(tried)),
            Some(Err(panic)) => self.note_end(panic.id(), Err(panic)),
        }
    }

    fn note_end(&mut self, id: Id, end: Result<Result<Tried, RunError>, JoinError>) {
        let Some((job, slot)) = self.of_task.remove(&id) else { return };
        self.board.ended(&job, slot);
        let mut settled = true;
        match end {
            Ok(Ok(Tried::Ended(report))) => match report.outcome {
                Outcome::Skipped(why) if !report.began => {
                    settled = false;
                    self.say(Said::Skipped { job: job.clone(), slot, why });
                }
                Outcome::Interrupted => {
                    settled = false;
                    self.cancelled += 1;
                }
                _ => {}
            },
            Ok(Ok(Tried::Overlapped(missed))) => self.say(Said::Missed { job: job.clone(), missed }),
            Ok(Err(error)) => {
                settled = false;
                self.say(Said::Trouble { job: job.clone(), what: format!("could not begin: {}", chain(&error)) });
            }
            Err(panic) => {
                settled = false;
                let what = format!("panicked: {panic}; this is a mistake in maint, please report it");
                self.say(Said::Trouble { job: job.clone(), what });
            }
        }
        // Whether the slot is done is for the ledger to say; not at once, for what fails at once would do so for ever.
        if let Some(watched) = self.watched.get_mut(&job).filter(|_| !settled) {
            watched.look = watched.look.min(clock::now() + AGAIN);
        }
    }

    /// Goes on with a new configuration, unless it is wrong.
    pub(super) fn reload(&mut self, loaded: Result<Config, ConfigError>) {
        let config = match loaded {
            Ok(config) if config.stack.state_dir == self.config.stack.state_dir => config,
            Ok(config) => {
                let moved = format!("state_dir is {} now: restart the daemon", config.stack.state_dir.display());
                return self.say(Said::NotReloaded(moved));
            }
            Err(error) => return self.say(Said::NotReloaded(error.to_string())),
        };
        self.config = Arc::new(config);
        self.board.clear();
        self.watch();
        self.warn();
        self.say(Said::Reloaded { config: self.config.path.clone(), jobs: self.watched.len() });
    }

    /// No new run begins; gives how long those at work may go on.
    pub(super) fn drain(&mut self) -> Duration {
        let drain = self.config.stack.daemon.drain;
        // What waits stays open in the ledger: the next start catches it up.
        self.board.clear();
        if !self.is_idle() {
            self.say(Said::Draining { running: self.runs.len(), drain });
        }
        self.tell_status();
        drain
    }

    /// Tells those at work to stop.
    pub(super) fn cancel(&mut self) {
        self.say(Said::Cancelling { running: self.runs.len() });
        self.cancel.cancel();
    }

    /// Whether nothing runs.
    pub(super) fn is_idle(&self) -> bool {
        self.runs.is_empty()
    }

    /// Lets what is being told arrive.
    pub(super) async fn told(&mut self) {
        self.teller.settle().await;
    }

    /// The end; gives how many runs were cancelled. What does not stop is left to the next start.
    pub(super) fn finish(mut self) -> usize {
        let cancelled = self.cancelled + self.runs.len();
        self.runs.abort_all();
        self.say(Said::Stopped { cancelled });
        cancelled
    }

    fn tell_status(&mut self) {
        let next = self.watched.iter().min_by_key(|(_, watched)| watched.look);
        let next = next.map(|(name, watched)| format!("; next: {name} at {}", instant(watched.look)));
        let (running, waiting) = (self.board.running(), self.board.waiting());
        let status = format!("{running} running, {waiting} waiting{}", next.unwrap_or_default());
        if status != self.status {
            supervisor::tell(State::Status(&status));
            self.status = status;
        }
    }
}
