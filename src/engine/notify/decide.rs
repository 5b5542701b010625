//! What is told of a run that ended, and to whom: the rules applied to the ledger.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use super::{TellError, blank, message, nameless};
use crate::{
    adapters::{
        clock,
        ledger::{Ledger, LedgerError, Undecided, UndecidedSlot},
    },
    config::Config,
    model::{
        due::Why,
        failure::Class,
        ids::JobName,
        notification::{self, Happening, Message, State, reaches, rules},
        outcome::Outcome,
        severity::Severity,
        stack::Stack,
        units::count,
    },
};

/// A run that failed this short a while ago has been told by maint itself.
const JUST_NOW: chrono::TimeDelta = chrono::TimeDelta::minutes(10);
/// So many missed slots are named.
const SLOTS_SHOWN: usize = 5;

/// Decides about every slot that passed without a run and every run that ended, since anybody did.
pub(super) fn everything(config: &Config, ledger: &Ledger, now: DateTime<Utc>) -> Result<(), TellError> {
    if ledger.undecided()?.is_empty() && ledger.undecided_slots()?.is_empty() {
        return Ok(());
    }
    let stack = &config.stack;
    let done = ledger.as_one(|| {
        // Slots first: a run that ended since then may be what makes up for them.
        for what in missed(config, ledger, now)? {
            tell(stack, ledger, &what, now)?;
        }
        ledger.decided_slots()?;
        // Read again: another maint may have been faster.
        for ended in ledger.undecided()? {
            if let Some(what) = happening(config, ledger, &ended, now)? {
                tell(stack, ledger, &what, now)?;
                success(stack, ledger, &what, now)?;
            }
            ledger.decided(&ended.run.id)?;
        }
        Ok(())
    });
    Ok(done?)
}

/// Applies the rules to something that happened.
pub(super) fn tell(stack: &Stack, ledger: &Ledger, what: &Happening, now: DateTime<Utc>) -> Result<(), LedgerError> {
    let open = ledger.incidents(Some(&what.about))?;
    let verdict = rules::happened(&open, what, &stack.notify.escalation);
    keep(stack, ledger, &verdict, what, now)?;
    heartbeats(stack, ledger, what, now)
}

/// Slots that passed without a run, one happening for each job.
fn missed(config: &Config, ledger: &Ledger, now: DateTime<Utc>) -> Result<Vec<Happening>, LedgerError> {
    let mut of_jobs: BTreeMap<String, Vec<UndecidedSlot>> = BTreeMap::new();
    for slot in ledger.undecided_slots()? {
        if Why::TOLD.contains(&slot.why.as_str()) {
            of_jobs.entry(slot.job.clone()).or_default().push(slot);
        }
    }
    let happening = |(job, slots): (String, Vec<UndecidedSlot>)| {
        let known = known(config, &job, now);
        let zone = config.jobs.values().find(|j| j.name.as_str() == job).map_or(config.stack.timezone, |j| j.timezone);
        let shown = |slot: &UndecidedSlot| match slot.slot.parse::<DateTime<Utc>>() {
            Ok(at) => at.with_timezone(&zone).format("%Y-%m-%d %H:%M %Z").to_string(),
            Err(_) => slot.slot.clone(),
        };
        let newest: Vec<String> = slots.iter().rev().take(SLOTS_SHOWN).rev().map(shown).collect();
        let more = if slots.len() > SLOTS_SHOWN { "…, " } else { "" };
        let why = slots.last().map(|slot| slot.detail.clone()).unwrap_or_default();
        Happening {
            state: State::Missed,
            reason: Some(format!(
                "{} without a run: {more}{}; {why}",
                count(slots.len() as u64, "slot"),
                newest.join(", ")
            )),
            hint: Some(format!(
                "run it now: maint run {job}; every slot and its reason: maint runs --missed --job {job}"
            )),
            ..known
        }
    };
    Ok(of_jobs.into_iter().map(happening).collect())
}

/// A happening of a job by name, also of one that is no more.
fn known(config: &Config, job: &str, at: DateTime<Utc>) -> Happening {
    match job.parse::<JobName>().ok().and_then(|name| config.jobs.get(&name)) {
        Some(job) => blank(job, at),
        None => Happening { about: job.to_owned(), ..nameless(at) },
    }
}

/// What nobody acknowledged climbs, or is told again.
pub(super) fn climb(stack: &Stack, ledger: &Ledger, now: DateTime<Utc>) -> Result<(), TellError> {
    let due = |open: &[_]| rules::passed(open, now, &stack.notify.escalation);
    if due(&ledger.incidents(None)?).open.is_empty() {
        return Ok(());
    }
    let done = ledger.as_one(|| {
        let verdict = due(&ledger.incidents(None)?);
        keep(stack, ledger, &verdict, &nameless(now), now)
    });
    Ok(done?)
}

/// How a run ended, in the words of the rules; `None` where it was left out on purpose.
fn happening(
    config: &Config,
    ledger: &Ledger,
    ended: &Undecided,
    now: DateTime<Utc>,
) -> Result<Option<Happening>, LedgerError> {
    let run = &ended.run;
    let Some(outcome) = &run.outcome else { return Ok(None) };
    let Some(state) = State::of(outcome) else { return Ok(None) };
    let at = run.ended.as_deref().and_then(|text| text.parse().ok()).unwrap_or(now);
    let failed = |outcome: &Outcome| State::of(outcome).is_some_and(State::is_failure);
    let step = ledger.steps(&run.id)?.into_iter().find(|step| failed(&step.outcome)).map(|step| step.id);
    let (reason, hint) = match state {
        State::Interrupted => (
            Some("a signal ended it, or maint died".to_owned()),
            Some("what it left is put right by its next run, or now: maint recover".to_owned()),
        ),
        _ => (outcome.reason().map(str::to_owned), None),
    };
    Ok(Some(Happening {
        state,
        step: step.filter(|_| state.is_failure()),
        class: if state == State::Interrupted { Some(Class::Interrupted) } else { ended.class },
        reason,
        hint: run.hint.clone().or(hint),
        run: Some(run.id.clone()),
        attempt: run.attempt,
        log: Some(config.stack.state_dir.join("logs").join(&run.id).display().to_string()),
        ..known(config, &run.job, at)
    }))
}

/// Writes what the rules say, and the messages for whom they reach. `what` is what made them say it.
pub(super) fn keep(
    stack: &Stack,
    ledger: &Ledger,
    verdict: &rules::Verdict,
    what: &Happening,
    now: DateTime<Utc>,
) -> Result<(), LedgerError> {
    // Who hears that it is well again: those who heard that it was not.
    let mut heard = Vec::new();
    for over in &verdict.closed {
        if over.what.state.is_failure() {
            heard.extend(ledger.told_of(over.id)?);
        }
        ledger.close_incident(over.id, what.at)?;
    }
    let mut numbers = Vec::new();
    for incident in &verdict.open {
        numbers.push((incident.what.about.as_str(), incident.fingerprint.as_str(), ledger.keep_incident(incident)?));
    }
    for telling in &verdict.told {
        let incident = &telling.incident;
        let key = (incident.what.about.as_str(), incident.fingerprint.as_str());
        let number = numbers.iter().find(|(about, print, _)| (*about, *print) == key).map(|(.., number)| *number);
        let recovered = telling.why == notification::Why::Recovered;
        let mut message = Message {
            level: incident.level,
            incident: number.or((incident.id != 0).then_some(incident.id)),
            since: Some(incident.since),
            times: incident.times,
            ack: incident.ack.clone(),
            ..message(stack, telling.why, &incident.what, now)
        };
        // The run that went well is the one to look at.
        if recovered {
            message.what.at = what.at;
            message.what.run.clone_from(&what.run);
            message.what.log.clone_from(&what.log);
        }
        for channel in stack.notify.channels.values() {
            let hears = match recovered {
                true => heard.contains(&channel.name) && !channel.is_heartbeat(),
                false => reaches(channel, telling),
            };
            if hears {
                ledger.post(&clock::run_id().to_string(), &channel.name, &message)?;
            }
        }
    }
    Ok(())
}

/// Channels that hear of every success too.
fn success(stack: &Stack, ledger: &Ledger, what: &Happening, now: DateTime<Utc>) -> Result<(), LedgerError> {
    if what.state != State::Ok {
        return Ok(());
    }
    let incident = rules::plain(what);
    let telling = rules::Telling { why: notification::Why::Success, incident, level_before: 0 };
    let message = message(stack, notification::Why::Success, what, now);
    for channel in stack.notify.channels.values().filter(|channel| reaches(channel, &telling)) {
        ledger.post(&clock::run_id().to_string(), &channel.name, &message)?;
    }
    Ok(())
}

/// Heartbeats hear of every end. An older ping that was not taken would only be wrong now.
pub(super) fn heartbeats(
    stack: &Stack,
    ledger: &Ledger,
    what: &Happening,
    now: DateTime<Utc>,
) -> Result<(), LedgerError> {
    // A unit that is no job has no check there.
    if what.about.parse::<JobName>().is_err() {
        return Ok(());
    }
    let message = message(stack, notification::Why::Ended, what, now);
    let channels = stack.notify.channels.values();
    for channel in channels.filter(|c| c.is_heartbeat() && c.hears(&what.about, what.severity)) {
        ledger.supersede(&channel.name, &what.about, what.at)?;
        ledger.post(&clock::run_id().to_string(), &channel.name, &message)?;
    }
    Ok(())
}

/// What systemd says of a unit that failed.
#[derive(Debug, Clone)]
pub struct UnitFailure {
    /// The unit.
    pub unit: String,
    /// `exit-code`, `timeout`, `signal`, `oom-kill`, `start-limit-hit`, …
    pub result: Option<String>,
    /// The exit code or the signal.
    pub status: Option<String>,
}

impl UnitFailure {
    /// The job of `maint@JOB.service`.
    fn job(&self) -> Option<JobName> {
        self.unit.strip_prefix("maint@")?.strip_suffix(".service")?.parse().ok()
    }

    /// Whether maint has told of it itself: its exit codes say that a run ended, or why it did not begin.
    fn is_told(&self, ledger: &Ledger, now: DateTime<Utc>) -> Result<bool, LedgerError> {
        let Some(job) = self.job() else { return Ok(false) };
        let by_maint = self.result.as_deref().is_none_or(|result| result == "exit-code");
        match self.status.as_deref().filter(|_| by_maint) {
            // A lock that was held: what has to be told of it was.
            Some("5") => Ok(true),
            Some("1" | "2" | "3" | "4" | "130") | None => {
                let last = ledger.last_failure(job.as_str())?;
                Ok(by_maint && last.is_some_and(|last| now - last < JUST_NOW))
            }
            Some(_) => Ok(false),
        }
    }

    pub(super) fn happening(&self, config: &Config, now: DateTime<Utc>) -> Happening {
        let result = self.result.as_deref().unwrap_or("an unknown reason");
        let status = self.status.as_deref().map(|status| format!(" ({status})")).unwrap_or_default();
        let job = self.job();
        let known = match job.as_ref().and_then(|name| config.jobs.get(name)) {
            Some(job) => blank(job, now),
            None => {
                let about = job.as_ref().map_or(self.unit.as_str(), JobName::as_str);
                // What cannot even be read may be the most important job.
                Happening { about: about.to_owned(), severity: Severity::P1, ..nameless(now) }
            }
        };
        Happening {
            state: State::NotStarted,
            class: Some(Class::Failed),
            reason: Some(format!("the systemd unit {} failed: {result}{status}", self.unit)),
            hint: Some(format!("see why: systemctl status {0}; journalctl -u {0}", self.unit)),
            ..known
        }
    }
}

/// systemd says that a unit failed, or (`None`) that it runs again. What maint told already is not told again. It is
/// recorded; the next [`tick`](super::tick) sends it. Gives whether there was something to tell.
///
/// # Errors
/// When the ledger cannot be used.
pub fn unit_ended(config: &Config, unit: &str, failure: Option<&UnitFailure>) -> Result<bool, TellError> {
    let now = clock::now();
    let ledger = Ledger::open(&config.stack.state_dir)?;
    everything(config, &ledger, now)?;
    match failure {
        Some(failure) if failure.is_told(&ledger, now)? => Ok(false),
        Some(failure) => super::record(&config.stack, &failure.happening(config, now)).map(|()| true),
        None => {
            let open = !ledger.incidents(Some(unit))?.is_empty();
            let well = Happening { about: unit.to_owned(), ..nameless(now) };
            if open { super::record(&config.stack, &well).map(|()| true) } else { Ok(false) }
        }
    }
}
