//! `maint plan`: the dry run of a job, and when it will run.

use clap::Args;

use super::{Exit, Failure, Global, output};
use crate::{
    adapters::clock,
    config,
    engine::plan::{Choice, Plan as Planned},
};

/// Says what a job would do, and when it will do it
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  maint plan monthly-backup
  maint plan monthly-backup --next 12    the slots of a year, local and UTC, with what the clocks do to them")]
pub struct Plan {
    /// The job: a file of jobs/ without its ending
    job: String,
    /// How many of the next slots to show
    #[arg(long, value_name = "N", default_value_t = 5)]
    next: usize,
}

impl Plan {
    pub fn run(self, global: &Global) -> Result<Exit, Failure> {
        let config = config::load(global.config.as_deref())?;
        let job = super::jobs::find(&config, &self.job)?;
        print!("{}", Planned::of(job, &config.stack, &Choice::default(), clock::now())?);
        let Some(schedule) = &job.schedule else {
            println!("  runs by hand only: maint run {}", job.name);
            return Ok(Exit::Ok);
        };
        println!("  schedule  {schedule} ({})", schedule.describe());
        for (number, slot) in schedule.slots_after(clock::now()).take(self.next).enumerate() {
            let label = if number == 0 { "next" } else { "" };
            let (local, utc) = output::slot(&slot, job.timezone);
            let mark = output::clocks(&slot).map(|mark| format!("  ({mark})")).unwrap_or_default();
            println!("  {label:<10}{local}  =  {utc} UTC{mark}");
        }
        Ok(Exit::Ok)
    }
}
