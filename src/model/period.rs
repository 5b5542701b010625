//! The period that a set stands for, in the job's zone.

use chrono::{DateTime, Datelike, Timelike, Utc};
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};

/// How long a set's period is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PeriodKind {
    /// `YYYYMM`
    Month,
    /// `GGGGWww`, the ISO week
    Week,
    /// `YYYYMMDD`
    Day,
    /// `YYYYMMDDTHHMMZ`, in UTC so that a repeated hour does not collide
    Instant,
}

impl PeriodKind {
    /// The label of the period that holds `instant`, in `zone`.
    pub fn label(self, instant: DateTime<Utc>, zone: Tz) -> String {
        let local = instant.with_timezone(&zone);
        match self {
            Self::Month => format!("{:04}{:02}", local.year(), local.month()),
            Self::Week => format!("{:04}W{:02}", local.iso_week().year(), local.iso_week().week()),
            Self::Day => format!("{:04}{:02}{:02}", local.year(), local.month(), local.day()),
            Self::Instant => format!(
                "{:04}{:02}{:02}T{:02}{:02}Z",
                instant.year(),
                instant.month(),
                instant.day(),
                instant.hour(),
                instant.minute()
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    #[test]
    fn the_period_is_the_zones_not_utcs() {
        let berlin = chrono_tz::Europe::Berlin;
        assert_eq!(PeriodKind::Month.label(at("2026-07-31T22:30:00Z"), berlin), "202608");
        assert_eq!(PeriodKind::Day.label(at("2026-07-31T22:30:00Z"), berlin), "20260801");
        assert_eq!(PeriodKind::Week.label(at("2027-01-01T12:00:00Z"), berlin), "2026W53");
        assert_eq!(PeriodKind::Instant.label(at("2026-10-25T00:30:00Z"), berlin), "20261025T0030Z");
    }
}
