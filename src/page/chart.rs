//! Charts as SVG, in colours that the style gives new values to in dark mode and in print: what all have, and bars.

use std::{ops::Range, time::Duration};

use maud::{Markup, PreEscaped, html};
use plotters::{
    coord::{Shift, types::RangedCoordf64},
    drawing::{DrawingArea, DrawingAreaErrorKind},
    prelude::{Cartesian2d, ChartBuilder, ChartContext, IntoDrawingArea, IntoFont, Rectangle, SVGBackend},
    style::{Color, RGBColor, TextStyle},
};

use crate::model::units::{ByteSize, Elapsed};

/// A chart's own size; it grows and shrinks with the page.
const SIZE: (u32, u32) = (480, 220);
/// More bars than this are not told apart; the newest are shown.
pub(super) const MOST_BARS: usize = 60;
/// The style's own colours: it knows them by these values.
pub(super) const MUTED: RGBColor = RGBColor(0x5A, 0x66, 0x75);
const LINE: RGBColor = RGBColor(0xD8, 0xDE, 0xE6);
pub(super) const ACCENT: RGBColor = RGBColor(0x2B, 0x6C, 0xB0);
pub(super) const BAD: RGBColor = RGBColor(0xB3, 0x26, 0x1E);

/// One bar.
pub(super) struct Bar {
    /// What stands below it.
    pub label: String,
    /// Bytes, or milliseconds.
    pub value: u64,
    /// Whether it is shown in the colour of what is wrong.
    pub bad: bool,
}

/// What the bars measure.
#[derive(Clone, Copy)]
pub(super) enum Unit {
    Bytes,
    Millis,
}

impl Unit {
    /// A value as people read it.
    pub(super) fn show(self, value: u64) -> String {
        match self {
            Self::Bytes => ByteSize(value).to_string(),
            Self::Millis => Elapsed(Duration::from_millis(value)).to_string(),
        }
    }

    /// What the axis counts in, for values up to `most`: its name and how many of the unit's own it has.
    fn scale(self, most: u64) -> (&'static str, f64) {
        let steps: &[(&str, f64)] = match self {
            Self::Bytes => &[("B", 1.0), ("kB", 1e3), ("MB", 1e6), ("GB", 1e9), ("TB", 1e12)],
            Self::Millis => &[("ms", 1.0), ("s", 1e3), ("min", 6e4), ("h", 3.6e6)],
        };
        let fits = |(_, size): &&(&str, f64)| most as f64 >= *size * 2.0;
        steps.iter().rev().find(fits).or(steps.first()).map_or(("", 1.0), |(name, size)| (*name, *size))
    }
}

/// A figure with the newest bars.
pub(super) fn bars(caption: &str, bars: &[Bar], unit: Unit) -> Markup {
    let shown = &bars[bars.len().saturating_sub(MOST_BARS)..];
    let (least, most) = (shown.iter().map(|b| b.value).min(), shown.iter().map(|b| b.value).max());
    let (Some(least), Some(most), Some(last)) = (least, most, shown.last()) else { return html! {} };
    let words = format!("{} now, {} to {}", unit.show(last.value), unit.show(least), unit.show(most));
    figure(caption, &words, draw(shown, unit, most))
}

/// A chart with its caption. `words` say what it shows, also for those who cannot see it.
pub(super) fn figure(caption: &str, words: &str, drawn: Result<String, String>) -> Markup {
    html! {
        figure role="img" aria-label=(format!("{caption}: {words}")) {
            figcaption { (caption) " " span { (words) } }
            @match drawn {
                Ok(svg) => (PreEscaped(svg)),
                Err(error) => p { "this chart could not be drawn: " (error) },
            }
        }
    }
}

/// What is written at a place of an axis.
type Say<'a> = &'a dyn Fn(&f64) -> String;

/// How a chart's axes lie, and what is written beside them.
pub(super) struct Axes<'a> {
    /// Where the horizontal one ends; it begins at 0.
    pub across: f64,
    /// From where to where the vertical one goes.
    pub up: Range<f64>,
    /// About how many labels are below, and what they say; `None`: the chart has its own.
    pub below: Option<(usize, Say<'a>)>,
    /// What the labels at the left say.
    pub left: Say<'a>,
}

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Chart<'a, 'b> = ChartContext<'a, SVGBackend<'b>, Cartesian2d<RangedCoordf64, RangedCoordf64>>;
/// Why something cannot be drawn.
pub(super) type Undrawn = DrawingAreaErrorKind<std::io::Error>;

/// The SVG of a chart, of which `fill` draws what the axes hold. Its only texts are labels, and plotters escapes them.
pub(super) fn plot(
    axes: &Axes<'_>,
    fill: impl FnOnce(&Area<'_>, &mut Chart<'_, '_>) -> Result<(), Undrawn>,
) -> Result<String, String> {
    let mut svg = String::new();
    let area = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
    let drawn = (|| {
        let mut builder = ChartBuilder::on(&area);
        builder.margin_top(10).margin_right(22).x_label_area_size(26).y_label_area_size(66);
        let mut chart = builder.build_cartesian_2d(0.0..axes.across, axes.up.clone())?;
        let mut mesh = chart.configure_mesh();
        mesh.disable_x_mesh().y_labels(4).y_label_formatter(axes.left).label_style(text());
        mesh.light_line_style(LINE.mix(0.0)).bold_line_style(LINE).axis_style(LINE);
        match axes.below {
            Some((labels, say)) => mesh.x_labels(labels).x_label_formatter(say),
            None => mesh.disable_x_axis(),
        };
        mesh.draw()?;
        fill(&area, &mut chart)?;
        area.present()
    })();
    drawn.map_err(|e: Undrawn| e.to_string())?;
    drop(area);
    Ok(svg)
}

/// What labels look like.
fn text() -> TextStyle<'static> {
    TextStyle::from(("sans-serif", 13).into_font()).color(&MUTED)
}

fn draw(bars: &[Bar], unit: Unit, most: u64) -> Result<String, String> {
    let (name, size) = unit.scale(most);
    let top = (most as f64 / size * 1.08).max(1.0);
    // Few bars stay slim and stand on the left, where the next ones will join them.
    let across = (bars.len() as f64).max(12.0);
    let axes = Axes { across, up: 0.0..top, below: None, left: &|value| format!("{} {name}", number(*value)) };
    plot(&axes, |area, chart| {
        for (i, bar) in bars.iter().enumerate() {
            let colour = if bar.bad { BAD } else { ACCENT };
            let at = i as f64;
            let corners = [(at + 0.16, 0.0), (at + 0.84, bar.value as f64 / size)];
            chart.draw_series([Rectangle::new(corners, colour.filled())])?;
        }
        // Labels of the first bar and of every so many, so that they do not run into each other.
        let every = (across / 5.0).ceil();
        for (i, bar) in bars.iter().enumerate().filter(|(i, _)| (*i as f64) % every < 0.5) {
            let (x, y) = chart.backend_coord(&(i as f64 + 0.16, 0.0));
            area.draw_text(&bar.label, &text(), (x, y + 8))?;
        }
        Ok(())
    })
}

/// A tick's value: no digits that say nothing.
fn number(value: f64) -> String {
    let text = format!("{value:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bar(value: u64) -> Bar {
        Bar { label: "<2026>".into(), value, bad: value == 3 }
    }

    #[test]
    fn a_chart_has_a_bar_for_each_value_and_escapes_its_labels() {
        let svg = bars("Sizes", &[bar(1_000_000), bar(3), bar(2_500_000)], Unit::Bytes).into_string();
        assert_eq!(svg.matches("fill=\"#2B6CB0\"").count(), 2, "{svg}");
        assert_eq!(svg.matches("fill=\"#B3261E\"").count(), 1, "{svg}");
        assert!(!svg.contains("<2026>") && svg.contains("&lt;2026"), "{svg}");
        assert!(svg.contains("2.5 MB now, 3 B to 2.5 MB") && svg.contains(" MB"), "{svg}");
    }

    #[test]
    fn nothing_and_much_are_drawn_too() {
        assert_eq!(bars("x", &[], Unit::Bytes).into_string(), "");
        let many: Vec<_> = (0..500).map(|_| bar(0)).collect();
        let svg = bars("x", &many, Unit::Millis).into_string();
        assert!(svg.contains("0 ms now") && svg.matches("fill=\"#2B6CB0\"").count() == MOST_BARS, "{svg}");
    }

    #[test]
    fn the_axis_counts_in_a_unit_that_fits() {
        assert_eq!(Unit::Bytes.scale(3_000_000).0, "MB");
        assert_eq!(Unit::Bytes.scale(0).0, "B");
        assert_eq!(Unit::Millis.scale(7_300_000).0, "h");
        assert_eq!((number(1.0), number(0.25)), ("1".into(), "0.25".into()));
    }
}
