//! A row of sets: its calendar, its charts, its table.

use chrono_tz::Tz;
use maud::{Markup, html};

use super::{
    super::{
        calendar::{self, Cell},
        chart::{self, Bar, Unit},
        day, time,
    },
    anchor, mark,
};
use crate::model::{
    audit::{Mark, Report, SeriesPart, SetPart, Severity},
    manifest::Level,
    period::PeriodKind,
    slots::SlotState,
    units::{ByteSize, age, count, grouped},
};

pub(super) fn part(report: &Report, part: &SeriesPart, zone: Tz, first: bool) -> Markup {
    let bars = |unit: Unit| -> Vec<Bar> {
        let known = part.sets.iter().filter_map(|set| Some((set, set.facts.as_ref()?)));
        known
            .map(|(set, facts)| Bar {
                label: set.period.clone(),
                value: match unit {
                    Unit::Bytes => facts.bytes,
                    Unit::Millis => facts.millis,
                },
                bad: set.worst == Some(Severity::Tampered),
            })
            .collect()
    };
    html! {
        section {
            h2 id={ "series-" (part.series) } { "Series " (part.series) }
            p class="muted" { (about(part)) }
            (calendar::render(part.period.unwrap_or(PeriodKind::Month), &cells(part, zone)))
            @if first { (legend()) }
            @if !part.sets.is_empty() {
                div class="charts" {
                    (chart::bars("Size of a set", &bars(Unit::Bytes), Unit::Bytes))
                    (chart::bars("Time to capture and verify it", &bars(Unit::Millis), Unit::Millis))
                }
            }
            @if let Some(newest) = part.sets.iter().rev().find(|s| s.facts.is_some()) { (newest_line(report, newest)) }
        }
    }
}

/// What the series is, in a sentence.
fn about(part: &SeriesPart) -> String {
    let mut text = match &part.job {
        Some(job) => format!("The job {job} adds to it"),
        None => "No job of this configuration adds to it".to_owned(),
    };
    match &part.schedule {
        Some(schedule) => text += &format!(": {}", schedule.trim_end_matches('.')),
        None if part.job.is_some() => text += ", by hand only: no slot can be missed",
        None => {}
    }
    if let Some(level) = part.asks {
        text += &format!(". It asks for the level {level}");
    }
    text += &format!(". {}", count(part.sets.len() as u64, "set"));
    if !part.pruned.is_empty() {
        text += &format!(", {} pruned before", part.pruned.len());
    }
    text + "."
}

fn newest_line(report: &Report, set: &SetPart) -> Markup {
    let Some(facts) = &set.facts else { return html! {} };
    html! {
        p {
            "Newest: " a href={ "#" (anchor(&set.set)) } { (set.set) } ", " (ByteSize(facts.bytes))
            @if let Some(rows) = facts.rows { ", " (grouped(rows)) " rows" }
            ", sealed " (age(report.finished - facts.sealed)) " ago, verified to the level " (facts.level) "."
        }
    }
}

/// How a set is shown where all is well with it.
fn of_level(level: Level) -> (&'static str, &'static str, &'static str) {
    match level {
        Level::Drill => ("drill", "D", "restored into a throwaway server and compared"),
        Level::Structure => ("structure", "S", "decoded to the end"),
        Level::Checksum => ("checksum", "C", "every digest compared"),
    }
}

/// What is bad about a set is shown before what is good; gaps are of slots, not of sets.
fn look(set: &SetPart) -> (&'static str, &'static str, String) {
    match (set.worst, &set.facts) {
        (Some(Severity::Tampered), _) => ("tampered", "✗", "damaged, tampered with or incomplete".into()),
        (Some(Severity::Unchecked), _) | (_, None) => ("unchecked", "?", "could not be checked".into()),
        (_, Some(facts)) => {
            let (class, glyph, words) = of_level(facts.level);
            (class, glyph, words.into())
        }
    }
}

/// Slots first, sets after them: where both have a place, the set is what is shown; the worst of several sets comes last.
fn cells(part: &SeriesPart, zone: Tz) -> Vec<(String, Cell)> {
    let mut cells = Vec::new();
    let plain = |class, glyph, title: String| Cell { class, glyph, title, link: None };
    for pruned in &part.pruned {
        let title = format!("{}: pruned: {}", pruned.set, pruned.reason);
        cells.push((pruned.period.clone(), plain("pruned", "–", title)));
    }
    for slot in &part.slots {
        let at = time(slot.at, zone);
        match slot.state {
            SlotState::Missing => {
                cells.push((slot.period.clone(), plain("missing", "!", format!("{at}: no set for this slot"))));
            }
            SlotState::Due => cells.push((slot.period.clone(), plain("due", "…", format!("{at}: due")))),
            SlotState::Set(_) | SlotState::Pruned(_) => {}
        }
    }
    let missing: Vec<&str> = cells.iter().filter(|(_, c)| c.class == "missing").map(|(p, _)| p.as_str()).collect();
    let mut sets: Vec<&SetPart> = part.sets.iter().collect();
    sets.sort_by_key(|set| (set.worst, set.facts.as_ref().map(|f| std::cmp::Reverse(f.level))));
    let shown = sets.iter().filter(|set| set.worst > Some(Severity::Policy) || !missing.contains(&set.period.as_str()));
    let shown: Vec<_> = shown
        .map(|set| {
            let (class, glyph, words) = look(set);
            let title = format!("{}: {words}", set.set);
            (set.period.clone(), Cell { class, glyph, title, link: Some(format!("#{}", anchor(&set.set))) })
        })
        .collect();
    cells.extend(shown);
    cells
}

fn legend() -> Markup {
    let entries = [
        ("drill", "D", "restored and compared (drill)"),
        ("structure", "S", "decoded to the end (structure)"),
        ("checksum", "C", "digests alone (checksum)"),
        ("missing", "!", "slot without a set"),
        ("tampered", "✗", "damaged or tampered with"),
        ("unchecked", "?", "could not be checked"),
        ("pruned", "–", "pruned on purpose"),
        ("due", "…", "due"),
    ];
    html! {
        ul class="legend" aria-label="Legend" {
            @for (class, glyph, words) in entries { li { span class={ "cell " (class) } { (glyph) } (words) } }
        }
    }
}

/// Every set of the series, newest first.
pub(super) fn table(report: &Report, part: &SeriesPart, zone: Tz) -> Markup {
    html! {
        section {
            h2 { "Every set of " (part.series) }
            @if part.sets.is_empty() { p { "None." } } @else {
                table class="list" {
                    thead {
                        tr {
                            @for heading in ["Set", "Captured", "Size", "Level", "Last drill", "Signature", "Copies", "This audit"] {
                                th scope="col" { (heading) }
                            }
                        }
                    }
                    tbody { @for set in part.sets.iter().rev() { (row(report, set, zone)) } }
                }
            }
            @if !part.pruned.is_empty() {
                h3 { "Pruned" }
                table class="list" {
                    thead { tr { th scope="col" { "Set" } th scope="col" { "Why" } } }
                    tbody {
                        @for pruned in part.pruned.iter().rev() {
                            tr { td data-label="Set" { (part.series) "/" (pruned.set) } td data-label="Why" { (pruned.reason) } }
                        }
                    }
                }
            }
        }
    }
}

fn row(report: &Report, set: &SetPart, zone: Tz) -> Markup {
    let facts = set.facts.as_ref();
    html! {
        tr id=(anchor(&set.set)) {
            td data-label="Set" {
                span {
                    code { (set.set) }
                    @if let Some(reason) = facts.and_then(|f| f.pinned.as_ref()) { br; span class="muted small" { "pinned: " (reason) } }
                }
            }
            td data-label="Captured" class="number" { @if let Some(f) = facts { (time(f.started, zone)) } }
            td data-label="Size" class="number" { @if let Some(f) = facts { (ByteSize(f.bytes)) } }
            td data-label="Level" { @if let Some(f) = facts { (f.level) } }
            td data-label="Last drill" class="number" {
                @match facts.map(|f| f.drilled) {
                    Some(Some(at)) => (day(at, zone)),
                    Some(None) => span class="muted" { "never" },
                    None => {}
                }
            }
            td data-label="Signature" { (mark(&set.signature)) }
            td data-label="Copies" {
                span {
                    @for (i, copy) in set.copies.iter().enumerate() {
                        @if i > 0 { br; }
                        (copy.store) ": " (mark(&copy.mark))
                    }
                    @if set.copies.is_empty() { span class="muted" { "none" } }
                }
            }
            td data-label="This audit" { (verdict(report, set)) }
        }
    }
}

/// How far the set was read, and what came out of it.
fn verdict(report: &Report, set: &SetPart) -> Markup {
    let n = report.findings.iter().filter(|f| f.set.as_ref() == Some(&set.set) && f.severity > Severity::Note).count();
    match (set.worst, set.read) {
        (Some(Severity::Tampered), _) => mark(&Mark::Bad(count(n as u64, "finding"))),
        (Some(Severity::Unchecked), _) => mark(&Mark::Unknown("not checked".into())),
        (Some(_), _) => html! { span class="mark warn" { "! " (count(n as u64, "finding")) } },
        (None, Some(Level::Checksum)) => mark(&Mark::Good("digests equal".into())),
        (None, Some(_)) => mark(&Mark::Good("decoded, equal".into())),
        (None, None) => mark(&Mark::Open("not read".into())),
    }
}
