//! What a run says, kept: a log per step below `logs/<run>/` in the state directory, and notes in the ledger.

use std::{
    collections::BTreeMap,
    fs::File,
    io::Write,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use crate::{
    adapters::{
        clock,
        files::{self, FileError},
        ledger::{Ledger, Note},
    },
    model::{
        event::{Event, EventSink},
        ids::RunId,
        units::{ByteSize, Elapsed},
    },
};

/// Where a run's logs are.
pub(super) fn dir(state_dir: &Path, run: RunId) -> PathBuf {
    state_dir.join("logs").join(run.to_string())
}

/// A sink that keeps what matters and passes everything on to `next`.
pub(super) fn attach(
    state_dir: &Path,
    run: RunId,
    ledger: Arc<Mutex<Ledger>>,
    next: EventSink,
) -> Result<EventSink, FileError> {
    let dir = dir(state_dir, run);
    files::create_private_dir(&dir)?;
    let logs: Mutex<BTreeMap<String, File>> = Mutex::default();
    Ok(EventSink::new(move |event| {
        if let Some((step, line)) = line(&event)
            && let Ok(mut logs) = logs.lock()
        {
            append(&dir, &mut logs, &step, &line);
        }
        if let Event::Note { step, text } = &event
            && let Ok(ledger) = ledger.lock()
            && let Err(error) = ledger.note(run, &Note { step: step.to_string(), text: text.clone() })
        {
            tracing::warn!(%error, "a note is missing in the ledger");
        }
        next.emit(event);
    }))
}

/// A log that cannot be written fails no run: it is told on stderr's trace, and the outcome does not depend on it.
fn append(dir: &Path, logs: &mut BTreeMap<String, File>, step: &str, line: &str) {
    if !logs.contains_key(step) {
        match files::create_log(&dir.join(format!("{step}.log"))) {
            Ok(file) => drop(logs.insert(step.to_owned(), file)),
            Err(error) => return tracing::warn!(%error, "a log cannot be written"),
        }
    }
    let now = clock::now().format("%Y-%m-%dT%H:%M:%S%.3fZ");
    if let Some(file) = logs.get_mut(step)
        && let Err(error) = writeln!(file, "{now} {line}")
    {
        tracing::warn!(%error, "a log cannot be written");
    }
}

/// The step and the line of an event; progress is not kept.
fn line(event: &Event) -> Option<(String, String)> {
    Some(match event {
        Event::RunStarted { run, job, attempt, .. } => {
            ("run".into(), format!("started {job}, run {run}, attempt {attempt}"))
        }
        Event::StepStarted { step, what } => (step.to_string(), format!("started: {what}")),
        Event::Progress { .. } | Event::Told { .. } => return None,
        Event::Note { step, text } => (step.to_string(), format!("note: {text}")),
        Event::Retry { step, attempt, after_ms, error } => {
            (step.to_string(), format!("failed: {error}; attempt {attempt} follows in {after_ms} ms"))
        }
        Event::Finding { step, finding } => {
            (step.to_string(), format!("{}: {}: {}", finding.band, finding.subject, finding.seen))
        }
        Event::StepFinished { step, outcome, millis, summary } => {
            let took = Elapsed(std::time::Duration::from_millis(*millis));
            (step.to_string(), format!("{outcome} after {took}: {summary}"))
        }
        Event::SetPublished { path, bytes, artifacts } => {
            ("run".into(), format!("published {path}: {artifacts} artifacts, {}", ByteSize(*bytes)))
        }
        Event::RunFinished { outcome, millis, .. } => {
            ("run".into(), format!("{outcome} after {}", Elapsed(std::time::Duration::from_millis(*millis))))
        }
    })
}
