//! A job's lock across hosts: asked for when this host's locks are held, watched while it runs, given back with the outcome.

use std::time::Duration;

use sha2::{Digest, Sha256};
use tokio_util::sync::CancellationToken;

use super::{RunError, Trouble};
use crate::{
    adapters::{
        clock, host,
        ledger::{Ledger, LedgerError},
        postgres::advisory::{self, Claim, Grant, Want},
    },
    config::Overlap,
    engine::plan::Plan,
    model::{
        due::{Missed, Why},
        ids::RunId,
        manifest::Trigger,
        outcome::Outcome,
        secret::Secret,
        stack::Stack,
    },
};

/// How often a run that waits for another host asks again.
const AGAIN: Duration = Duration::from_secs(2);

/// What became of asking the other hosts.
pub(super) enum Hosts {
    /// There are none.
    Alone,
    /// They wait for this run.
    Granted(Grant),
    /// One of them does the same slot just now: who.
    AtWork(String),
    /// One of them ended the slot: who, and how.
    Done(String),
}

impl Hosts {
    /// Why there is nothing left to do for the slot: another host has it. That is recorded, for it is none of this one's
    /// any more; but what is at work there is left to the daemon, which looks again.
    pub(super) fn skip(&self, ledger: &Ledger, plan: &Plan, trigger: Trigger) -> Result<Option<String>, LedgerError> {
        let (why, detail) = match self {
            Self::Alone | Self::Granted(_) => return Ok(None),
            Self::AtWork(who) => (format!("the slot is being done by {who}"), format!("{who} was at work for it")),
            Self::Done(how) => (format!("on another host, {how}"), how.clone()),
        };
        let open = trigger == Trigger::Manual || (trigger == Trigger::Daemon && matches!(self, Self::AtWork(_)));
        if let Some(slot) = plan.slot.filter(|_| !open) {
            ledger.miss(&plan.job.name, &Missed { slot, why: Why::Elsewhere, detail }, clock::now())?;
        }
        Ok(Some(why))
    }

    /// What stops the run: what stops any, and the loss of the lock.
    pub(super) fn watch(&self, cancel: &CancellationToken) -> CancellationToken {
        let both = cancel.child_token();
        if let Self::Granted(grant) = self {
            let (lost, stop) = (grant.lost().clone(), both.clone());
            tokio::spawn(async move {
                // Ends with the run as well: whoever drops the grant cancels it.
                lost.cancelled().await;
                stop.cancel();
            });
        }
        both
    }
}

/// Asks for the job's lock across hosts, where it has one.
pub(super) async fn ask(
    plan: &Plan,
    stack: &Stack,
    (run, trigger): (RunId, Trigger),
    host_secret: &Secret,
    cancel: &CancellationToken,
) -> Result<Hosts, RunError> {
    let job = &plan.job;
    // That the server is there was checked when the configuration was read.
    let Some(server) = job.across_hosts.as_ref().and_then(|name| stack.postgres.get(name)) else {
        return Ok(Hosts::Alone);
    };
    let want = Want {
        stack: stack.name.clone(),
        job: job.name.to_string(),
        slot: plan.slot.map(|slot| slot.to_rfc3339()),
        run: run.to_string(),
        host: host::name(),
        host_id: host_id(host_secret),
        again: trigger == Trigger::Manual,
    };
    let began = clock::monotonic();
    loop {
        let holder = match advisory::claim(server, &stack.docker, &want).await? {
            Claim::Granted(grant) => return Ok(Hosts::Granted(grant)),
            Claim::AtWork(holder) => return Ok(Hosts::AtWork(holder)),
            Claim::Done(how) => return Ok(Hosts::Done(how)),
            Claim::Held(holder) => holder,
        };
        if job.overlap == Overlap::Skip || began.elapsed() >= job.lock_wait {
            return Err(RunError::Elsewhere(holder));
        }
        tokio::select! {
            () = tokio::time::sleep(AGAIN) => {}
            () = cancel.cancelled() => return Err(RunError::StoppedWaiting(format!("of {} across hosts", job.name))),
        }
    }
}

/// What tells this host from all others; its name need not.
fn host_id(secret: &Secret) -> String {
    let digest = Sha256::digest(format!("across hosts\0{}", secret.reveal()));
    digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

/// Tells the other hosts how the run ended; what cannot be told is no success.
pub(super) async fn give_back(hosts: Hosts, trouble: Option<Trouble>, outcome: &Outcome) -> Option<Trouble> {
    let Hosts::Granted(grant) = hosts else { return trouble };
    let outcome = trouble.as_ref().map_or(outcome.clone(), |trouble| outcome.clone().worst(trouble.outcome.clone()));
    match (grant.end(outcome.word()).await, trouble) {
        (Ok(()), trouble) => trouble,
        // What else failed is the better answer, but not that the loss stopped it.
        (Err(_), Some(trouble)) if matches!(trouble.outcome, Outcome::Failed(_)) => Some(trouble),
        (Err(error), _) => {
            let lost = Trouble::of(&error);
            Some(Trouble { outcome: Outcome::Failed(crate::model::failure::chain(&error)), ..lost })
        }
    }
}
