//! `[metrics]` and `[web]`: what this host tells of itself.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
};

use schemars::JsonSchema;
use serde::Deserialize;

use super::{
    diagnostic::Mistake,
    document::{Document, place},
    host::tidy,
};
use crate::model::monitoring::{MetricsSettings, WebSettings};

/// `[metrics]`: for Prometheus.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MetricsSection {
    /// The directory of node_exporter's textfile collector; after each run `maint.prom` in it is written anew. Default: none.
    pub textfile_dir: Option<PathBuf>,
}

/// `[web]`: the status page and `/metrics` of `maint serve`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WebSection {
    /// Address and port, e.g. `127.0.0.1:9464`. Nobody is asked who he is: keep it on loopback, or behind a proxy that asks.
    pub listen: String,
}

/// Fills in the defaults.
pub(super) fn resolve(
    document: &Document,
    root: &Path,
    metrics: MetricsSection,
    web: Option<WebSection>,
    mistakes: &mut Vec<Mistake>,
) -> (MetricsSettings, Option<WebSettings>) {
    let textfile_dir = metrics.textfile_dir.map(|dir| tidy(&root.join(dir)));
    let web = web.and_then(|section| match section.listen.parse::<SocketAddr>() {
        Ok(listen) => {
            if !listen.ip().is_loopback() {
                let message = format!("`{listen}` can be reached from elsewhere, and nobody is asked who he is");
                mistakes.push(Mistake { warning: true, ..document.at_path(&place!["web", "listen"], message) });
            }
            Some(WebSettings { listen })
        }
        Err(_) => {
            let message =
                format!("`{}` is not an address with a port; expected e.g. \"127.0.0.1:9464\"", section.listen);
            mistakes.push(document.at_path(&place!["web", "listen"], message));
            None
        }
    });
    (MetricsSettings { textfile_dir }, web)
}
