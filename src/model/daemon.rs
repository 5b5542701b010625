//! How the daemon behaves, resolved.

use std::time::Duration;

/// `[daemon]`, with its defaults.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DaemonSettings {
    /// How many jobs run at once.
    pub max_running: usize,
    /// How long runs may go on after SIGTERM before they are cancelled.
    pub drain: Duration,
}

impl Default for DaemonSettings {
    /// A few at once, and time to end what ends soon.
    fn default() -> Self {
        Self { max_running: 4, drain: Duration::from_secs(600) }
    }
}
