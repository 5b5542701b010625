//! What would make the stack better, area by area, and how far it was looked.

use maud::{Markup, html};

use super::finding;
use crate::model::reports::advice::Recommendations;

pub(super) fn body(report: &Recommendations) -> Markup {
    html! {
        @for area in report.areas.iter().filter(|area| !area.findings.is_empty()) {
            section {
                h2 { (area.title) }
                @if !area.looked.is_empty() { p class="muted" { "Looked at: " (area.looked) "." } }
                @for found in &area.findings { (finding(found)) }
            }
        }
        section {
            h2 { "Looked at, with nothing to change" }
            table class="list" {
                tbody {
                    @for area in report.areas.iter().filter(|area| area.findings.is_empty()) {
                        tr { th scope="row" class="key" { (area.title) } td { (area.looked) } }
                    }
                }
            }
        }
        p class="muted small" { "maint changes nothing of this by itself. Try each command where it does no harm first." }
    }
}
