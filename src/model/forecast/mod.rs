//! Carrying a daily series on: where it will be, how sure that is, and when it reaches a limit.
//!
//! Several simple ways are tried on the series' own past; the one that would have been right there is taken, and its
//! errors there are the interval (rolling-origin evaluation: R. J. Hyndman, G. Athanasopoulos, "Forecasting: Principles and
//! Practice", §5.10). So nothing has to be known of the series, and what the past cannot carry is not forecast.

pub mod backtest;
pub mod examples;
mod fit;
mod interval;
pub mod robust;

use fit::Fit;
pub use fit::Shape;
use interval::Errors;

/// Fewer days carry no forecast.
pub const LEAST_DAYS: usize = 14;
/// Older days are not looked at: a stack changes.
const MOST_DAYS: usize = 180;
/// The share of days that an interval is meant to hold.
pub const CONFIDENCE: f64 = 0.9;

/// A day's value: its peak, for what must not run full.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Day {
    /// Days since any fixed day; the same for a whole series.
    pub day: i64,
    /// The value.
    pub value: f64,
}

/// Why there is no forecast.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Refusal {
    #[error("there are {days} days of data, and a forecast needs {LEAST_DAYS}")]
    TooFew { days: usize },
    #[error("the data have {days} of the {span} days that they span")]
    TooManyGaps { days: usize, span: i64 },
}

/// Where a series will be on a day.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub struct Point {
    /// The day.
    pub day: i64,
    /// What is expected.
    pub value: f64,
    /// The lower end of the interval.
    pub low: f64,
    /// Its upper end.
    pub high: f64,
}

/// A series, carried on.
#[derive(Debug, Clone)]
pub struct Forecast {
    fit: Fit,
    errors: Errors,
    last: i64,
}

/// When a series reaches its limit.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
#[serde(tag = "reach", rename_all = "snake_case")]
pub enum Reach {
    /// It is there already.
    Now,
    /// Expected on `day`, not before `from`; `until` is `None` where it may as well not happen within the horizon.
    Within { from: i64, day: i64, until: Option<i64> },
    /// Not expected within the horizon, but possible from `from` on.
    Possible { from: i64 },
    /// Not within the horizon.
    Beyond,
}

impl Forecast {
    /// Carries on the days, which must be in order, each at most once.
    ///
    /// # Errors
    /// When the data cannot carry a forecast.
    pub fn new(days: &[Day]) -> Result<Self, Refusal> {
        let days = &days[days.len().saturating_sub(MOST_DAYS)..];
        let (Some(first), Some(last)) = (days.first(), days.last()) else { return Err(Refusal::TooFew { days: 0 }) };
        if days.len() < LEAST_DAYS {
            return Err(Refusal::TooFew { days: days.len() });
        }
        let span = last.day - first.day + 1;
        if days.len() as f64 / (span as f64) < 0.7 {
            return Err(Refusal::TooManyGaps { days: days.len(), span });
        }
        let (fit, errors) = interval::best(days).ok_or(Refusal::TooFew { days: days.len() })?;
        Ok(Self { fit, errors, last: last.day })
    }

    /// What was assumed of the series.
    pub fn shape(&self) -> Shape {
        self.fit.shape
    }

    /// What it grows by in a day; `None` where the data do not say that it grows or shrinks at all.
    pub fn per_day(&self) -> Option<f64> {
        self.fit.slope.filter(robust::Slope::is_sure).map(|s| s.value)
    }

    /// Where it will be `ahead` days after the last day of the data (1 or more).
    pub fn at(&self, ahead: i64) -> Point {
        let day = self.last + ahead;
        let value = self.fit.at(day);
        let (low, high) = self.errors.around(ahead);
        Point { day, value, low: value + low, high: value + high }
    }

    /// When it reaches `limit` from below, within `horizon` days.
    pub fn reaches(&self, limit: f64, now: f64, horizon: i64) -> Reach {
        if now >= limit {
            return Reach::Now;
        }
        let first = |of: fn(&Point) -> f64| (1..=horizon).map(|h| self.at(h)).find(|p| of(p) >= limit).map(|p| p.day);
        match (first(|p| p.high), first(|p| p.value)) {
            (Some(from), Some(day)) => Reach::Within { from, day, until: first(|p| p.low) },
            (Some(from), None) => Reach::Possible { from },
            (None, _) => Reach::Beyond,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn days(n: i64, value: impl Fn(i64) -> f64) -> Vec<Day> {
        (0..n).map(|day| Day { day, value: value(day) }).collect()
    }

    #[test]
    fn too_little_is_refused() {
        assert_eq!(Forecast::new(&days(13, |d| d as f64)).unwrap_err(), Refusal::TooFew { days: 13 });
        let gaps: Vec<_> = days(60, |d| d as f64).into_iter().filter(|d| d.day % 3 == 0).collect();
        assert!(matches!(Forecast::new(&gaps).unwrap_err(), Refusal::TooManyGaps { .. }));
    }

    #[test]
    fn a_steady_growth_reaches_its_limit_on_the_day() {
        let forecast = Forecast::new(&days(30, |d| 100.0 + 2.0 * d as f64)).unwrap();
        assert_eq!(forecast.per_day(), Some(2.0));
        let Reach::Within { from, day, until } = forecast.reaches(200.0, 158.0, 90) else { panic!() };
        assert_eq!((from, day, until), (50, 50, Some(50)));
        assert_eq!(forecast.reaches(1000.0, 158.0, 90), Reach::Beyond);
        assert_eq!(forecast.reaches(150.0, 158.0, 90), Reach::Now);
    }

    #[test]
    fn what_does_not_grow_is_not_said_to() {
        let forecast = Forecast::new(&days(60, |d| 50.0 + ((d * 7919) % 13) as f64)).unwrap();
        assert_eq!(forecast.per_day(), None);
        assert!(matches!(forecast.reaches(100.0, 55.0, 90), Reach::Beyond | Reach::Possible { .. }));
    }
}
