//! What is due of a job by ledger and clock, and doing it: what timers and the daemon share.

use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio_util::sync::CancellationToken;

use super::{
    after,
    recover::{self, RecoverError},
    run::{self, Order, RunError, RunReport, job_lock_name},
};
use crate::{
    adapters::{
        clock, host,
        ledger::{Ledger, Watermark},
        lock::LockError,
    },
    config::{Config, Job, Overlap},
    model::{
        due::{CatchUp, Due, Duty, Missed, ON_TIME, Why},
        event::EventSink,
        failure::chain,
        manifest::Trigger,
        schedule::Schedule,
        stack::Stack,
    },
};

/// By what clock it is looked.
#[derive(Debug, Clone, Copy)]
pub struct Moment {
    /// Now; for whoever starts jobs later than their slots, so much earlier.
    pub now: DateTime<Utc>,
    /// How late a start is still on time.
    pub on_time: Duration,
    /// How much of its past a job owes that was never seen before: the slot whose timer made somebody look.
    pub owed: Duration,
}

impl Moment {
    /// For a timer: it fired for a slot that passed just now, or within the job's jitter.
    fn of_timer(job: &Job) -> Self {
        let on_time = ON_TIME + job.jitter;
        Self { now: clock::now(), on_time, owed: on_time }
    }

    /// For the daemon, which was there before the slot; `lag` is how much later it starts the job on purpose.
    pub fn of_daemon(lag: Duration) -> Self {
        Self { now: clock::now() - lag, on_time: ON_TIME, owed: Duration::ZERO }
    }
}

/// What a look at a job's slots gave.
#[derive(Debug)]
pub struct Look {
    /// What is to be done; what was missed is recorded already.
    pub due: Due,
    /// Runs that had died, and are marked as interrupted now.
    pub dead: Vec<String>,
}

/// Looks what is due of a job, and records what is not to be done any more.
///
/// # Errors
/// When the ledger cannot be used.
pub fn look(ledger: &Ledger, stack: &Stack, job: &Job, at: &Moment) -> Result<Look, RecoverError> {
    let nothing = Due { run: None, missed: Vec::new(), settled: at.now, open: false };
    let Some(schedule) = &job.schedule else { return Ok(Look { due: nothing, dead: Vec::new() }) };
    let dead = match ledger.unfinished(&job.name)?.is_empty() {
        true => Vec::new(),
        false => recover::runs(ledger, &stack.state_dir, &job.name, true)?,
    };
    let (settled, mut rescheduled) = on_duty(ledger, job, schedule, at)?;
    let records = ledger.slot_records(&job.name, settled)?;
    let booted = Some(host::booted());
    let duty = Duty { schedule, catch_up: job.catch_up, on_time: at.on_time, settled, booted };
    let mut due = duty.at(at.now, &records);
    due.missed.append(&mut rescheduled);
    if !due.missed.is_empty() || due.settled > settled {
        ledger.account(&job.name, &due, clock::now())?;
    }
    Ok(Look { due, dead })
}

/// Up to where the job's slots are accounted for, and what it still owed by another schedule.
fn on_duty(
    ledger: &Ledger,
    job: &Job,
    schedule: &Schedule,
    at: &Moment,
) -> Result<(DateTime<Utc>, Vec<Missed>), RecoverError> {
    let identity = schedule.identity();
    let earlier = ledger.watermark(&job.name)?;
    let mut owed = Vec::new();
    if let Some(mark) = &earlier {
        // A clock that was ahead and was put right must not keep the job from its slots until then.
        if mark.schedule == identity && mark.settled <= at.now {
            return Ok((mark.settled, owed));
        }
        if let Some(before) = Schedule::recall(&mark.schedule).filter(|_| mark.schedule != identity) {
            owed = left_behind(ledger, job, &before, mark.settled, at.now)?;
        }
    }
    let mark = Watermark { schedule: identity, settled: at.now - at.owed };
    ledger.on_duty(&job.name, &mark, clock::now())?;
    Ok((mark.settled, owed))
}

/// Slots of the schedule that a job had before, which nobody did.
fn left_behind(
    ledger: &Ledger,
    job: &Job,
    before: &Schedule,
    settled: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Result<Vec<Missed>, RecoverError> {
    let on_time = Duration::ZERO;
    let duty = Duty { schedule: before, catch_up: CatchUp::None, on_time, settled, booted: None };
    let due = duty.at(now, &ledger.slot_records(&job.name, settled)?);
    let detail = || "the job's schedule was changed before it ran".to_owned();
    Ok(due.missed.into_iter().map(|missed| Missed { why: Why::Rescheduled, detail: detail(), ..missed }).collect())
}

/// What became of a slot.
#[derive(Debug)]
pub enum Tried {
    /// A run ended, or there was no need for one.
    Ended(Box<RunReport>),
    /// The job was still at work for something else, and skips then.
    Overlapped(Missed),
}

/// Runs a job for a slot, as `order` says. What keeps it from beginning is recorded, so that the slot is accounted for.
///
/// # Errors
/// As [`run::run`].
pub async fn run_slot(
    config: &Config,
    job: &Job,
    slot: DateTime<Utc>,
    order: &Order,
    sink: &EventSink,
    cancel: &CancellationToken,
) -> Result<Tried, RunError> {
    let error = match run::run(config, job, order, sink, cancel).await {
        Ok(report) => return Ok(Tried::Ended(Box::new(report))),
        Err(error) => error,
    };
    let of_own_job = |name: &str| name == job_lock_name(&job.name);
    let (why, detail) = match &error {
        // Whoever stopped it comes back to the slot.
        RunError::StoppedWaiting(_) => return Err(error),
        RunError::Lock(LockError::Held { name, holder }) if of_own_job(name) => {
            (Why::Overlapped, format!("{holder} was still at work"))
        }
        RunError::Elsewhere(holder) => (Why::Overlapped, format!("{holder} was still at work")),
        RunError::Lock(LockError::Held { .. }) => (Why::Locked, chain(&error)),
        _ => (Why::NotBegun, chain(&error)),
    };
    let missed = Missed { slot, why, detail };
    let recorded =
        Ledger::open(&config.stack.state_dir).and_then(|ledger| ledger.miss(&job.name, &missed, clock::now()));
    if let Err(unrecorded) = recorded {
        tracing::warn!(error = %chain(&unrecorded), "a missed slot is not recorded");
    }
    match (why, job.overlap) {
        (Why::Overlapped, Overlap::Skip) => Ok(Tried::Overlapped(missed)),
        _ => Err(error),
    }
}

/// What a timer's start gave.
#[derive(Debug)]
pub struct Timely {
    /// What became of the slot that was due; `None`: none was.
    pub tried: Option<Tried>,
    /// Slots that are recorded as missed since this look.
    pub missed: Vec<Missed>,
    /// What was put right, or could not be.
    pub notes: Vec<String>,
}

/// Does what is due of a job: what a timer asks for.
///
/// # Errors
/// As [`run::run`].
pub async fn run_due(
    config: &Config,
    job: &Job,
    sink: &EventSink,
    cancel: &CancellationToken,
) -> Result<Timely, RunError> {
    let stack = &config.stack;
    let mut timely = Timely { tried: None, missed: Vec::new(), notes: put_right(stack).await };
    let ledger = run::open_ledger(stack)?;
    let found = look(&ledger, stack, job, &Moment::of_timer(job)).map_err(|e| RunError::Recover(Box::new(e)))?;
    timely.notes.extend(found.dead.iter().map(|run| dead(run)));
    timely.missed = found.due.missed;
    let Some(slot) = found.due.run else {
        // No run follows that would tell of what was missed or had died.
        after::look(config, sink).await;
        return Ok(timely);
    };
    let tried = run_slot(config, job, slot, &Order::of_slot(slot, Trigger::Timer), sink, cancel).await?;
    if let (Tried::Ended(report), Overlap::Skip) = (&tried, job.overlap)
        && report.began
        && !cancel.is_cancelled()
    {
        timely.missed.extend(overlapped(&ledger, stack, job, report)?);
    }
    timely.tried = Some(tried);
    Ok(timely)
}

/// Slots that passed while a run was at work: a timer does not start a unit that is active, and nobody else says it.
fn overlapped(ledger: &Ledger, stack: &Stack, job: &Job, by: &RunReport) -> Result<Option<Missed>, RunError> {
    let found = look(ledger, stack, job, &Moment::of_timer(job)).map_err(|e| RunError::Recover(Box::new(e)))?;
    let Some(slot) = found.due.run else { return Ok(None) };
    let missed = Missed { slot, why: Why::Overlapped, detail: format!("run {} was still at work", by.id) };
    ledger.miss(&job.name, &missed, clock::now())?;
    Ok(Some(missed))
}

/// What dead runs left is put right; what cannot be stands in nobody's way.
pub async fn put_right(stack: &Stack) -> Vec<String> {
    match recover::recover(stack, true).await {
        Ok(found) => {
            let runs = found.runs.iter().map(|run| dead(run));
            let containers = found.containers.iter().map(|of_run| {
                format!("{}: brought back, stopped by the dead run {}", of_run.containers.join(", "), of_run.ticket)
            });
            let swept = found.staging.iter().chain(&found.drills).chain(&found.helpers);
            let swept = swept.map(|what| format!("swept what the dead {what} left"));
            let failed = found.failed.iter().map(|(what, _)| format!("could not be put right: {what}"));
            runs.chain(containers).chain(swept).chain(failed).collect()
        }
        Err(error) => vec![format!("what dead runs left could not be put right: {}", chain(&error))],
    }
}

/// What is said of a run that died.
pub fn dead(run: &str) -> String {
    format!("the run {run} died without an end; it is marked as interrupted")
}
