//! `[systemd]`: how the units name things.

use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::Deserialize;

use super::{
    diagnostic::Mistake,
    document::{Document, place},
    host::tidy,
};
use crate::model::systemd::SystemdSettings;

/// `[systemd]`: how the units name things; see docs/scheduling.md.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SystemdSection {
    /// The program that they start. Default: `/usr/local/bin/maint`.
    pub binary: Option<PathBuf>,
    /// The configuration that they read. Default: `/etc/maint/maint.toml`.
    pub config: Option<PathBuf>,
    /// What jobs write to beyond state, backups, drills and stores: logs that a job rotates, certificates that it renews. All
    /// else is read-only for them.
    #[serde(default)]
    pub writable: Vec<PathBuf>,
    /// How many processes and threads a run may have; more is refused by the kernel. Default: 512.
    pub tasks_max: Option<u32>,
    /// Credentials that the units load from `/etc/maint/credentials/NAME` beside those that `*_credential` keys name.
    #[serde(default)]
    pub credentials: Vec<String>,
}

/// Fills in the defaults.
pub(super) fn resolve(
    document: &Document,
    root: &Path,
    raw: SystemdSection,
    mistakes: &mut Vec<Mistake>,
) -> SystemdSettings {
    let default = SystemdSettings::default();
    let settings = SystemdSettings {
        binary: raw.binary.unwrap_or(default.binary),
        config: raw.config.unwrap_or(default.config),
        writable: raw.writable.iter().map(|path| tidy(&root.join(path))).collect(),
        tasks_max: raw.tasks_max.unwrap_or(default.tasks_max),
        credentials: raw.credentials,
    };
    for (key, path) in [("binary", &settings.binary), ("config", &settings.config)] {
        if !path.is_absolute() {
            let message = format!("`{}`: units start nowhere, so expected an absolute path", path.display());
            mistakes.push(document.at_path(&place!["systemd", key], message));
        }
    }
    for (key, path) in [("binary", &settings.binary), ("config", &settings.config)]
        .into_iter()
        .chain(settings.writable.iter().map(|path| ("writable", path)))
    {
        if !is_plain(path) {
            let message = format!("`{}`: blanks, quotes, `%`, `\\` and `:` have a meaning in units", path.display());
            mistakes.push(document.at_path(&place!["systemd", key], message));
        }
    }
    if settings.tasks_max < 32 {
        mistakes.push(document.at_path(&place!["systemd", "tasks_max"], "a drill alone needs 32"));
    }
    settings
}

/// Whether a unit file takes the path as it is.
pub(super) fn is_plain(path: &Path) -> bool {
    path.to_str()
        .is_some_and(|text| !text.chars().any(|c| c.is_whitespace() || c.is_control() || "'\"%\\:$".contains(c)))
}
