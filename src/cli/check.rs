//! `maint check`: is the configuration right? Offline.

use clap::Args;
use serde::Serialize;

use super::{Exit, Failure, Global};
use crate::{
    config::{self, Mistake},
    model::{secret::SecretSource, stack::SignSettings, units::count},
};

/// Checks maint.toml and every job, offline; shows every mistake at its line and column
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  maint check                          the configuration that maint would use
  maint --config ./maint.toml check    another one
  maint check --json                   for editors

Exit codes: 0 valid (warnings are shown), 2 not valid")]
pub struct Check {
    /// Print the report as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Report<'a> {
    valid: bool,
    mistakes: &'a [Mistake],
}

impl Check {
    pub fn run(self, global: &Global) -> Result<Exit, Failure> {
        let loaded = config::load(global.config.as_deref());
        let (valid, mistakes) = match &loaded {
            Ok(config) => (true, config.warnings.as_slice()),
            Err(error) => (false, error.mistakes.as_slice()),
        };
        if self.json {
            let report = Report { valid, mistakes };
            println!("{}", serde_json::to_string_pretty(&report).map_err(|e| Failure::other(e.to_string()))?);
            return Ok(if valid { Exit::Ok } else { Exit::Usage });
        }
        for mistake in mistakes {
            eprintln!("{}: {mistake}\n", if mistake.warning { "warning" } else { "error" });
        }
        let Ok(config) = loaded else {
            let wrong = mistakes.iter().filter(|m| !m.warning).count() as u64;
            eprintln!("{}; every key stands in docs/reference.md (maint generate reference)", count(wrong, "mistake"));
            return Ok(Exit::Usage);
        };
        println!("{}: valid", config.path.display());
        println!("  jobs     {} in {}", count(config.jobs.len() as u64, "job"), config.stack.jobs_dir.display());
        println!("  servers  {}", count(config.stack.postgres.len() as u64, "PostgreSQL server"));
        println!("  sets     {}", config.stack.backup_dir.display());
        println!("  state    {}", config.stack.state_dir.display());
        println!("  signed   {}", signed(&config.stack.sign));
        println!("whether the servers answer: maint doctor");
        Ok(Exit::Ok)
    }
}

/// Who signs, and who is believed, in one line.
fn signed(sign: &SignSettings) -> String {
    let by = match &sign.key {
        Some(SecretSource::File(file)) => format!("by the key in {}", file.display()),
        Some(SecretSource::Credential(name)) => format!("by the key in the credential {name}"),
        Some(_) => "by a key".to_owned(),
        None => "no; add [sign] with a key".to_owned(),
    };
    match &sign.trust {
        Some(file) => format!("{by}; believed are the keys in {}", file.display()),
        None if sign.key.is_some() => format!("{by}; nothing says which keys are believed: add `trust` to [sign]"),
        None => by,
    }
}
