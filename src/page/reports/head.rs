//! What a reader sees first: what the report is about, and whether all is well.

use chrono_tz::Tz;
use maud::{Markup, html};

use super::{super::time, class};
use crate::model::{
    finding::Band,
    reports::{Head, Report},
    units::count,
};

/// As many things are named in the verdict.
const NAMED: usize = 4;

pub(super) fn masthead(head: &Head, zone: Tz) -> Markup {
    html! {
        div class="masthead" {
            h1 { (head.title) " of the stack " (head.stack) }
            span class="muted" { (time(head.from, zone)) " to " (time(head.to, zone)) }
        }
    }
}

/// The verdict in a word or two, and in a sentence.
fn words(report: &Report) -> (&'static str, String, String) {
    let findings = report.findings();
    let of = |band: Band| findings.iter().filter(|f| f.band == band).map(|f| f.subject.as_str()).collect::<Vec<_>>();
    let named = |names: &[&str]| {
        let mut distinct: Vec<&str> = Vec::new();
        for name in names {
            if !distinct.contains(name) {
                distinct.push(name);
            }
        }
        let shown = distinct.iter().take(NAMED).copied().collect::<Vec<_>>().join(", ");
        match distinct.len().saturating_sub(NAMED) {
            0 => shown,
            more => format!("{shown} and {more} more"),
        }
    };
    let (critical, unknown, warning) = (of(Band::Critical), of(Band::Unknown), of(Band::Warning));
    let also = if unknown.is_empty() || critical.is_empty() && warning.is_empty() {
        String::new()
    } else {
        format!(" Not known: {}.", named(&unknown))
    };
    match report.worst() {
        Some(Band::Critical) => {
            let headline = format!("{} to act upon now", count(critical.len() as u64, "thing"));
            ("✗", headline, format!("{}.{also}", named(&critical)))
        }
        Some(Band::Unknown) if warning.is_empty() => (
            "?",
            format!("{} could not be judged", count(unknown.len() as u64, "thing")),
            format!("{}. What is not known is not good: see below what was in the way.", named(&unknown)),
        ),
        Some(Band::Unknown | Band::Warning) => {
            ("!", format!("{} to look at", count(warning.len() as u64, "thing")), format!("{}.{also}", named(&warning)))
        }
        Some(Band::Good | Band::Excellent) => ("✓", all_well(report).0.into(), all_well(report).1.into()),
        None if matches!(report, Report::Recommendations(_)) => {
            ("✓", all_well(report).0.into(), all_well(report).1.into())
        }
        None => ("?", "Nothing was looked at".into(), "Nothing is configured that could be.".into()),
    }
}

fn all_well(report: &Report) -> (&'static str, &'static str) {
    match report {
        Report::Security(_) => {
            ("Nothing to act upon", "Everything below was looked at, and all of it is as it should be.")
        }
        Report::Performance(_) => ("All as it should be", "Every measure was good for at least 95 % of the time."),
        Report::Capacity(_) => {
            ("Nothing runs full", "No limit is expected to be reached within the time that was looked ahead.")
        }
        Report::Recommendations(_) => {
            ("Nothing to change", "Everything below was looked at, and nothing is worth a change.")
        }
    }
}

pub(super) fn verdict(report: &Report) -> Markup {
    let (glyph, headline, sentence) = words(report);
    let look = match (glyph, report.worst()) {
        ("!", _) => "warning",
        ("?", _) => "unknown",
        (_, Some(band)) => class(band),
        (_, None) => "fine",
    };
    let findings = report.findings();
    html! {
        section class={ "verdict is-" (look) } role="status" {
            span class="glyph" aria-hidden="true" { (glyph) }
            div {
                strong { (headline) }
                p { (sentence) }
                div class="chips" {
                    @for band in [Band::Critical, Band::Unknown, Band::Warning, Band::Good, Band::Excellent] {
                        @let n = findings.iter().filter(|f| f.band == band).count();
                        @if n > 0 { span class={ "chip is-" (class(band)) } { (n) " " (band.word()) } }
                    }
                }
            }
        }
    }
}
