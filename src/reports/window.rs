//! The time that a report is about.

use chrono::{DateTime, Datelike, Months, NaiveDate, NaiveTime, TimeDelta, Utc};
use chrono_tz::Tz;

use crate::model::period::PeriodKind;

/// A stretch of time with its label.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Window {
    /// The label, e.g. `202610`.
    pub period: String,
    /// The first instant.
    pub from: DateTime<Utc>,
    /// The end, left out.
    pub to: DateTime<Utc>,
}

/// The first instant of a day in a zone; where midnight is in a gap, the gap's end.
fn midnight(date: NaiveDate, zone: Tz) -> DateTime<Utc> {
    let at = date.and_time(NaiveTime::MIN);
    let candidates =
        (0..8).filter_map(|quarter| (at + TimeDelta::minutes(30 * quarter)).and_local_timezone(zone).earliest());
    let mut candidates = candidates;
    candidates.next().map_or_else(|| at.and_utc(), |found| found.with_timezone(&Utc))
}

fn first_of_month(at: DateTime<Utc>, zone: Tz) -> NaiveDate {
    let date = at.with_timezone(&zone).date_naive();
    date.with_day(1).unwrap_or(date)
}

impl Window {
    /// The whole month that ended last before `now`, or so many months before it.
    pub fn month_before(now: DateTime<Utc>, zone: Tz, earlier: u32) -> Self {
        let end = first_of_month(now, zone) - Months::new(earlier);
        let start = end - Months::new(1);
        let from = midnight(start, zone);
        Self { period: PeriodKind::Month.label(from, zone), from, to: midnight(end, zone) }
    }

    /// The last days until `now`; its label is the day.
    pub fn last_days(now: DateTime<Utc>, zone: Tz, days: u32) -> Self {
        // Whole minutes: samples of pieces meet.
        let to = now
            - TimeDelta::seconds(now.timestamp().rem_euclid(60))
            - TimeDelta::nanoseconds(i64::from(now.timestamp_subsec_nanos()));
        Self { period: PeriodKind::Day.label(now, zone), from: to - TimeDelta::days(i64::from(days)), to }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_month_is_the_zones_whole_one() {
        let now = "2026-11-01T05:00:00Z".parse().unwrap();
        let berlin = Window::month_before(now, chrono_tz::Europe::Berlin, 0);
        assert_eq!(berlin.period, "202610");
        // Summer time ends within it.
        assert_eq!(berlin.from.to_rfc3339(), "2026-09-30T22:00:00+00:00");
        assert_eq!(berlin.to.to_rfc3339(), "2026-10-31T23:00:00+00:00");
        assert_eq!(Window::month_before(now, Tz::UTC, 10).period, "202512");
        let eve = "2026-10-31T23:30:00Z".parse().unwrap();
        assert_eq!(
            Window::month_before(eve, chrono_tz::Europe::Berlin, 0).period,
            "202610",
            "it is November in Berlin"
        );
    }

    #[test]
    fn the_last_days_end_now() {
        let now = "2026-11-26T05:01:31Z".parse().unwrap();
        let window = Window::last_days(now, Tz::UTC, 30);
        assert_eq!((window.period.as_str(), (window.to - window.from).num_days()), ("20261126", 30));
    }
}
