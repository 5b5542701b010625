//! What exists on the host and what backs it up; and how far the audit looked.

use chrono_tz::Tz;
use maud::{Markup, html};

use super::{super::time, mark};
use crate::model::{
    audit::{Mark, Report},
    coverage::Covered,
    units::ByteSize,
};

pub(super) fn coverage(report: &Report) -> Markup {
    html! {
        section {
            h2 { "What this host has, and what backs it up" }
            @if report.coverage.is_empty() { p { "No database, volume or bind mount was found." } } @else {
                table class="list" {
                    thead { tr { th scope="col" { "What exists" } th scope="col" { "Backed up" } } }
                    tbody {
                        @for line in &report.coverage {
                            tr {
                                td data-label="What exists" { (line.thing.to_string()) }
                                td data-label="Backed up" {
                                    @match &line.covered {
                                        Covered::Job(job) => (mark(&Mark::Good(format!("by the job {job}")))),
                                        Covered::Excluded(reason) => (mark(&Mark::Open(format!("left out: {reason}")))),
                                        Covered::Nobody(_) => span class="mark warn" { "! no" },
                                    }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// "Nothing was found" means nothing without this.
pub(super) fn scope(report: &Report, zone: Tz) -> Markup {
    let scope = &report.scope;
    let row = |what: &str, value: String| html! { tr { th scope="row" class="key" { (what) } td { (value) } } };
    html! {
        section class="whole" {
            h2 { "What this audit looked at" }
            table class="list" {
                tbody {
                    (row("When", format!("{} to {}", time(report.begun, zone), time(report.finished, zone))))
                    (row("Where", format!("{} on {}, maint {}", scope.backup_dir, report.host.name, report.host.maint)))
                    (row("Read and compared", format!(
                        "{}: every file of every set here against its manifest and SHA256SUMS", ByteSize(scope.bytes_read)
                    )))
                    (row("Stores", match scope.stores.as_slice() {
                        [] => "none".to_owned(),
                        stores => format!("{}; {} fetched back", stores.join(", "), ByteSize(scope.bytes_fetched)),
                    }))
                    (row("Sample", match scope.sampled.as_slice() {
                        [] => "none".to_owned(),
                        sampled => format!("{} (decoded to the end; chosen by the seed {})", sampled.join(", "), scope.seed),
                    }))
                    (row("Keys that may sign", scope.trust.clone().unwrap_or_else(|| "no trust file is configured".into())))
                    @for left_out in &scope.left_out { (row("Not looked at", left_out.clone())) }
                }
            }
        }
    }
}
