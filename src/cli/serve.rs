//! `maint serve`: the daemon.

use std::{
    io::Write,
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock},
};

use clap::Args;
use tokio_util::sync::CancellationToken;

use super::{Exit, Failure, Global};
use crate::{
    config,
    engine::daemon::{self, Said},
    web,
};

/// Runs the jobs at their slots, until it is told to end
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  maint serve                    in the foreground; a unit of systemd, or any other supervisor, keeps it
  kill -HUP PID                  read the configuration anew; a wrong one is refused, and the old one stays
  kill -TERM PID                 no new run begins; those at work may go on for [daemon] drain, then they are stopped;
                                 a second one stops them at once, a third one ends the daemon as it is
  maint runs; maint runs --missed    what it did, and which slots have no run

One daemon per state directory, and not beside enabled timers of maint: every job would be started twice.
A slot is run once whoever starts it: daemon, timer, or maint run --slot.

Exit codes: 0 ended, 1 it could not begin, 2 configuration, or timers are enabled, 5 another daemon is at work,
130 ended, and runs were stopped for it")]
pub struct Serve {
    /// Where the host's file system begins, to look for enabled timers
    #[arg(long, hide = true, default_value = "/", value_name = "DIR")]
    host_root: PathBuf,
}

impl Serve {
    pub fn run(self, global: &Global) -> Result<Exit, Failure> {
        let config = config::load(global.config.as_deref())?;
        daemon::refuse_beside_timers(&self.host_root)?;
        // The same file again, also where it was found in the working directory.
        let path = config.path.clone();
        let shared = Arc::new(RwLock::new(Arc::new(config.clone())));
        let load = || {
            let loaded = config::load(Some(Path::new(&path)))?;
            *shared.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(loaded.clone());
            Ok(loaded)
        };
        let runtime = super::runtime()?;
        let web = config.stack.web.clone();
        let newest = shared.clone();
        let current: web::Current = Arc::new(move || newest.read().unwrap_or_else(PoisonError::into_inner).clone());
        let cancelled = runtime.block_on(async {
            let cancel = CancellationToken::new();
            if let Some(web) = web {
                let listener = web::listen(web.listen).await?;
                tokio::spawn(web::serve(current, listener, cancel.clone()));
            }
            let ended = daemon::serve(config, &load, Arc::new(print)).await;
            cancel.cancel();
            Ok::<_, Failure>(ended?)
        });
        // A thread that hangs in a file system must not keep the process.
        runtime.shutdown_background();
        Ok(if cancelled? == 0 { Exit::Ok } else { Exit::Interrupted })
    }
}

/// A line for the journal, which has the time; a reader that went away must not end the daemon.
fn print(said: &Said) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{said}").and_then(|()| out.flush());
}
