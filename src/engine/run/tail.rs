//! What follows the steps of a backup job, always in this order: verify, drill, seal, publish; and behind them prune.

use tokio::time::Instant;

use super::{Captured, Run, Trouble, attempt::interrupted, too_long};
use crate::{
    adapters::{
        clock, host,
        signature::{Signer, Trust},
    },
    backup::{
        anomaly, chain as sets,
        drill::{self, Ground, Unproven},
        publish::{self, Completeness, Published},
        seal::{self, SetFacts},
        staging::Staging,
        verify::{self, Verified},
    },
    config::{BackupPolicy, IfUnverifiable},
    model::{
        event::{Event, StepEvents},
        failure::{Class, chain},
        ids::StepId,
        manifest::{Artifact, HostFacts, Level, RunFacts},
        outcome::Outcome,
        stack::Stack,
        units::{ByteSize, count},
    },
};

impl Run<'_> {
    /// Verifies, seals and publishes what the steps captured. A set that was published below the level that its job asks
    /// for comes with the reason.
    pub(super) async fn publish(
        &self,
        staging: Staging,
        captured: Captured,
        deadline: Instant,
    ) -> Result<(Published, Option<Trouble>), Trouble> {
        let Some(policy) = self.plan.job.backup.clone() else {
            return Err(Trouble::failed("the job has no [backup] section".into()));
        };
        let mut facts = self.facts(&policy, captured.tools);
        let mut verified = self.verify(staging, captured.artifacts, &policy, deadline).await?;
        let mut shortfall = None;
        if policy.verify == Level::Drill {
            (verified, shortfall) = self.drill(verified, &policy, deadline).await?;
        }
        // From here on nothing is waited for: a set is published whole, or not at all.
        if self.cancel.is_cancelled() {
            return Err(interrupted());
        }
        let work = deadline.checked_sub(self.plan.job.timeout).map_or_else(Default::default, |begun| begun.elapsed());
        facts.run.millis = u64::try_from(work.as_millis()).unwrap_or(u64::MAX);
        let (number, id) = self.stage("publish", 2, "seals the set and gives it its name")?;
        let begun = clock::monotonic();
        let (stack, signer, completeness) = (self.stack.clone(), self.signer.clone(), self.plan.completeness);
        let published = tokio::task::spawn_blocking(move || {
            publish_blocking(verified, facts, &stack, signer.as_deref(), completeness)
        });
        let published =
            published.await.unwrap_or_else(|panic| Err(Trouble::failed(format!("publishing panicked: {panic}"))));
        let outcome = published.as_ref().map_or_else(|t| t.outcome.clone(), |set| self.unusual(set));
        let summary = published.as_ref().map_or_else(|_| String::new(), |p| p.path.display().to_string());
        self.ended(number, &id, &outcome, begun, summary);
        let published = published?;
        let artifacts = published.manifest.artifacts.len();
        let path = published.path.display().to_string();
        self.sink.emit(Event::SetPublished { path, bytes: published.bytes, artifacts });
        Ok((published, shortfall))
    }

    /// A stage of the tail: numbered behind the steps, shown like one.
    pub(super) fn stage(&self, name: &str, place: usize, what: &str) -> Result<(usize, StepId), Trouble> {
        let id: StepId = name.parse().map_err(|e| Trouble::failed(format!("{e}")))?;
        self.sink.emit(Event::StepStarted { step: id.clone(), what: what.to_owned() });
        Ok((self.plan.chosen().count() + place, id))
    }

    async fn verify(
        &self,
        staging: Staging,
        artifacts: Vec<Artifact>,
        policy: &BackupPolicy,
        deadline: Instant,
    ) -> Result<Verified, Trouble> {
        let (number, id) = self.stage("verify", 0, "reads everything back from the disk and compares it")?;
        let begun = clock::monotonic();
        let level = policy.verify.min(Level::Structure);
        let summary = format!(
            "{level}: {}, {}",
            count(artifacts.len() as u64, "artifact"),
            ByteSize(artifacts.iter().map(|a| a.packed.bytes).sum())
        );
        let cancel = self.cancel.child_token();
        let (inner, events) = (cancel.clone(), StepEvents::new(self.sink.clone(), id.clone()));
        let mut task = tokio::task::spawn_blocking(move || verify::fresh(staging, artifacts, level, &inner, &events));
        let verified = tokio::select! {
            ended = &mut task => match ended {
                Ok(Ok(verified)) => Ok(verified),
                Ok(Err(error)) => Err(Trouble::of(&error)),
                Err(panic) => Err(Trouble::failed(format!("verifying panicked: {panic}"))),
            },
            () = tokio::time::sleep_until(deadline) => {
                cancel.cancel();
                let _ = (&mut task).await;
                Err(too_long(self.plan.job.timeout, "job"))
            }
        };
        let outcome = verified.as_ref().map_or_else(|t| t.outcome.clone(), |_| Outcome::Ok);
        self.ended(number, &id, &outcome, begun, if verified.is_ok() { summary } else { String::new() });
        verified.map_err(|mut trouble| {
            if trouble.class == Class::Verification {
                trouble.hint = Some("what was written is not what was captured: look at disk and memory of this host; nothing was published".into());
            }
            trouble
        })
    }

    /// Restores and compares what was verified. Where the drill could not run, the job says what becomes of it.
    async fn drill(
        &self,
        verified: Verified,
        policy: &BackupPolicy,
        deadline: Instant,
    ) -> Result<(Verified, Option<Trouble>), Trouble> {
        let (number, id) = self.stage("drill", 1, "restores everything into a throwaway server and compares it")?;
        let begun = clock::monotonic();
        let ground = Ground {
            settings: self.stack.drill.clone(),
            docker: self.stack.docker.clone(),
            servers: self.stack.postgres.clone(),
        };
        let (cancel, events) = (self.cancel.child_token(), StepEvents::new(self.sink.clone(), id.clone()));
        let mut proving = std::pin::pin!(drill::prove(verified, &ground, &cancel, &events));
        let mut late = None;
        let proven = tokio::select! {
            proven = &mut proving => proven,
            () = tokio::time::sleep_until(deadline) => {
                cancel.cancel();
                late = Some(too_long(self.plan.job.timeout, "job"));
                proving.await
            }
        };
        let (result, outcome, summary) = match (proven, late) {
            (_, Some(trouble)) => (Err(trouble.clone()), trouble.outcome, String::new()),
            (Ok(verified), None) => {
                let summary = verified.verification().drill.as_ref().map(ToString::to_string).unwrap_or_default();
                (Ok((verified, None)), Outcome::Ok, summary)
            }
            (Err(unproven), None) => {
                let Unproven { verified, error } = *unproven;
                let trouble = Trouble::of(&error);
                let outcome = trouble.outcome.clone();
                if trouble.class == Class::Unverifiable && policy.if_unverifiable == IfUnverifiable::Keep {
                    let verified = verified.falling_short(chain(&error));
                    (Ok((verified, Some(trouble))), outcome, String::new())
                } else {
                    (Err(trouble), outcome, String::new())
                }
            }
        };
        self.ended(number, &id, &outcome, begun, summary);
        result
    }

    fn facts(&self, policy: &BackupPolicy, tools: std::collections::BTreeMap<String, String>) -> SetFacts {
        SetFacts {
            stack: self.stack.name.clone(),
            series: policy.series.clone(),
            period: self.plan.period.clone(),
            job: self.plan.job.name.clone(),
            run: RunFacts {
                id: self.id,
                trigger: self.trigger,
                slot: self.plan.slot,
                attempt: self.attempt,
                started: self.started,
                sealed: self.started,
                millis: 0,
                timezone: self.plan.job.timezone.name().to_owned(),
            },
            previous: None,
            anomalies: Vec::new(),
            host: HostFacts { name: host::name(), maint: env!("CARGO_PKG_VERSION").to_owned() },
            tools,
        }
    }
}

/// Makes the set a link of its series' chain, seals it and gives it its name. A partial set is no link.
fn publish_blocking(
    verified: Verified,
    mut facts: SetFacts,
    stack: &Stack,
    signer: Option<&Signer>,
    completeness: Completeness,
) -> Result<Published, Trouble> {
    if completeness == Completeness::Whole {
        let series_dir = completeness.series_dir(&stack.backup_dir, facts.series.as_str());
        let previous = sets::previous(&series_dir, &facts.series, &stack.state_dir);
        facts.previous = previous.map_err(|e| Trouble::of(&e))?;
        // Where nobody can say who is believed, an acknowledgement is not what keeps a set from being published.
        let trust = stack.sign.trust.as_deref().and_then(|path| Trust::load(path).ok());
        facts.anomalies = anomaly::assess(&verified, facts.run.millis, &series_dir, trust.as_ref());
    }
    let sealed = seal::seal(verified, facts, signer).map_err(|e| Trouble::of(&e))?;
    let published = publish::publish(sealed, &stack.backup_dir, completeness).map_err(|e| Trouble::of(&e))?;
    if completeness == Completeness::Whole
        && let Err(error) = sets::remember(&published, &stack.state_dir)
    {
        // The set stands all the same; only its removal before the next one would not show in the chain.
        tracing::warn!(error = %chain(&error), "the newest set of {} is not remembered", published.manifest.series);
    }
    Ok(published)
}
