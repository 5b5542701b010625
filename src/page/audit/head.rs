//! What a reader sees first: whether all is well, and the figures that say so.

use std::collections::BTreeSet;

use chrono_tz::Tz;
use maud::{Markup, html};

use super::{super::time, class};
use crate::model::{
    audit::{Mark, Report, SetFacts, Severity},
    coverage::Covered,
    units::{ByteSize, age, count},
};

/// As many things are named in the verdict.
const NAMED: usize = 4;

pub(super) fn masthead(report: &Report, zone: Tz) -> Markup {
    html! {
        div class="masthead" {
            h1 { "Backup audit of the stack " (report.stack) }
            span class="muted" { (time(report.finished, zone)) }
        }
    }
}

/// The verdict in a word or two, and in a sentence.
fn words(report: &Report) -> (&'static str, String, String) {
    let n = |severity| report.number(severity);
    match report.worst() {
        Some(Severity::Tampered) => (
            "✗",
            "Damaged, tampered with or missing".into(),
            format!(
                "{}. Do not restore from what is named there, and do not delete anything, before you know why.",
                damaged(report)
            ),
        ),
        Some(Severity::Unchecked) => (
            "?",
            "Not everything could be checked".into(),
            "No damage was found in what could be read. That is not the same as all being well: make the rest readable, \
             and audit again."
                .into(),
        ),
        Some(Severity::Policy) => (
            "!",
            format!("Nothing is damaged, but {} to close", count(n(Severity::Policy), "gap")),
            "Every set and copy that is there is as it was captured. What is named below should be there too.".into(),
        ),
        Some(Severity::Note) | None if report.sets().next().is_none() => {
            ("!", "There is no backup".into(), "No set was found, so that nothing could be wrong with one.".into())
        }
        Some(Severity::Note) | None if report.scope.trust.is_none() => (
            "✓",
            "All is whole; who made it was not checked".into(),
            "Every set and copy agrees with its own manifest, no slot lacks its set, and nothing on this host is left out \
             unknown. Without a trust anchor, whoever can write here could have made all of it."
                .into(),
        ),
        Some(Severity::Note) | None => (
            "✓",
            "All is as it should be".into(),
            "Every set and copy is as it was captured, no slot lacks its set, and nothing on this host is left out unknown."
                .into(),
        ),
    }
}

/// The first of what is damaged, by name, and how many more there are.
fn damaged(report: &Report) -> String {
    let bad = report.findings.iter().filter(|f| f.severity == Severity::Tampered);
    let names: BTreeSet<&str> = bad.map(|f| f.subject.as_str()).collect();
    let named: Vec<&str> = names.iter().copied().take(NAMED).collect();
    match names.len().saturating_sub(NAMED) {
        0 => named.join(", "),
        more => format!("{} and {more} more", named.join(", ")),
    }
}

pub(super) fn verdict(report: &Report) -> Markup {
    let (glyph, headline, sentence) = words(report);
    let look = match report.worst() {
        Some(severity) if severity > Severity::Note => class(severity),
        _ if report.sets().next().is_none() => "policy",
        _ => "good",
    };
    html! {
        section class={ "verdict is-" (look) } role="status" {
            span class="glyph" aria-hidden="true" { (glyph) }
            div {
                strong { (headline) }
                p { (sentence) }
                div class="chips" {
                    @for severity in Severity::ALL {
                        @let n = report.number(severity);
                        @if n > 0 { span class={ "chip is-" (class(severity)) } { (n) " " (severity.word()) } }
                    }
                }
            }
        }
    }
}

/// The figures that an auditor asks for.
pub(super) fn facts(report: &Report, zone: Tz) -> Markup {
    let facts: Vec<&SetFacts> = report.sets().filter_map(|s| s.facts.as_ref()).collect();
    let bytes = ByteSize(facts.iter().map(|f| f.bytes).sum());
    let newest = facts.iter().max_by_key(|f| f.sealed);
    let drill = facts.iter().filter(|f| f.drilled.is_some()).max_by_key(|f| f.drilled);
    let marks = |of: &dyn Fn(&Mark) -> bool| report.sets().filter(|s| of(&s.signature)).count();
    let signed = marks(&|m| matches!(m, Mark::Good(_)));
    let copies: Vec<&Mark> = report.sets().flat_map(|s| &s.copies).map(|c| &c.mark).collect();
    let whole = copies.iter().filter(|m| matches!(m, Mark::Good(_))).count();
    let backed = report.coverage.iter().filter(|l| matches!(l.covered, Covered::Job(_))).count();
    let unknown = report.coverage.iter().filter(|l| matches!(l.covered, Covered::Nobody(_))).count();
    let ago = |at| format!("{} ago", age(report.finished - at));
    html! {
        dl class="facts" {
            (fact("Sets", &report.sets().count().to_string(), &format!("{bytes} in {}", count(report.series.len() as u64, "series"))))
            @match newest {
                Some(f) => (fact("Newest set", &ago(f.sealed), &time(f.sealed, zone))),
                None => (fact("Newest set", "none", "")),
            }
            @match drill.and_then(|f| Some((f, f.drilled?))) {
                Some((f, at)) => (fact("Last restored to try it", &ago(at), &recovery(f))),
                None => (fact("Last restored to try it", "never", "nobody knows yet whether it restores")),
            }
            (fact("Signed by a trusted key", &format!("{signed} of {}", report.sets().count()), match &report.scope.trust {
                Some(_) => "checked against the trust file",
                None => "no trust file is configured",
            }))
            (fact("Copies off this host", &whole.to_string(), &match report.scope.stores.as_slice() {
                [] => "no store is configured".to_owned(),
                stores => format!("equal, in {}", stores.join(", ")),
            }))
            (fact("Backed up on this host", &format!("{backed} of {}", report.coverage.len()), &match unknown {
                0 => "the rest is left out with a reason".to_owned(),
                n => format!("{n} that nobody knows of"),
            }))
        }
    }
}

fn recovery(facts: &SetFacts) -> String {
    facts.recovery_millis.map_or_else(String::new, |millis| {
        format!("restoring took {}", crate::model::units::Elapsed(std::time::Duration::from_millis(millis)))
    })
}

fn fact(what: &str, value: &str, more: &str) -> Markup {
    html! { div class="fact" { dt { (what) } dd { (value) @if !more.is_empty() { small { (more) } } } } }
}
