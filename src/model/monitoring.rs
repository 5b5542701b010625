//! What this host tells of itself, and to whom.

use std::{net::SocketAddr, path::PathBuf};

/// For Prometheus.
#[derive(Debug, Clone, Default)]
pub struct MetricsSettings {
    /// The directory of node_exporter's textfile collector; `None`: no file is written.
    pub textfile_dir: Option<PathBuf>,
}

/// The status page and `/metrics` of the daemon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebSettings {
    /// Where it listens.
    pub listen: SocketAddr,
}
