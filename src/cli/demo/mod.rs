//! `maint demo`: the main job, end to end, on a throwaway PostgreSQL and sample data.
//!
//! It types the commands that an operator would type, so what it shows is what maint does.

mod stage;

use std::path::{Path, PathBuf};

use clap::{Args, Parser};
use tokio_util::sync::CancellationToken;

use super::{Cli, Exit, Failure, Global, output};
use crate::{adapters::host, engine::signal};
use stage::Stage;

/// Shows the main job end to end on a throwaway PostgreSQL; needs no configuration
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  maint demo                    everything below /tmp/maint-demo-<user id>; a second run adds a second set
  maint demo --dir ~/demo       everything there

It needs PostgreSQL's own programs (Debian: postgresql-15). A Docker volume is part of it where the engine's socket
and the volume's files can be used. The server is gone afterwards; sets, ledger and configuration stay.")]
pub struct Demo {
    /// Where configuration, sample files, sets and ledger go
    #[arg(long)]
    dir: Option<PathBuf>,
}

impl Demo {
    pub fn run(self, _global: &Global) -> Result<Exit, Failure> {
        let default = || std::env::temp_dir().join(format!("maint-demo-{}", host::user_id()));
        let dir = std::path::absolute(self.dir.unwrap_or_else(default))
            .map_err(|e| Failure::other(format!("finding the demo's directory: {e}")))?;
        let runtime = super::runtime()?;
        let cancel = CancellationToken::new();
        let signals = signal::cancel_on_signals(&runtime, &cancel)?;
        let stage = runtime.block_on(Stage::set(&dir, &cancel))?;
        // The commands below listen by themselves.
        drop(signals);
        let ended = show(&stage);
        runtime.block_on(stage.strike());
        let exit = ended?;
        if exit == Exit::Ok {
            next(&dir);
        }
        Ok(exit)
    }
}

fn show(stage: &Stage) -> Result<Exit, Failure> {
    println!("A throwaway PostgreSQL {} with sample data is up; nothing else on this host is touched.", stage.version);
    if let Some(reason) = &stage.without_volume {
        println!("{}: no Docker volume in this demo: {reason}", output::warn("note"));
    }
    for words in [&["run", "monthly-backup", "--dry-run"][..], &["run", "monthly-backup"], &["backups"]] {
        let exit = type_in(stage, words)?;
        if exit != Exit::Ok {
            return Ok(exit);
        }
    }
    type_in(stage, &["verify", "monthly"])
}

/// Types one command and runs it.
fn type_in(stage: &Stage, words: &[&str]) -> Result<Exit, Failure> {
    let config = stage.config.display().to_string();
    println!("\n{}", output::bold(&format!("$ maint --config {config} {}", words.join(" "))));
    let typed = ["maint", "--config", &config].into_iter().chain(words.iter().copied());
    let cli = Cli::try_parse_from(typed).map_err(|e| Failure::other(e.to_string()))?;
    super::dispatch(cli)
}

fn next(dir: &Path) {
    let program = std::env::current_exe().ok();
    let programs = program.as_deref().and_then(Path::parent).unwrap_or(Path::new("/usr/local/bin")).display();
    println!("\n{}", output::bold("What to try next"));
    println!(
        "\
  export MAINT_CONFIG={0}/maint.toml PATH=\"$PATH:{programs}\"
  cd \"$(ls -d {0}/backups/monthly/* | tail -1)\"

  sha256sum -c SHA256SUMS           check the set without maint
  less RESTORE.md                   restore it without maint
  zstd -dc db-*.sql.zst | less      the dump is plain SQL
  maint runs                        what ran, and how it ended
  maint plan monthly-backup         what would be done, and when
  cp -r . /tmp/forged && printf X | dd of=/tmp/forged/globals-*.sql.zst bs=1 seek=99 conv=notrunc
  maint verify /tmp/forged          one byte differs: exit code 3

On your own host: edit maint.toml, then maint check, maint doctor, maint run monthly-backup.",
        dir.display()
    );
}
