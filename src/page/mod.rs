//! Pages for people: one HTML shell, one style, charts as SVG. A page is one file that needs nothing else, so that it can
//! be sent, filed and printed. Everything that is not ours is escaped by the templates.

pub mod audit;
mod calendar;
mod chart;
mod lines;
pub mod reports;
pub mod status;

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use maud::{DOCTYPE, Markup, PreEscaped, html};

/// The style of every page.
const STYLE: &str = include_str!("style.css");

/// A whole page around `body`. It loads nothing and runs nothing, and says so to the browser.
fn shell(title: &str, body: &Markup) -> String {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'";
                meta name="referrer" content="no-referrer";
                title { (title) }
                style { (PreEscaped(STYLE)) }
            }
            body { (body) }
        }
    };
    page.into_string()
}

/// An instant as people of this zone read it.
fn time(at: DateTime<Utc>, zone: Tz) -> String {
    at.with_timezone(&zone).format("%Y-%m-%d %H:%M %Z").to_string()
}

/// A day as people of this zone read it.
fn day(at: DateTime<Utc>, zone: Tz) -> String {
    at.with_timezone(&zone).format("%Y-%m-%d").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_ours_is_escaped() {
        let name = "<script>alert(1)</script>";
        let page = shell(name, &html! { p title=(format!("\"{name}")) { (name) } });
        assert!(!page.contains("<script"), "{page}");
        assert!(page.contains("title=\"&quot;&lt;script&gt;"), "{page}");
    }

    #[test]
    fn a_page_needs_nothing_from_outside() {
        let page = shell("x", &html! {});
        assert!(!page.contains("http://") && !page.contains("https://") && !page.contains("url("), "{page}");
    }
}
