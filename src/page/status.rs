//! The daemon's page: what each job did last and when it is next, and the newest runs.

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use maud::{Markup, html};

use crate::model::{
    metrics::JobMetrics,
    units::{ByteSize, Elapsed, age},
};

/// What the page shows.
pub struct Page {
    /// The stack's name.
    pub stack: String,
    /// The host's name.
    pub host: String,
    /// When it was made.
    pub now: DateTime<Utc>,
    /// The zone that its times are in.
    pub zone: Tz,
    /// The jobs.
    pub jobs: Vec<JobRow>,
    /// The newest runs, the newest first.
    pub runs: Vec<RunLine>,
}

/// One job.
pub struct JobRow {
    /// What it is for.
    pub description: String,
    /// Its next slot.
    pub next: Option<DateTime<Utc>>,
    /// A slot that nothing stands for although its time is over.
    pub overdue: Option<DateTime<Utc>>,
    /// What monitoring is told of it.
    pub told: JobMetrics,
}

/// One run.
pub struct RunLine {
    /// Its id.
    pub id: String,
    /// Its job.
    pub job: String,
    /// When it started.
    pub started: Option<DateTime<Utc>>,
    /// When it ended.
    pub ended: Option<DateTime<Utc>>,
    /// How: the word and the reason; `None` while it runs.
    pub outcome: Option<(String, String)>,
    /// Whether somebody has to look.
    pub bad: bool,
}

impl JobRow {
    fn is_bad(&self) -> bool {
        let failed = |word: &str| matches!(word, "failed" | "unknown" | "interrupted");
        self.overdue.is_some() || self.told.last.as_ref().is_some_and(|last| failed(&last.outcome))
    }
}

/// The page.
pub fn render(page: &Page) -> String {
    let bad: Vec<&str> = page.jobs.iter().filter(|job| job.is_bad()).map(|job| job.told.job.as_str()).collect();
    let (class, glyph, words) = match bad.len() {
        0 => ("is-good", "✓", "Nothing is open".to_owned()),
        1 => ("is-tampered", "✗", format!("{} needs a look", bad[0])),
        n => ("is-tampered", "✗", format!("{n} jobs need a look")),
    };
    let body = html! {
        header class="masthead" {
            h1 { "maint on " (page.host) ", stack " (page.stack) }
            span class="muted small" { (super::time(page.now, page.zone)) }
        }
        main {
            section class={ "verdict " (class) } {
                span class="glyph" aria-hidden="true" { (glyph) }
                div {
                    strong { (words) }
                    @if bad.len() > 1 { p { (bad.join(", ")) } }
                    @if !bad.is_empty() { p class="plain" { "See why: " code { "maint runs" } ", then " code { "maint runs show RUN" } } }
                }
            }
            h2 { "Jobs" }
            @if page.jobs.is_empty() { p { "There are none." } }
            @else { (jobs(page)) }
            h2 { "Newest runs" }
            @if page.runs.is_empty() { p { "Nothing ran yet." } }
            @else { (runs(page)) }
        }
        footer { "This page shows the ledger and changes nothing. Numbers for Prometheus: " a href="/metrics" { "/metrics" } }
    };
    super::shell(&format!("maint: {}", page.stack), &body)
}

fn chip(word: &str, bad: bool) -> Markup {
    let class = match (bad, word) {
        (true, _) => "is-tampered",
        (false, "warning" | "skipped") => "is-policy",
        (false, "running") => "is-note",
        (false, _) => "is-good",
    };
    html! { span class={ "chip " (class) } { (word) } }
}

fn jobs(page: &Page) -> Markup {
    html! {
        div class="scroll" { table class="list" {
            thead { tr { th { "Job" } th { "Last run" } th { "Last success" } th { "Next" } th { "Set" } } }
            tbody { @for job in &page.jobs { (row(page, job)) } }
        } }
    }
}

fn row(page: &Page, job: &JobRow) -> Markup {
    let told = &job.told;
    let ago = |at: DateTime<Utc>| format!("{} ago", age(page.now - at));
    html! {
        tr {
            td data-label="Job" { div { strong { (told.job) } div class="muted small" { (job.description) } } }
            td data-label="Last run" { div {
                @if told.running > 0 { (chip("running", false)) " " }
                @match &told.last {
                    Some(last) => { (chip(&last.outcome, job.told.last.is_some() && job.is_bad() && job.overdue.is_none())) " " span class="small" { (ago(last.ended)) } },
                    None => span class="muted small" { "never" },
                }
            } }
            td class="small" data-label="Last success" { @match told.last_success { Some(at) => (ago(at)), None => span class="muted" { "never" } } }
            td class="small" data-label="Next" { div {
                @match job.next { Some(at) => (super::time(at, page.zone)), None => span class="muted" { "by hand" } }
                @if let Some(slot) = job.overdue { div { (chip("overdue", true)) " since " (super::time(slot, page.zone)) } }
                @if told.missed > 0 { div class="muted" { (told.missed) " missed so far" } }
            } }
            td class="small" data-label="Set" { @if let Some(bytes) = told.set_bytes { (ByteSize(bytes)) } }
        }
    }
}

fn runs(page: &Page) -> Markup {
    html! {
        div class="scroll" { table class="list" {
            thead { tr { th { "Run" } th { "Job" } th { "Started" } th { "Took" } th { "Outcome" } } }
            tbody { @for run in &page.runs { tr {
                td data-label="Run" { code { (run.id.get(run.id.len().saturating_sub(8)..).unwrap_or(&run.id)) } }
                td data-label="Job" { (run.job) }
                td class="small" data-label="Started" { @if let Some(at) = run.started { (super::time(at, page.zone)) } }
                td class="small" data-label="Took" { @if let (Some(from), Some(to)) = (run.started, run.ended) { (Elapsed((to - from).to_std().unwrap_or_default())) } }
                td class="small" data-label="Outcome" { div {
                    @match &run.outcome {
                        Some((word, reason)) => { (chip(word, run.bad)) " " (reason) },
                        None => (chip("running", false)),
                    }
                } }
            } } }
        } }
    }
}
