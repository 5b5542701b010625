//! `maint plan`: the dry run of a job, and when it will run.

use clap::Args;

use super::{Exit, Failure, Global};
use crate::{
    adapters::clock,
    config,
    engine::plan::{Choice, Plan as Planned},
};

/// How many slots are shown.
const SLOTS: usize = 3;

/// Says what a job would do, and when it will do it
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  maint plan monthly-backup")]
pub struct Plan {
    /// The job: a file of jobs/ without its ending
    job: String,
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
        let mut from = clock::now();
        for number in 0..SLOTS {
            let Some(slot) = schedule.next_after(from) else { break };
            let label = if number == 0 { "next slots" } else { "" };
            let local = slot.with_timezone(&job.timezone).format("%a %Y-%m-%d %H:%M %Z");
            println!("  {label:<10}{local}  =  {}", slot.format("%Y-%m-%d %H:%M UTC"));
            from = slot;
        }
        Ok(Exit::Ok)
    }
}
