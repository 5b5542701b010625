//! Once a minute the daemon looks what is to be told: what climbs, what waits, and what nobody decided about.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::task::JoinHandle;

use super::said::{Said, Voice};
use crate::{
    adapters::{clock, ledger::DeliveryState},
    config::Config,
    engine::notify::{self, Haste},
    model::failure::chain,
};

const OFTEN: Duration = Duration::from_secs(60);
/// A message that is on its way when the daemon ends may take so long; then it is sent again by the next one.
const UNWIND: Duration = Duration::from_secs(15);

/// The unit that a daemon under systemd is.
const UNIT: &str = "maint.service";

/// Looks in a task of its own: a channel that hangs holds up no job.
#[derive(Default)]
pub(super) struct Teller {
    last: Option<Instant>,
    task: Option<JoinHandle<()>>,
}

impl Teller {
    /// Looks, if it is time and the last look is over.
    pub(super) fn tick(&mut self, config: &Arc<Config>, voice: &Voice) {
        let early = self.last.is_some_and(|last| last.elapsed() < OFTEN);
        if early || self.task.as_ref().is_some_and(|task| !task.is_finished()) {
            return;
        }
        // What systemd told of the daemon itself is over now.
        let first = self.last.replace(clock::monotonic()).is_none();
        let (config, voice) = (config.clone(), voice.clone());
        self.task = Some(tokio::spawn(async move {
            let again = if first { notify::unit_ended(&config, UNIT, None).map(drop) } else { Ok(()) };
            let told = match again {
                Ok(()) => notify::tick(&config, Haste::Due).await,
                Err(error) => Err(error),
            };
            match told {
                Ok(told) => told.into_iter().for_each(|one| {
                    let accepted = one.state == DeliveryState::Accepted;
                    let (channel, about, why, error) = (one.channel, one.about, one.why, one.error);
                    voice(&Said::Told { channel, about, why, accepted, error });
                }),
                Err(error) => voice(&Said::Untold(chain(&error))),
            }
        }));
    }

    /// The end: lets what is on its way arrive.
    pub(super) async fn settle(&mut self) {
        if let Some(task) = self.task.take() {
            let _ = tokio::time::timeout(UNWIND, task).await;
        }
    }
}
