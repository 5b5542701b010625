//! `maint notify`: who was told what, and whether they can be told.

use clap::{Args, Subcommand};

use super::{Exit, Failure, Global, output};
use crate::{
    adapters::ledger::{Delivery, DeliveryState, Ledger},
    config::{self, Config},
    engine::notify::{self, Haste, Told, UnitFailure},
};

/// Tries channels, sends what waits, shows what was told
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  maint notify test ops            send a test to the channel [notify.ops], now
  maint notify log                 what was told to whom, newest first
  maint notify flush               send everything that waits, and let climb what nobody acknowledged
  maint notify unit-failed maint@monthly-backup.service    for OnFailure= of systemd

A message is recorded before it is sent: what a dead process or a channel that was down left unsent is sent by the next
run, the daemon, or flush. See docs/notifications.md.")]
pub struct Notify {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Sends a test to a channel; exits with 1 where it is not taken
    Test {
        /// The channel: NAME of [notify.NAME]
        channel: String,
    },
    /// Lists messages, newest first
    Log {
        /// How many
        #[arg(long, default_value_t = 20)]
        limit: u32,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Sends everything that waits, at once; exits with 1 where something is not taken
    Flush,
    /// Tells that a systemd unit failed, unless maint told already; works with a configuration that has mistakes
    UnitFailed {
        /// The unit, e.g. maint@monthly-backup.service
        unit: String,
        /// Why, in systemd's word; default: $MONITOR_SERVICE_RESULT, which systemd sets
        #[arg(long, env = "MONITOR_SERVICE_RESULT", hide_env = true, value_name = "WORD")]
        result: Option<String>,
        /// Its exit code or signal; default: $MONITOR_EXIT_STATUS, which systemd sets
        #[arg(long, env = "MONITOR_EXIT_STATUS", hide_env = true, value_name = "CODE")]
        status: Option<String>,
    },
}

impl Notify {
    pub fn run(self, global: &Global) -> Result<Exit, Failure> {
        if let Command::UnitFailed { unit, result, status } = self.command {
            return unit_failed(global, UnitFailure { unit, result, status });
        }
        let config = config::load(global.config.as_deref())?;
        match self.command {
            Command::Test { channel } => {
                let told = super::runtime()?.block_on(notify::test(&config, &channel))?;
                Ok(print(&[told]))
            }
            Command::Flush => {
                let told = super::runtime()?.block_on(notify::tick(&config, Haste::All))?;
                if told.is_empty() {
                    println!("nothing waits");
                }
                Ok(print(&told))
            }
            Command::Log { limit, json } => log(&config, limit, json),
            Command::UnitFailed { .. } => Ok(Exit::Ok),
        }
    }
}

fn unit_failed(global: &Global, failure: UnitFailure) -> Result<Exit, Failure> {
    let config = config::load_to_tell(global.config.as_deref())?;
    let mistake = config.warnings.iter().find(|mistake| !mistake.warning);
    if let Some(mistake) = mistake {
        eprintln!("warning: the configuration has mistakes, the first one: {mistake}");
    }
    // systemd says only "exit code 2"; the reason stands here.
    let failure = match mistake {
        Some(mistake) => UnitFailure {
            status: failure.status.map(|status| format!("{status}; the configuration is wrong: {}", first(mistake))),
            ..failure
        },
        None => failure,
    };
    match super::runtime()?.block_on(notify::unit_failed(&config, &failure))? {
        Some(told) => Ok(print(&told)),
        None => {
            println!("{}: maint told of it already", failure.unit);
            Ok(Exit::Ok)
        }
    }
}

fn first(mistake: &config::Mistake) -> String {
    let line = mistake.place.map(|(line, _)| format!(":{line}")).unwrap_or_default();
    format!("{}{line}: {}", mistake.file.display(), mistake.message)
}

/// Says what became of messages; the exit code of commands that send.
pub(super) fn print(told: &[Told]) -> Exit {
    for one in told {
        let Told { channel, about, why, .. } = one;
        match (&one.error, one.state) {
            (_, DeliveryState::Accepted) => {
                println!("{} {channel} was told: {about}, {why}", output::good("✓"));
            }
            (error, state) => {
                let error = error.as_deref().unwrap_or("nobody knows why");
                let given_up = if state == DeliveryState::GivenUp { "; not tried again" } else { "" };
                eprintln!("{} {channel} was not told ({about}, {why}): {error}{given_up}", output::bad("✗"));
                if let Some(hint) = &one.hint {
                    eprintln!("hint: {hint}");
                }
            }
        }
    }
    let all = told.iter().all(|one| one.state == DeliveryState::Accepted);
    if all { Exit::Ok } else { Exit::Failed }
}

fn log(config: &Config, limit: u32, json: bool) -> Result<Exit, Failure> {
    let ledger = Ledger::open(&config.stack.state_dir)?;
    let deliveries = ledger.deliveries(limit)?;
    if json {
        for delivery in &deliveries {
            println!("{}", serde_json::to_string(delivery).map_err(|e| Failure::other(e.to_string()))?);
        }
    } else if deliveries.is_empty() {
        println!("nobody was told anything yet; try a channel: maint notify test NAME");
    } else {
        println!("{}", table(config, &deliveries));
    }
    Ok(Exit::Ok)
}

/// Messages as a table.
pub(super) fn table(config: &Config, deliveries: &[Delivery]) -> comfy_table::Table {
    let mut table = output::table(&["WHEN", "CHANNEL", "ABOUT", "WHY", "STATE", "TRIES", "LAST ERROR"]);
    for delivery in deliveries {
        let when = delivery.created.with_timezone(&config.stack.timezone).format("%Y-%m-%d %H:%M:%S %Z").to_string();
        table.add_row(vec![
            when,
            delivery.channel.clone(),
            delivery.about.clone(),
            delivery.why.clone(),
            delivery.state.word().to_owned(),
            delivery.tries.to_string(),
            delivery.error.clone().unwrap_or_default(),
        ]);
    }
    table
}
