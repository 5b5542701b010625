//! The audit's report as one page: the verdict first, every finding with its remedy, and how to check it all without maint.

mod by_hand;
mod head;
mod places;
mod series;

use chrono_tz::Tz;
use maud::{Markup, html};

use super::shell;
use crate::model::audit::{Finding, Mark, Report, Severity};

/// The page.
pub fn render(report: &Report) -> String {
    // The report was made by a configuration whose zone was understood.
    let zone: Tz = report.timezone.parse().unwrap_or(Tz::UTC);
    let title = format!("Backup audit of {}, {}", report.stack, super::day(report.finished, zone));
    let body = html! {
        (head::masthead(report, zone))
        main {
            (head::verdict(report))
            (head::facts(report, zone))
            (findings(report))
            @for (i, part) in report.series.iter().enumerate() { (series::part(report, part, zone, i == 0)) }
            (places::coverage(report))
            (places::scope(report, zone))
            (by_hand::section(report))
            @for part in &report.series { (series::table(report, part, zone)) }
        }
        footer {
            "Made by maint " (report.host.maint) " on " (report.host.name) " from " (super::time(report.begun, zone))
            " to " (super::time(report.finished, zone)) ". This page loads nothing and runs nothing. Where it has a \
            signature beside it: ssh-keygen -Y verify -f allowed_signers -I PRINCIPAL -n maint-audit -s FILE.sig < FILE"
        }
    };
    shell(&title, &body)
}

/// The style's class of a severity.
fn class(severity: Severity) -> &'static str {
    match severity {
        Severity::Note => "note",
        Severity::Policy => "policy",
        Severity::Unchecked => "unchecked",
        Severity::Tampered => "tampered",
    }
}

/// Every finding, worst first.
fn findings(report: &Report) -> Markup {
    html! {
        h2 id="findings" { "Findings" }
        @if report.findings.is_empty() { p { "None." } }
        @for finding in &report.findings { (one(report, finding)) }
    }
}

fn one(report: &Report, finding: &Finding) -> Markup {
    // What is missing has no place of its own on the page.
    let link = finding.set.as_ref().filter(|set| report.sets().any(|s| s.set == **set));
    html! {
        article class={ "finding " (class(finding.severity)) } {
            header {
                span class={ "chip is-" (class(finding.severity)) } { (finding.severity.word()) }
                strong {
                    @match link {
                        Some(set) => a href=(format!("#{}", anchor(set))) { (finding.subject) },
                        None => (finding.subject),
                    }
                }
                span class="muted small" { (finding.area.word()) }
            }
            p { (finding.problem) }
            @if !finding.remedy.is_empty() { p class="remedy" { (finding.remedy) } }
        }
    }
}

/// Where the page tells of a set.
fn anchor(set: &str) -> String {
    format!("set-{}", set.replace(|c: char| !c.is_ascii_alphanumeric(), "-"))
}

/// A thing that was looked at.
fn mark(mark: &Mark) -> Markup {
    let (class, glyph) = match mark {
        Mark::Good(_) => ("good", "✓ "),
        Mark::Open(_) => ("open", ""),
        Mark::Unknown(_) => ("unknown", "? "),
        Mark::Bad(_) => ("bad", "✗ "),
    };
    html! { span class={ "mark " (class) } { (glyph) (mark.text()) } }
}
