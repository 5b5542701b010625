//! Steps that look, and change nothing.
//!
//! Each gives findings: what was looked at, what was measured, how good that is, and what to do. What cannot be asked is
//! unknown, by name; nobody waits for it longer than for its own timeout.

pub mod alerts;
pub mod backup_freshness;
pub mod cert_renew;
pub mod certificate;
pub mod containers;
pub mod disk;
pub mod endpoint;
pub mod image_scan;
pub mod log_rotation;
pub mod metric;
pub mod postgres_health;
pub mod redis_cluster;
pub mod resources;
mod series;
pub mod traffic;
pub mod utilisation;

use std::{collections::BTreeMap, fmt::Display, time::Duration};

use super::Problem;
use crate::model::{
    bands::Bands,
    failure::{Diagnose, chain},
    finding::{Band, Finding, Quantity, Unit},
    units::count,
};

/// A number held against its bands, with what was expected where it is not as it should be.
fn measured(subject: impl Into<String>, value: f64, unit: Unit, bands: Option<&Bands>) -> Finding {
    let quantity = Quantity::new(value, unit);
    let band = bands.map_or(Band::Good, |bands| bands.band(value));
    let seen = match bands {
        _ if !value.is_finite() => format!("the value is {value}, which is no measurement"),
        Some(bands) if !band.is_fine() => format!("{quantity} ({})", bands.expected(unit)),
        _ => quantity.to_string(),
    };
    let band = if value.is_finite() { band } else { Band::Unknown };
    Finding::new(band, subject, seen).value(value, unit)
}

/// What could not be asked, and why.
fn unasked(subject: impl Into<String>, error: &(impl Diagnose + 'static)) -> Finding {
    let finding = Finding::unknown(subject, chain(error));
    match error.hint() {
        Some(hint) => finding.hint(hint),
        None => finding,
    }
}

/// What did not answer in time.
fn late(subject: impl Into<String>, within: Duration) -> Finding {
    Finding::unknown(subject, format!("no answer within {} s", within.as_secs_f64()))
}

/// A band that is no better than another.
fn at_best(finding: Finding, band: Band) -> Finding {
    Finding { band: finding.band.max(band), ..finding }
}

/// Those that a step names, or all.
fn chosen<'a, T>(names: &'a Option<Vec<String>>, all: &'a BTreeMap<String, T>) -> Vec<(&'a String, &'a T)> {
    match names {
        None => all.iter().collect(),
        Some(names) => names.iter().filter_map(|name| all.get_key_value(name)).collect(),
    }
}

/// Names that `maint.toml` does not have, and a choice of nothing.
fn unknown_names<T>(
    key: &'static str,
    section: &str,
    names: &Option<Vec<String>>,
    all: &BTreeMap<String, T>,
) -> Vec<Problem> {
    let problem = |message| Problem { key, message };
    match names {
        None if all.is_empty() => vec![problem(format!("there is no [{section}.NAME] in maint.toml to look at"))],
        None => Vec::new(),
        Some(names) if names.is_empty() => vec![problem("nothing is looked at".into())],
        Some(names) => names.iter().filter_map(|name| unknown_name(key, section, name, all)).collect(),
    }
}

/// A name that `maint.toml` does not have.
fn unknown_name<T>(key: &'static str, section: &str, name: &str, all: &BTreeMap<String, T>) -> Option<Problem> {
    if all.contains_key(name) {
        return None;
    }
    let known = if all.is_empty() { "none".to_owned() } else { listed(all.keys()) };
    Some(Problem { key, message: format!("there is no [{section}.{name}] in maint.toml; it has: {known}") })
}

fn listed(names: impl IntoIterator<Item = impl Display>) -> String {
    names.into_iter().map(|name| name.to_string()).collect::<Vec<_>>().join(", ")
}

/// `12 endpoints, all good`, or how many are not.
fn summary(what: &str, findings: &[Finding]) -> String {
    let bad = findings.iter().filter(|finding| !finding.band.is_fine()).count();
    let all = count(findings.len() as u64, what);
    if bad == 0 { format!("{all}, all good") } else { format!("{bad} of {all} not good") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_told_with_what_was_expected() {
        let bands = Bands::below(80.0, 95.0);
        for (value, band, seen) in [
            (12.5, Band::Good, "12.5 %"),
            (80.0, Band::Warning, "80 % (good below 80 %, critical above 95 %)"),
            (96.0, Band::Critical, "96 % (good below 80 %, critical above 95 %)"),
            (f64::NAN, Band::Unknown, "the value is NaN, which is no measurement"),
        ] {
            let finding = measured("x", value, Unit::Percent, Some(&bands));
            assert_eq!((finding.band, finding.seen.as_str()), (band, seen));
        }
        assert_eq!(measured("x", f64::INFINITY, Unit::Count, None).band, Band::Unknown, "without bands too");
    }
}
