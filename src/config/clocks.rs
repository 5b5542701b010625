//! What the clocks do to a job's schedule, said before they do it.

use chrono::{DateTime, Datelike, Duration, Utc};

use super::{
    diagnostic::Mistake,
    document::{Document, place},
};
use crate::model::schedule::{Dst, Schedule, gaps};

/// How far ahead is looked.
const YEARS: i64 = 5;

/// Warnings about a schedule: times that the clocks skip, and days that are named in two ways.
pub(super) fn warnings(document: &Document, schedule: &Schedule, now: DateTime<Utc>) -> Vec<Mistake> {
    let here = |message: String, help: String| {
        let mistake = document.at_path(&place!["schedule"], message).help(help);
        Mistake { warning: true, ..mistake }
    };
    let gap = swallowed(schedule, now).map(|(message, help)| here(message, help));
    let either = schedule.is_on_either_day().then(|| {
        here(
            "it fires on the days of the month and on the weekdays, as cron does, not only where both are".into(),
            "for both, put `+` before the weekday: `0 1 1-7 * +SUN`, which is `0 1 * * SUN#1`".into(),
        )
    });
    gap.into_iter().chain(either).collect()
}

/// A fixed time that does not exist on some days of the coming years.
fn swallowed(schedule: &Schedule, now: DateTime<Utc>) -> Option<(String, String)> {
    if !schedule.is_at_fixed_hours() {
        return None;
    }
    let gaps = gaps(schedule.zone(), now, now + Duration::days(YEARS * 366));
    let hit: Vec<_> = gaps.iter().filter_map(|gap| Some((gap, schedule.swallowed(gap).next()?))).collect();
    let (gap, wall) = hit.first()?;
    let (zone, day) = (schedule.zone().name(), wall.format("%Y-%m-%d"));
    let more = match hit.len() - 1 {
        0 => String::new(),
        _ => format!(", and so in other years until {}", hit.last().map_or(0, |(gap, _)| gap.end.year())),
    };
    let skipped = format!(
        "{} does not exist in {zone} on {day}, when clocks go from {} to {}{more}",
        wall.format("%H:%M"),
        gap.begin.format("%H:%M"),
        gap.end.format("%H:%M"),
    );
    Some(match schedule.dst() {
        Dst::RunAfterGap => (
            format!("{skipped}; it runs at {} instead (dst = \"run_after_gap\")", gap.end.format("%H:%M")),
            "nothing is lost; another hour would run every day at the same time".into(),
        ),
        Dst::Skip => (
            format!("{skipped}; that slot is left out (dst = \"skip\")"),
            "to make up for it, set dst = \"run_after_gap\", or choose another hour".into(),
        ),
    })
}
