//! Sends what the ledger has: each channel's messages in their order, by one maint at a time, and channels beside each
//! other.

use std::{
    collections::BTreeSet,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::future::join_all;

use super::{Haste, TellError, Told, message};
use crate::{
    adapters::{
        clock,
        http::HttpError,
        ledger::{Delivery, DeliveryState, Ledger, LedgerError},
        lock::{Lock, LockError},
        notify::{self, NotifyError},
    },
    model::{
        failure::{Class, Diagnose, chain},
        notification::{Happening, Message, Why, reaches, rules},
        notify::Channel,
        stack::Stack,
    },
};

/// Another maint that sends to the same channel is waited for no longer: it looks for ours before it ends.
const LOCK_WAIT: Duration = Duration::from_secs(2);
/// Waits between the first tries: what fails for a moment is told all the same at once.
const QUICK: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(3)];
/// A channel that failed this often is tried once each time.
const KNOWN_TO_FAIL: u32 = 3;
/// After so long a message is no news.
const GIVE_UP_AFTER: TimeDelta = TimeDelta::days(3);

/// Sends what waits. A channel that does not take its messages keeps no other one from its own.
pub(super) async fn due(stack: &Stack, now: DateTime<Utc>, haste: Haste) -> Result<Vec<Told>, TellError> {
    let by = match haste {
        Haste::Due => now,
        Haste::All => DateTime::<Utc>::MAX_UTC,
    };
    let names = Ledger::open(&stack.state_dir)?.channels_due(by.min(now + TimeDelta::days(3650)))?;
    let mut told = Vec::new();
    let mut sending = Vec::new();
    for name in names {
        match stack.notify.channels.get(&name) {
            Some(channel) => sending.push(channel_due(stack, channel)),
            None => told.extend(gone(stack, &name, now)?),
        }
    }
    for of_channel in join_all(sending).await {
        told.extend(of_channel?);
    }
    Ok(told)
}

/// Messages to a channel that is no more.
fn gone(stack: &Stack, channel: &str, now: DateTime<Utc>) -> Result<Vec<Told>, TellError> {
    let ledger = Ledger::open(&stack.state_dir)?;
    let mut told = Vec::new();
    for delivery in ledger.waiting(channel)? {
        let error = "maint.toml has no such channel any more";
        ledger.delivered(&delivery.id, DeliveryState::GivenUp, now, Some(error))?;
        told.push(of(&delivery, DeliveryState::GivenUp, Some(error.to_owned())));
    }
    Ok(told)
}

/// A channel's messages, and those that others record meanwhile.
async fn channel_due(stack: &Stack, channel: &Channel) -> Result<Vec<Told>, TellError> {
    let Some(_lock) = lock(stack, channel).await? else { return Ok(Vec::new()) };
    let outbox = Outbox(Mutex::new(Ledger::open(&stack.state_dir)?));
    let (mut told, mut seen) = (Vec::new(), BTreeSet::new());
    loop {
        let mut waiting = outbox.with(|ledger| ledger.waiting(&channel.name))?;
        waiting.retain(|delivery| seen.insert(delivery.id.clone()));
        if waiting.is_empty() {
            return Ok(told);
        }
        for delivery in waiting {
            let (one, is_down) = outbox.deliver(channel, &delivery).await?;
            told.push(one);
            if is_down {
                return Ok(told);
            }
        }
    }
}

async fn lock(stack: &Stack, channel: &Channel) -> Result<Option<Lock>, TellError> {
    let path = stack.state_dir.join("locks").join(format!("notify-{}.lock", channel.name));
    let holder = format!("a sender, pid {}", std::process::id());
    match Lock::acquire(&path, &holder, LOCK_WAIT).await {
        Ok(lock) => Ok(Some(lock)),
        Err(LockError::Held { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// The ledger, for whoever sends: never held while something is waited for.
struct Outbox(Mutex<Ledger>);

impl Outbox {
    fn with<T>(&self, work: impl FnOnce(&Ledger) -> Result<T, LedgerError>) -> Result<T, LedgerError> {
        work(&self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Sends one message and records what became of it. Gives also whether the channel is down.
    async fn deliver(&self, channel: &Channel, delivery: &Delivery) -> Result<(Told, bool), TellError> {
        let end = |state, at, error: Option<&str>| self.with(|ledger| ledger.delivered(&delivery.id, state, at, error));
        let Some(message) = &delivery.message else {
            let error = "this maint cannot read it";
            end(DeliveryState::GivenUp, clock::now(), Some(error))?;
            return Ok((of(delivery, DeliveryState::GivenUp, Some(error.to_owned())), false));
        };
        let (tries, result) = self.tries(channel, delivery, message).await?;
        let now = clock::now();
        let Err(error) = result else {
            end(DeliveryState::Accepted, now, None)?;
            return Ok((of(delivery, DeliveryState::Accepted, None), false));
        };
        let text = chain(&error);
        let old = now - delivery.created > GIVE_UP_AFTER;
        let state = if old { DeliveryState::GivenUp } else { DeliveryState::Waiting };
        let next_try = now + backoff(tries);
        end(state, if old { now } else { next_try }, Some(&text))?;
        // What is wrong with one message may be right with the next; a channel that is down takes none.
        let is_down = error.class() == Class::Retryable;
        if is_down {
            self.with(|ledger| ledger.postpone(&channel.name, next_try))?;
        }
        let next_try = (!old).then_some(next_try);
        Ok((Told { hint: error.hint(), next_try, ..of(delivery, state, Some(text)) }, is_down))
    }

    /// Sends one message, and again after a moment where that may help. Gives how often it was tried in its life.
    async fn tries(
        &self,
        channel: &Channel,
        delivery: &Delivery,
        message: &Message,
    ) -> Result<(u32, Result<(), NotifyError>), TellError> {
        let mut tries = delivery.tries;
        let mut waits = QUICK.iter().filter(|_| delivery.tries < KNOWN_TO_FAIL);
        loop {
            // From here on nobody can say that it was not sent.
            self.with(|ledger| ledger.sending(&delivery.id))?;
            tries += 1;
            let error = match notify::send(channel, &delivery.id, message).await {
                Ok(()) => return Ok((tries, Ok(()))),
                Err(error) => error,
            };
            let hangs = matches!(error, NotifyError::Late { .. } | NotifyError::Http(HttpError::Late { .. }));
            let again = error.class() == Class::Retryable && !hangs;
            match waits.next().filter(|_| again) {
                Some(wait) => tokio::time::sleep(*wait).await,
                None => return Ok((tries, Err(error))),
            }
        }
    }
}

/// 1, 2, 4, … up to 32 minutes.
fn backoff(tries: u32) -> TimeDelta {
    TimeDelta::minutes(1 << tries.saturating_sub(1).min(5))
}

fn of(delivery: &Delivery, state: DeliveryState, error: Option<String>) -> Told {
    Told {
        channel: delivery.channel.clone(),
        about: delivery.about.clone(),
        why: delivery.why.clone(),
        state,
        error,
        hint: None,
        next_try: None,
    }
}

fn unrecorded(channel: &Channel, message: &Message, result: Result<(), NotifyError>) -> Told {
    let error = result.err();
    Told {
        channel: channel.name.clone(),
        about: message.what.about.clone(),
        why: message.why.word().to_owned(),
        state: if error.is_none() { DeliveryState::Accepted } else { DeliveryState::GivenUp },
        hint: error.as_ref().and_then(Diagnose::hint),
        error: error.map(|error| chain(&error)),
        next_try: None,
    }
}

/// Tells of a failure that cannot even be recorded: to everybody who hears at once, every time.
pub(in crate::engine) async fn directly(stack: &Stack, what: &Happening) -> Vec<Told> {
    let telling = rules::Telling { why: Why::Failed, incident: rules::plain(what), level_before: 0 };
    let message = message(stack, Why::Failed, what, what.at);
    let channels = stack.notify.channels.values();
    let sending = channels.filter(|c| reaches(c, &telling)).map(async |channel| {
        let result = notify::send(channel, &clock::run_id().to_string(), &message).await;
        unrecorded(channel, &message, result)
    });
    join_all(sending).await
}

/// Sends a test now, whatever waits; it stands in the ledger as any message.
pub(super) async fn test(stack: &Stack, channel: &Channel, message: &Message) -> Result<Told, TellError> {
    let id = clock::run_id().to_string();
    let result = notify::send(channel, &id, message).await;
    let ledger = Ledger::open(&stack.state_dir)?;
    let told = unrecorded(channel, message, result);
    ledger.as_one(|| {
        ledger.post(&id, &channel.name, message)?;
        ledger.sending(&id)?;
        ledger.delivered(&id, told.state, clock::now(), told.error.as_deref())
    })?;
    Ok(told)
}
