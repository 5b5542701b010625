//! Charts over time as SVG: lines, the area between two of them, limits; in the style's own colours.

use chrono::NaiveDate;
use maud::{Markup, html};
use plotters::{
    prelude::{DashedLineSeries, LineSeries, Polygon, Rectangle},
    style::{Color, RGBColor, ShapeStyle},
};

use super::chart::{ACCENT, Axes, BAD, MUTED, figure, plot};
use crate::model::finding::{Quantity, Unit};

/// The area between two lines.
const SOFT: RGBColor = RGBColor(0xCF, 0xE0, 0xF3);

/// What is drawn, day by day.
#[derive(Debug, Default)]
pub(super) struct Lines {
    /// What was: day and value.
    pub known: Vec<(NaiveDate, f64)>,
    /// What is expected.
    pub expected: Vec<(NaiveDate, f64)>,
    /// The lower and upper end of an area.
    pub between: Vec<(NaiveDate, f64, f64)>,
    /// A limit.
    pub limit: Option<f64>,
}

/// Days, and the values' own range.
struct Range {
    first: NaiveDate,
    days: f64,
    low: f64,
    high: f64,
}

impl Lines {
    fn range(&self) -> Option<Range> {
        let dates = self.known.iter().chain(&self.expected).map(|p| p.0).chain(self.between.iter().map(|p| p.0));
        let (first, last) = (dates.clone().min()?, dates.max()?);
        let values = self.known.iter().chain(&self.expected).map(|p| p.1);
        let values = values.chain(self.between.iter().flat_map(|p| [p.1, p.2])).filter(|v| v.is_finite());
        let (low, high) = values.fold((f64::MAX, f64::MIN), |(low, high), v| (low.min(v), high.max(v)));
        // A limit far above everything would press the line to the ground.
        let limit = self.limit.filter(|limit| *limit > 0.0 && *limit < high * 3.0 && high > 0.0);
        let high = limit.map_or(high, |limit| high.max(limit));
        let low = if low > high * 0.7 { low - (high - low) * 0.3 } else { 0.0_f64.min(low) };
        let room = if high > low { (high - low) * 0.08 } else { high.abs().max(1.0) * 0.1 };
        Some(Range { first, days: (last - first).num_days().max(1) as f64, low, high: high + room })
    }
}

/// A figure; nothing where there are no days. `words` say what it shows for those who cannot see it.
pub(super) fn lines(caption: &str, words: &str, lines: &Lines, unit: Unit) -> Markup {
    let Some(range) = lines.range() else { return html! {} };
    figure(caption, words, draw(lines, &range, unit))
}

fn draw(lines: &Lines, range: &Range, unit: Unit) -> Result<String, String> {
    let at = |date: NaiveDate| (date - range.first).num_days() as f64;
    let inside = |value: f64| value.clamp(range.low, range.high);
    let (say_day, say_value) =
        (|day: &f64| day_label(range.first, *day), |value: &f64| tick(*value, range.high - range.low, unit));
    let axes = Axes { across: range.days, up: range.low..range.high, below: Some((5, &say_day)), left: &say_value };
    plot(&axes, |_, chart| {
        if lines.between.len() > 1 {
            let upper = lines.between.iter().map(|p| (at(p.0), inside(p.2)));
            let lower = lines.between.iter().rev().map(|p| (at(p.0), inside(p.1)));
            chart.draw_series([Polygon::new(upper.chain(lower).collect::<Vec<_>>(), SOFT.filled())])?;
        }
        if let Some(limit) = lines.limit.filter(|limit| *limit <= range.high) {
            let ends = [(0.0, limit), (range.days, limit)];
            chart.draw_series(DashedLineSeries::new(ends, 6, 4, ShapeStyle::from(&BAD).stroke_width(1)))?;
        }
        let known = lines.known.iter().map(|p| (at(p.0), inside(p.1)));
        chart.draw_series(LineSeries::new(known, ShapeStyle::from(&ACCENT).stroke_width(2)))?;
        let expected = lines.expected.iter().map(|p| (at(p.0), inside(p.1)));
        chart.draw_series(DashedLineSeries::new(expected, 5, 4, ShapeStyle::from(&ACCENT).stroke_width(2)))?;
        Ok(())
    })
}

/// A tick's value; sizes with as many digits as tell ticks of this span apart.
fn tick(value: f64, span: f64, unit: Unit) -> String {
    const SIZES: [(&str, f64); 5] = [("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3), ("B", 1.0)];
    if unit != Unit::Bytes {
        return Quantity::new(value, unit).to_string();
    }
    let (name, size) = SIZES.into_iter().find(|(_, size)| value.abs() >= *size).unwrap_or(("B", 1.0));
    let digits = match span / size {
        span if span < 0.5 => 2,
        span if span < 5.0 => 1,
        _ => 0,
    };
    format!("{:.digits$} {name}", value / size)
}

fn day_label(first: NaiveDate, day: f64) -> String {
    let days = format!("{day:.0}").parse().unwrap_or(0);
    (first + chrono::TimeDelta::days(days)).format("%-d %b").to_string()
}

/// A figure with the median of each hour of the day; hours without one have no bar.
pub(super) fn hours(caption: &str, words: &str, values: &[Option<f64>], business: (u32, u32), unit: Unit) -> Markup {
    let most = values.iter().flatten().copied().fold(f64::MIN, f64::max);
    if most <= 0.0 || !most.is_finite() {
        return html! {};
    }
    figure(caption, words, draw_hours(values, business, most, unit))
}

fn draw_hours(values: &[Option<f64>], business: (u32, u32), most: f64, unit: Unit) -> Result<String, String> {
    let (say_hour, say_value) = (|hour: &f64| format!("{hour:.0}"), |value: &f64| tick(*value, most, unit));
    let axes = Axes { across: 24.0, up: 0.0..most * 1.08, below: Some((9, &say_hour)), left: &say_value };
    plot(&axes, |_, chart| {
        for (hour, value) in (0_u32..).zip(values) {
            let Some(value) = value else { continue };
            let colour = if (business.0..business.1).contains(&hour) { ACCENT } else { MUTED };
            let left = f64::from(hour);
            let corners = [(left + 0.14, 0.0), (left + 0.86, value.max(0.0))];
            chart.draw_series([Rectangle::new(corners, colour.filled())])?;
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn days(n: i64, value: impl Fn(i64) -> f64) -> Vec<(NaiveDate, f64)> {
        let first: NaiveDate = "2026-08-30".parse().unwrap();
        (0..n).map(|day| (first + chrono::TimeDelta::days(day), value(day))).collect()
    }

    #[test]
    fn a_chart_has_what_was_what_is_expected_and_the_limit() {
        let between = days(30, |d| d as f64).into_iter().map(|(date, v)| (date, v - 1.0, v + 1.0)).collect();
        let all = Lines { known: days(20, |d| d as f64), expected: days(30, |d| d as f64), between, limit: Some(25.0) };
        let svg = lines("Disk", "full soon", &all, Unit::Bytes).into_string();
        assert!(
            svg.contains("#CFE0F3") && svg.contains("#2B6CB0") && svg.contains("#B3261E") && svg.contains(" Sep"),
            "{svg}"
        );
        let far = Lines { limit: Some(1e9), ..all };
        assert!(
            !lines("Disk", "", &far, Unit::Bytes).into_string().contains("#B3261E"),
            "it would press the line down"
        );
    }

    #[test]
    fn ticks_are_told_apart() {
        assert_eq!(
            (tick(1.45e9, 5e7, Unit::Bytes), tick(1.5e9, 5e7, Unit::Bytes)),
            ("1.45 GB".into(), "1.50 GB".into())
        );
        assert_eq!((tick(4e10, 1e11, Unit::Bytes), tick(0.0, 10.0, Unit::Bytes)), ("40 GB".into(), "0 B".into()));
        assert_eq!(tick(12.5, 100.0, Unit::Percent), "12.5 %");
    }

    #[test]
    fn nothing_one_day_and_odd_values_are_drawn_too() {
        assert_eq!(lines("x", "", &Lines::default(), Unit::Count).into_string(), "");
        for value in [0.0, -5.0, 1e300] {
            let one = Lines { known: days(1, |_| value), ..Lines::default() };
            assert!(lines("x", "", &one, Unit::Count).into_string().contains("<svg"), "{value}");
        }
        assert_eq!(hours("x", "", &[None; 24], (9, 18), Unit::Count).into_string(), "");
        let mut values = [Some(1.0); 24];
        values[3] = None;
        let svg = hours("x", "", &values, (9, 18), Unit::Count).into_string();
        assert_eq!(svg.matches("<rect").count(), 23, "{svg}");
    }
}
