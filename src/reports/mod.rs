//! The engines of the monthly reports: they read what Prometheus, PostgreSQL and the ledger know, and change nothing.
//!
//! What is computed from that lives in `model::reports`, how it looks in `page::reports`. What could not be read is a finding
//! of the band unknown in the report, never an empty place in it.

pub mod capacity;
mod error;
pub mod history;
pub mod performance;
pub mod publish;
pub mod recommendations;
pub mod shelf;
pub mod window;

pub use error::ReportError;

use crate::{
    adapters::prometheus::Prometheus,
    model::{failure::chain, stack::Stack},
};

/// Opens the named Prometheus server, or the only one.
///
/// # Errors
/// Why it cannot be asked, in words for a finding.
pub fn prometheus(stack: &Stack, name: Option<&str>) -> Result<Prometheus, String> {
    let known = &stack.targets.prometheus;
    let found = match name {
        Some(name) => known.get(name).ok_or_else(|| format!("there is no [prometheus.{name}] in maint.toml"))?,
        None => match known.values().next() {
            Some(only) if known.len() == 1 => only,
            Some(_) => return Err("maint.toml has several Prometheus servers: say which".into()),
            None => return Err("maint.toml has no [prometheus.NAME]".into()),
        },
    };
    Prometheus::open(found).map_err(|e| chain(&e))
}
