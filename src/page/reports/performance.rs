//! How the stack did: a table of all measures, then each with its charts.

use chrono_tz::Tz;
use maud::{Markup, html};

use super::{
    super::{
        lines::{self, Lines},
        time,
    },
    chip,
};
use crate::model::{
    finding::{Band, Quantity, Unit},
    reports::{
        performance::{Measure, Performance},
        seasons::Factor,
    },
};

pub(super) fn body(report: &Performance, zone: Tz) -> Markup {
    html! {
        section {
            h2 { "Every measure" }
            table class="list" {
                thead { tr {
                    @for heading in ["Measure", "Verdict", "Median", "95 % better than", "Worst hour", "Change", "Measured"] {
                        th scope="col" { (heading) }
                    }
                } }
                tbody { @for measure in &report.measures { (row(measure, zone)) } }
            }
        }
        @for measure in &report.measures { (one(report, measure, zone)) }
        @if !report.services.is_empty() { (services(report)) }
        (seasons(report))
    }
}

fn title(name: &str) -> String {
    let text = name.replace(['_', '-'], " ");
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}

fn anchor(name: &str) -> String {
    format!("measure-{}", name.replace(|c: char| !c.is_ascii_alphanumeric(), "-"))
}

fn row(measure: &Measure, zone: Tz) -> Markup {
    let show = |value: f64| Quantity::new(value, measure.unit).to_string();
    let bad = measure.summary.map(|s| if measure.greater_is_worse { s.p95 } else { s.p5 });
    html! {
        tr {
            td data-label="Measure" class="number" { a href={ "#" (anchor(&measure.name)) } { (title(&measure.name)) } }
            td data-label="Verdict" { (chip(measure.finding.band)) }
            td data-label="Median" class="number" { @if let Some(s) = &measure.summary { (show(s.p50)) } }
            td data-label="95 % better" class="number" { @if let Some(bad) = bad { (show(bad)) } }
            td data-label="Worst hour" {
                @if let Some(worst) = measure.worst.first() { span { (show(worst.mean)) " " span class="muted small" { (time(worst.start, zone)) } } }
            }
            td data-label="Change" class="number" { @if let Some(change) = change(measure) { (change) } }
            td data-label="Measured" class="number" { (format!("{:.0} %", measure.coverage * 100.0)) }
        }
    }
}

/// How the median changed since the month before.
fn change(measure: &Measure) -> Option<String> {
    let [.., before, now] = measure.trend.as_slice() else { return None };
    if measure.unit == Unit::Percent {
        return Some(format!("{:+.2} points", now.middle - before.middle));
    }
    let percent = 100.0 * (now.middle - before.middle) / before.middle.abs().max(f64::MIN_POSITIVE);
    percent.is_finite().then(|| format!("{percent:+.0} %"))
}

fn one(report: &Performance, measure: &Measure, zone: Tz) -> Markup {
    let show = |value: f64| Quantity::new(value, measure.unit).to_string();
    html! {
        section class="measure" id=(anchor(&measure.name)) {
            h3 { (title(&measure.name)) " " (chip(measure.finding.band)) }
            p { (measure.finding.seen) "." }
            @if let Some(hint) = &measure.finding.hint { p class="remedy" { (hint) } }
            @if !measure.shares.is_empty() { (shares(measure)) }
            @if let Some(summary) = &measure.summary {
                div class="charts" {
                    (lines::lines("Day by day", "median, and the 5th to the 95th percentile; dashed: where good ends", &days(measure), measure.unit))
                    (lines::hours("Hour by hour", "median of each hour of the day; business hours in colour", &measure.hours, report.seasons.hours, measure.unit))
                }
                dl class="facts" {
                    @for (what, value) in [("Median", summary.p50), ("95th percentile", summary.p95), ("99th percentile", summary.p99),
                        ("Least", summary.least), ("Most", summary.most), ("Mean", summary.mean)] {
                        div class="fact" { dt { (what) } dd { (show(value)) } }
                    }
                }
                (details(report, measure, zone))
            }
            @if let Some(source) = &measure.finding.source { p class="muted small" { "Seen by: " code { (source) } } }
        }
    }
}

fn days(measure: &Measure) -> Lines {
    Lines {
        known: measure.days.iter().map(|d| (d.date, d.middle)).collect(),
        expected: Vec::new(),
        between: measure.days.iter().map(|d| (d.date, d.low, d.high)).collect(),
        limit: measure.good,
    }
}

fn shares(measure: &Measure) -> Markup {
    let percent = |share: f64| {
        if share > 0.0 && share < 0.001 { "< 0.1 %".to_owned() } else { format!("{:.1} %", share * 100.0) }
    };
    let known = |band: &&(Band, f64)| band.1 > 0.0;
    let words: Vec<_> = measure
        .shares
        .iter()
        .filter(known)
        .map(|(band, share)| format!("{} {}", percent(*share), band.word()))
        .collect();
    html! {
        div class="shares" role="img" aria-label=(words.join(", ")) {
            @for (band, share) in measure.shares.iter().filter(known) {
                span class=(band.word()) style=(format!("width:{:.3}%", share * 100.0)) {}
            }
        }
        p class="muted small" { "Of the measured time: " (words.join(", ")) "." }
    }
}

fn details(report: &Performance, measure: &Measure, zone: Tz) -> Markup {
    let show = |value: f64| Quantity::new(value, measure.unit).to_string();
    let worst: Vec<_> = measure.worst.iter().map(|h| format!("{} ({})", time(h.start, zone), show(h.mean))).collect();
    let factor = |what: &str, seen: Option<f64>, meant: Factor| {
        seen.map(|seen| format!("{what} {seen:.2} times (the runbook: {} to {})", meant.from, meant.to))
    };
    let (load, seasons) = (&measure.load, &report.seasons);
    let loads: Vec<_> = [
        factor("business hours", load.business_hours, seasons.business_hours),
        factor("weekends", load.weekend, seasons.weekend),
        factor("the month's end", load.month_end, seasons.month_end),
        factor("holidays", load.holiday, seasons.holiday),
    ]
    .into_iter()
    .flatten()
    .collect();
    let trend = measure.trend.iter().map(|m| match m.bad {
        Some(bad) => format!("{} {} ({})", m.period, show(m.middle), show(bad)),
        None => format!("{} {:.3} %", m.period, m.middle),
    });
    let trend: Vec<_> = trend.collect();
    let told = match measure.trend.first().map(|m| m.bad) {
        Some(Some(_)) => "; median, in parentheses what 95 % of the time was better than",
        _ => "; of the service that was least available",
    };
    let business = measure.business.map(|s| {
        let bad = if measure.greater_is_worse { s.p95 } else { s.p5 };
        format!("median {}, 95 % better than {}", show(s.p50), show(bad))
    });
    let line = |what: &str, text: String| html! { tr { th scope="row" class="key" { (what) } td { (text) } } };
    html! {
        table class="list" {
            tbody {
                @if !worst.is_empty() { (line("Worst hours", worst.join(" · "))) }
                @if let Some(business) = business { (line("Business hours", business)) }
                @if measure.unit != Unit::Percent && !loads.is_empty() { (line("Beside quiet hours", loads.join(" · "))) }
                @if trend.len() > 1 { (line("Month by month", format!("{}{told}", trend.join(" · ")))) }
            }
        }
    }
}

fn services(report: &Performance) -> Markup {
    html! {
        section {
            h2 { "Availability, service by service" }
            table class="list" {
                thead { tr { @for heading in ["Service", "Available", "Minutes down", "Measured"] { th scope="col" { (heading) } } } }
                tbody {
                    @for service in &report.services {
                        tr {
                            td data-label="Service" { (service.name) }
                            td data-label="Available" class="number" { (format!("{:.3} %", service.percent)) }
                            td data-label="Minutes down" class="number" { (format!("{:.0}", service.minutes_down)) }
                            td data-label="Measured" class="number" { (format!("{:.0} %", service.coverage * 100.0)) }
                        }
                    }
                }
            }
        }
    }
}

fn seasons(report: &Performance) -> Markup {
    let seasons = &report.seasons;
    html! {
        p class="muted small" {
            "Business hours are " (seasons.hours.0) " to " (seasons.hours.1) " on working days, in " (report.head.timezone)
            "; a month's end is its last " (seasons.month_end_days) " days. A measure's verdict is that of the value which 95 % of the \
            time was better than. Looked at every five minutes; availability by every sample."
        }
    }
}
