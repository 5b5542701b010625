//! `maint run`: carries a job out.

use std::path::Path;

use chrono::{DateTime, Utc};
use clap::Args;
use tokio_util::sync::CancellationToken;

use super::{Exit, Failure, Global, render};
use crate::{
    adapters::clock,
    config::{self, Config, Job},
    engine::{
        due::{self, Tried},
        plan::{Choice, Plan},
        run::{self, Order, RunReport},
        signal,
    },
    model::{due::instant, failure::Class, ids::StepId, manifest::Trigger, outcome::Outcome},
};

/// Runs a job
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  maint run monthly-backup                        do it
  maint run monthly-backup --dry-run              say what would be done
  maint run monthly-backup --only db              one step alone; its set goes to .partial and counts for nothing
  maint run monthly-backup --slot 2026-11-01T00:00:00Z    for a slot that was missed
  maint run monthly-backup --due                  what a timer calls: the slot that is due by ledger and catch_up,
                                                  once, whoever else starts it; nothing, where none is
  maint run monthly-backup --json                 one event a line, for machines

The first Ctrl-C ends the run and leaves nothing behind; the second ends it at once, and the next run sweeps up.")]
pub struct Run {
    /// The job: a file of jobs/ without its ending
    job: String,
    /// Say what would be done, and do nothing
    #[arg(long)]
    dry_run: bool,
    /// The slot that the run stands for (RFC 3339); its period names the set
    #[arg(long, value_name = "TIME")]
    slot: Option<DateTime<Utc>>,
    /// Run the slot that is due, as the job's catch_up says; older ones are recorded as missed. Nothing, where none is due
    #[arg(long, conflicts_with_all = ["slot", "only", "skip", "dry_run"])]
    due: bool,
    /// Only this step (may be given again)
    #[arg(long, value_name = "STEP")]
    only: Vec<StepId>,
    /// Not this step (may be given again)
    #[arg(long, value_name = "STEP")]
    skip: Vec<StepId>,
    /// Print one event a line as JSON
    #[arg(long)]
    json: bool,
    /// Exit with 1 on warnings
    #[arg(long)]
    strict: bool,
}

impl Run {
    pub fn run(self, global: &Global) -> Result<Exit, Failure> {
        let config = config::load(global.config.as_deref())?;
        let job = super::jobs::find(&config, &self.job)?;
        let choice = Choice { only: self.only.clone(), skip: self.skip.clone(), slot: self.slot };
        if self.dry_run {
            print!("{}", Plan::of(job, &config.stack, &choice, clock::now())?);
            println!("nothing was done (--dry-run)");
            return Ok(Exit::Ok);
        }
        // What is odd about other jobs is no matter of this run; maint check tells of it.
        let of_this =
            |file: &Path| file == config.path || file.file_stem().is_some_and(|stem| stem == job.name.as_str());
        for warning in config.warnings.iter().filter(|warning| of_this(&warning.file)) {
            eprintln!("warning: {warning}");
        }
        if self.due {
            return self.run_due(&config, job);
        }
        let order = Order::new(choice, Trigger::Manual);
        let runtime = super::runtime()?;
        let cancel = CancellationToken::new();
        let _signals = signal::cancel_on_signals(&runtime, &cancel)?;
        let (sink, screen) = render::sink(self.json);
        let ended = runtime.block_on(run::run(&config, job, &order, &sink, &cancel));
        screen.finish();
        let report = ended?;
        if !self.json {
            render::summary(&report, job.backup.is_some());
        }
        Ok(exit(&report, self.strict))
    }

    /// What a timer asks for.
    fn run_due(&self, config: &Config, job: &Job) -> Result<Exit, Failure> {
        let Some(schedule) = &job.schedule else {
            let hint = format!("add `schedule` to it, or run it by hand: maint run {}", job.name);
            return Err(Failure::usage(
                format!("the job {} has no schedule, so that nothing is ever due", job.name),
                hint,
            ));
        };
        let runtime = super::runtime()?;
        let cancel = CancellationToken::new();
        let _signals = signal::cancel_on_signals(&runtime, &cancel)?;
        let (sink, screen) = render::sink(self.json);
        let ended = runtime.block_on(due::run_due(config, job, &sink, &cancel));
        screen.finish();
        let timely = ended?;
        // Beside the events of --json these are for people.
        for note in &timely.notes {
            eprintln!("note: {note}");
        }
        for missed in &timely.missed {
            eprintln!("missed: the slot {}: {}", instant(missed.slot), missed.detail);
        }
        match timely.tried {
            Some(Tried::Ended(report)) => {
                if !self.json {
                    render::summary(&report, job.backup.is_some());
                }
                Ok(exit(&report, self.strict))
            }
            Some(Tried::Overlapped(missed)) => {
                self.skipped(&format!("the slot {} is missed: {}", instant(missed.slot), missed.detail));
                Ok(Exit::Ok)
            }
            None => {
                let next = schedule.next_after(clock::now()).map(instant);
                self.skipped(&format!("nothing is due; the next slot is {}", next.as_deref().unwrap_or("never")));
                Ok(Exit::Ok)
            }
        }
    }

    fn skipped(&self, why: &str) {
        if !self.json {
            println!("skipped: {why}");
        }
    }
}

fn exit(report: &RunReport, strict: bool) -> Exit {
    match (&report.outcome, report.class) {
        (Outcome::Warning(_), _) if strict => Exit::Failed,
        (Outcome::Ok | Outcome::Changed | Outcome::Skipped(_) | Outcome::Warning(_), _) => Exit::Ok,
        (Outcome::Unknown(_), _) => Exit::Unverifiable,
        (Outcome::Interrupted, _) => Exit::Interrupted,
        (Outcome::Failed(_), class) => class.unwrap_or(Class::Failed).into(),
    }
}
