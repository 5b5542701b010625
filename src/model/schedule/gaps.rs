//! Where a zone's clocks are put forward: times of day that do not exist.

use chrono::{DateTime, Duration, NaiveDateTime, Offset, TimeZone, Utc};
use chrono_tz::Tz;

/// Clocks are put forward.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gap {
    /// The first local time that does not exist.
    pub begin: NaiveDateTime,
    /// The first that does again.
    pub end: NaiveDateTime,
    /// The instant at which that is.
    pub at: DateTime<Utc>,
}

/// The gaps of a zone between two instants. No zone has two within a day.
pub fn gaps(zone: Tz, from: DateTime<Utc>, until: DateTime<Utc>) -> Vec<Gap> {
    // Clocks change at whole seconds.
    let from = DateTime::from_timestamp(from.timestamp(), 0).unwrap_or(from);
    let days = std::iter::successors(Some(from), |day| Some(*day + Duration::days(1)));
    days.take_while(|day| *day < until).filter_map(|day| in_day_after(zone, day)).filter(|gap| gap.at < until).collect()
}

/// The gap in the day after an instant.
fn in_day_after(zone: Tz, from: DateTime<Utc>) -> Option<Gap> {
    let (mut low, mut high) = (from, from + Duration::days(1));
    let (before, after) = (offset(zone, low), offset(zone, high));
    if after <= before {
        return None;
    }
    while high - low > Duration::seconds(1) {
        let middle = low + Duration::seconds((high - low).num_seconds() / 2);
        if offset(zone, middle) == before { low = middle } else { high = middle }
    }
    Some(Gap { begin: (high + before).naive_utc(), end: (high + after).naive_utc(), at: high })
}

/// The gap that a local time lies in; `None`: it exists.
pub(super) fn around(zone: Tz, wall: NaiveDateTime) -> Option<Gap> {
    // No zone is further from UTC than 14 hours, and the longest gap was a day (Samoa, 2011).
    let from = wall.and_utc() - Duration::hours(38);
    gaps(zone, from, from + Duration::hours(96)).into_iter().find(|gap| gap.begin <= wall && wall < gap.end)
}

fn offset(zone: Tz, at: DateTime<Utc>) -> Duration {
    Duration::seconds(zone.offset_from_utc_datetime(&at.naive_utc()).fix().local_minus_utc().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_is_exact_whenever_somebody_asks() {
        let (from, until) = ("2026-11-26T02:29:13.371Z".parse().unwrap(), "2028-01-01T00:00:00Z".parse().unwrap());
        let found = gaps(chrono_tz::Europe::Berlin, from, until);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].begin.to_string(), "2027-03-28 02:00:00");
        assert_eq!(found[0].end.to_string(), "2027-03-28 03:00:00");
        assert_eq!(found[0].at.to_rfc3339(), "2027-03-28T01:00:00+00:00");
    }
}
