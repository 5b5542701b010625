//! One observation of a check: what was looked at, what was measured, how good that is, and what to do about it.

use std::{fmt, time::Duration};

use serde::{Deserialize, Serialize};

use super::{
    detail::Detail,
    outcome::Outcome,
    units::{ByteSize, Elapsed},
};

/// How good an observation is. Worse ones are greater; what could not be measured stands between warning and critical.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Band {
    /// Better than it has to be.
    Excellent,
    /// As it should be.
    Good,
    /// To look at soon.
    Warning,
    /// It could not be measured: nobody knows, and that is not good.
    Unknown,
    /// To act upon now.
    Critical,
}

impl Band {
    /// The word alone, as the ledger and the tables show it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Excellent => "excellent",
            Self::Good => "good",
            Self::Warning => "warning",
            Self::Unknown => "unknown",
            Self::Critical => "critical",
        }
    }

    /// The inverse of [`word`](Self::word). A word that this version does not know is unknown, never good.
    pub fn from_word(word: &str) -> Self {
        let all = [Self::Excellent, Self::Good, Self::Warning, Self::Critical];
        all.into_iter().find(|band| band.word() == word).unwrap_or(Self::Unknown)
    }

    /// Whether nobody has to look at it.
    pub fn is_fine(self) -> bool {
        self <= Self::Good
    }
}

impl fmt::Display for Band {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

/// What a quantity is measured in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// Thousandths of a second.
    Milliseconds,
    /// Seconds.
    Seconds,
    /// Days.
    Days,
    /// Hundredths.
    Percent,
    /// A share of one.
    Ratio,
    /// Bytes.
    Bytes,
    /// Events a second.
    PerSecond,
    /// A plain number.
    Count,
}

impl Unit {
    /// The word that TOML, JSON and the ledger have for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Milliseconds => "milliseconds",
            Self::Seconds => "seconds",
            Self::Days => "days",
            Self::Percent => "percent",
            Self::Ratio => "ratio",
            Self::Bytes => "bytes",
            Self::PerSecond => "per_second",
            Self::Count => "count",
        }
    }

    /// The inverse of [`word`](Self::word).
    pub fn from_word(word: &str) -> Option<Self> {
        let all = [
            Self::Milliseconds,
            Self::Seconds,
            Self::Days,
            Self::Percent,
            Self::Ratio,
            Self::Bytes,
            Self::PerSecond,
            Self::Count,
        ];
        all.into_iter().find(|unit| unit.word() == word)
    }
}

/// A number with its unit.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Quantity {
    /// The number.
    pub value: f64,
    /// What it is measured in.
    pub unit: Unit,
}

impl Quantity {
    /// A number with its unit.
    pub fn new(value: f64, unit: Unit) -> Self {
        Self { value, unit }
    }
}

impl fmt::Display for Quantity {
    /// As people read it: three significant digits are enough.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = significant(self.value);
        let text = match self.unit {
            Unit::Milliseconds => format!("{number} ms"),
            Unit::Seconds if self.value >= 1.0 => {
                Duration::try_from_secs_f64(self.value).map_or(format!("{number} s"), |d| Elapsed(d).to_string())
            }
            Unit::Seconds => format!("{number} s"),
            Unit::Days => format!("{number} days"),
            Unit::Percent => format!("{number} %"),
            Unit::Ratio | Unit::Count => number,
            Unit::Bytes => match whole(self.value) {
                Some(bytes) => ByteSize(bytes).to_string(),
                None => format!("{number} bytes"),
            },
            Unit::PerSecond => format!("{number}/s"),
        };
        f.pad(&text)
    }
}

/// A count of bytes, where the number is one.
fn whole(value: f64) -> Option<u64> {
    if !(0.0..=9e15).contains(&value) {
        return None;
    }
    format!("{value:.0}").parse().ok()
}

/// Three significant digits, all digits of large whole numbers, no trailing zeros.
fn significant(value: f64) -> String {
    if !value.is_finite() || value == 0.0 {
        return format!("{value}");
    }
    let digits = match value.abs() {
        v if v >= 100.0 => 0,
        v if v >= 10.0 => 1,
        v if v >= 1.0 => 2,
        v if v >= 0.1 => 3,
        v if v >= 0.01 => 4,
        _ => 6,
    };
    let text = format!("{value:.digits$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

/// One observation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// What was looked at, e.g. `universal-orchestrator memory`.
    pub subject: String,
    /// What was measured, where it is a number.
    pub value: Option<Quantity>,
    /// How good that is.
    pub band: Band,
    /// What was seen, in words for people.
    pub seen: String,
    /// The query, SQL or request that it comes from.
    pub source: Option<String>,
    /// What to do about it.
    pub hint: Option<String>,
    /// The same in fields, where a table has a use for them. Not kept in the ledger.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<Box<Detail>>,
}

impl Finding {
    /// An observation of that band.
    pub fn new(band: Band, subject: impl Into<String>, seen: impl Into<String>) -> Self {
        Self { subject: subject.into(), value: None, band, seen: seen.into(), source: None, hint: None, detail: None }
    }

    /// As it should be.
    pub fn good(subject: impl Into<String>, seen: impl Into<String>) -> Self {
        Self::new(Band::Good, subject, seen)
    }

    /// To look at soon.
    pub fn warning(subject: impl Into<String>, seen: impl Into<String>) -> Self {
        Self::new(Band::Warning, subject, seen)
    }

    /// To act upon now.
    pub fn critical(subject: impl Into<String>, seen: impl Into<String>) -> Self {
        Self::new(Band::Critical, subject, seen)
    }

    /// It could not be measured; `why` says what was in the way.
    pub fn unknown(subject: impl Into<String>, why: impl Into<String>) -> Self {
        Self::new(Band::Unknown, subject, why)
    }

    /// With the number that was measured.
    #[must_use]
    pub fn value(self, value: f64, unit: Unit) -> Self {
        Self { value: Some(Quantity { value, unit }), ..self }
    }

    /// With what it comes from.
    #[must_use]
    pub fn source(self, source: impl Into<String>) -> Self {
        Self { source: Some(source.into()), ..self }
    }

    /// With what to do about it.
    #[must_use]
    pub fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }

    /// With its fields.
    #[must_use]
    pub fn detail(self, detail: Detail) -> Self {
        Self { detail: Some(Box::new(detail)), ..self }
    }
}

/// What a check's findings make of it: its worst finding, the first of equals named, the others counted.
pub fn outcome(findings: &[Finding]) -> Outcome {
    let Some(worst) = findings.iter().map(|f| f.band).max().filter(|band| !band.is_fine()) else {
        return Outcome::Ok;
    };
    let mut of_band = findings.iter().filter(|f| f.band == worst);
    let first = of_band.next().map(|f| format!("{}: {}", f.subject, f.seen)).unwrap_or_default();
    let reason = match of_band.count() {
        0 => first,
        more => format!("{first} (and {more} more)"),
    };
    match worst {
        Band::Critical => Outcome::Failed(reason),
        Band::Unknown => Outcome::Unknown(reason),
        _ => Outcome::Warning(reason),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_check_is_its_worst_finding() {
        let good = Finding::good("a", "fine");
        let unknown = Finding::unknown("b", "no answer");
        let critical = Finding::critical("c", "down");
        assert_eq!(outcome(&[]), Outcome::Ok);
        assert_eq!(outcome(&[good.clone(), Finding::warning("w", "high")]), Outcome::Warning("w: high".into()));
        assert_eq!(
            outcome(&[Finding::warning("w", "high"), unknown.clone()]),
            Outcome::Unknown("b: no answer".into()),
            "what nobody knows is worse than a warning"
        );
        let all = [good, critical.clone(), unknown, critical];
        assert_eq!(outcome(&all), Outcome::Failed("c: down (and 1 more)".into()));
    }

    #[test]
    fn words_of_another_version_are_not_green() {
        assert_eq!(Band::from_word("superb"), Band::Unknown);
        for band in [Band::Excellent, Band::Good, Band::Warning, Band::Unknown, Band::Critical] {
            assert_eq!(Band::from_word(band.word()), band);
        }
    }

    #[test]
    fn quantities_read_well() {
        for (value, unit, text) in [
            (0.04, Unit::Milliseconds, "0.04 ms"),
            (15_234.6, Unit::PerSecond, "15235/s"),
            (12.5, Unit::Percent, "12.5 %"),
            (0.000_05, Unit::Ratio, "0.00005"),
            (285_000_000.0, Unit::Bytes, "285.0 MB"),
            (185.0, Unit::Seconds, "3 min 05 s"),
            (8.0, Unit::Count, "8"),
            (f64::NAN, Unit::Count, "NaN"),
            (-1.0, Unit::Bytes, "-1 bytes"),
        ] {
            assert_eq!(Quantity { value, unit }.to_string(), text);
        }
    }
}
