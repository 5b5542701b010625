//! When a job's slots are: a five-field cron expression in a named zone.
//!
//! The expression names times on the wall. A time that the clocks skip is made up for when they have been put forward, or left
//! out ([`Dst`]); one that they show twice counts once, on its first pass. systemd's calendar does the same with the lines
//! of [`super::calendar`], and so both engines have the same slots.

mod days;
mod gaps;

use std::fmt;

use chrono::{DateTime, Duration, MappedLocalTime, NaiveDateTime, TimeZone, Utc};
use chrono_tz::Tz;
use croner::{Cron, parser::CronParser};
use serde::{Deserialize, Serialize};

pub use days::{Days, OfMonth};
pub use gaps::{Gap, gaps};

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
    days: Vec<Days>,
    zone: Tz,
    dst: Dst,
}

/// A slot, and what the clocks do about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slot {
    /// The instant.
    pub at: DateTime<Utc>,
    /// What the clocks do.
    pub clocks: Clocks,
}

/// What the clocks do about a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Clocks {
    /// Nothing.
    Steady,
    /// They skip the time that the schedule names, and the slot is when they have.
    Skip(NaiveDateTime),
    /// They show its time twice, and the slot is the first of both.
    Repeat,
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
    /// When it has not five fields, one of them is not understood, it never comes, or systemd's calendar cannot say it.
    pub fn parse(expression: &str, zone: Tz, dst: Dst) -> Result<Self, ScheduleError> {
        let refuse = |reason: String| ScheduleError { expression: expression.to_owned(), reason };
        let fields = expression.split_whitespace().count();
        if fields != 5 {
            return Err(refuse(format!("it has {fields} fields")));
        }
        let cron = CronParser::new().parse(expression).map_err(|e| refuse(e.to_string()))?;
        let days = days::spell_out(&cron).map_err(refuse)?;
        Ok(Self { expression: expression.to_owned(), cron, days, zone, dst })
    }

    /// The first slot after `instant`; `None` when the calendar ends before it.
    pub fn next_after(&self, instant: DateTime<Utc>) -> Option<DateTime<Utc>> {
        self.slots_after(instant).next().map(|slot| slot.at)
    }

    /// The slots after `instant`, in order.
    pub fn slots_after(&self, instant: DateTime<Utc>) -> impl Iterator<Item = Slot> + '_ {
        let (mut last, mut wall) = (instant, instant.with_timezone(&self.zone).naive_local());
        std::iter::from_fn(move || {
            loop {
                wall = self.wall_after(wall)?;
                // In a repeated hour the wall runs behind; what it names then was before.
                if let Some(slot) = self.slot_at(wall).filter(|slot| slot.at > last) {
                    last = slot.at;
                    return Some(slot);
                }
            }
        })
    }

    /// The first time after `wall` that the expression names, whether or not the zone's clocks ever show it.
    fn wall_after(&self, wall: NaiveDateTime) -> Option<NaiveDateTime> {
        self.cron.find_next_occurrence(&wall.and_utc(), false).ok().map(|found| found.naive_utc())
    }

    /// The slot of a time that the expression names.
    fn slot_at(&self, wall: NaiveDateTime) -> Option<Slot> {
        let slot = |at: DateTime<Tz>, clocks| Some(Slot { at: at.with_timezone(&Utc), clocks });
        match self.zone.from_local_datetime(&wall) {
            MappedLocalTime::Single(at) => slot(at, Clocks::Steady),
            MappedLocalTime::Ambiguous(first, _) => slot(first, Clocks::Repeat),
            MappedLocalTime::None if self.dst == Dst::Skip => None,
            MappedLocalTime::None => {
                let gap = gaps::around(self.zone, wall)?;
                Some(Slot { at: gap.at, clocks: if self.names(gap.end) { Clocks::Steady } else { Clocks::Skip(wall) } })
            }
        }
    }

    /// The times that the expression names in a gap of its zone.
    pub fn swallowed(&self, gap: &Gap) -> impl Iterator<Item = NaiveDateTime> + '_ {
        let end = gap.end;
        let before = gap.begin - Duration::seconds(1);
        std::iter::successors(self.wall_after(before), |wall| self.wall_after(*wall))
            .take_while(move |wall| *wall < end)
    }

    /// Whether the expression names a time, by the wall.
    pub fn names(&self, wall: NaiveDateTime) -> bool {
        self.cron.is_time_matching(&wall.and_utc()).unwrap_or(false)
    }

    /// Whether it names hours, and not just minutes of every hour.
    pub fn is_at_fixed_hours(&self) -> bool {
        self.hours().len() < 24
    }

    /// Whether a day is named by its number or by its weekday, either being enough: cron's way where both fields say something.
    pub fn is_on_either_day(&self) -> bool {
        let pattern = &self.cron.pattern;
        !pattern.is_dom_wildcard() && !pattern.is_dow_wildcard() && !pattern.matches_dom_and_dow()
    }

    /// The minutes that it names.
    pub fn minutes(&self) -> Vec<u16> {
        self.cron.pattern.minutes.values()
    }

    /// The hours that it names.
    pub fn hours(&self) -> Vec<u16> {
        self.cron.pattern.hours.values()
    }

    /// The months that it names.
    pub fn months(&self) -> Vec<u16> {
        self.cron.pattern.months.values()
    }

    /// The days that it names, spelled out.
    pub fn days(&self) -> &[Days] {
        &self.days
    }

    /// What becomes of a slot that a gap swallows.
    pub fn dst(&self) -> Dst {
        self.dst
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
    fn every_minute_of_a_repeated_hour_counts_once() {
        let schedule = Schedule::parse("*/30 * * * *", chrono_tz::Europe::Berlin, Dst::RunAfterGap).unwrap();
        let from = "2026-10-25T00:00:00Z".parse().unwrap();
        let slots: Vec<_> = schedule.slots_after(from).take(3).collect();
        assert_eq!(slots[0].at.to_rfc3339(), "2026-10-25T00:30:00+00:00");
        assert_eq!(slots[0].clocks, Clocks::Repeat);
        assert_eq!(slots[1].at.to_rfc3339(), "2026-10-25T02:00:00+00:00");
        assert_eq!(next("*/30 * * * *", Dst::Skip, "2026-10-25T01:10:00Z"), "2026-10-25T02:00:00+00:00");
    }

    #[test]
    fn what_a_gap_swallows_is_one_slot_at_its_end() {
        let lord_howe = chrono_tz::Australia::Lord_Howe;
        let schedule = Schedule::parse("5,20 2 * * *", lord_howe, Dst::RunAfterGap).unwrap();
        let slots: Vec<_> = schedule.slots_after("2026-10-03T12:00:00Z".parse().unwrap()).take(2).collect();
        assert_eq!(slots[0].at.to_rfc3339(), "2026-10-03T15:30:00+00:00");
        assert!(matches!(slots[0].clocks, Clocks::Skip(wall) if wall.to_string() == "2026-10-04 02:05:00"));
        assert_eq!(slots[1].at.to_rfc3339(), "2026-10-04T15:05:00+00:00");
    }

    #[test]
    fn a_day_that_a_zone_skipped_is_made_up_for() {
        let apia = chrono_tz::Pacific::Apia;
        let schedule = Schedule::parse("0 12 * * *", apia, Dst::RunAfterGap).unwrap();
        let slots: Vec<_> = schedule.slots_after("2011-12-29T22:00:00Z".parse().unwrap()).take(2).collect();
        assert_eq!(slots[0].at.to_rfc3339(), "2011-12-30T10:00:00+00:00");
        assert_eq!(slots[1].at.to_rfc3339(), "2011-12-30T22:00:00+00:00");
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
        let never = ["0 0 30 2 *", "0 0 1-7 * +SUN#2", "0 0 * * L", "0 0 31 4,6 *"];
        let without_a_form = ["0 0 15W * *", "0 0 LW * *", "0 0 L * +SUN#4", "0 0 25 * +SUN#L"];
        let bad = ["0 0 1 * * SUN#1", "61 * * * *", "a b c d e", ""];
        for bad in bad.into_iter().chain(never).chain(without_a_form) {
            assert!(Schedule::parse(bad, chrono_tz::UTC, Dst::Skip).is_err(), "{bad}");
        }
    }
}
