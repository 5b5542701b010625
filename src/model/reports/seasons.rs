//! When a stack has more to do: business hours, weekends, the end of a month, holidays.

use chrono::{DateTime, Datelike, NaiveDate, TimeDelta, Timelike, Weekday};
use chrono_tz::Tz;
use serde::Serialize;

use super::statistics::Sample;
use crate::model::forecast::robust::median;

/// How many times the load of other times, from and to.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Factor {
    /// At least.
    pub from: f64,
    /// At most.
    pub to: f64,
}

/// What a runbook says of the load's seasons.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Seasons {
    /// The hours of a working day in which business is done, e.g. 9 to 18.
    pub hours: (u32, u32),
    /// How many days of a month are its end.
    pub month_end_days: u32,
    /// Days on which nobody works.
    pub holidays: Vec<NaiveDate>,
    /// The load in business hours.
    pub business_hours: Factor,
    /// The load at weekends.
    pub weekend: Factor,
    /// The load at the end of a month.
    pub month_end: Factor,
    /// The load on holidays.
    pub holiday: Factor,
}

impl Default for Seasons {
    /// The runbook's "Seasonal Patterns".
    fn default() -> Self {
        let factor = |from, to| Factor { from, to };
        Self {
            hours: (9, 18),
            month_end_days: 3,
            holidays: Vec::new(),
            business_hours: factor(1.5, 2.0),
            weekend: factor(0.6, 0.8),
            month_end: factor(1.2, 1.5),
            holiday: factor(0.3, 0.5),
        }
    }
}

/// The season of an instant; a holiday is nothing else besides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Season {
    off: bool,
    weekend: bool,
    business: bool,
    month_end: bool,
}

/// Loads of seasons, as multiples of the median load of quiet hours of working days.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct Load {
    /// In business hours.
    pub business_hours: Option<f64>,
    /// At weekends.
    pub weekend: Option<f64>,
    /// At the end of the month, as multiples of other business hours.
    pub month_end: Option<f64>,
    /// On holidays.
    pub holiday: Option<f64>,
}

impl Seasons {
    /// Whether a day is one of the last of its month.
    pub fn is_month_end(&self, date: NaiveDate) -> bool {
        (date + TimeDelta::days(i64::from(self.month_end_days))).month() != date.month()
    }

    fn of(&self, at: DateTime<Tz>) -> Season {
        let date = at.date_naive();
        let off = self.holidays.contains(&date);
        let weekend = matches!(at.weekday(), Weekday::Sat | Weekday::Sun);
        let business = (self.hours.0..self.hours.1).contains(&at.hour()) && !weekend && !off;
        Season { off, weekend, business, month_end: self.is_month_end(date) }
    }

    /// The values of business hours.
    pub fn in_business(&self, samples: &[Sample], zone: Tz) -> Vec<f64> {
        self.values(samples, zone, |season| season.business)
    }

    fn values(&self, samples: &[Sample], zone: Tz, wanted: impl Fn(Season) -> bool) -> Vec<f64> {
        let of_season = samples.iter().filter(|sample| {
            let at = DateTime::from_timestamp(sample.at, 0).map(|at| at.with_timezone(&zone));
            at.is_some_and(|at| wanted(self.of(at)))
        });
        of_season.map(|sample| sample.value).collect()
    }

    /// What the load was in each season; seasons that the samples do not have are left out.
    pub fn load(&self, samples: &[Sample], zone: Tz) -> Load {
        let of = |wanted: &dyn Fn(Season) -> bool| median(self.values(samples, zone, wanted));
        let quiet = of(&|s| !s.off && !s.weekend && !s.business && !s.month_end);
        let business = of(&|s| s.business && !s.month_end);
        let share = |value: Option<f64>, of: Option<f64>| Some(value? / of.filter(|of| *of > 0.0)?);
        Load {
            business_hours: share(business, quiet),
            weekend: share(of(&|s| s.weekend && !s.off), quiet),
            month_end: share(of(&|s| s.business && s.month_end), business),
            holiday: share(of(&|s| s.off), quiet),
        }
    }
}

#[cfg(test)]
mod tests {
    use chrono::Utc;

    use super::*;

    #[test]
    fn the_load_of_each_season_is_found() {
        let seasons = Seasons { holidays: vec!["2026-08-19".parse().unwrap()], ..Seasons::default() };
        let start: DateTime<Utc> = "2026-08-01T00:00:00Z".parse().unwrap();
        let samples: Vec<_> = (0..31 * 24)
            .map(|hour| {
                let at = start + TimeDelta::hours(hour);
                let season = seasons.of(at.with_timezone(&Tz::UTC));
                let value = match season {
                    Season { off: true, .. } => 40.0,
                    Season { weekend: true, .. } => 70.0,
                    Season { business: true, month_end: true, .. } => 240.0,
                    Season { business: true, .. } => 180.0,
                    _ => 100.0,
                };
                Sample { at: at.timestamp(), value }
            })
            .collect();
        let load = seasons.load(&samples, Tz::UTC);
        assert_eq!((load.business_hours, load.weekend, load.holiday), (Some(1.8), Some(0.7), Some(0.4)));
        assert!((load.month_end.unwrap() - 240.0 / 180.0).abs() < 1e-9);
        let business = seasons.in_business(&samples, Tz::UTC);
        assert!(business.len() == 20 * 9 && business.iter().all(|v| *v >= 180.0), "{} hours", business.len());
        assert_eq!(seasons.load(&[], Tz::UTC), Load::default());
    }
}
