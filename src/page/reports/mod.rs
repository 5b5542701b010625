//! The monthly reports as pages: the verdict first, then what it rests on.

mod advice;
mod capacity;
mod head;
mod performance;
mod security;

use chrono_tz::Tz;
use maud::{Markup, html};

use super::shell;
use crate::model::{
    finding::{Band, Finding},
    reports::Report,
};

/// The page.
pub fn render(report: &Report) -> String {
    let head = report.head();
    // The report was made by a configuration whose zone was understood.
    let zone: Tz = head.timezone.parse().unwrap_or(Tz::UTC);
    let title = format!("{} of {}, {}", head.title, head.stack, head.period);
    let body = html! {
        (head::masthead(head, zone))
        main {
            (head::verdict(report))
            @match report {
                Report::Performance(report) => (performance::body(report, zone)),
                Report::Capacity(report) => (capacity::body(report)),
                Report::Recommendations(report) => (advice::body(report)),
                Report::Security(report) => (security::body(report, zone)),
            }
        }
        footer {
            "Made by maint " (head.maint) " on " (head.host) ", " (super::time(head.made, zone)) ". The same as data: "
            (head.period) ".json beside it. This page loads nothing and runs nothing."
        }
    };
    shell(&title, &body)
}

/// The style's class of a band.
fn class(band: Band) -> &'static str {
    match band {
        Band::Excellent => "excellent",
        Band::Good => "fine",
        Band::Warning => "warning",
        Band::Unknown => "unknown",
        Band::Critical => "critical",
    }
}

fn chip(band: Band) -> Markup {
    html! { span class={ "chip is-" (class(band)) } { (band.word()) } }
}

/// A finding with what to do.
fn finding(finding: &Finding) -> Markup {
    html! {
        article class={ "finding " (finding.band.word()) } {
            header { (chip(finding.band)) strong { (finding.subject) } }
            p { (finding.seen) }
            @if let Some(hint) = &finding.hint { (command(hint)) }
            @if let Some(source) = &finding.source { p class="muted small" { "Seen by: " code { (source) } } }
        }
    }
}

/// Commands are shown as such, so that they can be copied whole.
fn command(hint: &str) -> Markup {
    let is_command = hint.contains('\n')
        || hint.chars().next().is_some_and(|c| c.is_ascii_uppercase()) && hint.contains(';')
        || hint.starts_with("EXPLAIN")
        || hint.starts_with("SELECT");
    html! { @if is_command { pre { code { (hint) } } } @else { p class="remedy" { (hint) } } }
}
