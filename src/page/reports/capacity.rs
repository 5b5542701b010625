//! When something runs full: a table of everything, then each with its chart.

use maud::{Markup, html};

use super::{
    super::lines::{self, Lines},
    chip, finding,
};
use crate::model::{
    finding::Quantity,
    forecast::Reach,
    reports::capacity::{Capacity, Expectation, Outlook, date},
};

pub(super) fn body(report: &Capacity) -> Markup {
    let made = |outlook: &&Outlook| matches!(outlook.expectation, Expectation::Made { .. });
    html! {
        section {
            h2 { "The next " (report.horizon) " days" }
            table class="list" {
                thead { tr {
                    @for heading in ["Resource", "Verdict", "Now", "Limit", "Growth a day", "Then", "Full"] { th scope="col" { (heading) } }
                } }
                tbody { @for outlook in &report.resources { (row(outlook)) } }
            }
        }
        @for outlook in report.resources.iter().filter(|o| !o.finding.band.is_fine()) { (finding(&outlook.finding)) }
        section {
            h2 { "One by one" }
            div class="charts" {
                @for outlook in report.resources.iter().filter(made) {
                    (lines::lines(&outlook.name, &full(outlook), &chart(outlook), outlook.unit))
                }
            }
            p class="muted small" {
                "Peaks of each day, in UTC. Dashed: what is expected; the area holds nine of ten days to come, by how wrong the same way \
                of looking ahead would have been in the past. Red: where it is full. Several simple ways are tried on a series' own past, \
                and the one that would have been right is taken; a jump that never happened cannot be foreseen. What follows the \
                load, and whose data do not have the end of a month twice, is told for it by `month_end` of "
                code { "[capacity.seasons]" } ": " (report.seasons.month_end.from) " to " (report.seasons.month_end.to) " times."
            }
        }
        @if !report.left_out.is_empty() {
            section {
                h2 { "Not looked at" }
                ul { @for line in &report.left_out { li { (line) } } }
            }
        }
    }
}

fn row(outlook: &Outlook) -> Markup {
    let show = |value: f64| Quantity::new(value, outlook.unit).to_string();
    let (growth, then) = match &outlook.expectation {
        Expectation::Made { per_day, ahead, .. } => (
            per_day.map_or_else(|| "none that is sure".to_owned(), show),
            ahead.last().map_or_else(String::new, |end| {
                format!("{} ({} to {})", show(end.value), show(end.low.max(0.0)), show(end.high))
            }),
        ),
        Expectation::Refused { .. } => (String::new(), String::new()),
    };
    html! {
        tr {
            td data-label="Resource" { (outlook.name) }
            td data-label="Verdict" { (chip(outlook.finding.band)) }
            td data-label="Now" class="number" { @if let Some(now) = outlook.now { (show(now)) } }
            td data-label="Limit" class="number" { @if let Some(limit) = outlook.limit { (show(limit)) } }
            td data-label="Growth a day" class="number" { (growth) }
            td data-label="Then" {
                (then)
                @if let Some(end) = outlook.month_end { span class="muted small" { " at a month's end up to " (show(end)) } }
            }
            td data-label="Full" { (full(outlook)) }
        }
    }
}

/// When it is full, in a few words.
fn full(outlook: &Outlook) -> String {
    match &outlook.expectation {
        Expectation::Refused { why } => format!("not forecast: {why}"),
        Expectation::Made { .. } if outlook.limit.is_none() => "has no limit of its own".into(),
        Expectation::Made { reach, .. } => match reach {
            Reach::Now => "now".into(),
            Reach::Within { from, day, until: Some(until) } => {
                format!("about {} ({} to {})", date(*day), date(*from), date(*until))
            }
            Reach::Within { from, day, until: None } => format!("about {} ({} or later)", date(*day), date(*from)),
            Reach::Possible { from } => format!("not expected, possible from {}", date(*from)),
            Reach::Beyond => "not within that time".into(),
        },
    }
}

fn chart(outlook: &Outlook) -> Lines {
    let Expectation::Made { ahead, .. } = &outlook.expectation else { return Lines::default() };
    let floor = |value: f64| if outlook.history.iter().all(|(_, v)| *v >= 0.0) { value.max(0.0) } else { value };
    Lines {
        known: outlook.history.clone(),
        expected: ahead.iter().map(|a| (a.date, floor(a.value))).collect(),
        between: ahead.iter().map(|a| (a.date, floor(a.low), a.high)).collect(),
        limit: outlook.limit,
    }
}
