//! One message when something fails, none again while it goes on in the same way (but a reminder), one when it is well
//! again; and a failure that nobody acknowledges climbs.

use chrono::{DateTime, Utc};

use super::{Happening, Incident, State, Why};
use crate::model::notify::Escalation;

/// What becomes of a job's open incidents.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Verdict {
    /// Those that are open now and changed or are new.
    pub open: Vec<Incident>,
    /// Those that are over.
    pub closed: Vec<Incident>,
    /// What is told.
    pub told: Vec<Telling>,
}

/// Something that is told.
#[derive(Debug, Clone, PartialEq)]
pub struct Telling {
    /// Why.
    pub why: Why,
    /// About what; of a recovery, what it was.
    pub incident: Incident,
    /// The level that had been told before.
    pub level_before: u8,
}

/// After a run, or an attempt at one. `open` are the job's open incidents.
pub fn happened(open: &[Incident], what: &Happening, escalation: &Escalation) -> Verdict {
    let mut verdict = Verdict::default();
    if !what.state.is_failure() {
        let over = |incident: &&Incident| incident.what.state.is_failure() || what.state == State::Ok;
        verdict.closed = open.iter().filter(over).cloned().collect();
        verdict.told.extend(recovery(&verdict.closed));
    }
    if what.state == State::Ok {
        return verdict;
    }
    let fingerprint = what.fingerprint();
    let known = open.iter().find(|incident| incident.fingerprint == fingerprint);
    let (incident, why) = match known {
        None => (begun(what, fingerprint), Some(if what.state == State::Warning { Why::Warning } else { Why::Failed })),
        Some(known) => goes_on(known, what, escalation),
    };
    let level_before = known.map_or(0, |known| known.level);
    verdict.told.extend(why.map(|why| Telling { why, incident: incident.clone(), level_before }));
    verdict.open.push(incident);
    verdict
}

/// As time passes: what nobody acknowledged climbs, and is told again.
pub fn passed(open: &[Incident], now: DateTime<Utc>, escalation: &Escalation) -> Verdict {
    let mut verdict = Verdict::default();
    let unknown = open.iter().filter(|incident| incident.ack.is_none() && incident.what.state.is_failure());
    for incident in unknown {
        let level = escalation.level(now - incident.since).max(incident.level);
        let why = match () {
            () if level > incident.level => Why::Escalated,
            () if is_old(incident, now, escalation) => Why::Again,
            () => continue,
        };
        let climbed = Incident { level, told: now, ..incident.clone() };
        verdict.told.push(Telling { why, incident: climbed.clone(), level_before: incident.level });
        verdict.open.push(climbed);
    }
    verdict
}

/// One message for all that is over.
fn recovery(closed: &[Incident]) -> Option<Telling> {
    let failures = closed.iter().filter(|incident| incident.what.state.is_failure());
    let first = failures.clone().min_by_key(|incident| incident.since)?;
    let last = failures.clone().max_by_key(|incident| incident.what.at)?;
    let incident = Incident {
        since: first.since,
        times: failures.clone().map(|incident| incident.times).sum(),
        level: failures.map(|incident| incident.level).max()?,
        ..last.clone()
    };
    Some(Telling { why: Why::Recovered, level_before: incident.level, incident })
}

/// Something that is told for itself, and belongs to no incident.
pub fn plain(what: &Happening) -> Incident {
    begun(what, what.fingerprint())
}

fn begun(what: &Happening, fingerprint: String) -> Incident {
    Incident { id: 0, fingerprint, what: what.clone(), since: what.at, times: 1, level: 1, told: what.at, ack: None }
}

fn goes_on(known: &Incident, what: &Happening, escalation: &Escalation) -> (Incident, Option<Why>) {
    let why = match () {
        () if what.severity < known.what.severity => Some(Why::Worse),
        () if is_old(known, what.at, escalation) => Some(Why::Again),
        () => None,
    };
    let told = if why.is_some() { what.at } else { known.told };
    let incident = Incident { what: what.clone(), times: known.times.saturating_add(1), told, ..known.clone() };
    (incident, why)
}

fn is_old(incident: &Incident, now: DateTime<Utc>, escalation: &Escalation) -> bool {
    (now - incident.told).to_std().is_ok_and(|age| age >= escalation.repeat_after)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use chrono::TimeDelta;
    use proptest::prelude::*;

    use super::*;
    use crate::model::{failure::Class, notification::Ack, severity::Severity};

    /// What may happen next in a job's life, each a while after the one before.
    #[derive(Debug, Clone)]
    enum Next {
        Ok,
        Warning,
        Failed { step: u8, severity: Severity },
        Passed,
        Acknowledged,
    }

    fn next() -> impl Strategy<Value = Next> {
        let severity = prop_oneof![3 => Just(Severity::P2), 1 => Just(Severity::P0)];
        prop_oneof![
            2 => Just(Next::Ok),
            1 => Just(Next::Warning),
            6 => (0..3_u8, severity).prop_map(|(step, severity)| Next::Failed { step, severity }),
            6 => Just(Next::Passed),
            1 => Just(Next::Acknowledged),
        ]
    }

    fn what(state: State, step: Option<u8>, severity: Severity, at: DateTime<Utc>) -> Happening {
        Happening {
            about: "job".into(),
            description: None,
            runbook: None,
            severity,
            state,
            step: step.map(|step| format!("s{step}")),
            class: state.is_failure().then_some(Class::Failed),
            reason: None,
            hint: None,
            run: None,
            attempt: 1,
            at,
            log: None,
        }
    }

    /// The ledger's part: keeps what the rules gave.
    fn keep(open: &mut Vec<Incident>, verdict: &Verdict) {
        open.retain(|o| !verdict.closed.iter().any(|c| c.fingerprint == o.fingerprint));
        for changed in &verdict.open {
            open.retain(|o| o.fingerprint != changed.fingerprint);
            open.push(changed.clone());
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]
        #[test]
        fn a_life_of_failures_is_told_once_each(life in prop::collection::vec((next(), 1..600_i64), 1..80)) {
            let escalation = Escalation::default();
            let mut now = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
            let mut open: Vec<Incident> = Vec::new();
            for (next, minutes) in life {
                now += TimeDelta::minutes(minutes);
                let before = open.clone();
                let known = |i: &Incident| before.iter().find(|o| o.fingerprint == i.fingerprint);
                let verdict = match next {
                    Next::Ok => happened(&open, &what(State::Ok, None, Severity::P2, now), &escalation),
                    Next::Warning => happened(&open, &what(State::Warning, None, Severity::P2, now), &escalation),
                    Next::Failed { step, severity } => {
                        happened(&open, &what(State::Failed, Some(step), severity, now), &escalation)
                    }
                    Next::Passed => passed(&open, now, &escalation),
                    Next::Acknowledged => {
                        for incident in &mut open {
                            incident.ack = Some(Ack { by: "me".into(), at: now, note: None });
                        }
                        continue;
                    }
                };
                for telling in &verdict.told {
                    let earlier = known(&telling.incident);
                    match telling.why {
                        Why::Failed | Why::Warning => prop_assert!(earlier.is_none(), "told twice"),
                        Why::Again => {
                            let age = (now - earlier.unwrap().told).to_std().unwrap();
                            prop_assert!(age >= escalation.repeat_after, "reminded after {:?}", age);
                        }
                        Why::Worse => prop_assert!(telling.incident.what.severity < earlier.unwrap().what.severity),
                        Why::Escalated => {
                            let earlier = earlier.unwrap();
                            prop_assert!(earlier.ack.is_none() && telling.incident.level > earlier.level);
                            let after = if telling.incident.level == 2 { 30 } else { 120 };
                            prop_assert!(now - earlier.since >= TimeDelta::minutes(after));
                        }
                        Why::Recovered => {
                            prop_assert!(before.iter().any(|o| o.what.state.is_failure()));
                            prop_assert_eq!(verdict.told.iter().filter(|t| t.why == Why::Recovered).count(), 1);
                        }
                        _ => prop_assert!(false, "{:?} is told by nobody", telling.why),
                    }
                }
                // Nothing new is kept quiet, and a recovery is never forgotten.
                let new = verdict.open.iter().filter(|i| known(i).is_none()).count();
                let firsts = verdict.told.iter().filter(|t| matches!(t.why, Why::Failed | Why::Warning)).count();
                prop_assert_eq!(new, firsts);
                keep(&mut open, &verdict);
                match next {
                    Next::Ok => prop_assert!(open.is_empty()),
                    Next::Warning => prop_assert!(open.iter().all(|o| o.what.state == State::Warning)),
                    Next::Passed => for o in open.iter().filter(|o| o.what.state.is_failure() && o.ack.is_none()) {
                        prop_assert_eq!(o.level, escalation.level(now - o.since).max(o.level));
                        prop_assert!((now - o.told).to_std().unwrap() < escalation.repeat_after);
                    },
                    _ => {}
                }
            }
        }
    }

    #[test]
    fn the_runbooks_matrix() {
        let levels = Escalation::default();
        let at = |minutes: i64| levels.level(TimeDelta::minutes(minutes));
        assert_eq!([at(-5), at(0), at(29), at(30), at(119), at(120), at(9000)], [1, 1, 1, 2, 2, 3, 3]);
        assert_eq!(levels.repeat_after, Duration::from_secs(86_400));
    }
}
