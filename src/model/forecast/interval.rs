//! How wrong each way of carrying on would have been in the past, and so how wrong it may be now.

use super::{
    CONFIDENCE, Day, LEAST_DAYS,
    fit::{Fit, Shape},
    robust,
};

/// At most so many days of the past are stood on.
const MOST_ORIGINS: usize = 40;
/// How much better another shape must have been than a simpler one.
const WORTH: f64 = 0.8;
/// So many errors are needed before their quantiles mean something.
const ENOUGH: usize = 12;
/// A horizon was seen often where so many stretches of it, one after the other, fit into the data.
const OFTEN: i64 = 5;
/// Errors grow with the horizon where those of the longest one often seen are so much greater than those of a day.
const GROWS: f64 = 1.2;
/// Of fewer stretches not one is as rare as five in a hundred, which is what lies beyond either end.
const ONE_SIDED: i64 = 19;

/// What a way of carrying on got wrong: days ahead, and what came less what was expected.
#[derive(Debug, Clone, Default)]
pub struct Errors {
    by_horizon: Vec<(i64, f64)>,
    span: i64,
    /// Whether nothing says which way it goes: it stays at its level, until it jumps.
    either_way: bool,
    /// Their quantiles at some horizons, ever further apart.
    spread: Vec<(i64, (f64, f64))>,
}

/// The way that would have been right in the past, with its errors there.
pub fn best(days: &[Day]) -> Option<(Fit, Errors)> {
    let least = (days.len() / 3).clamp(LEAST_DAYS / 2, 28);
    let mut chosen: Option<(f64, Shape, bool, Errors)> = None;
    for shape in Shape::ALL {
        for season in [false, true] {
            // A repeated week is a season by itself.
            if season && shape == Shape::Repeat {
                continue;
            }
            let Some(errors) = Errors::of_past(shape, season, days, least) else { continue };
            let Some(typical) = robust::median(errors.by_horizon.iter().map(|e| e.1.abs())) else { continue };
            if chosen.as_ref().is_none_or(|(best, ..)| typical < best * WORTH) {
                chosen = Some((typical, shape, season, errors));
            }
        }
    }
    let (_, shape, season, mut errors) = chosen?;
    if errors.either_way && !season {
        // A level is known after a week: standing on those days too shows the jumps of the first third.
        errors = Errors::of_past(shape, season, days, LEAST_DAYS / 2).unwrap_or(errors);
    }
    Some((Fit::new(shape, season, days)?, errors.spread_out()))
}

impl Errors {
    /// Stands on earlier days, from the one after the first `least` on, looks ahead from there, and compares.
    fn of_past(shape: Shape, season: bool, days: &[Day], least: usize) -> Option<Self> {
        Fit::new(shape, season, days)?;
        let origins = days.len().checked_sub(least + 1)?;
        let step = origins.div_ceil(MOST_ORIGINS).max(1);
        let mut by_horizon = Vec::new();
        for known in (least..days.len() - 1).step_by(step) {
            let (past, future) = days.split_at(known + 1);
            let Some(last) = past.last() else { continue };
            let Some(fit) = Fit::new(shape, season, past) else { continue };
            by_horizon.extend(future.iter().map(|d| (d.day - last.day, d.value - fit.at(d.day))));
        }
        let span = days.last()?.day - days.first()?.day + 1;
        by_horizon.sort_by_key(|e| e.0);
        let either_way = shape == Shape::Level;
        (by_horizon.len() >= ENOUGH).then(|| Self { by_horizon, span, either_way, spread: Vec::new() })
    }

    /// The longest horizons were seen from few days of the past: what lies beyond grows as the days do.
    fn seen(&self) -> i64 {
        let longest = self.by_horizon.last().map_or(1, |e| e.0);
        (longest * 2 / 3).max(1)
    }

    /// Looks once at what [`around`](Self::around) asks for each day.
    fn spread_out(mut self) -> Self {
        let mut day = 1;
        while day <= self.seen() {
            self.spread.push((day, self.quantiles(day)));
            day = (day * 5 / 4).max(day + 1);
        }
        self
    }

    /// What may come less what is expected, `ahead` days on: lower and upper end. Never narrower than nearer days.
    ///
    /// Horizons that were seen often enough are taken as they were. Beyond them, errors that grew with the horizon go on
    /// growing as those of a random walk do, and never less than linearly where a horizon was not seen at all. What jumped one
    /// way in the few stretches that there are may jump the other way: so few tell how far, not whereto.
    pub fn around(&self, ahead: i64) -> (f64, f64) {
        let seen = self.seen();
        let often = (self.span / OFTEN).clamp(1, seen);
        let near = self.spread.first().map_or((0.0, 0.0), |s| s.1);
        let (mut widest, mut walk) = (near, near);
        for (day, (low, high)) in self.spread.iter().take_while(|s| s.0 <= ahead) {
            widest = (widest.0.min(*low), widest.1.max(*high));
            if *day <= often {
                walk = widest;
            }
        }
        let growth = (ahead as f64 / seen as f64).max(1.0);
        let stride = (ahead as f64 / often as f64).max(1.0).powf(0.8);
        let grows = |near: f64, walk: f64| walk.abs() > near.abs() * GROWS;
        let end = |near: f64, walk: f64, widest: f64| {
            let walked = if grows(near, walk) { walk * stride } else { walk };
            if walked.abs() > (widest * growth).abs() { walked } else { widest * growth }
        };
        let (low, high) = (end(near.0, walk.0, widest.0), end(near.1, walk.1, widest.1));
        let jumps = grows(near.0, walk.0) || grows(near.1, walk.1);
        if self.either_way && jumps && self.span < ahead * ONE_SIDED {
            let far = high.max(-low);
            return (-far, far);
        }
        (low, high)
    }

    /// The quantiles of errors at about that horizon; wider where there are few.
    fn quantiles(&self, ahead: i64) -> (f64, f64) {
        let mut reach = 1.5;
        let near = loop {
            let fits = |h: i64| h as f64 <= ahead as f64 * reach && h as f64 * reach >= ahead as f64;
            let near = robust::sorted(self.by_horizon.iter().filter(|e| fits(e.0)).map(|e| e.1));
            if near.len() >= ENOUGH || reach > 1e3 {
                break near;
            }
            reach *= 1.5;
        };
        // Errors of one series come in runs: only stretches that do not overlap tell anything new. The quantile of so few is
        // the conformal one (V. Vovk et al., "Algorithmic Learning in a Random World"), and often the worst that was seen.
        let apart = (self.span as f64 / ahead as f64).max(1.0);
        let tail = ((1.0 - CONFIDENCE) / 2.0 * (apart + 1.0) / apart - 1.0 / apart).max(0.0);
        let low = robust::quantile(&near, tail).unwrap_or(0.0);
        let high = robust::quantile(&near, 1.0 - tail).unwrap_or(0.0);
        (low.min(0.0), high.max(0.0))
    }
}
