//! What dead runs left is put right before a run begins, and told in it.

use std::path::Path;

use super::{Run, RunError};
use crate::{
    capture::quiesce,
    model::{event::Event, failure::chain},
    upkeep::rolling,
};

/// What dead runs had left.
#[derive(Debug)]
pub(super) struct Left {
    /// Runs of the same job without an end.
    dead: Vec<String>,
    /// Containers that a capture had stopped.
    quiet: quiesce::Recovery,
    /// Services whose update had begun.
    rolls: rolling::Recovery,
}

/// Puts right what dead runs left. `dead` are runs of the same job without an end.
pub(super) async fn put_right(state_dir: &Path, dead: Vec<String>) -> Result<Left, RunError> {
    let quiet = quiesce::recover(state_dir).await?;
    Ok(Left { dead, quiet, rolls: rolling::recover(state_dir).await? })
}

impl Run<'_> {
    pub(super) fn announce(&self, left: &Left) {
        let steps = self.plan.chosen().map(|s| s.id.clone()).collect();
        let job = self.plan.job.name.clone();
        self.sink.emit(Event::RunStarted { run: self.id, job, attempt: self.attempt, steps });
        for id in &left.dead {
            self.note("run", format!("the run {id} died without an end; it is marked as interrupted"));
        }
        for of_run in &left.quiet.recovered {
            let names = of_run.containers.join(", ");
            self.note("run", format!("{names}: brought back after the death of {}", of_run.ticket));
        }
        for error in &left.quiet.failed {
            self.note("run", chain(error));
        }
        for service in &left.rolls.healed {
            self.note("run", format!("{}: left by {}, put right: {}", service.service, service.owner, service.what));
        }
        for error in &left.rolls.failed {
            self.note("run", chain(error));
        }
    }
}
