//! The compose project of this host, as `maint.toml` names it.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// Which project, and the files that describe it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ComposeProject {
    /// The project's name: what its containers carry in the label `com.docker.compose.project`.
    pub name: String,
    /// Its files, absolute, in the order in which they override each other.
    pub files: Vec<PathBuf>,
    /// The file with the variables that the files use; `None`: `.env` beside the first file, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub env_file: Option<PathBuf>,
}
