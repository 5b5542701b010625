//! One step: attempts, timeouts, backoff, and a panic that harms nothing else.

use std::{
    path::Path,
    sync::{Arc, PoisonError},
    time::Duration,
};

use backon::{BackoffBuilder, ExponentialBuilder};
use tokio::time::Instant;

use super::{Run, Trouble, too_long};
use crate::{
    adapters::clock,
    config::JobStep,
    model::{
        event::{Event, StepEvents},
        failure::Class,
        ids::StepId,
        outcome::Outcome,
    },
    steps::{
        StepContext, StepReport,
        context::{Earlier, Ended},
    },
};

/// How long a step that was told to stop may take to leave nothing behind.
const UNWIND: Duration = Duration::from_secs(30);

impl Run<'_> {
    /// Runs a step to its end. The outcome that it gives names the step where it went wrong.
    pub(super) async fn step(
        &self,
        number: usize,
        step: &JobStep,
        staging: &Path,
        deadline: Instant,
    ) -> Result<StepReport, Trouble> {
        let begun = clock::monotonic();
        self.sink.emit(Event::StepStarted { step: step.id.clone(), what: step.step.summary().to_owned() });
        let result = self.attempts(step, staging, deadline).await;
        match result {
            Ok(mut report) => {
                self.found(&step.id, &report.findings);
                let (outcome, summary) = (report.outcome.clone(), report.summary.clone());
                self.remember(&step.id, Ended { outcome, hint: None, summary, findings: report.findings.clone() });
                self.ended(number, &step.id, &report.outcome, begun, report.summary.clone());
                name(&step.id, &mut report.outcome);
                Ok(report)
            }
            Err(mut trouble) => {
                let (outcome, hint) = (trouble.outcome.clone(), trouble.hint.clone());
                self.remember(&step.id, Ended { outcome, hint, summary: String::new(), findings: Vec::new() });
                self.ended(number, &step.id, &trouble.outcome, begun, String::new());
                name(&step.id, &mut trouble.outcome);
                Err(trouble)
            }
        }
    }

    /// Keeps how a step ended, for those after it.
    fn remember(&self, step: &StepId, ended: Ended) {
        self.ended.lock().unwrap_or_else(PoisonError::into_inner).push((step.clone(), ended));
    }

    /// The job's steps before this one.
    fn earlier(&self, step: &StepId) -> Arc<[Earlier]> {
        let ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        let before = self.plan.steps.iter().map(|planned| &planned.step).take_while(|before| before.id != *step);
        let told = |before: &JobStep| Earlier {
            step: before.id.clone(),
            kind: before.step.name(),
            ended: ended.iter().find(|(id, _)| *id == before.id).map(|(_, ended)| ended.clone()),
        };
        before.map(told).collect()
    }

    async fn attempts(&self, step: &JobStep, staging: &Path, deadline: Instant) -> Result<StepReport, Trouble> {
        let retries = usize::try_from(step.retries).unwrap_or(usize::MAX);
        let backoff = ExponentialBuilder::default()
            .with_min_delay(Duration::from_secs(1))
            .with_max_delay(Duration::from_secs(30))
            .with_max_times(retries)
            .with_jitter();
        let mut delays = backoff.build();
        let mut attempt = 1;
        loop {
            let trouble = match self.attempt(step, staging, deadline).await {
                Ok(report) => return Ok(report),
                Err(trouble) => trouble,
            };
            let delay = (trouble.class == Class::Retryable).then(|| delays.next()).flatten();
            let Some(delay) = delay.filter(|d| Instant::now() + *d < deadline) else { return Err(trouble) };
            attempt += 1;
            self.sink.emit(Event::Retry {
                step: step.id.clone(),
                attempt,
                after_ms: u64::try_from(delay.as_millis()).unwrap_or(u64::MAX),
                error: trouble.outcome.reason().unwrap_or_default().to_owned(),
            });
            tokio::select! {
                () = tokio::time::sleep(delay) => {}
                () = self.cancel.cancelled() => return Err(interrupted()),
            }
        }
    }

    async fn attempt(&self, step: &JobStep, staging: &Path, deadline: Instant) -> Result<StepReport, Trouble> {
        let cancel = self.cancel.child_token();
        let context = StepContext {
            stack: self.stack.clone(),
            jobs: self.roster.clone(),
            job: self.plan.job.name.clone(),
            run: self.id,
            started: self.started,
            step: step.id.clone(),
            period: self.plan.period.clone(),
            earlier: self.earlier(&step.id),
            staging: staging.to_owned(),
            host_secret: self.host_secret.clone(),
            cancel: cancel.clone(),
            events: StepEvents::new(self.sink.clone(), step.id.clone()),
        };
        let own = step.timeout.map(|t| Instant::now() + t);
        let until = own.map_or(deadline, |own| own.min(deadline));
        let kind = step.step.clone();
        // A task of its own: a panic ends the step, not the run.
        let mut task = tokio::spawn(async move { kind.run(&context).await });
        let ended = tokio::select! {
            ended = &mut task => ended,
            () = tokio::time::sleep_until(until) => {
                cancel.cancel();
                // What it says now is that it was stopped, and why is known here; but for harm that it left.
                if let Ok(Ok(Err(error))) = tokio::time::timeout(UNWIND, &mut task).await
                    && error.is_harm()
                {
                    return Err(Trouble::of(&error));
                }
                task.abort();
                return Err(match step.timeout {
                    Some(limit) if own <= Some(deadline) => too_long(limit, "step"),
                    _ => too_long(self.plan.job.timeout, "job"),
                });
            }
        };
        match ended {
            Ok(Ok(report)) => Ok(report),
            Ok(Err(error)) if self.cancel.is_cancelled() && !error.is_harm() => Err(interrupted()),
            Ok(Err(error)) => Err(Trouble::of(&error)),
            Err(panic) => {
                Err(Trouble::failed(format!("panicked: {panic}; this is a mistake in maint, please report it")))
            }
        }
    }
}

/// The run's outcome says which step it was.
fn name(step: &StepId, outcome: &mut Outcome) {
    if let Outcome::Failed(reason) | Outcome::Unknown(reason) = outcome {
        *reason = format!("{step}: {reason}");
    }
}

/// A signal ended it.
pub(super) fn interrupted() -> Trouble {
    Trouble { outcome: Outcome::Interrupted, class: Class::Interrupted, hint: None }
}
