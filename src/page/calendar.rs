//! A calendar of periods: a year of months, a quarter of weeks or a month of days in a row.

use std::collections::BTreeMap;

use maud::{Markup, html};

use crate::model::period::PeriodKind;

/// Rows that are shown; what is older stands in the table of sets.
const MOST_ROWS: usize = 14;
const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
/// Weeks in a quarter; the last one has fourteen in long years.
const WEEKS: usize = 13;

/// One period.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Cell {
    /// Its class in the style: what it looks like.
    pub class: &'static str,
    /// One character: colour alone is not for everybody, nor for every printer.
    pub glyph: &'static str,
    /// What it stands for, in words.
    pub title: String,
    /// Where the page tells more.
    pub link: Option<String>,
}

/// Where a period's label stands: its row and column.
fn place(kind: PeriodKind, label: &str) -> Option<(String, usize)> {
    let year = label.get(..4).filter(|y| y.bytes().all(|b| b.is_ascii_digit()))?;
    let number = |range: std::ops::Range<usize>| label.get(range)?.parse::<usize>().ok()?.checked_sub(1);
    match kind {
        PeriodKind::Month => Some((year.to_owned(), number(4..6).filter(|m| *m < 12)?)),
        PeriodKind::Week => {
            let week = number(5..7).filter(|w| *w < 53)?;
            let quarter = (week / WEEKS).min(3);
            Some((format!("{year} Q{}", quarter + 1), week - quarter * WEEKS))
        }
        PeriodKind::Day | PeriodKind::Instant => {
            let month = number(4..6).filter(|m| *m < 12)?;
            Some((format!("{year}-{:02} {}", month + 1, MONTHS[month]), number(6..8).filter(|d| *d < 31)?))
        }
    }
}

fn headings(kind: PeriodKind) -> Vec<String> {
    match kind {
        PeriodKind::Month => MONTHS.iter().map(|m| (*m).to_owned()).collect(),
        PeriodKind::Week => (1..=WEEKS + 1).map(|w| w.to_string()).collect(),
        PeriodKind::Day | PeriodKind::Instant => (1..=31).map(|d| d.to_string()).collect(),
    }
}

/// The calendar of `cells`, by the labels of their periods; of several in one place the last one is shown.
pub(super) fn render(kind: PeriodKind, cells: &[(String, Cell)]) -> Markup {
    let headings = headings(kind);
    let mut rows: BTreeMap<String, Vec<Option<&Cell>>> = BTreeMap::new();
    for (label, cell) in cells {
        let Some((row, column)) = place(kind, label) else { continue };
        let row = rows.entry(row).or_insert_with(|| vec![None; headings.len()]);
        if let Some(slot) = row.get_mut(column) {
            *slot = Some(cell);
        }
    }
    let older = rows.len().saturating_sub(MOST_ROWS);
    html! {
        div class="scroll" {
            table class=(if kind == PeriodKind::Month { "calendar" } else { "calendar tight" }) {
                thead { tr { th {} @for heading in &headings { th scope="col" { (heading) } } } }
                tbody {
                    @for (label, row) in rows.iter().skip(older) {
                        tr {
                            th scope="row" { (label) }
                            @for cell in row { (one(*cell)) }
                        }
                    }
                }
            }
        }
        @if older > 0 { p class="muted small" { "Older periods stand in the table of sets alone." } }
    }
}

fn one(cell: Option<&Cell>) -> Markup {
    let Some(cell) = cell else { return html! { td {} } };
    html! {
        td class={ "cell " (cell.class) } title=(cell.title) {
            @match &cell.link {
                Some(link) => a href=(link) aria-label=(cell.title) { (cell.glyph) },
                None => (cell.glyph),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn periods_have_their_place() {
        assert_eq!(place(PeriodKind::Month, "202608"), Some(("2026".into(), 7)));
        assert_eq!(place(PeriodKind::Week, "2026W53"), Some(("2026 Q4".into(), 13)));
        assert_eq!(place(PeriodKind::Week, "2026W14"), Some(("2026 Q2".into(), 0)));
        assert_eq!(place(PeriodKind::Day, "20260831"), Some(("2026-08 Aug".into(), 30)));
        assert_eq!(place(PeriodKind::Instant, "20260801T0030Z"), Some(("2026-08 Aug".into(), 0)));
        for odd in ["", "2026", "202600", "202613", "x", "äöüß"] {
            assert_eq!(place(PeriodKind::Month, odd), None, "{odd}");
        }
    }

    #[test]
    fn old_rows_are_left_out_and_told() {
        let cell = Cell { class: "drill", glyph: "D", title: "<b>".into(), link: None };
        let cells: Vec<_> = (2000..2030).map(|y| (format!("{y}01"), cell.clone())).collect();
        let page = render(PeriodKind::Month, &cells).into_string();
        assert!(!page.contains("2015") && page.contains("2016") && page.contains("Older periods"), "{page}");
        assert!(!page.contains("<b>"), "{page}");
    }
}
