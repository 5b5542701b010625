//! `maint doctor`: would the jobs work now? Online; changes nothing.

mod host;
mod servers;
mod sign;
mod stores;

use clap::Args;
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use super::{Exit, Failure, Global, output, runtime};
use crate::{
    config,
    model::{
        failure::{Diagnose, chain},
        outcome::Outcome,
        units::count,
    },
};

/// Checks what the jobs need: servers, tools, permissions, space, Docker, stores
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  maint doctor           one line per check, with what to do about it
  maint doctor --json    for machines

Exit codes: 0 ok or warnings, 1 something failed, 2 the configuration is not valid, 4 something could not be checked")]
pub struct Doctor {
    /// Print the report as JSON
    #[arg(long)]
    json: bool,
}

/// One thing that was looked at.
#[derive(Debug, Serialize)]
struct Check {
    /// What it is about: `host`, or a server's name.
    subject: String,
    /// What was looked at.
    check: &'static str,
    #[serde(flatten)]
    outcome: Outcome,
    /// What was found, where it is as it should be.
    found: Option<String>,
    /// What to do about it.
    remedy: Option<String>,
}

impl Check {
    fn ok(subject: &str, check: &'static str, found: impl Into<String>) -> Self {
        Self { subject: subject.to_owned(), check, outcome: Outcome::Ok, found: Some(found.into()), remedy: None }
    }

    fn warning(subject: &str, check: &'static str, reason: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            subject: subject.to_owned(),
            check,
            outcome: Outcome::Warning(reason.into()),
            found: None,
            remedy: Some(remedy.into()),
        }
    }

    fn failed(subject: &str, check: &'static str, error: &(impl Diagnose + 'static)) -> Self {
        let outcome = Outcome::Failed(chain(error));
        Self { subject: subject.to_owned(), check, outcome, found: None, remedy: error.hint() }
    }

    fn unfit(subject: &str, check: &'static str, reason: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { outcome: Outcome::Failed(reason.into()), ..Self::warning(subject, check, "", remedy) }
    }

    fn unknown(subject: &str, check: &'static str, reason: impl Into<String>) -> Self {
        let outcome = Outcome::Unknown(reason.into());
        Self { subject: subject.to_owned(), check, outcome, found: None, remedy: None }
    }
}

#[derive(Serialize)]
struct Report<'a> {
    #[serde(flatten)]
    outcome: &'a Outcome,
    checks: &'a [Check],
}

impl Doctor {
    pub fn run(self, global: &Global) -> Result<Exit, Failure> {
        let config = config::load(global.config.as_deref())?;
        let mut checks = vec![host::configuration(&config)];
        runtime()?.block_on(async {
            let cancel = CancellationToken::new();
            let mut largest = 0;
            for server in config.stack.postgres.values() {
                let checked = servers::check(server, &config.stack.docker, &cancel).await;
                largest += checked.database_bytes;
                checks.extend(checked.checks);
            }
            checks.extend(servers::locks(&config).await);
            checks.extend(host::directories(&config.stack, largest));
            checks.extend(host::docker(&config).await);
            checks.push(host::drill(&config.stack, &cancel).await);
            checks.extend(sign::check(&config.stack.sign));
            checks.extend(stores::check(&config.stack, &cancel).await);
            checks.push(host::clock(&config.stack));
        });
        let worst = checks.iter().map(|check| check.outcome.clone()).fold(Outcome::Ok, Outcome::worst);
        if self.json {
            let report = Report { outcome: &worst, checks: &checks };
            println!("{}", serde_json::to_string_pretty(&report).map_err(|e| Failure::other(e.to_string()))?);
        } else {
            print(&checks);
        }
        Ok(match worst {
            Outcome::Failed(_) | Outcome::Interrupted => Exit::Failed,
            Outcome::Unknown(_) => Exit::Unverifiable,
            Outcome::Ok | Outcome::Changed | Outcome::Skipped(_) | Outcome::Warning(_) => Exit::Ok,
        })
    }
}

fn print(checks: &[Check]) {
    let mut table = output::table(&["", "WHAT", "CHECK", "FOUND"]);
    for check in checks {
        let word = check.outcome.word();
        let word = match check.outcome {
            Outcome::Ok => output::good(word),
            Outcome::Failed(_) => output::bad(word),
            _ => output::warn(word),
        };
        let mut found = check.outcome.reason().or(check.found.as_deref()).unwrap_or_default().to_owned();
        if let Some(remedy) = &check.remedy {
            found.push_str("\n→ ");
            found.push_str(remedy);
        }
        table.add_row([word, check.subject.clone(), check.check.to_owned(), found]);
    }
    println!("{table}");
    let bad = checks.iter().filter(|check| check.outcome != Outcome::Ok).count() as u64;
    if bad == 0 {
        println!("\n{}, all as they should be", count(checks.len() as u64, "check"));
    } else {
        println!("\n{}, {bad} to look at", count(checks.len() as u64, "check"));
    }
}
