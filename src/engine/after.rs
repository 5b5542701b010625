//! What follows every run, and every attempt that could not begin: people and monitoring are told. Nothing here changes the
//! outcome.

use super::{
    metrics,
    notify::{self, Beats, Haste, Told},
    run::{Order, RunError, RunReport},
};
use crate::{
    adapters::{clock, ledger::DeliveryState, lock::LockError},
    config::{Config, Job, Overlap},
    model::{
        event::{Event, EventSink},
        failure::{Diagnose, chain},
        manifest::Trigger,
        notification::{Happening, State},
    },
};

/// Decides what is told of it, and sends it.
pub(super) async fn after(
    config: &Config,
    job: &Job,
    order: &Order,
    ended: &Result<RunReport, RunError>,
    beats: &Beats,
    sink: &EventSink,
) {
    beats.settle().await;
    let failure = ended.as_ref().err().filter(|error| is_told(job, order, error)).map(|error| not_started(job, error));
    let recorded = failure.as_ref().map_or(Ok(()), |what| notify::not_started(config, what));
    let told = match recorded {
        Ok(()) => notify::tick(config, Haste::Due).await,
        Err(error) => Err(error),
    };
    match (told, failure) {
        (Ok(told), _) => told.into_iter().for_each(|told| show(sink, told)),
        (Err(error), Some(what)) => {
            tracing::warn!("what is told cannot be recorded, and may be told again: {}", chain(&error));
            notify::directly(&config.stack, &what).await.into_iter().for_each(|told| show(sink, told));
        }
        (Err(error), None) => tracing::warn!("nobody could be told of the run: {}", chain(&error)),
    }
    if let Err(error) = metrics::write_textfile(config).await {
        tracing::warn!("monitoring is not told of the run: {}", chain(&error));
    }
}

/// Where no run follows: what was missed, or had died, is told all the same.
pub(super) async fn look(config: &Config, sink: &EventSink) {
    match notify::tick(config, Haste::Due).await {
        Ok(told) => told.into_iter().for_each(|told| show(sink, told)),
        Err(error) => tracing::warn!("nobody could be told: {}", chain(&error)),
    }
}

/// Whether a run has only part of the job's steps: how it ends says nothing of the job.
pub(super) fn is_partial(order: &Order) -> bool {
    !order.choice.only.is_empty() || !order.choice.skip.is_empty()
}

/// Whether somebody who is not there has to know that it could not begin.
fn is_told(job: &Job, order: &Order, error: &RunError) -> bool {
    let by_hand = order.trigger == Trigger::Manual;
    match error {
        _ if is_partial(order) => false,
        // The job says itself that a second run is left out while the first one goes on.
        RunError::Lock(LockError::Held { name, .. }) if *name == format!("job-{}", job.name) => {
            job.overlap != Overlap::Skip
        }
        // Who typed it sees it.
        RunError::StoppedWaiting(_) | RunError::Plan(_) => !by_hand,
        _ => true,
    }
}

fn not_started(job: &Job, error: &RunError) -> Happening {
    Happening {
        state: State::NotStarted,
        class: Some(error.class()),
        reason: Some(chain(error)),
        hint: error.hint(),
        ..notify::blank(job, clock::now())
    }
}

fn show(sink: &EventSink, told: Told) {
    let accepted = told.state == DeliveryState::Accepted;
    sink.emit(Event::Told { channel: told.channel, about: told.about, why: told.why, accepted, error: told.error });
}
