//! Series from a seed that look like what hosts do: the backtest's data. None of the forecast's rules was fitted to them.

use std::f64::consts::TAU;

use super::Day;

/// Samples a day: one each ten minutes.
pub const SAMPLES: usize = 144;

/// What a series looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Fills up and is emptied: logs and their rotation.
    Sawtooth,
    /// Busy on weekdays.
    Weekly,
    /// Stays where it is.
    Flat,
    /// Jumps now and then.
    Stepped,
    /// Grows, with noise whose logarithm is normal.
    LogNormal,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Sawtooth, Self::Weekly, Self::Flat, Self::Stepped, Self::LogNormal];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sawtooth => "sawtooth",
            Self::Weekly => "weekly",
            Self::Flat => "flat",
            Self::Stepped => "stepped",
            Self::LogNormal => "log-normal",
        }
    }
}

/// A pseudo-random sequence (SplitMix64: G. Steele, D. Lea, C. Flood, "Fast splittable pseudorandom number generators").
#[derive(Debug, Clone)]
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// Between 0 and 1, both excluded.
    fn unit(&mut self) -> f64 {
        ((self.next() >> 11) as f64 + 0.5) / (1_u64 << 53) as f64
    }

    fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.unit()
    }

    /// From the standard normal distribution (Box and Muller).
    fn normal(&mut self) -> f64 {
        (-2.0 * self.unit().ln()).sqrt() * (TAU * self.unit()).cos()
    }
}

/// A series of so many days, one sample each ten minutes.
pub fn samples(kind: Kind, seed: u64, days: usize) -> Vec<f64> {
    let mut random = Random(seed.wrapping_mul(31).wrapping_add(kind as u64));
    let base = random.between(50.0, 200.0);
    let noise = base * random.between(0.005, 0.03);
    let (rise, length) = (base * random.between(0.1, 0.5), random.between(0.8, 7.0));
    let (growth, swing) = (base * random.between(0.0, 0.01), random.between(0.2, 0.6));
    let spread = random.between(0.1, 0.5);
    let (mut level, mut of_day) = (base, 1.0);
    let mut all = Vec::with_capacity(days * SAMPLES);
    for number in 0..days * SAMPLES {
        let day = number as f64 / SAMPLES as f64;
        let new_day = number % SAMPLES == 0;
        let hour = (TAU * (day.fract() - 0.25)).sin();
        let value = match kind {
            Kind::Sawtooth => base + growth * day + rise * (day / length).fract(),
            Kind::Weekly => {
                let weekend = matches!((number / SAMPLES) % 7, 5 | 6);
                base * (1.0 + swing * hour.max(0.0)) * if weekend { 0.7 } else { 1.0 } + growth * day
            }
            Kind::Flat => base,
            Kind::Stepped => {
                if new_day && random.unit() < 0.04 {
                    level += base * random.between(-0.15, 0.3);
                }
                level
            }
            Kind::LogNormal => {
                if new_day {
                    of_day = (spread * random.normal()).exp();
                }
                (base + growth * day) * of_day
            }
        };
        all.push(value + noise * random.normal());
    }
    all
}

/// The peak of each day.
pub fn peaks(samples: &[f64]) -> Vec<Day> {
    let peak = |day: &[f64]| day.iter().copied().fold(f64::MIN, f64::max);
    (0..).zip(samples.chunks(SAMPLES)).map(|(day, of_day)| Day { day, value: peak(of_day) }).collect()
}
