//! `maint recover`: puts right what dead runs left.

use clap::Args;

use super::{Exit, Failure, Global, output};
use crate::{
    config,
    engine::{
        notify::{self, Haste},
        recover,
    },
};

/// Puts right what dead runs left: stopped containers, helpers, staging, drills, runs without an end
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  maint recover              bring everything back (a running job is never touched)
  maint recover --dry-run    say what there is to put right

A run's own guard brings containers back within seconds of its death, and every run sweeps up after its
predecessors: this command is for a host that was switched off in the middle, e.g. from a unit at boot.

Exit codes: 0 all is well now, 1 something could not be put right")]
pub struct Recover {
    /// Say what there is to put right, and do nothing
    #[arg(long)]
    dry_run: bool,
}

impl Recover {
    pub fn run(self, global: &Global) -> Result<Exit, Failure> {
        let config = config::load(global.config.as_deref())?;
        let runtime = super::runtime()?;
        let found = runtime.block_on(recover::recover(&config.stack, !self.dry_run))?;
        if !self.dry_run {
            // Whoever died told nobody.
            super::notify::print(&runtime.block_on(notify::tick(&config, Haste::Due))?);
        }
        if found.is_empty() {
            println!("nothing to put right");
            return Ok(Exit::Ok);
        }
        let done = |done: &str, would: &str| if self.dry_run { format!("would {would}") } else { done.to_owned() };
        for of_run in &found.containers {
            let names = of_run.containers.join(", ");
            match of_run.by_guard {
                true => println!("{names}: brought back by the guard of run {} after it had died", of_run.ticket),
                false => println!(
                    "{}: {names}, stopped by the dead run {}",
                    done("brought back", "bring back"),
                    of_run.ticket
                ),
            }
        }
        for healed in &found.services {
            let done = done("put right", "put right");
            println!("{done}: {}, whose update by {} died: {}", healed.service, healed.owner, healed.what);
        }
        for owner in &found.helpers {
            println!("{}: the helper container of the dead capture {owner}", done("removed", "remove"));
        }
        for run in &found.staging {
            println!("{}: what the dead run {run} left in staging", done("swept", "sweep"));
        }
        for drill in &found.drills {
            println!("{}: what the dead drill {drill} left", done("swept", "sweep"));
        }
        for run in &found.runs {
            println!(
                "{}: the run {run}, which died without an end",
                done("marked as interrupted", "mark as interrupted")
            );
        }
        for (what, hint) in &found.failed {
            eprintln!("{}: {what}", output::bad("failed"));
            if let Some(hint) = hint {
                eprintln!("hint: {hint}");
            }
        }
        Ok(if found.failed.is_empty() { Exit::Ok } else { Exit::Failed })
    }
}
