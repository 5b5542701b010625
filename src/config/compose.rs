//! `[compose]` to a [`ComposeProject`].

use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::Deserialize;

use super::{
    diagnostic::Mistake,
    document::{Document, place},
    host::tidy,
};
use crate::model::compose::ComposeProject;

/// `[compose]`: the compose project that this host runs.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ComposeSection {
    /// The project's name, as `docker compose ls` or the label `com.docker.compose.project` of its containers has it.
    pub project: String,
    /// Its files, in the order in which they override each other.
    pub files: Vec<PathBuf>,
    /// A file with the variables that they use. Default: `.env` beside the first of them.
    pub env_file: Option<PathBuf>,
}

/// Resolves the section.
pub(super) fn resolve(
    document: &Document,
    root: &Path,
    raw: ComposeSection,
    mistakes: &mut Vec<Mistake>,
) -> ComposeProject {
    let valid = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "_-".contains(c);
    if raw.project.is_empty() || !raw.project.chars().all(valid) {
        let message = format!("`{}` is not a project's name; see: docker compose ls", raw.project);
        mistakes.push(document.at_path(&place!["compose", "project"], message));
    }
    if raw.files.is_empty() {
        mistakes.push(document.at_path(&place!["compose", "files"], "no project is described by no files"));
    }
    ComposeProject {
        name: raw.project,
        files: raw.files.iter().map(|file| tidy(&root.join(file))).collect(),
        env_file: raw.env_file.map(|file| tidy(&root.join(file))),
    }
}
