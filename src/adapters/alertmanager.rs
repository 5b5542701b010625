//! Alertmanager's API, version 2, which Grafana speaks as well.
//!
//! `active`, `silenced`, `inhibited` and `unprocessed` are all true where they are not given: what somebody silenced on
//! purpose would be counted. API: <https://github.com/prometheus/alertmanager/blob/main/api/v2/openapi.yaml>

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::Deserialize;

use super::target::{Target, TargetError};
use crate::model::targets::{self, AlertsKind};

/// A keeper of alerts, ready to be asked.
#[derive(Debug, Clone)]
pub struct Alertmanager {
    target: Target,
    path: &'static str,
}

/// An alert that is active, and neither silenced nor inhibited.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Alert {
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its annotations.
    #[serde(default)]
    pub annotations: BTreeMap<String, String>,
    /// Since when it fires.
    pub starts_at: DateTime<Utc>,
}

impl Alertmanager {
    /// Reads what it needs; nobody is asked yet.
    ///
    /// # Errors
    /// As [`Target::open`].
    pub fn open(config: &targets::Alertmanager) -> Result<Self, TargetError> {
        let path = match config.kind {
            AlertsKind::Alertmanager => "/api/v2/alerts?active=true&silenced=false&inhibited=false",
            AlertsKind::Grafana => "/api/alertmanager/grafana/api/v2/alerts?active=true&silenced=false&inhibited=false",
        };
        Ok(Self { target: Target::open(&config.web)?, path })
    }

    /// What is asked, as findings show it.
    pub fn source(&self) -> String {
        format!("GET {}", self.target.url(self.path))
    }

    /// The alerts that nobody resolved, silenced or explained by another one.
    ///
    /// # Errors
    /// When it cannot be asked: then nothing is known, least of all that there are none.
    pub async fn alerts(&self) -> Result<Vec<Alert>, TargetError> {
        self.target.json(self.path).await
    }
}
