//! Compares a fresh set with the last ones of its series, before it is sealed; and tells which anomalies still stand.

use std::{collections::BTreeMap, path::Path};

use super::{
    records::{self, RecordError},
    sets::{self, Entry},
    verify::Verified,
};
use crate::{
    adapters::signature::Trust,
    model::{
        anomaly::{Anomaly, AnomalyKind, BASELINE, Profile, measures, subject, unusual},
        contents::{ContentsKind, Line},
        failure::chain,
        manifest::{Artifact, Manifest},
        record::{Body, Signed},
    },
    stream::{StreamError, contents::ContentsReader},
};

/// What is unusual about a set that was captured in so many milliseconds. That nothing could be compared is unusual too.
/// Blocking.
pub fn assess(fresh: &Verified, millis: u64, series_dir: &Path, trust: Option<&Trust>) -> Vec<Anomaly> {
    let fresh = profile(fresh.staging.dir(), &fresh.artifacts, Some(millis));
    match baseline(series_dir, trust) {
        Ok(baseline) => unusual(&fresh, &baseline),
        Err(error) => vec![Anomaly {
            kind: AnomalyKind::NotCompared,
            subject: "run".into(),
            problem: format!("could not be compared with the last sets: {}", chain(&error)),
        }],
    }
}

/// The last sets about which nothing is unusual, or somebody has looked; newest first.
fn baseline(series_dir: &Path, trust: Option<&Trust>) -> Result<Vec<Profile>, RecordError> {
    let mut sets: Vec<(Entry, Manifest)> = sets::of_series(series_dir)?
        .into_iter()
        .filter_map(|mut entry| {
            let manifest = std::mem::replace(&mut entry.manifest, Err(String::new())).ok()?;
            Some((entry, manifest))
        })
        .collect();
    sets.sort_by_key(|(_, manifest)| std::cmp::Reverse(manifest.run.sealed));
    let mut profiles = Vec::new();
    for (entry, manifest) in sets {
        if profiles.len() == BASELINE {
            break;
        }
        let records = records::read(series_dir, &entry.name, trust)?;
        if standing(&manifest, records.current()).is_empty() {
            let millis = Profile::of(&manifest).millis;
            profiles.push(profile(&entry.path, &manifest.artifacts, millis));
        }
    }
    Ok(profiles)
}

/// Anomalies of a set that nobody acknowledged; `records` are those of this very set.
pub fn standing<'a>(manifest: &Manifest, records: impl IntoIterator<Item = &'a Signed>) -> Vec<Anomaly> {
    let mut believed = records.into_iter().filter(|signed| signed.signature.is_believed());
    if believed.any(|signed| matches!(signed.record.body, Body::Ack { .. })) {
        return Vec::new();
    }
    manifest.anomalies.clone()
}

fn profile(dir: &Path, artifacts: &[Artifact], millis: Option<u64>) -> Profile {
    let mut measures = measures(artifacts);
    for artifact in artifacts.iter().filter(|a| a.kind == ContentsKind::PostgresDump) {
        if let Some(measured) = measures.get_mut(&subject(artifact)) {
            // Of a set whose list cannot be read the sums are compared all the same; verify says what is wrong with it.
            measured.tables = tables(&dir.join(&artifact.contents.file)).ok();
        }
    }
    Profile { artifacts: measures, millis }
}

/// Rows by table.
fn tables(list: &Path) -> Result<BTreeMap<String, u64>, StreamError> {
    let mut tables = BTreeMap::new();
    for line in ContentsReader::open(list)? {
        if let Line::Table(table) = line? {
            tables.insert(format!("{}.{}", table.table.schema, table.table.name), table.content.rows);
        }
    }
    Ok(tables)
}
