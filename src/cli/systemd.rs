//! `maint systemd`: units from jobs/, and their way to a host and away from it.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};

use super::{Exit, Failure, Global, output};
use crate::{
    adapters::systemd::Systemd as Manager,
    config::{self, Config},
    engine::units::{
        self,
        error::UnitsError,
        install::{self, Change, Telling},
        layout::Layout,
    },
    model::units::count,
};

/// Makes systemd units from jobs/, compares, installs and removes them
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  maint systemd render                    see them: one timer per job with a schedule, and the services
  maint systemd render --dir systemd      write them beside the jobs, to be committed
  maint systemd check --dir systemd       are those up to date? (for CI)
  maint systemd install --dry-run         what would change in /etc
  maint systemd install --now             put them there, enable and start the timers
  maint systemd check                     are the installed ones up to date?
  maint systemd uninstall                 take away what maint put there

Exit codes: 0 done, or up to date; 1 they differ, or it failed; 2 usage or configuration")]
pub struct Systemd {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Prints the units, or writes them into a directory
    Render {
        /// Where to write them; what maint wrote there and no job needs any more is removed
        #[arg(long)]
        dir: Option<PathBuf>,
    },
    /// Compares what is installed, or in a directory, with what jobs/ say
    Check(Place),
    /// Puts the units into /etc and enables the timers; says first what it does
    Install {
        /// Below this directory instead of /, e.g. for an image; nothing is started
        #[arg(long)]
        root: Option<PathBuf>,
        /// Start the timers too, not only at the next boot
        #[arg(long, conflicts_with = "root")]
        now: bool,
        /// Say what would be done, and do nothing
        #[arg(long)]
        dry_run: bool,
    },
    /// Disables the units and removes the files that maint made, and no others
    Uninstall {
        /// Below this directory instead of /
        #[arg(long)]
        root: Option<PathBuf>,
        /// Say what would be done, and do nothing
        #[arg(long)]
        dry_run: bool,
    },
}

#[derive(Debug, Args)]
struct Place {
    /// A directory with all of them, as `render --dir` writes it
    #[arg(long, conflicts_with = "root")]
    dir: Option<PathBuf>,
    /// Below this directory instead of /
    #[arg(long)]
    root: Option<PathBuf>,
}

impl Systemd {
    pub fn run(self, global: &Global) -> Result<Exit, Failure> {
        match self.what {
            What::Render { dir } => render(global, dir),
            What::Check(place) => check(global, place),
            What::Install { root, now, dry_run } => install_units(global, root.as_deref(), now, dry_run),
            What::Uninstall { root, dry_run } => uninstall(root.as_deref(), dry_run),
        }
    }
}

fn render(global: &Global, dir: Option<PathBuf>) -> Result<Exit, Failure> {
    let config = config::load(global.config.as_deref())?;
    let units = units::render(&config);
    let Some(dir) = dir else {
        for unit in &units {
            println!("{}\n{}", output::bold(&format!("==> {}", unit.path.display())), unit.text);
        }
        return Ok(Exit::Ok);
    };
    let changes = install::compare(&units, &Layout::Directory(dir))?;
    install::carry_out(&changes)?;
    show(&changes, false);
    Ok(Exit::Ok)
}

fn check(global: &Global, place: Place) -> Result<Exit, Failure> {
    let config = config::load(global.config.as_deref())?;
    let layout = match place.dir {
        Some(dir) => Layout::Directory(dir),
        None => Layout::Host(place.root.unwrap_or_else(|| "/".into())),
    };
    let fix = match &layout {
        Layout::Directory(dir) => format!("maint systemd render --dir {}", dir.display()),
        Layout::Host(_) => "maint systemd install".to_owned(),
    };
    let changes = install::compare(&units::render(&config), &layout)?;
    if changes.iter().all(|change| matches!(change, Change::Keep(_))) {
        println!("{}, all as jobs/ say", count(changes.len() as u64, "file"));
        return Ok(Exit::Ok);
    }
    for change in &changes {
        let path = change.path().display();
        match change {
            Change::Keep(_) => {}
            Change::Create(..) => println!("{} {path}", output::bad("missing")),
            Change::Replace(..) => println!("{} {path}", output::bad("differs")),
            Change::Remove(_) => println!("{} {path}: no job needs it", output::bad("left over")),
            Change::Foreign(_) => println!("{} {path}: maint did not write it", output::bad("foreign")),
        }
    }
    eprintln!("hint: make them the same: {fix}");
    Ok(Exit::Failed)
}

fn install_units(global: &Global, root: Option<&Path>, now: bool, dry_run: bool) -> Result<Exit, Failure> {
    let config = config::load(global.config.as_deref())?;
    if root.is_none() {
        fits(&config)?;
    }
    let units = units::render(&config);
    let changes = install::compare(&units, &Layout::Host(root.unwrap_or(Path::new("/")).to_owned()))?;
    let telling = Telling::of(&units, &changes);
    show(&changes, dry_run);
    say("disabled", &telling.disable);
    say("enabled", &telling.enable);
    say("started", if now { &telling.start } else { &[] });
    if dry_run {
        println!("nothing was done (--dry-run)");
        return Ok(Exit::Ok);
    }
    super::runtime()?.block_on(install::install(&changes, &telling, &Manager::new(root), now))?;
    println!("installed; when they fire: {}", output::bold("systemctl list-timers 'maint-*'"));
    Ok(Exit::Ok)
}

/// Units that would read another configuration, or start nothing, are a mistake that shows only at night.
fn fits(config: &Config) -> Result<(), UnitsError> {
    let settings = &config.stack.systemd;
    if settings.config != config.path {
        return Err(UnitsError::AnotherConfig { units: settings.config.clone(), given: config.path.clone() });
    }
    if !settings.binary.is_file() {
        return Err(UnitsError::NoBinary(settings.binary.clone()));
    }
    Ok(())
}

fn uninstall(root: Option<&Path>, dry_run: bool) -> Result<Exit, Failure> {
    let files = install::ours(&Layout::Host(root.unwrap_or(Path::new("/")).to_owned()))?;
    if files.is_empty() {
        println!("nothing of maint's is installed");
        return Ok(Exit::Ok);
    }
    let changes: Vec<_> = files.iter().cloned().map(Change::Remove).collect();
    show(&changes, dry_run);
    say("disabled and stopped", &Telling::of_removal(&files).disable);
    if dry_run {
        println!("nothing was done (--dry-run)");
        return Ok(Exit::Ok);
    }
    super::runtime()?.block_on(install::uninstall(&files, &Manager::new(root)))?;
    println!("removed; sets, state and configuration are as they were");
    Ok(Exit::Ok)
}

/// What is done about the files, one a line.
fn show(changes: &[Change], dry_run: bool) {
    for change in changes {
        let path = change.path().display();
        match change {
            Change::Keep(_) => println!("  {} {path}", output::faint("unchanged")),
            Change::Create(..) => println!("  {}       {path}", output::good("new")),
            Change::Replace(..) => println!("  {}   {path}", output::warn("changed")),
            Change::Remove(_) => println!("  {}   {path}", output::warn("removed")),
            Change::Foreign(_) if dry_run => println!("  {} {path}: it stays, and stops this", output::bad("foreign")),
            Change::Foreign(_) => {}
        }
    }
}

fn say(what: &str, units: &[String]) {
    for unit in units {
        println!("  {what}: {unit}");
    }
}
