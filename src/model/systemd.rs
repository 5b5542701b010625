//! How the units name things, resolved.

use std::path::PathBuf;

/// Where a host has its configuration, unless it says otherwise.
pub const CONFIG: &str = "/etc/maint/maint.toml";

/// `[systemd]`, with its defaults.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SystemdSettings {
    /// The program.
    pub binary: PathBuf,
    /// The configuration that the units read.
    pub config: PathBuf,
    /// What jobs write to beyond what maint knows of.
    pub writable: Vec<PathBuf>,
    /// How many processes and threads a run may have.
    pub tasks_max: u32,
    /// Credentials that are in no `*_credential` key: steps' own programs may want some.
    pub credentials: Vec<String>,
}

impl Default for SystemdSettings {
    /// Where a package would put them.
    fn default() -> Self {
        Self {
            binary: "/usr/local/bin/maint".into(),
            config: CONFIG.into(),
            writable: Vec::new(),
            tasks_max: 512,
            credentials: Vec::new(),
        }
    }
}
