//! `maint ack`: somebody looks after a failure, so that it does not climb.

use chrono::{DateTime, Utc};
use clap::Args;

use super::{Exit, Failure, Global, output};
use crate::{
    adapters::{clock, host, ledger::Ledger},
    config::{self, Config},
    engine::notify,
    model::{notification, units::age},
};

/// Acknowledges a failure: nobody else is called for it; without an argument, lists what fails
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  maint ack                                          what fails, since when, and who knows
  maint ack 9f3c --note \"disk is full, ordered one\"    by the beginning or end of a run's id
  maint ack monthly-backup                           by the job, also where nothing ran

A failure that nobody acknowledges is told to level 2 after 30 minutes and to level 3 after 2 hours ([escalation] in
maint.toml). When its job goes well again, it is over by itself.")]
pub struct Ack {
    /// A failed run, a job, or a systemd unit
    which: Option<String>,
    /// What others should know
    #[arg(long)]
    note: Option<String>,
    /// Who; default: whoever is logged in
    #[arg(long, value_name = "NAME")]
    by: Option<String>,
}

impl Ack {
    pub fn run(self, global: &Global) -> Result<Exit, Failure> {
        let config = config::load(global.config.as_deref())?;
        let Some(which) = &self.which else { return list(&config) };
        let (about, until) = find(&config, which)?;
        let ack = notification::Ack { by: self.by.unwrap_or_else(caller), at: clock::now(), note: self.note };
        let done = notify::acknowledge(&config.stack, &about, until, &ack)?;
        if done.is_empty() {
            let message =
                format!("there is nothing to acknowledge: {about} does not fail, or no longer for that reason");
            return Err(Failure::failed(message, "see what fails: maint ack"));
        }
        for incident in done {
            let step = incident.what.step.map(|step| format!(" in step {step}")).unwrap_or_default();
            println!("acknowledged by {}: {about} fails{step}, since {}", ack.by, local(&config, incident.since));
        }
        Ok(Exit::Ok)
    }
}

/// The job that is meant, and until when its failures are.
fn find(config: &Config, which: &str) -> Result<(String, DateTime<Utc>), Failure> {
    let ledger = Ledger::open(&config.stack.state_dir)?;
    let is_job = config.jobs.keys().any(|name| name.as_str() == which);
    if is_job || !ledger.incidents(Some(which))?.is_empty() {
        return Ok((which.to_owned(), clock::now()));
    }
    let run = ledger.run(which)?;
    let ended = run.ended.and_then(|text| text.parse().ok()).unwrap_or_else(clock::now);
    Ok((run.job, ended))
}

/// Who is at the keyboard, as far as can be known.
fn caller() -> String {
    let names = ["SUDO_USER", "USER", "LOGNAME"].into_iter().filter_map(|name| std::env::var(name).ok());
    names.into_iter().find(|name| !name.is_empty()).unwrap_or_else(|| format!("user {}", host::user_id()))
}

fn list(config: &Config) -> Result<Exit, Failure> {
    let mut open = Ledger::open(&config.stack.state_dir)?.incidents(None)?;
    open.retain(|incident| incident.what.state.is_failure());
    if open.is_empty() {
        println!("nothing fails");
        return Ok(Exit::Ok);
    }
    open.sort_by_key(|incident| (incident.what.severity, incident.since));
    let mut table = output::table(&["SEVERITY", "JOB", "FAILS IN", "SINCE", "TIMES", "LEVEL", "KNOWN TO"]);
    for incident in open {
        let since = format!("{} ({})", local(config, incident.since), age(clock::now() - incident.since));
        let known = incident.ack.map_or_else(
            || "nobody".to_owned(),
            |ack| match ack.note {
                Some(note) => format!("{}: {note}", ack.by),
                None => ack.by,
            },
        );
        table.add_row(vec![
            incident.what.severity.to_string(),
            incident.what.about,
            incident.what.step.unwrap_or_else(|| incident.fingerprint.replace('/', ", ")),
            since,
            incident.times.to_string(),
            incident.level.to_string(),
            known,
        ]);
    }
    println!("{table}");
    Ok(Exit::Ok)
}

fn local(config: &Config, at: DateTime<Utc>) -> String {
    at.with_timezone(&config.stack.timezone).format("%Y-%m-%d %H:%M:%S %Z").to_string()
}
