//! What the forecasts would have been worth: how often the truth lay in the interval, and how often an alarm was false,
//! beside PromQL's `predict_linear` over six hours, which the usual alert rules have.

use std::ops::Range;

use super::{
    CONFIDENCE, Forecast,
    examples::{self, Kind, SAMPLES},
};

/// The first day that is looked ahead from.
const FROM: usize = 30;
/// How far it is looked ahead: four weeks.
const AHEAD: usize = 28;
const WEEK: i64 = 7;
/// An alarm says that the limit is reached within so many days.
const ALARM: usize = 4;
/// Alarms are judged so many times a day.
const LOOKS: usize = 4;

/// How the alarms of one method did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Alarms {
    /// Alarms that nothing followed.
    pub false_alarms: u32,
    /// Times at which the limit was near and no alarm said so.
    pub missed: u32,
    /// Times at which it was looked.
    pub looks: u32,
}

impl Alarms {
    fn count(&mut self, alarm: bool, came: bool) {
        self.looks += 1;
        self.false_alarms += u32::from(alarm && !came);
        self.missed += u32::from(!alarm && came);
    }
}

/// How many held-out days lay within their interval.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Coverage {
    /// Days that did.
    pub covered: u32,
    /// Days that were looked at.
    pub days: u32,
}

impl Coverage {
    fn count(&mut self, covered: bool) {
        self.days += 1;
        self.covered += u32::from(covered);
    }

    /// Their share.
    pub fn share(self) -> f64 {
        f64::from(self.covered) / f64::from(self.days.max(1))
    }
}

/// The result for one kind of series.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Score {
    /// Its name.
    pub series: &'static str,
    /// The first week ahead.
    pub first_week: Coverage,
    /// All four weeks ahead.
    pub four_weeks: Coverage,
    /// maint's alarms.
    pub maint: Alarms,
    /// Those of `predict_linear` over six hours.
    pub predict_linear: Alarms,
}

/// The share that the intervals are meant to hold.
pub fn meant() -> f64 {
    CONFIDENCE
}

/// How much is looked at.
#[derive(Debug, Clone)]
pub struct Extent {
    /// The series' seeds.
    pub seeds: Range<u64>,
    /// Days of each series.
    pub days: usize,
    /// Days from one forecast to the next.
    pub every: usize,
}

impl Default for Extent {
    /// A dozen of each kind, four months long, forecast every day.
    fn default() -> Self {
        Self { seeds: 0..12, days: 120, every: 1 }
    }
}

/// Runs every kind of series.
pub fn run(extent: &Extent) -> Vec<Score> {
    let score = |kind: Kind| {
        let mut score = Score {
            series: kind.name(),
            first_week: Coverage::default(),
            four_weeks: Coverage::default(),
            maint: Alarms::default(),
            predict_linear: Alarms::default(),
        };
        for seed in extent.seeds.clone() {
            one(kind, seed, extent, &mut score);
        }
        score
    };
    Kind::ALL.into_iter().map(score).collect()
}

fn one(kind: Kind, seed: u64, extent: &Extent, score: &mut Score) {
    let samples = examples::samples(kind, seed, extent.days);
    let peaks = examples::peaks(&samples);
    // Near enough that whoever draws lines through six hours meets it.
    let limit = peaks.iter().map(|d| d.value).fold(f64::MIN, f64::max) * 1.05;
    // The limit of series that grow is one that they reach.
    let limit = if seed.is_multiple_of(2) { limit } else { limit / 1.05 * 0.9 };
    for known in (FROM..extent.days.saturating_sub(ALARM)).step_by(extent.every.max(1)) {
        let Ok(forecast) = Forecast::new(&peaks[..known]) else { continue };
        if known % 7 < extent.every.min(7) {
            for (ahead, day) in (1..).zip(peaks[known..].iter().take(AHEAD)) {
                let point = forecast.at(ahead);
                let covered = point.low <= day.value && day.value <= point.high;
                score.four_weeks.count(covered);
                if ahead <= WEEK {
                    score.first_week.count(covered);
                }
            }
        }
        alarms(&forecast, &samples, known, limit, score);
    }
}

/// Both methods, some times a day, where the limit is not reached yet.
fn alarms(forecast: &Forecast, samples: &[f64], known: usize, limit: f64, score: &mut Score) {
    let window = SAMPLES / 4;
    let ahead = i64::try_from(ALARM).unwrap_or(i64::MAX);
    let ours = (1..=ahead).any(|h| forecast.at(h).value >= limit);
    for look in 0..LOOKS {
        let now = known * SAMPLES + look * SAMPLES / LOOKS;
        if samples[now - SAMPLES..now].iter().any(|v| *v >= limit) {
            continue;
        }
        let until = (now + ALARM * SAMPLES).min(samples.len());
        let came = samples[now..until].iter().any(|v| *v >= limit);
        let line = predict_linear(&samples[now - window..now], (ALARM * SAMPLES) as f64);
        score.maint.count(ours, came);
        score.predict_linear.count(line >= limit, came);
    }
}

/// Least squares through the samples, `ahead` samples after the last one (PromQL's function of that name).
fn predict_linear(samples: &[f64], ahead: f64) -> f64 {
    let n = samples.len() as f64;
    let (mean_x, mean_y) = ((n - 1.0) / 2.0, samples.iter().sum::<f64>() / n);
    let (mut above, mut below) = (0.0, 0.0);
    for (x, y) in samples.iter().enumerate() {
        let x = x as f64 - mean_x;
        above += x * (y - mean_y);
        below += x * x;
    }
    mean_y + above / below * (n - 1.0 - mean_x + ahead)
}
