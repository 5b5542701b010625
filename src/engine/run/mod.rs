//! Carries a plan out: locks, steps, and in a backup job verify, seal and publish; the outcome goes to the ledger.

mod attempt;
mod checklist;
mod error;
mod hosts;
mod journal;
mod left;
mod locks;
mod order;
mod prune;
mod tail;
mod together;
mod trouble;
mod upload;

pub use error::RunError;
pub(super) use locks::{RECOVERY, job_lock, job_lock_name};
pub use order::{Order, RunReport};
pub(super) use together::{Place, places};

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use chrono::{DateTime, Utc};
use tokio_util::sync::CancellationToken;

use locks::Taken;
use trouble::{Trouble, too_long};

use super::{after, notify::Beats, plan::Plan};
use crate::{
    adapters::{
        clock,
        ledger::{EndOfRun, Ledger, LedgerError, NewRun, Settled, StepRow},
        secret,
        signature::Signer,
    },
    backup::{
        drill::place,
        publish::Published,
        staging::{self, Staging},
    },
    config::{Config, Job, Mode, OnFailure},
    model::{
        event::{Event, EventSink},
        failure::Class,
        finding::Finding,
        ids::{RunId, StepId},
        manifest::{Artifact, Trigger},
        outcome::Outcome,
        roster::JobFacts,
        secret::Secret,
        stack::Stack,
    },
    steps::context::Ended,
};

/// A run that has its locks.
struct Run<'a> {
    id: RunId,
    plan: &'a Plan,
    stack: Arc<Stack>,
    roster: Arc<Vec<JobFacts>>,
    trigger: Trigger,
    started: DateTime<Utc>,
    attempt: u32,
    host_secret: Secret,
    signer: Option<Arc<Signer>>,
    ledger: Arc<std::sync::Mutex<Ledger>>,
    sink: EventSink,
    cancel: CancellationToken,
    /// The steps that are over.
    ended: std::sync::Mutex<Vec<(StepId, Ended)>>,
}

/// What the steps gave.
#[derive(Debug, Default)]
struct Captured {
    artifacts: Vec<Artifact>,
    tools: BTreeMap<String, String>,
}

/// Runs a job.
///
/// # Errors
/// When it could not begin: a wrong choice, a lock that is held, a state directory that cannot be used.
pub async fn run(
    config: &Config,
    job: &Job,
    order: &Order,
    sink: &EventSink,
    cancel: &CancellationToken,
) -> Result<RunReport, RunError> {
    let beats = Beats::default();
    let ended = locked_and_carried_out(config, job, order, sink, cancel, &beats).await;
    after::after(config, job, order, &ended, &beats, sink).await;
    ended
}

/// The run itself, without what follows it.
async fn locked_and_carried_out(
    config: &Config,
    job: &Job,
    order: &Order,
    sink: &EventSink,
    cancel: &CancellationToken,
    beats: &Beats,
) -> Result<RunReport, RunError> {
    let started = clock::now();
    let plan = Plan::of(job, &config.stack, &order.choice, started)?;
    let stack = config.stack.clone();
    let ledger = open_ledger(&stack)?;
    let host_secret = secret::host(&stack.state_dir)?;
    // Before hours of work, not after them.
    let key = stack.sign.key.as_ref().filter(|_| job.backup.is_some());
    let signer = key.map(Signer::load).transpose()?.map(Arc::new);
    let id = clock::run_id();
    let log_dir = journal::dir(&stack.state_dir, id);
    let _locks = match locks::take(&plan, &stack, id, cancel).await? {
        Taken::Locks(locks) => locks,
        Taken::AtWork(holder) => {
            return Ok(RunReport::skipped(id, format!("the slot is being done by {holder}"), log_dir));
        }
    };
    let dead = ledger.interrupt_dead(&job.name, started)?;
    let left = left::put_right(&stack.state_dir, dead).await?;
    let trigger = order.trigger;
    if let Some(why) = done_already(&ledger, &plan, trigger)? {
        return Ok(RunReport::skipped(id, why, log_dir));
    }
    let hosts = hosts::ask(&plan, &stack, (id, trigger), &host_secret, cancel).await?;
    if let Some(why) = hosts.skip(&ledger, &plan, trigger)? {
        return Ok(RunReport::skipped(id, why, log_dir));
    }
    let attempt = ledger.begin(&NewRun { id, job: job.name.clone(), trigger, slot: plan.slot, started })?;
    if after::is_partial(order) {
        ledger.decided(&id.to_string())?;
    } else {
        beats.begin(&stack, job, id);
    }
    let ledger = Arc::new(std::sync::Mutex::new(ledger));
    let sink = journal::attach(&stack.state_dir, id, ledger.clone(), sink.clone())?;
    let cancel = hosts.watch(cancel);
    let roster = Arc::new(config.roster());
    let plan = &plan;
    let ended = std::sync::Mutex::default();
    let run =
        Run { id, plan, stack, roster, trigger, started, attempt, host_secret, signer, ledger, sink, cancel, ended };
    run.announce(&left);
    order.begun().await;
    let (trouble, set, outcome) = run.carry_out().await;
    let trouble = hosts::give_back(hosts, trouble, &outcome).await;
    run.end(trouble, set, outcome, log_dir)
}

/// The ledger, in a state directory that can be used.
pub(super) fn open_ledger(stack: &Stack) -> Result<Ledger, RunError> {
    crate::adapters::files::create_private_dir(&stack.state_dir)
        .and_then(|()| crate::adapters::files::may_write(&stack.state_dir))
        .map_err(|source| RunError::StateDir { path: stack.state_dir.clone(), source })?;
    Ok(Ledger::open(&stack.state_dir)?)
}

/// Why there is nothing left to do for the slot. Only somebody's word tries again what failed.
fn done_already(ledger: &Ledger, plan: &Plan, trigger: Trigger) -> Result<Option<String>, LedgerError> {
    let Some(slot) = plan.slot else { return Ok(None) };
    let job = &plan.job.name;
    let Some(Settled { run, outcome }) = ledger.settled(job, slot)? else { return Ok(None) };
    Ok(match (ledger.succeeded(job, slot)?, trigger) {
        (Some(run), _) => Some(format!("the slot was done by run {run}")),
        (None, Trigger::Manual) => None,
        (None, Trigger::Timer | Trigger::Daemon) => Some(format!(
            "the slot was tried by run {run} ({outcome}); again: maint run {job} --slot {}",
            crate::model::due::instant(slot)
        )),
    })
}

impl Run<'_> {
    fn note(&self, step: &str, text: String) {
        if let Ok(step) = step.parse() {
            self.sink.emit(Event::Note { step, text });
        }
    }

    /// The steps and the tail, within the job's time.
    async fn carry_out(&self) -> (Option<Trouble>, Option<Published>, Outcome) {
        let mut outcome = Outcome::Ok;
        let staging = match self.prepare().await {
            Ok(staging) => staging,
            Err(trouble) => return (Some(trouble), None, outcome),
        };
        let deadline = tokio::time::Instant::now() + self.plan.job.timeout;
        let mut captured = Captured::default();
        let dir = staging.as_ref().map_or_else(PathBuf::new, |s| s.dir().to_owned());
        let (trouble, of_steps) = match self.plan.job.mode {
            Mode::Sequence => self.sequence(&dir, deadline, &mut captured).await,
            Mode::Checklist => self.checklist(deadline).await,
        };
        outcome = outcome.worst(of_steps);
        let Some(staging) = staging.filter(|_| trouble.is_none()) else { return (trouble, None, outcome) };
        match self.publish(staging, captured, deadline).await {
            Ok((set, shortfall)) => self.after(set, shortfall, outcome, deadline).await,
            Err(trouble) => (Some(trouble), None, outcome),
        }
    }

    /// One step after the other; the first that fails ends it, unless the others do not need it.
    async fn sequence(
        &self,
        dir: &Path,
        deadline: tokio::time::Instant,
        captured: &mut Captured,
    ) -> (Option<Trouble>, Outcome) {
        let (mut outcome, mut worst) = (Outcome::Ok, None);
        for (number, step) in self.plan.chosen().enumerate() {
            let trouble = match self.step(number, step, dir, deadline).await {
                Ok(report) => {
                    captured.artifacts.extend(report.artifacts);
                    captured.tools.extend(report.tools);
                    match report.outcome {
                        Outcome::Failed(_) => Trouble { outcome: report.outcome, class: Class::Failed, hint: None },
                        other => {
                            outcome = outcome.worst(other);
                            continue;
                        }
                    }
                }
                Err(trouble) => trouble,
            };
            let over = trouble.class == Class::Interrupted || tokio::time::Instant::now() >= deadline;
            worst = Trouble::worst(worst, Some(trouble));
            if over || step.on_failure == OnFailure::Stop {
                break;
            }
        }
        (worst, outcome)
    }

    /// What a published set is followed by: its copies, and the pruning of older ones.
    async fn after(
        &self,
        set: Published,
        shortfall: Option<Trouble>,
        outcome: Outcome,
        deadline: tokio::time::Instant,
    ) -> (Option<Trouble>, Option<Published>, Outcome) {
        let (of_copies, trouble) = self.upload(&set, deadline).await;
        // That the drill could not run stands in the set itself.
        let trouble = Trouble::worst(shortfall, trouble);
        let outcome = outcome.worst(self.unusual(&set)).worst(of_copies);
        // What fell short or has no copy is no success, and nothing is pruned for it.
        if trouble.is_some() {
            return (trouble, Some(set), outcome);
        }
        match self.prune(&outcome).await {
            Ok(of_pruning) => (None, Some(set), outcome.worst(of_pruning)),
            Err(trouble) => (Some(trouble), Some(set), outcome),
        }
    }

    /// Sweeps what dead runs left and makes this run's staging directory.
    async fn prepare(&self) -> Result<Option<Staging>, Trouble> {
        if self.plan.job.backup.is_none() {
            return Ok(None);
        }
        let backup_dir = &self.stack.backup_dir;
        for swept in staging::sweep(backup_dir).map_err(|e| Trouble::of(&e))? {
            self.note("run", format!("swept what the dead run {swept} left in staging"));
        }
        // What cannot be swept is in nobody's way; `maint recover` says what it is.
        if let Ok(swept) = place::sweep(&self.stack.drill.scratch_dir, &self.stack.docker).await {
            for drill in swept.removed {
                self.note("run", format!("swept what the dead drill {drill} left"));
            }
        }
        Staging::create(backup_dir, self.id).map(Some).map_err(|e| Trouble::of(&e))
    }

    /// Records what a step observed, for the ledger and whoever listens.
    fn found(&self, step: &StepId, findings: &[Finding]) {
        if let Ok(ledger) = self.ledger.lock()
            && let Err(error) = ledger.findings_of(self.id, step.as_str(), findings)
        {
            tracing::warn!(%error, "findings are missing in the ledger");
        }
        for finding in findings {
            self.sink.emit(Event::Finding { step: step.clone(), finding: finding.clone() });
        }
    }

    /// Records a step's or stage's end, for the ledger and whoever listens.
    fn ended(&self, number: usize, id: &StepId, outcome: &Outcome, begun: std::time::Instant, summary: String) {
        let millis = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        let row = StepRow { id: id.to_string(), outcome: outcome.clone(), millis, summary: summary.clone() };
        if let Ok(ledger) = self.ledger.lock()
            && let Err(error) = ledger.step(self.id, number, &row)
        {
            tracing::warn!(%error, "a step is missing in the ledger");
        }
        self.sink.emit(Event::StepFinished { step: id.clone(), outcome: outcome.clone(), millis, summary });
    }

    fn end(
        self,
        trouble: Option<Trouble>,
        set: Option<Published>,
        outcome: Outcome,
        log_dir: PathBuf,
    ) -> Result<RunReport, RunError> {
        let (outcome, class, hint) = match trouble {
            Some(t) => (outcome.worst(t.outcome), Some(t.class), t.hint),
            None => (outcome, None, None),
        };
        let ended = clock::now();
        let published = set.as_ref().map(|s| (s.path.as_path(), s.manifest.verification.level.to_string(), s.bytes));
        let end = EndOfRun { outcome: &outcome, class, hint: hint.as_deref(), set: published };
        let recorded = match self.ledger.lock() {
            Ok(ledger) => ledger.end(self.id, ended, &end),
            Err(_) => Ok(()),
        };
        let millis = u64::try_from((ended - self.started).num_milliseconds()).unwrap_or(0);
        self.sink.emit(Event::RunFinished { run: self.id, outcome: outcome.clone(), millis, hint });
        // A set stands even where the ledger cannot say so; but a run that nobody can see later did not go well.
        recorded?;
        Ok(RunReport { id: self.id, outcome, class, set, log_dir, began: true })
    }
}
