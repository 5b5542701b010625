//! What a run tells while it goes: the one stream behind progress bars, plain lines, `--json` and the step logs.

use std::{fmt, sync::Arc};

use serde::{Deserialize, Serialize};

use super::{
    finding::Finding,
    ids::{JobName, RunId, StepId},
    outcome::Outcome,
};

/// One thing that happened in a run, in the order in which it happened. `--json` prints one a line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// The run has its id and its locks.
    RunStarted { run: RunId, job: JobName, attempt: u32, steps: Vec<StepId> },
    /// A step (or one of the backup tail's stages) begins.
    StepStarted { step: StepId, what: String },
    /// Plain bytes read from the source so far; `total` where it is known or estimated.
    Progress { step: StepId, done: u64, total: Option<u64>, doing: String },
    /// Something to look at that did not fail the step.
    Note { step: StepId, text: String },
    /// An attempt failed and another one follows.
    Retry { step: StepId, attempt: u32, after_ms: u64, error: String },
    /// A check observed something.
    Finding {
        step: StepId,
        #[serde(flatten)]
        finding: Finding,
    },
    /// A step ended.
    StepFinished {
        step: StepId,
        #[serde(flatten)]
        outcome: Outcome,
        millis: u64,
        /// What it did, in one line for people.
        summary: String,
    },
    /// A set stands where it can be restored from.
    SetPublished { path: String, bytes: u64, artifacts: usize },
    /// The run ended.
    RunFinished {
        run: RunId,
        #[serde(flatten)]
        outcome: Outcome,
        millis: u64,
        hint: Option<String>,
    },
    /// A channel took a message, or did not. It may be about an earlier run.
    Told { channel: String, about: String, why: String, accepted: bool, error: Option<String> },
}

/// Where events go. Cheap to clone; never blocks for long.
#[derive(Clone)]
pub struct EventSink(Arc<dyn Fn(Event) + Send + Sync>);

impl EventSink {
    /// A sink that calls `f` for each event.
    pub fn new(f: impl Fn(Event) + Send + Sync + 'static) -> Self {
        Self(Arc::new(f))
    }

    /// A sink that drops everything.
    pub fn none() -> Self {
        Self::new(|_| {})
    }

    /// Sends one event.
    pub fn emit(&self, event: Event) {
        (self.0)(event);
    }
}

impl fmt::Debug for EventSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EventSink")
    }
}

/// A step's own voice: an event sink that knows the step.
#[derive(Debug, Clone)]
pub struct StepEvents {
    sink: EventSink,
    step: StepId,
}

impl StepEvents {
    /// Speaks for `step`.
    pub fn new(sink: EventSink, step: StepId) -> Self {
        Self { sink, step }
    }

    /// The same step's voice for work beside its main one: two would talk across each other.
    #[must_use]
    pub fn aside(&self) -> Self {
        Self { sink: EventSink::none(), step: self.step.clone() }
    }

    /// Plain bytes done so far.
    pub fn progress(&self, done: u64, total: Option<u64>, doing: impl Into<String>) {
        self.sink.emit(Event::Progress { step: self.step.clone(), done, total, doing: doing.into() });
    }

    /// Something to look at.
    pub fn note(&self, text: impl Into<String>) {
        self.sink.emit(Event::Note { step: self.step.clone(), text: text.into() });
    }
}
