//! `maint jobs`: what can be run, and when it will be.

use clap::Args;
use serde::Serialize;

use super::{Exit, Failure, Global, output};
use crate::{
    adapters::clock,
    config::{self, Config, Job},
    model::ids::JobName,
};

/// Lists the jobs and their next slots
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  maint jobs            every job, its schedule and its next slot, local and UTC
  maint jobs --json     for machines")]
pub struct Jobs {
    /// Print one job a line as JSON
    #[arg(long)]
    json: bool,
}

/// One line of `--json`.
#[derive(Serialize)]
struct Line<'a> {
    job: &'a JobName,
    description: &'a str,
    runbook: Option<&'a str>,
    schedule: Option<String>,
    timezone: &'a str,
    next: Option<chrono::DateTime<chrono::Utc>>,
    series: Option<&'a str>,
    steps: Vec<&'a str>,
}

impl Jobs {
    pub fn run(self, global: &Global) -> Result<Exit, Failure> {
        let config = config::load(global.config.as_deref())?;
        let now = clock::now();
        let next = |job: &Job| job.schedule.as_ref().and_then(|s| s.slots_after(now).next());
        if self.json {
            for job in config.jobs.values() {
                let line = Line {
                    job: &job.name,
                    description: &job.description,
                    runbook: job.runbook.as_deref(),
                    schedule: job.schedule.as_ref().map(ToString::to_string),
                    timezone: job.timezone.name(),
                    next: next(job).map(|slot| slot.at),
                    series: job.backup.as_ref().map(|b| b.series.as_str()),
                    steps: job.steps.iter().map(|s| s.id.as_str()).collect(),
                };
                println!("{}", serde_json::to_string(&line).map_err(|e| Failure::other(e.to_string()))?);
            }
            return Ok(Exit::Ok);
        }
        if config.jobs.is_empty() {
            println!("no jobs in {}", config.stack.jobs_dir.display());
            return Ok(Exit::Ok);
        }
        let mut table = output::table(&["JOB", "SCHEDULE", "NEXT", "UTC", "DESCRIPTION"]);
        for job in config.jobs.values() {
            let (local, utc) = match (&job.schedule, next(job)) {
                (None, _) => ("by hand only".to_owned(), String::new()),
                (Some(_), None) => ("never".to_owned(), String::new()),
                (Some(_), Some(slot)) => {
                    let (local, utc) = output::slot(&slot, job.timezone);
                    let mark = output::clocks(&slot).map(|mark| format!(" ({mark})")).unwrap_or_default();
                    (local + &mark, utc)
                }
            };
            let schedule = job.schedule.as_ref().map(ToString::to_string).unwrap_or_default();
            table.add_row(vec![job.name.to_string(), schedule, local, utc, job.description.clone()]);
        }
        println!("{table}");
        Ok(Exit::Ok)
    }
}

/// The job of that name; a wrong one is answered with the nearest right one.
pub(super) fn find<'a>(config: &'a Config, name: &str) -> Result<&'a Job, Failure> {
    let found = config.jobs.values().find(|job| job.name.as_str() == name);
    found.ok_or_else(|| {
        let names = config.jobs.keys().map(JobName::as_str);
        let near = names.max_by(|a, b| strsim::jaro_winkler(name, a).total_cmp(&strsim::jaro_winkler(name, b)));
        let near = near.filter(|near| strsim::jaro_winkler(name, near) > 0.75);
        let hint = near.map_or_else(|| "see which there are: maint jobs".to_owned(), |n| format!("did you mean: {n}"));
        Failure::usage(format!("there is no job `{name}` in {}", config.stack.jobs_dir.display()), hint)
    })
}
