//! How a run is shown while it goes: a bar per step on a terminal, plain lines elsewhere, JSON for machines.

use std::{
    io::{IsTerminal, Write},
    sync::{Arc, Mutex},
    time::Duration,
};

use indicatif::{ProgressBar, ProgressDrawTarget};

use super::{
    board::{self, Board},
    output,
};
use crate::{
    engine::run::RunReport,
    model::{
        event::{Event, EventSink},
        outcome::Outcome,
        units::{ByteSize, Elapsed, count},
    },
};

/// How wide is what stands before a step's own words.
const HEAD: usize = 28;

/// The bar of the step that runs, where there is a terminal.
pub(super) struct Screen {
    bar: Option<Arc<ProgressBar>>,
}

impl Screen {
    /// Takes the bar away.
    pub(super) fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// Where a run's events are shown.
pub(super) fn sink(json: bool) -> (EventSink, Screen) {
    if json {
        let out = Mutex::new(std::io::stdout());
        let sink = EventSink::new(move |event| {
            if let (Ok(line), Ok(mut out)) = (serde_json::to_string(&event), out.lock()) {
                // A reader that went away must not end a backup.
                let _ = writeln!(out, "{line}").and_then(|()| out.flush());
            }
        });
        return (sink, Screen { bar: None });
    }
    let bar = std::io::stderr().is_terminal().then(|| {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
        bar.set_style(output::waiting_style());
        Arc::new(bar)
    });
    let shown = bar.clone();
    let board = Mutex::new(Board::default());
    let sink = EventSink::new(move |event| {
        let Ok(mut board) = board.lock() else { return };
        match &shown {
            Some(bar) => on_terminal(bar, &mut board, &event),
            None => print(plain(&mut board, &event)),
        }
    });
    (sink, Screen { bar })
}

/// Prints a line, if there is one; a reader that went away must not end a backup.
fn print(line: Option<String>) {
    if let Some(line) = line {
        let _ = writeln!(std::io::stdout(), "{line}");
    }
}

fn on_terminal(bar: &ProgressBar, board: &mut Board, event: &Event) {
    match event {
        Event::StepStarted { step, .. } => {
            bar.reset();
            bar.set_style(output::waiting_style());
            bar.set_message(board.started(step));
            bar.enable_steady_tick(Duration::from_millis(200));
        }
        Event::Progress { done, total, doing, .. } => {
            match total {
                Some(total) => {
                    bar.set_style(output::bar_style());
                    bar.set_length((*total).max(*done));
                }
                None => {
                    bar.set_style(output::flow_style());
                    bar.unset_length();
                }
            }
            bar.set_position(*done);
            bar.set_message(doing.clone());
        }
        Event::StepFinished { step, .. } => {
            bar.set_style(output::waiting_style());
            bar.set_message(board.stopped(step));
            bar.suspend(|| print(plain(board, event)));
        }
        _ => bar.suspend(|| print(plain(board, event))),
    }
}

fn mark(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Ok | Outcome::Changed => output::good("✓"),
        Outcome::Skipped(_) => output::faint("-"),
        Outcome::Warning(_) => output::warn("!"),
        Outcome::Unknown(_) => output::warn("?"),
        Outcome::Interrupted | Outcome::Failed(_) => output::bad("✗"),
    }
}

fn millis(millis: u64) -> Elapsed {
    Elapsed(Duration::from_millis(millis))
}

/// An event in words; what a check finds is shown when its step ends.
fn plain(board: &mut Board, event: &Event) -> Option<String> {
    Some(match event {
        Event::RunStarted { run, job, attempt, steps } => {
            board.begin(steps);
            let again = if *attempt > 1 { format!(", attempt {attempt}") } else { String::new() };
            format!("{job}  {}", output::faint(&format!("run {run}{again}")))
        }
        Event::StepStarted { .. } | Event::Progress { .. } | Event::SetPublished { .. } => return None,
        Event::Note { step, text } => format!("  {} {step}: {text}", output::warn("note")),
        Event::Retry { step, attempt, after_ms, error } => {
            let again = format!("attempt {attempt} in {}", millis(*after_ms));
            format!("  {} {step}: {error}; {again}", output::warn("again"))
        }
        Event::Finding { step, finding } => {
            board.add(step, finding);
            return None;
        }
        Event::StepFinished { step, outcome, millis: took, summary } => {
            let what = match outcome.reason() {
                // What it found says why, below.
                Some(_) if board.has(step) => summary.clone(),
                Some(reason) if summary.is_empty() => reason.to_owned(),
                Some(reason) => format!("{summary}; {}: {reason}", outcome.word()),
                None if summary.is_empty() => outcome.word().to_owned(),
                None => summary.clone(),
            };
            let head = format!("  {} {step:<12} {:>9}  ", mark(outcome), millis(*took));
            let line = board::headed(&head, HEAD, &what);
            return board.end(step, line, *outcome == Outcome::Changed);
        }
        // Heartbeats are no news while they are heard.
        Event::Told { why, accepted: true, .. } if why == "ended" => return None,
        Event::Told { channel, about, why, accepted: true, .. } => {
            format!("  {} {channel} was told: {about}, {why}", output::good("✓"))
        }
        Event::Told { channel, about, why, error, .. } => {
            let error = error.as_deref().unwrap_or("nobody knows why");
            let again = "tried again by the next run, or: maint notify flush";
            format!("  {} {channel} was not told ({about}, {why}): {error}; {again}", output::bad("✗"))
        }
        Event::RunFinished { outcome, millis: took, hint, .. } => {
            let rest: String = board.rest().into_iter().map(|block| block + "\n").collect();
            let found = board.tally();
            let text = match &found {
                // What was found is above; here the verdict is enough.
                Some(_) => outcome.word().to_owned(),
                None => outcome.to_string(),
            };
            let outcome = match outcome {
                Outcome::Ok | Outcome::Changed => output::good(outcome.word()),
                Outcome::Skipped(_) | Outcome::Warning(_) | Outcome::Unknown(_) => output::warn(&text),
                Outcome::Interrupted | Outcome::Failed(_) => output::bad(&text),
            };
            let found = found.map(|found| format!(": {found}")).unwrap_or_default();
            let hint = hint.as_ref().map(|h| format!("\nhint: {h}")).unwrap_or_default();
            format!("{rest}{outcome} after {}{found}{hint}", millis(*took))
        }
    })
}

/// What stands now, and what to do next.
pub(super) fn summary(report: &RunReport, is_backup: bool) {
    match (&report.set, &report.outcome) {
        (Some(set), _) => {
            let path = set.path.display();
            let artifacts = count(set.manifest.artifacts.len() as u64, "artifact");
            println!(
                "\n{path}: {artifacts}, {}, verified to \"{}\"",
                ByteSize(set.bytes),
                set.manifest.verification.level
            );
            println!("  how to restore it    {path}/RESTORE.md");
            println!("  verify it again      maint verify {path}");
        }
        (None, Outcome::Skipped(reason)) => println!("skipped: {reason}"),
        (None, Outcome::Failed(_) | Outcome::Interrupted | Outcome::Unknown(_)) => {
            let nothing = if is_backup { "nothing was published; " } else { "" };
            println!("{nothing}log: {}", report.log_dir.display());
        }
        (None, _) => {}
    }
}
