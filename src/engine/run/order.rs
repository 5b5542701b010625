//! What a run is asked for, and what it gives back.

use std::{path::PathBuf, sync::Arc};

use chrono::{DateTime, Utc};

use super::together::Place;
use crate::{
    backup::publish::Published,
    engine::plan::Choice,
    model::{failure::Class, ids::RunId, manifest::Trigger, outcome::Outcome},
};

/// What a run is to do, and who asks for it.
#[derive(Debug, Clone)]
pub struct Order {
    /// What the caller asks for beyond the job.
    pub choice: Choice,
    /// What started it.
    pub trigger: Trigger,
    /// Those that begin with it.
    place: Option<Arc<Place>>,
}

impl Order {
    /// An order that begins by itself.
    pub fn new(choice: Choice, trigger: Trigger) -> Self {
        Self { choice, trigger, place: None }
    }

    /// For a slot, and all of the job.
    pub fn of_slot(slot: DateTime<Utc>, trigger: Trigger) -> Self {
        Self::new(Choice { slot: Some(slot), ..Choice::default() }, trigger)
    }

    /// The same order, of which others begin together with it.
    #[must_use]
    pub(in crate::engine) fn together(self, place: Place) -> Self {
        Self { place: Some(Arc::new(place)), ..self }
    }

    /// The run has begun.
    pub(super) async fn begun(&self) {
        if let Some(place) = &self.place {
            place.begun().await;
        }
    }
}

/// How a run ended.
#[derive(Debug)]
pub struct RunReport {
    /// Its id.
    pub id: RunId,
    /// Its outcome: its worst step's.
    pub outcome: Outcome,
    /// What kind of failure it was.
    pub class: Option<Class>,
    /// The set that it published.
    pub set: Option<Published>,
    /// Where its logs are.
    pub log_dir: PathBuf,
    /// Whether it began: a slot that is done, or being done, needs no run.
    pub began: bool,
}

impl RunReport {
    /// A slot that needs no run.
    pub(super) fn skipped(id: RunId, why: String, log_dir: PathBuf) -> Self {
        Self { id, outcome: Outcome::Skipped(why), class: None, set: None, log_dir, began: false }
    }
}
