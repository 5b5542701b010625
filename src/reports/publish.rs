//! Puts a report where people find it: `<dir>/<series>/<period>.html` and `.json`, never over another one.

use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::{
    adapters::files::{self, FileError},
    model::{finding::Band, ids::SeriesName, reports::Report},
    page,
};

/// Nobody makes so many reports of one period.
const MOST: u32 = 1000;

/// A report as data: whoever only wants to know how it ends reads its first line.
#[derive(Serialize)]
struct Document<'a> {
    verdict: Band,
    #[serde(flatten)]
    report: &'a Report,
}

/// Where a report lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Published {
    /// The page.
    pub html: PathBuf,
    /// The same as data.
    pub json: PathBuf,
}

/// Writes a report; one that is there already stays, and the new one is `-2`, `-3` …
///
/// # Errors
/// When it cannot be written; nothing is left then but a page without data, which the next attempt takes for taken.
pub fn publish(dir: &Path, series: &SeriesName, report: &Report) -> Result<Published, FileError> {
    let dir = dir.join(series.as_str());
    files::create_private_dir(&dir)?;
    let page = page::reports::render(report);
    let data = serde_json::to_vec_pretty(&Document { verdict: report.verdict(), report })
        .map_err(|e| FileError::new("writing", &dir, std::io::Error::other(e.to_string())))?;
    let period = &report.head().period;
    for number in 1..=MOST {
        let name = if number == 1 { period.clone() } else { format!("{period}-{number}") };
        let (html, json) = (dir.join(format!("{name}.html")), dir.join(format!("{name}.json")));
        // The data first: whoever has that name has the page's too.
        if json.exists() || html.exists() || !files::write_new(&json, &data)? {
            continue;
        }
        if !files::write_new(&html, page.as_bytes())? {
            continue;
        }
        return Ok(Published { html, json });
    }
    let taken = std::io::Error::other(format!("has {MOST} reports of {period} already"));
    Err(FileError::new("writing a report into", &dir, taken))
}
