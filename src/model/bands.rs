//! Bands as a runbook prints them: `{ excellent = "<0.01", good = "<0.1", warning = "<1", critical = ">10" }`.
//!
//! Edges are strict as printed. What is neither good nor critical is a warning, also where the runbook's own warning ends
//! before critical begins. What is no number is unknown.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::finding::{Band, Quantity, Unit};

/// Edges of bands for a measure.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "Printed", into = "Printed")]
#[schemars(with = "Printed")]
pub struct Bands {
    less_is_better: bool,
    excellent: Option<f64>,
    good: f64,
    critical: f64,
    printed: Printed,
}

/// Bands as they are written: `<` or `>` and a number, which may have a unit: `%`, `ms`, `s`, `kB`, `MB`, `GB`, `K/s`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Printed {
    /// Better than it has to be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub excellent: Option<String>,
    /// As it should be.
    pub good: String,
    /// To look at soon. What is neither good nor critical is a warning anyhow.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub warning: Option<String>,
    /// To act upon now: the other sign.
    pub critical: String,
}

/// `<0.1`: the sign and the number.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Edge {
    below: bool,
    at: f64,
}

/// Multipliers of numbers and units as runbooks write them.
const WORDS: &[(&str, f64)] = &[
    ("", 1.0),
    ("%", 1.0),
    ("ms", 1.0),
    ("s", 1.0),
    ("days", 1.0),
    ("B", 1.0),
    ("kB", 1e3),
    ("KB", 1e3),
    ("MB", 1e6),
    ("GB", 1e9),
    ("TB", 1e12),
    ("KiB", 1024.0),
    ("MiB", 1_048_576.0),
    ("GiB", 1_073_741_824.0),
    ("K", 1e3),
    ("M", 1e6),
    ("/s", 1.0),
    ("/sec", 1.0),
    ("K/s", 1e3),
    ("K/sec", 1e3),
    ("M/s", 1e6),
    ("M/sec", 1e6),
];

fn edge(name: &str, text: &str) -> Result<Edge, String> {
    let wrong = || format!("{name} = \"{text}\": expected `<` or `>` and a number, e.g. \"<0.1\" or \">15K/s\"");
    let text_ = text.trim();
    let (below, rest) = match (text_.strip_prefix('<'), text_.strip_prefix('>')) {
        (Some(rest), _) => (true, rest.trim()),
        (_, Some(rest)) => (false, rest.trim()),
        _ => return Err(wrong()),
    };
    let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
    let (number, word) = rest.split_at(end);
    let scale = WORDS.iter().find(|(known, _)| *known == word.trim()).map(|(_, scale)| *scale).ok_or_else(wrong)?;
    let number: f64 = number.parse().map_err(|_| wrong())?;
    Ok(Edge { below, at: number * scale })
}

impl TryFrom<Printed> for Bands {
    type Error = String;

    fn try_from(printed: Printed) -> Result<Self, String> {
        let optional = |name, text: &Option<String>| text.as_deref().map(|text| edge(name, text)).transpose();
        let excellent = optional("excellent", &printed.excellent)?;
        let warning = optional("warning", &printed.warning)?;
        let good = edge("good", &printed.good)?;
        let critical = edge("critical", &printed.critical)?;
        let sign = |below| if below { '<' } else { '>' };
        if [excellent, warning].iter().flatten().any(|edge| edge.below != good.below) {
            return Err(format!("excellent, good and warning must all have the sign `{}`", sign(good.below)));
        }
        if critical.below == good.below {
            return Err(format!("critical must have the other sign, `{}`", sign(!good.below)));
        }
        let in_order: Vec<f64> =
            [excellent, Some(good), warning, Some(critical)].iter().flatten().map(|edge| edge.at).collect();
        let better_first = |pair: &[f64]| if good.below { pair[0] <= pair[1] } else { pair[0] >= pair[1] };
        if !in_order.windows(2).all(better_first) {
            return Err("from excellent to critical the edges must get worse".into());
        }
        let excellent = excellent.map(|edge| edge.at);
        Ok(Self { less_is_better: good.below, excellent, good: good.at, critical: critical.at, printed })
    }
}

impl From<Bands> for Printed {
    fn from(bands: Bands) -> Self {
        bands.printed
    }
}

impl Bands {
    /// Less is better: good below the one, critical above the other.
    pub fn below(good: f64, critical: f64) -> Self {
        let printed =
            Printed { excellent: None, good: format!("<{good}"), warning: None, critical: format!(">{critical}") };
        Self { less_is_better: true, excellent: None, good, critical, printed }
    }

    /// More is better: good above the one, critical below the other.
    pub fn above(good: f64, critical: f64) -> Self {
        let printed =
            Printed { excellent: None, good: format!(">{good}"), warning: None, critical: format!("<{critical}") };
        Self { less_is_better: false, excellent: None, good, critical, printed }
    }

    /// The band of a measured number.
    pub fn band(&self, value: f64) -> Band {
        if !value.is_finite() {
            return Band::Unknown;
        }
        let better = |edge: f64| if self.less_is_better { value < edge } else { value > edge };
        let beyond = if self.less_is_better { value > self.critical } else { value < self.critical };
        match () {
            () if beyond => Band::Critical,
            () if self.excellent.is_some_and(better) => Band::Excellent,
            () if better(self.good) => Band::Good,
            () => Band::Warning,
        }
    }

    /// Of two numbers the one that is worse; one that is none is the worst.
    pub fn worse(&self, a: f64, b: f64) -> f64 {
        match (a.is_finite(), b.is_finite()) {
            (false, _) => a,
            (_, false) => b,
            _ if self.less_is_better => a.max(b),
            _ => a.min(b),
        }
    }

    /// Where good ends.
    pub fn good_edge(&self) -> f64 {
        self.good
    }

    /// What is expected, for people: `good below 0.1 ms, critical above 10 ms`.
    pub fn expected(&self, unit: Unit) -> Expected {
        let (good, critical) = (Quantity::new(self.good, unit), Quantity::new(self.critical, unit));
        Expected { less_is_better: self.less_is_better, good, critical }
    }
}

/// What is expected of a measure, in words.
#[derive(Debug, Clone, Copy)]
pub struct Expected {
    less_is_better: bool,
    good: Quantity,
    critical: Quantity,
}

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (good, bad) = if self.less_is_better { ("below", "above") } else { ("above", "below") };
        write!(f, "good {good} {}, critical {bad} {}", self.good, self.critical)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bands(excellent: &str, good: &str, warning: &str, critical: &str) -> Result<Bands, String> {
        let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        let (good, critical) = (good.to_owned(), critical.to_owned());
        Bands::try_from(Printed { excellent: text(excellent), good, warning: text(warning), critical })
    }

    #[test]
    fn the_runbooks_table_is_read_as_it_is_printed() {
        let assignment = bands("<0.01ms", "<0.1ms", "<1ms", ">10ms").unwrap();
        for (value, band) in [
            (0.005, Band::Excellent),
            (0.01, Band::Good),
            (0.1, Band::Warning),
            (1.0, Band::Warning),
            (5.0, Band::Warning),
            (10.0, Band::Warning),
            (10.01, Band::Critical),
            (-1.0, Band::Excellent),
            (f64::NAN, Band::Unknown),
            (f64::INFINITY, Band::Unknown),
        ] {
            assert_eq!(assignment.band(value), band, "{value}");
        }
        let throughput = bands(">18K/sec", ">15K/sec", ">10K/sec", "<8K/sec").unwrap();
        for (value, band) in [
            (18_001.0, Band::Excellent),
            (18_000.0, Band::Good),
            (15_000.0, Band::Warning),
            (9_000.0, Band::Warning),
            (8_000.0, Band::Warning),
            (7_999.0, Band::Critical),
            (f64::NEG_INFINITY, Band::Unknown),
        ] {
            assert_eq!(throughput.band(value), band, "{value}");
        }
        let said = throughput.expected(Unit::PerSecond).to_string();
        assert_eq!(said, "good above 15000/s, critical below 8000/s");
        assert_eq!(bands("<200MB", "<300MB", "<400MB", ">500MB").unwrap().band(285e6), Band::Good);
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for (good, critical, part) in [
            ("0.1", ">10", "expected `<` or `>`"),
            ("<0.1", "<10", "the other sign, `>`"),
            ("<10", ">1", "must get worse"),
            ("<1 parsec", ">10", "expected `<` or `>`"),
            ("<", ">10", "expected `<` or `>`"),
        ] {
            let error = bands("", good, "", critical).unwrap_err();
            assert!(error.contains(part), "{good} {critical}: {error}");
        }
        assert!(bands(">1", "<2", "", ">3").unwrap_err().contains("sign `<`"));
    }

    proptest! {
        #[test]
        fn worse_numbers_never_have_better_bands(
            mut edges in prop::collection::vec(0.0f64..1000.0, 4), a in -10.0f64..1100.0, b in -10.0f64..1100.0, less: bool,
        ) {
            edges.sort_by(f64::total_cmp);
            if !less { edges.reverse(); }
            let (sign, other) = if less { ('<', '>') } else { ('>', '<') };
            let text = |i: usize| format!("{sign}{}", edges[i]);
            let made = bands(&text(0), &text(1), &text(2), &format!("{other}{}", edges[3])).unwrap();
            let worse = made.worse(a, b);
            let better = if worse == a { b } else { a };
            prop_assert!(made.band(better) <= made.band(worse));
            prop_assert!(made.band(a) != Band::Unknown);
            // Strict as printed: an edge itself belongs to the worse band, and critical's own to warning.
            if edges[0] != edges[3] { prop_assert_eq!(made.band(edges[3]), Band::Warning); }
            if edges[1] != edges[0] { prop_assert!(made.band(edges[0]) == Band::Good); }
        }
    }
}
