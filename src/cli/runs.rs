//! `maint runs`: what ran, and how it ended.

use std::time::Duration;

use chrono::{DateTime, Utc};
use clap::{Args, Subcommand};
use serde::Serialize;

use super::{Exit, Failure, Global, output};
use crate::{
    adapters::{
        clock,
        ledger::{Delivery, FindingRow, Ledger, Note, RunRow, StepRow},
    },
    config::{self, Config},
    engine::recover,
    model::{
        ids::JobName,
        outcome::Outcome,
        units::{Elapsed, count},
    },
};

/// Missed slots of so many days are worth a line below the runs.
const LATELY: i64 = 7;

/// Lists runs, newest first, or shows one
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  maint runs                       the last twenty
  maint runs --job monthly-backup --limit 100
  maint runs show 9f3c             one run with its steps; the beginning or end of its id is enough
  maint runs --missed              slots that passed without a run, and why
  maint runs --json                for machines")]
pub struct Runs {
    #[command(subcommand)]
    command: Option<Command>,
    /// Only runs of this job
    #[arg(long, value_name = "JOB")]
    job: Option<JobName>,
    /// Slots that passed without a run, instead
    #[arg(long)]
    missed: bool,
    /// How many
    #[arg(long, default_value_t = 20)]
    limit: u32,
    /// Print JSON
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Shows one run: its steps, notes and logs
    Show {
        /// The beginning or end of its id
        run: String,
    },
}

/// `runs show --json`.
#[derive(Serialize)]
struct Shown {
    run: RunRow,
    steps: Vec<StepRow>,
    findings: Vec<FindingRow>,
    notes: Vec<Note>,
    /// Who was told of it.
    told: Vec<Delivery>,
    logs: std::path::PathBuf,
}

impl Runs {
    pub fn run(self, global: &Global) -> Result<Exit, Failure> {
        let config = config::load(global.config.as_deref())?;
        let ledger = Ledger::open(&config.stack.state_dir)?;
        if let Some(Command::Show { run }) = &self.command {
            return show(&config, &ledger, run, self.json);
        }
        if self.missed {
            return self.missed(&config, &ledger);
        }
        let runs = ledger.runs(self.job.as_ref(), self.limit)?;
        if self.json {
            for run in &runs {
                println!("{}", json(run)?);
            }
        } else if runs.is_empty() {
            println!("nothing ran yet; see which jobs there are: maint jobs");
        } else {
            let died = recover::died(&ledger, &config.stack.state_dir)?;
            let mut table = output::table(&["RUN", "JOB", "STARTED", "TOOK", "OUTCOME", "SET"]);
            for run in &runs {
                let set = run.set_path.clone().unwrap_or_default();
                table.add_row(vec![
                    short(&run.id),
                    run.job.clone(),
                    local(&config, &run.started),
                    took(run),
                    ended(run, &died),
                    set,
                ]);
            }
            println!("{table}");
        }
        if !self.json {
            let since = clock::now() - chrono::Duration::days(LATELY);
            let missed = ledger.missed(self.job.as_ref(), Some(since), u32::MAX)?.len() as u64;
            if missed > 0 {
                let slots = count(missed, "slot");
                println!("\n{slots} missed in the last {LATELY} days; see: maint runs --missed");
            }
        }
        Ok(Exit::Ok)
    }

    fn missed(&self, config: &Config, ledger: &Ledger) -> Result<Exit, Failure> {
        let slots = ledger.missed(self.job.as_ref(), None, self.limit)?;
        if self.json {
            for slot in &slots {
                println!("{}", json(slot)?);
            }
            return Ok(Exit::Ok);
        }
        if slots.is_empty() {
            println!("no slot was missed");
            return Ok(Exit::Ok);
        }
        let mut table = output::table(&["JOB", "SLOT", "MISSED", "WHY", "DONE BY HAND"]);
        for slot in slots {
            let by_hand = slot.done_by.as_deref().map(short).unwrap_or_default();
            table.add_row(vec![slot.job, local(config, &slot.slot), slot.why, slot.detail, by_hand]);
        }
        println!("{table}");
        println!("\nto do one all the same: maint run JOB --slot TIME");
        Ok(Exit::Ok)
    }
}

fn json(value: &impl Serialize) -> Result<String, Failure> {
    serde_json::to_string(value).map_err(|e| Failure::other(e.to_string()))
}

/// The end of a UUIDv7 is its random part: eight digits of it tell runs of one millisecond apart.
fn short(id: &str) -> String {
    id.get(id.len().saturating_sub(8)..).unwrap_or(id).to_owned()
}

fn time(text: &str) -> Option<DateTime<Utc>> {
    text.parse().ok()
}

fn local(config: &Config, text: &str) -> String {
    time(text).map_or_else(
        || text.to_owned(),
        |t| t.with_timezone(&config.stack.timezone).format("%Y-%m-%d %H:%M:%S %Z").to_string(),
    )
}

fn took(run: &RunRow) -> String {
    let (Some(started), Some(ended)) = (time(&run.started), run.ended.as_deref().and_then(time)) else {
        return String::new();
    };
    Elapsed((ended - started).to_std().unwrap_or_default()).to_string()
}

fn ended(run: &RunRow, died: &[String]) -> String {
    match &run.outcome {
        Some(outcome) => outcome.to_string(),
        None if died.contains(&run.id) => "died; see: maint recover --dry-run".into(),
        None => format!("running (pid {})", run.pid),
    }
}

fn show(config: &Config, ledger: &Ledger, part: &str, as_json: bool) -> Result<Exit, Failure> {
    let run = ledger.run(part)?;
    let logs = config.stack.state_dir.join("logs").join(&run.id);
    let (steps, findings, notes) = (ledger.steps(&run.id)?, ledger.findings(&run.id)?, ledger.notes(&run.id)?);
    let told = ledger.deliveries_of(&run.id)?;
    if as_json {
        println!("{}", json(&Shown { run, steps, findings, notes, told, logs })?);
        return Ok(Exit::Ok);
    }
    println!("run       {}", run.id);
    println!("job       {} ({}, attempt {})", run.job, run.trigger, run.attempt);
    if let Some(slot) = &run.slot {
        println!("slot      {}", local(config, slot));
    }
    println!("started   {}", local(config, &run.started));
    println!("took      {}", took(&run));
    println!("outcome   {}", ended(&run, &recover::died(ledger, &config.stack.state_dir)?));
    if let Some(hint) = &run.hint {
        println!("hint      {hint}");
    }
    if let Some(set) = &run.set_path {
        println!("set       {set} (verified to \"{}\")", run.set_level.as_deref().unwrap_or("?"));
    }
    println!("logs      {}", logs.display());
    if !steps.is_empty() {
        let mut table = output::table(&["STEP", "TOOK", "OUTCOME", "WHAT"]);
        for step in steps {
            let outcome = match &step.outcome {
                Outcome::Ok => "ok".to_owned(),
                other => other.to_string(),
            };
            let took = Elapsed(Duration::from_millis(step.millis)).to_string();
            table.add_row(vec![step.id, took, outcome, step.summary]);
        }
        println!("\n{table}");
    }
    if !findings.is_empty() {
        let mut table = output::table(&["STEP", "BAND", "SUBJECT", "SEEN"]);
        for FindingRow { step, finding } in findings {
            table.add_row(vec![step, finding.band.to_string(), finding.subject, finding.seen]);
        }
        println!("\n{table}");
    }
    for note in notes {
        println!("note      {}: {}", note.step, note.text);
    }
    if !told.is_empty() {
        println!("\n{}", super::notify::table(config, &told));
    }
    Ok(Exit::Ok)
}
