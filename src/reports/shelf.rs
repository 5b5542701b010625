//! Which reports there are: what lies in the directory that they are published into.

use std::{
    cmp::Reverse,
    path::{Path, PathBuf},
};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::ReportError;
use crate::{
    adapters::files::{self, FileError},
    model::{
        failure::chain,
        finding::{Band, Finding},
    },
};

/// No report is larger.
const MOST_BYTES: u64 = 256 << 20;

/// A report as it lies there.
#[derive(Debug, Clone, Serialize)]
pub struct Kept {
    /// Its row of reports.
    pub series: String,
    /// Its file's name without the ending: the period, `-2` where it is the second one of it.
    pub period: String,
    /// When it was made.
    pub made: Option<DateTime<Utc>>,
    /// The worst that it found; unknown where it cannot be read.
    pub verdict: Band,
    /// The page.
    pub page: PathBuf,
    /// The same as data.
    pub data: PathBuf,
    /// Why it cannot be read.
    pub problem: Option<String>,
}

/// What of a report's data is listed.
#[derive(Deserialize)]
struct Cover {
    made: DateTime<Utc>,
    verdict: Band,
}

/// A report, read whole.
#[derive(Debug, Deserialize)]
pub struct Told {
    /// What it is called.
    pub title: String,
    /// The stack.
    pub stack: String,
    /// The first instant that was looked at.
    pub from: DateTime<Utc>,
    /// The end of what was looked at.
    pub to: DateTime<Utc>,
    /// Everything that it judges.
    #[serde(skip)]
    pub findings: Vec<Finding>,
}

/// The reports, the newest first; those that cannot be read last.
///
/// # Errors
/// When a directory cannot be read.
pub fn list(dir: &Path) -> Result<Vec<Kept>, FileError> {
    let mut all = Vec::new();
    // Before the first report there is no directory.
    let series = if dir.exists() { files::list(dir)? } else { Vec::new() };
    for series in series.iter().filter(|series| dir.join(series).is_dir()) {
        let place = dir.join(series);
        let names = files::list(&place)?;
        let data =
            names.iter().map(|name| place.join(name)).filter(|path| path.extension().is_some_and(|e| e == "json"));
        all.extend(data.map(|data| kept(&series.to_string_lossy(), data)));
    }
    all.sort_by_key(|kept| Reverse(kept.made));
    Ok(all)
}

fn kept(series: &str, data: PathBuf) -> Kept {
    let page = data.with_extension("html");
    let read = || -> Result<Cover, ReportError> {
        let cover = parsed(&data)?;
        // The data are written first: without the page the report was never finished.
        files::regular_length(&page)?;
        Ok(cover)
    };
    let (made, verdict, problem) = match read() {
        Ok(Cover { made, verdict }) => (Some(made), verdict, None),
        Err(error) => (None, Band::Unknown, Some(chain(&error))),
    };
    let period = data.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    Kept { series: series.to_owned(), period, made, verdict, page, data, problem }
}

fn parsed<T: serde::de::DeserializeOwned>(path: &Path) -> Result<T, ReportError> {
    let bytes = files::read_limited(path, MOST_BYTES)?;
    serde_json::from_slice(&bytes).map_err(|source| ReportError::Unreadable { path: path.to_owned(), source })
}

/// The report of a series: that of a period, or the newest one.
///
/// # Errors
/// When there is none, or the directory cannot be read.
pub fn find(dir: &Path, series: &str, period: Option<&str>) -> Result<Kept, ReportError> {
    let wanted = |kept: &Kept| kept.series == series && period.is_none_or(|period| kept.period == period);
    let missing =
        || ReportError::Missing(period.map_or_else(|| series.to_owned(), |period| format!("{series} {period}")));
    list(dir)?.into_iter().find(wanted).ok_or_else(missing)
}

/// Reads a report with all its findings, of whatever kind it is.
///
/// # Errors
/// When it cannot be read.
pub fn tell(kept: &Kept) -> Result<Told, ReportError> {
    let unreadable = |source| ReportError::Unreadable { path: kept.data.clone(), source };
    let value: Value = parsed(&kept.data)?;
    let mut told = Told::deserialize(&value).map_err(unreadable)?;
    gather(value, &mut told.findings).map_err(unreadable)?;
    Ok(told)
}

/// Findings stand at other places in each kind of report; what has a band and says what was seen is one.
fn gather(value: Value, findings: &mut Vec<Finding>) -> Result<(), serde_json::Error> {
    match value {
        Value::Object(map) if map.contains_key("band") && map.contains_key("seen") => {
            findings.push(serde_json::from_value(Value::Object(map))?);
        }
        Value::Object(map) => map.into_iter().try_for_each(|(_, value)| gather(value, findings))?,
        Value::Array(values) => values.into_iter().try_for_each(|value| gather(value, findings))?,
        _ => {}
    }
    Ok(())
}
