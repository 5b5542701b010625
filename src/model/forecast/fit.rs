//! Ways to carry a daily series on, none of which is told what the series is.

use super::{
    Day,
    robust::{self, Slope},
};

/// A week: the season that operations have.
const WEEK: i64 = 7;
/// A season is looked for where the data have it three times.
const SEASON_FROM: i64 = 3 * WEEK;

/// What may be assumed of a series.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// It stays where it was last week.
    Level,
    /// It goes on as over all the data.
    Trend,
    /// It goes on as over the newer half of the data.
    RecentTrend,
    /// It repeats its newest weeks, day by day.
    Repeat,
}

impl Shape {
    /// All of them; the simplest first, which is taken where others are no better.
    pub const ALL: [Self; 4] = [Self::Level, Self::Trend, Self::RecentTrend, Self::Repeat];

    /// In words, for people who read a forecast.
    pub fn words(self) -> &'static str {
        match self {
            Self::Level => "stays at its level of the last week",
            Self::Trend => "goes on as over all the data",
            Self::RecentTrend => "goes on as over the newer half of the data",
            Self::Repeat => "repeats what the same days did before",
        }
    }
}

/// A series, carried on.
#[derive(Debug, Clone)]
pub struct Fit {
    /// What was assumed.
    pub shape: Shape,
    /// Its slope a day, where that was looked at.
    pub slope: Option<Slope>,
    level: f64,
    per_day: f64,
    last: i64,
    weekday: Option<[f64; 7]>,
}

fn weekday(day: i64) -> usize {
    usize::try_from(day.rem_euclid(WEEK)).unwrap_or(0)
}

impl Fit {
    /// Fits the days, which must be in order; `None` where there are too few for that.
    pub fn new(shape: Shape, season: bool, days: &[Day]) -> Option<Self> {
        let (first, last) = (days.first()?.day, days.last()?.day);
        let used = match shape {
            Shape::Trend => days,
            Shape::RecentTrend => &days[days.len() / 2..],
            Shape::Level | Shape::Repeat => &days[days.len().saturating_sub(7)..],
        };
        let points: Vec<_> = used.iter().map(|d| (d.day as f64, d.value)).collect();
        let slope = match shape {
            Shape::Trend | Shape::RecentTrend => Some(robust::theil_sen(&points)?),
            Shape::Level | Shape::Repeat => None,
        };
        let per_day = slope.map_or(0.0, |s| s.value);
        let season = match shape {
            Shape::Repeat if last - first >= 2 * WEEK => Some(repeated(days, last)?),
            Shape::Repeat => return None,
            _ if season && last - first >= SEASON_FROM => Some(by_weekday(days)?),
            _ if season => return None,
            _ => None,
        };
        let of_day = |day: i64| season.map_or(0.0, |s| s[weekday(day)]);
        let level = match shape {
            Shape::Repeat => 0.0,
            _ => {
                let rest = used.iter().map(|d| d.value - of_day(d.day) - per_day * (d.day - last) as f64);
                robust::median(rest)?
            }
        };
        Some(Self { shape, slope, level, per_day, last, weekday: season })
    }

    /// What it says of a day after the data.
    pub fn at(&self, day: i64) -> f64 {
        self.level + self.per_day * (day - self.last) as f64 + self.weekday.map_or(0.0, |s| s[weekday(day)])
    }
}

/// How much each day of the week is above or below a running median of its week.
fn by_weekday(days: &[Day]) -> Option<[f64; 7]> {
    let mut offsets: [Vec<f64>; 7] = Default::default();
    for day in days {
        let around = days.iter().filter(|d| (d.day - day.day).abs() <= WEEK / 2).map(|d| d.value);
        offsets[weekday(day.day)].push(day.value - robust::median(around)?);
    }
    let mut season = [0.0; 7];
    for (day, of_day) in offsets.into_iter().enumerate() {
        season[day] = robust::median(of_day)?;
    }
    Some(season)
}

/// What each day of the week was in the newest two weeks.
fn repeated(days: &[Day], last: i64) -> Option<[f64; 7]> {
    let mut season = [0.0; 7];
    for (number, of_day) in season.iter_mut().enumerate() {
        let same = days.iter().filter(|d| weekday(d.day) == number && last - d.day < 2 * WEEK).map(|d| d.value);
        *of_day = robust::median(same)?;
    }
    Some(season)
}
