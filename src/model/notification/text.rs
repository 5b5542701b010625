//! A message in words: what failed, since when, why, and what to do; for every channel the same.

use chrono::{DateTime, Utc};

use super::{Message, State, Why};
use crate::model::{severity::Severity, units::age};

/// The digits of a run's id that tell it from others; its end, as tables show it.
const RUN_DIGITS: usize = 8;

/// The runbook's word for a level and how soon somebody has to answer.
fn severity(severity: Severity) -> (&'static str, &'static str) {
    match severity {
        Severity::P0 => ("critical", "answer within 15 minutes"),
        Severity::P1 => ("high", "answer within an hour"),
        Severity::P2 => ("medium", "answer within 4 hours"),
        Severity::P3 => ("low", "answer within a day"),
    }
}

impl State {
    /// What became of a job, as a verb: an honest one, for what could not be checked did not fail.
    fn verb(self) -> &'static str {
        match self {
            Self::Ok => "went well",
            Self::Warning => "went well, with a warning",
            Self::Failed => "failed",
            Self::Unknown => "could not be checked",
            Self::Interrupted => "was interrupted",
            Self::NotStarted => "could not begin",
            Self::Missed => "was not run in its time",
        }
    }
}

impl Message {
    /// Whether somebody has to do something.
    pub fn is_alarm(&self) -> bool {
        matches!(self.why, Why::Failed | Why::Again | Why::Worse | Why::Escalated) && self.what.state.is_failure()
    }

    /// Everything in one line, the worst first: what a telephone shows.
    pub fn subject(&self) -> String {
        let about = &self.what.about;
        let verb = self.what.state.verb();
        let said = match self.why {
            Why::Failed | Why::Warning | Why::Success | Why::Ended => format!("{about} {verb}"),
            Why::Again => format!("{about} still {verb}"),
            Why::Worse => format!("{about} {verb}, now more severe"),
            Why::Escalated => format!("{about} {verb}, and nobody acknowledged it: level {}", self.level),
            Why::Recovered => format!("{about} is well again"),
            Why::Test => "this is a test".to_owned(),
        };
        let said = match self.why {
            Why::Again => said.replacen("still failed", "still fails", 1),
            _ => said,
        };
        let head = match (self.is_alarm(), self.what.severity) {
            (true, Severity::P0) => "P0 CRITICAL: ".to_owned(),
            (true, other) => format!("{other}: "),
            (false, _) => String::new(),
        };
        format!("{head}{said} ({} on {})", self.stack, self.host)
    }

    /// What is known, each with its label, in the order in which it is needed.
    pub fn rows(&self) -> Vec<(&'static str, String)> {
        let what = &self.what;
        if self.why == Why::Test {
            return vec![("test", "This channel works; nothing happened.".into()), ("sent", self.time(self.at))];
        }
        let mut rows: Vec<(&'static str, Option<String>)> = vec![
            ("job", Some(what.about.clone())),
            ("purpose", what.description.clone()),
            ("state", Some(self.state())),
            ("reason", what.reason.clone().filter(|_| self.why != Why::Recovered)),
            ("was", what.reason.clone().filter(|_| self.why == Why::Recovered)),
            ("since", self.since()),
            ("severity", self.is_alarm().then(|| self.severity())),
        ];
        if self.is_alarm() {
            rows.push(("do", what.hint.clone()));
        }
        rows.extend([
            ("look", what.run.as_deref().map(|run| format!("maint runs show {}", short(run)))),
            ("log", what.log.clone()),
            ("runbook", what.runbook.clone()),
        ]);
        if self.is_alarm() {
            rows.push(("then", Some(self.acknowledge())));
        }
        rows.push(("run", what.run.clone()));
        rows.push(("host", Some(format!("{} (stack {})", self.host, self.stack))));
        rows.into_iter().filter_map(|(label, value)| Some((label, value?))).filter(|(_, v)| !v.is_empty()).collect()
    }

    /// Everything, as plain text.
    pub fn text(&self) -> String {
        let mut text = format!("{}\n\n", self.subject());
        if self.is_alarm() && self.what.severity == Severity::P0 {
            text = format!("*** P0 CRITICAL: ANSWER WITHIN 15 MINUTES ***\n\n{text}");
        }
        for (label, value) in self.rows() {
            let mut lines = value.lines();
            text += &format!("  {label:<9} {}\n", lines.next().unwrap_or_default());
            for line in lines {
                text += &format!("            {line}\n");
            }
        }
        text
    }

    fn state(&self) -> String {
        let what = &self.what;
        if self.why == Why::Recovered {
            return format!("well again at {}", self.time(what.at));
        }
        let step = what.step.as_ref().map(|step| format!(" in step {step}")).unwrap_or_default();
        let attempt = if what.attempt > 1 { format!(", attempt {}", what.attempt) } else { String::new() };
        format!("{}{step} at {}{attempt}", what.state.verb(), self.time(what.at))
    }

    fn since(&self) -> Option<String> {
        let since = self.since?;
        let until = if self.why == Why::Recovered { self.what.at } else { self.at };
        let long = age(until - since);
        match (self.why, self.times) {
            (Why::Recovered, _) => Some(format!("not well from {}, for {long}", self.time(since))),
            (_, 0..2) if self.at - since < chrono::TimeDelta::minutes(1) => None,
            (_, times @ 2..) => Some(format!("{}, for {long}, {times} times", self.time(since))),
            _ => Some(format!("{}, for {long}", self.time(since))),
        }
    }

    fn severity(&self) -> String {
        let (word, answer) = severity(self.what.severity);
        format!("{} ({word}): {answer}", self.what.severity)
    }

    fn acknowledge(&self) -> String {
        if let Some(ack) = &self.ack {
            let note = ack.note.as_ref().map(|note| format!(": {note}")).unwrap_or_default();
            return format!("acknowledged by {} at {}{note}", ack.by, self.time(ack.at));
        }
        let which = self.what.run.as_deref().map_or(self.what.about.as_str(), short);
        format!("say that you look after it: maint ack {which}")
    }

    fn time(&self, at: DateTime<Utc>) -> String {
        let zone = self.zone.parse().unwrap_or(chrono_tz::UTC);
        at.with_timezone(&zone).format("%Y-%m-%d %H:%M:%S %Z").to_string()
    }
}

fn short(run: &str) -> &str {
    run.get(run.len().saturating_sub(RUN_DIGITS)..).unwrap_or(run)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{
        failure::Class,
        notification::{Ack, Happening},
    };

    fn message(why: Why, state: State, severity: Severity) -> Message {
        let at = DateTime::from_timestamp(1_795_000_000, 0).unwrap();
        let what = Happening {
            about: "monthly-backup".into(),
            description: Some("Database and configuration".into()),
            runbook: None,
            severity,
            state,
            step: Some("db".into()),
            class: Some(Class::Failed),
            reason: Some("connection refused".into()),
            hint: Some("start it: systemctl start postgresql".into()),
            run: Some("0199a1b2-0000-7000-8000-0000deadbeef".into()),
            attempt: 2,
            at,
            log: Some("/var/lib/maint/logs/x".into()),
        };
        Message {
            why,
            stack: "leanvibe".into(),
            host: "ops1".into(),
            zone: "Europe/Berlin".into(),
            level: 1,
            incident: Some(1),
            what,
            since: Some(at - chrono::TimeDelta::hours(3)),
            times: 3,
            ack: None,
            at,
        }
    }

    #[test]
    fn the_worst_stands_first_and_what_to_do_is_told() {
        let told = message(Why::Failed, State::Failed, Severity::P0).text();
        let expected = "*** P0 CRITICAL: ANSWER WITHIN 15 MINUTES ***\n\n\
             P0 CRITICAL: monthly-backup failed (leanvibe on ops1)\n\n  \
             job       monthly-backup\n  purpose   Database and configuration\n  \
             state     failed in step db at 2026-11-18 12:06:40 CET, attempt 2\n  reason    connection refused\n  \
             since     2026-11-18 09:06:40 CET, for 3 hours, 3 times\n  \
             severity  P0 (critical): answer within 15 minutes\n  do        start it: systemctl start postgresql\n  \
             look      maint runs show deadbeef\n  log       /var/lib/maint/logs/x\n  \
             then      say that you look after it: maint ack deadbeef\n  \
             run       0199a1b2-0000-7000-8000-0000deadbeef\n  host      ops1 (stack leanvibe)\n";
        assert_eq!(told, expected);
        let mild = message(Why::Again, State::Failed, Severity::P3);
        assert_eq!(mild.subject(), "P3: monthly-backup still fails (leanvibe on ops1)");
        assert!(!mild.text().contains("***"));
    }

    #[test]
    fn words_are_honest() {
        let unknown = message(Why::Failed, State::Unknown, Severity::P2);
        assert_eq!(unknown.subject(), "P2: monthly-backup could not be checked (leanvibe on ops1)");
        let over = message(Why::Recovered, State::Failed, Severity::P0);
        assert_eq!(over.subject(), "monthly-backup is well again (leanvibe on ops1)");
        assert!(over.text().contains("not well from 2026-11-18 09:06:40 CET, for 3 hours"), "{}", over.text());
        let known = Message {
            ack: Some(Ack { by: "ana".into(), at: over.at, note: Some("disk".into()) }),
            ..message(Why::Again, State::Failed, Severity::P2)
        };
        assert!(known.text().contains("acknowledged by ana at 2026-11-18 12:06:40 CET: disk"), "{}", known.text());
    }
}
