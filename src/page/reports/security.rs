//! How safe the stack is: what nobody could look at first, then base images, vulnerabilities, certificates, their renewal.

use chrono_tz::Tz;
use maud::{Markup, html};

use super::{super::day, chip, class, finding};
use crate::model::{
    detail::Detail,
    finding::{Band, Finding},
    reports::security::{Part, Security, Subject},
    units::count,
    vulnerability::{DATABASE, Rating, Vulnerability},
};

/// As many digits of a digest are shown: enough to tell images apart.
const DIGITS: usize = 12;

pub(super) fn body(report: &Security, zone: Tz) -> Markup {
    let unknown: Vec<_> = report.findings().filter(|finding| finding.band == Band::Unknown).collect();
    html! {
        dl class="facts four" { @for part in &report.parts { (fact(part)) } }
        @if !unknown.is_empty() {
            section {
                h2 { "Could not be checked" }
                @for unseen in unknown { (finding(unseen)) }
            }
        }
        @for part in &report.parts {
            section {
                h2 { (title(part)) " " (chip(part.worst())) }
                @if !part.summary.is_empty() { p class="muted" { (part.summary) } }
                @match part.subject {
                    Subject::Images => (images(&part.findings)),
                    Subject::Vulnerabilities => (vulnerabilities(&part.findings)),
                    Subject::Certificates => (certificates(&part.findings, zone)),
                    Subject::Renewal | Subject::Other => (plain(&part.findings.iter().collect::<Vec<_>>())),
                }
            }
        }
    }
}

fn title(part: &Part) -> &str {
    match part.subject {
        Subject::Images => "Base images",
        Subject::Vulnerabilities => "Known vulnerabilities of what runs",
        Subject::Certificates => "Certificates",
        Subject::Renewal => "Trial renewal",
        Subject::Other => &part.step,
    }
}

fn short_title(part: &Part) -> &str {
    if part.subject == Subject::Vulnerabilities { "Vulnerabilities" } else { title(part) }
}

/// A part in a few words.
fn fact(part: &Part) -> Markup {
    let details = || part.findings.iter().filter_map(|finding| finding.detail.as_deref());
    let (large, small) = match part.subject {
        Subject::Images => {
            let of = |is: fn(&Detail) -> usize| details().map(is).sum::<usize>() as u64;
            let new = of(|d| usize::from(matches!(d, Detail::Image { before, now, .. } if before != now)));
            let behind = of(|d| if let Detail::Image { behind, .. } = d { behind.len() } else { 0 });
            (format!("{new} new"), format!("{} on an old one", count(behind, "container")))
        }
        Subject::Vulnerabilities => {
            let of = |wanted: bool| {
                let found = details().map(|d| match d {
                    Detail::Vulnerabilities { new, found } if *new == wanted => found.len(),
                    _ => 0,
                });
                found.sum::<usize>()
            };
            (format!("{} new", of(true)), format!("that can be fixed; {} known before", of(false)))
        }
        Subject::Certificates => {
            let left =
                details().filter_map(|d| if let Detail::Certificate { left, .. } = d { Some(*left) } else { None });
            match left.min_by(f64::total_cmp) {
                Some(least) => (percent(least), "of its life has the one that ends first".to_owned()),
                None => ("not known".to_owned(), String::new()),
            }
        }
        Subject::Renewal | Subject::Other => {
            let bad = part.findings.iter().filter(|finding| !finding.band.is_fine()).count();
            let all = part.findings.len();
            (format!("{} of {all} good", all - bad), part.summary.clone())
        }
    };
    html! {
        div class="fact" {
            dt { (short_title(part)) }
            dd { (large) small { (small) } }
            dd { (chip(part.worst())) }
        }
    }
}

/// What has to be done about, and was not told before: what could not be checked stands at the top.
fn to_do(findings: &[Finding]) -> Markup {
    html! {
        @for found in findings.iter().filter(|f| matches!(f.band, Band::Warning | Band::Critical)) { (finding(found)) }
    }
}

fn head(headings: &[&str]) -> Markup {
    html! { thead { tr { @for heading in headings { th scope="col" { (heading) } } } } }
}

fn images(findings: &[Finding]) -> Markup {
    let short = |digest: &str| {
        let digits = digest.split_once(':').map_or(digest, |(_, digits)| digits);
        digits.chars().take(DIGITS).collect::<String>()
    };
    html! {
        table class="list" {
            (head(&["Image", "Verdict", "Before", "Now", "Still on an old one"]))
            tbody {
                @for found in findings {
                    @if let Some(Detail::Image { before, now, behind }) = found.detail.as_deref() {
                        tr {
                            td data-label="Image" { (found.subject.trim_start_matches("image ")) }
                            td data-label="Verdict" { (chip(found.band)) }
                            td data-label="Before" class="number" { @if let Some(digest) = before { code { (short(digest)) } } @else { "none" } }
                            td data-label="Now" class="number" {
                                @if before == now && found.band != Band::Unknown && found.band != Band::Critical { "the same" }
                                @else if before == now { "not known" }
                                @else if let Some(digest) = now { code { (short(digest)) } }
                            }
                            td data-label="On an old one" { (behind.join(", ")) }
                        }
                    }
                }
            }
        }
        (to_do(findings))
    }
}

/// Findings by their subjects, in the order of first sight.
fn grouped(findings: &[Finding]) -> Vec<(&str, Vec<&Finding>)> {
    let mut groups: Vec<(&str, Vec<&Finding>)> = Vec::new();
    for found in findings {
        match groups.iter_mut().find(|(subject, _)| *subject == found.subject) {
            Some((_, group)) => group.push(found),
            None => groups.push((&found.subject, vec![found])),
        }
    }
    groups
}

/// New ones first, each image by itself; what needs nothing done in a table at the end.
fn vulnerabilities(findings: &[Finding]) -> Markup {
    let is_decision = |found: &&Finding| matches!(found.detail.as_deref(), Some(Detail::Decision { .. }));
    let (decisions, of_images): (Vec<_>, Vec<_>) = findings.iter().partition(is_decision);
    let of_images: Vec<Finding> = of_images.into_iter().cloned().collect();
    let groups = grouped(&of_images);
    let (bad, rest): (Vec<_>, Vec<_>) = groups.iter().partition(|(_, group)| group.iter().any(|f| listed(f).is_some()));
    let rest: Vec<_> = rest.iter().flat_map(|(_, group)| group.iter().copied()).collect();
    let (databases, rest): (Vec<_>, Vec<_>) = rest.into_iter().partition(|found| found.subject == DATABASE);
    let (fine, unknown): (Vec<_>, Vec<_>) = rest.into_iter().partition(|found| found.band.is_fine());
    html! {
        @for database in databases { p class="muted" { "Database " (database.seen) " " (chip(database.band)) } }
        @for (image, group) in bad { (of_image(image, group)) }
        @for (title, rows) in [("Not known", unknown), ("Nothing to fix", fine)] {
            @if !rows.is_empty() { h3 { (title) } (plain(&rows)) }
        }
        @if !decisions.is_empty() {
            h3 { "Left out on purpose" }
            table class="list" {
                (head(&["Vulnerability", "Verdict", "Until", "Why"]))
                tbody {
                    @for found in decisions {
                        @if let Some(Detail::Decision { until, reason }) = found.detail.as_deref() {
                            tr {
                                td data-label="Vulnerability" { (found.subject) }
                                td data-label="Verdict" { (chip(found.band)) }
                                td data-label="Until" class="number" { (until) @if !found.band.is_fine() { ", counts again" } }
                                td data-label="Why" { (reason) }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// The vulnerabilities of a finding, and whether they are new.
fn listed(found: &Finding) -> Option<(bool, &[Vulnerability])> {
    match found.detail.as_deref() {
        Some(Detail::Vulnerabilities { new, found }) => Some((*new, found)),
        _ => None,
    }
}

fn of_image(image: &str, group: &[&Finding]) -> Markup {
    let rows = group.iter().filter_map(|found| listed(found));
    let rows: Vec<_> = rows.flat_map(|(new, found)| found.iter().map(move |one| (new, one))).collect();
    html! {
        h3 { (image) }
        table class="list" {
            (head(&["Vulnerability", "Rated", "In", "Fixed in", "New"]))
            tbody {
                @for (new, one) in &rows {
                    tr {
                        td data-label="Vulnerability" class="number" { (one.id) }
                        td data-label="Rated" { (rating(one.rating)) }
                        td data-label="In" { (one.package) " " (one.installed) }
                        td data-label="Fixed in" { (one.fixed.as_deref().unwrap_or_default()) }
                        td data-label="New" { @if *new { strong { "new" } } @else { "known before" } }
                    }
                }
            }
        }
        @for found in group.iter().filter(|found| listed(found).is_none()) { p class="muted small" { (found.seen) "." } }
    }
}

fn rating(rating: Rating) -> Markup {
    let look = if rating == Rating::Critical { Band::Critical } else { Band::Warning };
    html! { span class={ "chip is-" (class(look)) } { (rating.word()) } }
}

fn percent(share: f64) -> String {
    format!("{:.0} %", share.max(0.0) * 100.0)
}

fn certificates(findings: &[Finding], zone: Tz) -> Markup {
    html! {
        table class="list" {
            (head(&["Certificate", "Verdict", "Until", "Life left"]))
            tbody {
                @for found in findings {
                    @if let Some(Detail::Certificate { until, left, .. }) = found.detail.as_deref() {
                        tr {
                            td data-label="Certificate" { (found.subject) }
                            td data-label="Verdict" { (chip(found.band)) }
                            td data-label="Until" class="number" { (day(*until, zone)) }
                            td data-label="Life left" { (life(*left, found.band)) }
                        }
                    }
                    // What else is well; what is not has a place of its own.
                    @else if found.band.is_fine() {
                        tr {
                            td data-label="Certificate" { (found.subject) }
                            td data-label="Verdict" { (chip(found.band)) }
                            td {}
                            td data-label="Seen" { (found.seen) }
                        }
                    }
                }
            }
        }
        (to_do(findings))
    }
}

/// How much of its life a certificate has left.
fn life(left: f64, band: Band) -> Markup {
    html! {
        div class="life" {
            div class="shares" aria-hidden="true" { span class=(band.word()) style={ "width:" (format!("{:.1}%", left.clamp(0.0, 1.0) * 100.0)) } {} }
            span class="number" { (percent(left)) }
        }
    }
}

fn plain(findings: &[&Finding]) -> Markup {
    html! {
        table class="list" {
            (head(&["Looked at", "Verdict", "Seen"]))
            tbody {
                @for found in findings {
                    tr {
                        td data-label="Looked at" { (found.subject) }
                        td data-label="Verdict" { (chip(found.band)) }
                        td data-label="Seen" {
                            span { (found.seen) @if let Some(hint) = &found.hint { span class="muted" { " → " (hint) } } }
                        }
                    }
                }
            }
        }
    }
}
