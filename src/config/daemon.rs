//! `[daemon]`: how `maint serve` behaves.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{
    diagnostic::Mistake,
    document::{Document, place},
    shape::Span,
};
use crate::model::daemon::DaemonSettings;

/// `[daemon]`: how `maint serve` behaves.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DaemonSection {
    /// How many jobs run at once; more wait, in the order of their slots. Default: 4.
    pub max_running: Option<usize>,
    /// How long runs may go on after SIGTERM; then they are cancelled and recorded as interrupted. The unit's
    /// `TimeoutStopSec=` must be longer by a minute. Default: `10m`.
    pub drain: Option<Span>,
}

/// Fills in the defaults.
pub(super) fn resolve(document: &Document, raw: DaemonSection, mistakes: &mut Vec<Mistake>) -> DaemonSettings {
    let default = DaemonSettings::default();
    if raw.max_running == Some(0) {
        let message = "nothing would ever run; expected 1 or more";
        mistakes.push(document.at_path(&place!["daemon", "max_running"], message));
    }
    DaemonSettings {
        max_running: raw.max_running.unwrap_or(default.max_running),
        drain: raw.drain.map_or(default.drain, |span| span.0),
    }
}
