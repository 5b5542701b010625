//! One file per command. The only room that prints or exits.

mod ack;
mod audit;
mod backups;
mod board;
mod capacity;
mod check;
mod copy_arg;
mod demo;
mod doctor;
mod exit;
mod failure;
mod generate;
mod guard;
mod jobs;
mod metrics;
mod notify;
mod output;
mod plan;
mod prune;
mod recover;
mod render;
mod reports;
mod restore;
mod run;
mod runs;
mod serve;
mod set_arg;
mod systemd;
mod upload;
mod verify;

use std::{
    collections::BTreeMap,
    io::IsTerminal,
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::{Parser, Subcommand};

pub use exit::Exit;
use failure::Failure;

use crate::{
    adapters::{
        clock, host,
        signature::{Signer, Trust},
    },
    backup::drill::Ground,
    config,
    model::stack::{Docker, DrillSettings},
};

/// Runs a production stack's runbook as jobs; every backup is verified before it counts.
#[derive(Debug, Parser)]
#[command(name = "maint", version, propagate_version = true, max_term_width = 100, after_help = AFTER_HELP)]
struct Cli {
    /// The configuration; default: $MAINT_CONFIG, /etc/maint/maint.toml, ./maint.toml
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

const AFTER_HELP: &str = "\
Examples:
  maint demo                              see it all on a throwaway PostgreSQL
  maint run monthly-backup --dry-run      what would be done
  maint run monthly-backup                do it
  maint verify backups/monthly/202608     believe nothing, read everything
  maint restore monthly --into db:copy    the newest dump of a series into a new database
  maint audit --html audit.html           is every backup there, whole, and as it was made?
  maint systemd install --now             let timers run the jobs

Exit codes: 0 ok, 1 failed, 2 usage or configuration, 3 verification failed, 4 could not be checked,
5 lock not obtained, 130 interrupted\n";

#[derive(Debug, Subcommand)]
enum Command {
    Demo(demo::Demo),
    Run(run::Run),
    Jobs(jobs::Jobs),
    Plan(plan::Plan),
    Check(check::Check),
    Doctor(doctor::Doctor),
    Recover(recover::Recover),
    Serve(serve::Serve),
    Metrics(metrics::Metrics),
    Runs(runs::Runs),
    Backups(backups::Backups),
    Prune(prune::Prune),
    Verify(verify::Verify),
    Upload(upload::Upload),
    Restore(Box<restore::Restore>),
    Audit(audit::Audit),
    Capacity(capacity::Capacity),
    Reports(reports::Reports),
    Notify(notify::Notify),
    Ack(ack::Ack),
    Systemd(systemd::Systemd),
    Generate(generate::Generate),
    #[command(hide = true, name = "__guard")]
    Guard(guard::Guard),
}

/// What every command is given.
#[derive(Debug, Clone)]
struct Global {
    config: Option<PathBuf>,
}

/// Parses the command line, runs the command, gives the exit code.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let code = if error.use_stderr() { Exit::Usage } else { Exit::Ok };
            // A closed pipe is the reader's choice.
            let _ = error.print();
            return code.into();
        }
    };
    trace();
    let exit = match dispatch(cli) {
        Ok(exit) => exit,
        Err(failure) => failure.print(),
    };
    exit.into()
}

/// What happens inside goes to stderr: warnings, or what `MAINT_LOG` asks for (`debug`, `maint::adapters=trace`).
fn trace() {
    let mut filter = tracing_subscriber::EnvFilter::builder()
        .with_default_directive(tracing::Level::WARN.into())
        .with_env_var("MAINT_LOG")
        .from_env_lossy();
    // Its warnings are about every place where it looked for keys and found none; maint's own error tells of the last.
    if let (None, Ok(quiet)) = (std::env::var_os("MAINT_LOG"), "aws_config=off".parse()) {
        filter = filter.add_directive(quiet);
    }
    // Colours are for eyes: not for files, the journal, or whoever wants none.
    let coloured = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|no| no.is_empty());
    let logs = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(coloured);
    logs.without_time().init();
}

/// Runs a parsed command.
fn dispatch(cli: Cli) -> Result<Exit, Failure> {
    let global = Global { config: cli.config };
    match cli.command {
        Command::Demo(command) => command.run(&global),
        Command::Run(command) => command.run(&global),
        Command::Jobs(command) => command.run(&global),
        Command::Plan(command) => command.run(&global),
        Command::Check(command) => command.run(&global),
        Command::Doctor(command) => command.run(&global),
        Command::Recover(command) => command.run(&global),
        Command::Serve(command) => command.run(&global),
        Command::Metrics(command) => command.run(&global),
        Command::Runs(command) => command.run(&global),
        Command::Backups(command) => command.run(&global),
        Command::Prune(command) => command.run(&global),
        Command::Verify(command) => command.run(&global),
        Command::Upload(command) => command.run(&global),
        Command::Restore(command) => command.run(&global),
        Command::Audit(command) => command.run(&global),
        Command::Capacity(command) => command.run(&global),
        Command::Reports(command) => command.run(&global),
        Command::Notify(command) => command.run(&global),
        Command::Ack(command) => command.run(&global),
        Command::Systemd(command) => command.run(&global),
        Command::Generate(command) => command.run(&global),
        Command::Guard(command) => command.run(),
    }
}

/// Where drills run: as configured, or, on a host without a configuration, with this host's programs.
fn ground(global: &Global, allow_unisolated: bool) -> Result<Ground, Failure> {
    let mut ground = match config::load_if_any(global.config.as_deref())? {
        Some(config) => Ground {
            settings: config.stack.drill.clone(),
            docker: config.stack.docker.clone(),
            servers: config.stack.postgres.clone(),
        },
        None => {
            // Names in a directory that everybody writes to must not be known before.
            let own = std::env::temp_dir().join(format!("maint-{}", clock::run_id()));
            let own = if host::is_root() { PathBuf::from("/var/lib/maint") } else { own };
            Ground { settings: DrillSettings::below(&own), docker: Docker::default(), servers: BTreeMap::new() }
        }
    };
    ground.settings.allow_unisolated |= allow_unisolated;
    Ok(ground)
}

/// Whom this host believes: `--trust`, else what is configured, where there is a configuration.
fn trust(given: Option<&Path>, global: &Global) -> Result<Option<Trust>, Failure> {
    let path = match given {
        Some(path) => Some(path.to_owned()),
        None => config::load_if_any(global.config.as_deref())?.and_then(|config| config.stack.sign.trust.clone()),
    };
    Ok(path.as_deref().map(Trust::load).transpose()?)
}

/// What signs records on this host, where something is configured to.
fn signer(global: &Global) -> Result<Option<Signer>, Failure> {
    let config = config::load_if_any(global.config.as_deref())?;
    Ok(config.and_then(|config| config.stack.sign.key.clone()).as_ref().map(Signer::load).transpose()?)
}

/// The async runtime of the commands that need one.
fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    let built = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    built.map_err(|e| Failure::other(format!("starting the runtime: {e}")))
}
