//! Statistics that a few wild values do not move: medians, quantiles, and the Theil–Sen line.
//!
//! P. K. Sen, "Estimates of the regression coefficient based on Kendall's tau", JASA 63 (1968).

/// The quantile `q` of sorted values, interpolated; `None` where there are none.
pub fn quantile(sorted: &[f64], q: f64) -> Option<f64> {
    let last = sorted.len().checked_sub(1)?;
    let place = q.clamp(0.0, 1.0) * last as f64;
    let below = whole(place, last);
    let above = (below + 1).min(last);
    let share = place - below as f64;
    Some(sorted[below] * (1.0 - share) + sorted[above] * share)
}

/// The greatest index up to `last` that is not above `place`.
fn whole(place: f64, last: usize) -> usize {
    let (mut low, mut high) = (0, last);
    while low < high {
        let middle = (low + high).div_ceil(2);
        if middle as f64 <= place { low = middle } else { high = middle - 1 }
    }
    low
}

/// The values in order; those that are no numbers are left out.
pub fn sorted(values: impl IntoIterator<Item = f64>) -> Vec<f64> {
    let mut values: Vec<f64> = values.into_iter().filter(|v| v.is_finite()).collect();
    values.sort_unstable_by(f64::total_cmp);
    values
}

/// The middle of some values; `None` where there are none.
pub fn median(values: impl IntoIterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<f64> = values.into_iter().filter(|v| v.is_finite()).collect();
    select(&mut values, 0.5)
}

/// [`quantile`] of values in any order, which it moves about: cheaper than sorting them.
fn select(values: &mut [f64], q: f64) -> Option<f64> {
    let last = values.len().checked_sub(1)?;
    let place = q.clamp(0.0, 1.0) * last as f64;
    let below = whole(place, last);
    let share = place - below as f64;
    let (_, at, above) = values.select_nth_unstable_by(below, f64::total_cmp);
    let next = above.iter().copied().min_by(f64::total_cmp).unwrap_or(*at);
    Some(*at * (1.0 - share) + next * share)
}

/// A line's slope and where it may lie.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Slope {
    /// The median of the slopes of all pairs.
    pub value: f64,
    /// The lower end of the confidence interval.
    pub low: f64,
    /// Its upper end.
    pub high: f64,
}

impl Slope {
    /// Whether the data say that there is a slope at all.
    pub fn is_sure(&self) -> bool {
        self.low > 0.0 || self.high < 0.0
    }
}

/// The Theil–Sen slope with its 90 % confidence interval; `None` for fewer than three points or one instant.
pub fn theil_sen(points: &[(f64, f64)]) -> Option<Slope> {
    if points.len() < 3 {
        return None;
    }
    let pairs = points.iter().enumerate().flat_map(|(i, a)| points[i + 1..].iter().map(move |b| (a, b)));
    let slopes = pairs.filter(|(a, b)| a.0 != b.0).map(|(a, b)| (b.1 - a.1) / (b.0 - a.0));
    let mut slopes: Vec<f64> = slopes.filter(|s| s.is_finite()).collect();
    let n = points.len() as f64;
    let all = slopes.len() as f64;
    // Kendall's variance of the number of concordant pairs (no ties); 1.645 for 90 %.
    let reach = 1.645 * (n * (n - 1.0) * (2.0 * n + 5.0) / 18.0).sqrt();
    let mut at = |rank: f64| select(&mut slopes, rank / (all - 1.0).max(1.0));
    let (value, low, high) = (at((all - 1.0) / 2.0)?, at((all - reach) / 2.0 - 1.0)?, at((all + reach) / 2.0)?);
    Some(Slope { value, low, high })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_found_through_wild_values() {
        let mut points: Vec<_> = (0..30).map(|x| (f64::from(x), 3.0 + 2.0 * f64::from(x))).collect();
        for wild in [3, 11, 20, 27] {
            points[wild].1 = 1e6;
        }
        let slope = theil_sen(&points).unwrap();
        assert!((slope.value - 2.0).abs() < 1e-9 && slope.is_sure(), "{slope:?}");
    }

    #[test]
    fn noise_has_no_sure_slope() {
        let points: Vec<_> = (0..30).map(|x| (f64::from(x), f64::from((x * 7919) % 13))).collect();
        assert!(!theil_sen(&points).unwrap().is_sure());
    }

    #[test]
    fn quantiles_interpolate_and_nothing_has_none() {
        let values = sorted([4.0, f64::NAN, 1.0, 3.0, 2.0]);
        assert_eq!(quantile(&values, 0.5), Some(2.5));
        assert_eq!((quantile(&values, 0.0), quantile(&values, 1.0)), (Some(1.0), Some(4.0)));
        assert_eq!(quantile(&[], 0.5), None);
    }
}
