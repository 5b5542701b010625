//! `maint run`: carries a job out.

use chrono::{DateTime, Utc};
use clap::Args;
use tokio_util::sync::CancellationToken;

use super::{Exit, Failure, Global, render};
use crate::{
    adapters::clock,
    config,
    engine::{
        plan::{Choice, Plan},
        run::{self, Order, RunReport},
        signal,
    },
    model::{failure::Class, ids::StepId, manifest::Trigger, outcome::Outcome},
};

/// Runs a job
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  maint run monthly-backup                        do it
  maint run monthly-backup --dry-run              say what would be done
  maint run monthly-backup --only db              one step alone; its set goes to .partial and counts for nothing
  maint run monthly-backup --slot 2026-11-01T00:00:00Z    for a slot that was missed
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
        let choice = Choice { only: self.only, skip: self.skip, slot: self.slot };
        if self.dry_run {
            print!("{}", Plan::of(job, &config.stack, &choice, clock::now())?);
            println!("nothing was done (--dry-run)");
            return Ok(Exit::Ok);
        }
        for warning in &config.warnings {
            eprintln!("warning: {warning}");
        }
        let order = Order { choice, trigger: Trigger::Manual };
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
