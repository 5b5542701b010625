//! `[audit]` and `[coverage]`: what an audit goes by.

use globset::Glob;
use schemars::JsonSchema;
use serde::Deserialize;

use super::{
    diagnostic::Mistake,
    document::{Document, place},
    shape::Span,
};
use crate::model::{
    coverage::{Excluded, Exclusion},
    stack::AuditSettings,
};

/// `[audit]`: what an audit goes by.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AuditSection {
    /// How old the newest drill of a series may be before the audit finds fault. Default: `92d`.
    pub drill_within: Option<Span>,
}

/// `[coverage]`: what exists on this host and needs no backup. Whatever else no backup job names is a finding of
/// `maint audit`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CoverageSection {
    /// What is left out, e.g. `{ volume = "cache", reason = "filled again by itself" }`.
    #[serde(default)]
    pub exclude: Vec<ExclusionSection>,
}

/// `[[coverage.exclude]]`: one of `database`, `volume` and `path` by name or glob pattern, and why.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ExclusionSection {
    /// Databases: `server/database`, the server as a `[postgres.NAME]` is called.
    pub database: Option<String>,
    /// Docker volumes.
    pub volume: Option<String>,
    /// Bind mounts at or below this absolute path.
    pub path: Option<String>,
    /// Why it needs no backup; reports show it.
    pub reason: String,
}

/// Resolves both sections.
pub(super) fn resolve(
    document: &Document,
    audit: AuditSection,
    coverage: CoverageSection,
    mistakes: &mut Vec<Mistake>,
) -> AuditSettings {
    let default = AuditSettings::default();
    let sections = coverage.exclude.into_iter().enumerate();
    let excluded = sections.filter_map(|(index, section)| exclusion(document, index, section, mistakes)).collect();
    AuditSettings { drill_within: audit.drill_within.map_or(default.drill_within, |span| span.0), excluded }
}

fn exclusion(
    document: &Document,
    index: usize,
    raw: ExclusionSection,
    mistakes: &mut Vec<Mistake>,
) -> Option<Exclusion> {
    let here = place!["coverage", "exclude", index];
    if raw.reason.trim().is_empty() {
        let at = place!["coverage", "exclude", index, "reason"];
        mistakes.push(document.at_path(&at, "why is it left out? An auditor will ask"));
    }
    let given = [raw.database.map(Excluded::Database), raw.volume.map(Excluded::Volume), raw.path.map(Excluded::Path)];
    let mut given = given.into_iter().flatten();
    let (Some(what), None) = (given.next(), given.next()) else {
        mistakes.push(document.at_path(&here, "exactly one of `database`, `volume` and `path` says what is left out"));
        return None;
    };
    let exclusion = Exclusion { what, reason: raw.reason };
    if let Err(error) = Glob::new(exclusion.text()) {
        mistakes.push(document.at_path(&here, format!("`{}` is not a pattern: {}", exclusion.text(), error.kind())));
    }
    match &exclusion.what {
        Excluded::Database(text) if !text.contains('/') => {
            let mistake = document.at_path(&here, format!("`{text}`: expected `server/database`"));
            mistakes.push(mistake.help("the server is a `[postgres.NAME]` of this file"));
        }
        Excluded::Path(text) if !text.starts_with('/') => {
            mistakes.push(document.at_path(&here, format!("`{text}`: expected an absolute path")));
        }
        _ => {}
    }
    Some(exclusion)
}
