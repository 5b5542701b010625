//! When a job's slots are: a five-field cron expression in a named zone.

use std::fmt;

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use croner::{Cron, parser::CronParser};
use serde::{Deserialize, Serialize};

/// What becomes of a slot that the spring gap swallows. A repeated hour fires once, on its first pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Dst {
    /// It fires when the gap ends.
    #[default]
    RunAfterGap,
    /// It does not fire.
    Skip,
}

/// A schedule that was understood.
#[derive(Debug, Clone)]
pub struct Schedule {
    expression: String,
    cron: Cron,
    zone: Tz,
    dst: Dst,
}

/// A schedule that was not.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{expression}` is not a schedule: {reason}; five fields are expected: minute hour day month weekday, e.g. `0 1 * * SUN#1`"
)]
pub struct ScheduleError {
    expression: String,
    reason: String,
}

impl Schedule {
    /// Reads a five-field expression.
    ///
    /// # Errors
    /// When it has not five fields or one of them is not understood.
    pub fn parse(expression: &str, zone: Tz, dst: Dst) -> Result<Self, ScheduleError> {
        let refuse = |reason: String| ScheduleError { expression: expression.to_owned(), reason };
        let fields = expression.split_whitespace().count();
        if fields != 5 {
            return Err(refuse(format!("it has {fields} fields")));
        }
        let cron = CronParser::new().parse(expression).map_err(|e| refuse(e.to_string()))?;
        Ok(Self { expression: expression.to_owned(), cron, zone, dst })
    }

    /// The first slot after `instant`; `None` when there is none (30 February).
    pub fn next_after(&self, instant: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let mut from = instant.with_timezone(&self.zone);
        loop {
            let next = self.cron.find_next_occurrence(&from, false).ok()?;
            let moved_out_of_a_gap = !self.cron.is_time_matching(&next).ok()?;
            if self.dst == Dst::RunAfterGap || !moved_out_of_a_gap {
                return Some(next.with_timezone(&Utc));
            }
            from = next;
        }
    }

    /// Everything that its slots depend on, in one line; [`recall`](Self::recall) reads it.
    pub fn identity(&self) -> String {
        let dst = match self.dst {
            Dst::RunAfterGap => "run_after_gap",
            Dst::Skip => "skip",
        };
        format!("{}|{}|{dst}", self.expression, self.zone.name())
    }

    /// The schedule of an [`identity`](Self::identity); `None` where this version does not understand it.
    pub fn recall(identity: &str) -> Option<Self> {
        let mut parts = identity.split('|');
        let (expression, zone, dst) = (parts.next()?, parts.next()?.parse().ok()?, parts.next()?);
        let dst = if dst == "skip" { Dst::Skip } else { Dst::RunAfterGap };
        Self::parse(expression, zone, dst).ok()
    }

    /// The zone that the fields are read in.
    pub fn zone(&self) -> Tz {
        self.zone
    }

    /// The schedule in words, e.g. "At 01:00, on the 1st Sunday of the month".
    pub fn describe(&self) -> String {
        self.cron.describe()
    }
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.expression)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn next(expression: &str, dst: Dst, after: &str) -> String {
        let schedule = Schedule::parse(expression, chrono_tz::Europe::Berlin, dst).unwrap();
        schedule.next_after(after.parse().unwrap()).unwrap().to_rfc3339()
    }

    #[test]
    fn the_first_sunday() {
        assert_eq!(next("0 1 * * SUN#1", Dst::RunAfterGap, "2026-08-02T00:00:00Z"), "2026-09-05T23:00:00+00:00");
    }

    #[test]
    fn the_spring_gap_moves_or_skips() {
        let eve = "2026-03-28T12:00:00Z";
        assert_eq!(next("30 2 * * *", Dst::RunAfterGap, eve), "2026-03-29T01:00:00+00:00");
        assert_eq!(next("30 2 * * *", Dst::Skip, eve), "2026-03-30T00:30:00+00:00");
    }

    #[test]
    fn the_repeated_hour_fires_once_on_its_first_pass() {
        let first = next("30 2 * * *", Dst::RunAfterGap, "2026-10-24T12:00:00Z");
        assert_eq!(first, "2026-10-25T00:30:00+00:00");
        assert_eq!(next("30 2 * * *", Dst::RunAfterGap, &first), "2026-10-26T01:30:00+00:00");
    }

    #[test]
    fn an_identity_is_read_back() {
        let schedule = Schedule::parse("*/5 1 * * SUN#1", chrono_tz::Australia::Lord_Howe, Dst::Skip).unwrap();
        let back = Schedule::recall(&schedule.identity()).unwrap();
        assert_eq!(back.identity(), "*/5 1 * * SUN#1|Australia/Lord_Howe|skip");
        assert!(Schedule::recall("not a schedule").is_none());
    }

    #[test]
    fn mistakes_are_refused() {
        for bad in ["0 0 1 * * SUN#1", "61 * * * *", "a b c d e", ""] {
            assert!(Schedule::parse(bad, chrono_tz::UTC, Dst::Skip).is_err(), "{bad}");
        }
    }
}
