//! `maint verify`: believes nothing, reads everything.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use tokio_util::sync::CancellationToken;

use super::{Exit, Failure, Global, output, set_arg};
use crate::{
    backup::{
        drill::{self, DrillRequest, Ground, place},
        records,
        verify::{self, SetReport},
    },
    engine::signal,
    model::{
        drill::Drill,
        event::StepEvents,
        failure::chain,
        ids::StepId,
        manifest::Level,
        signature::Signature,
        units::{ByteSize, Elapsed, count},
    },
};

/// Verifies a set: reads every byte from the disk and compares it with the manifest
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  maint verify monthly/202608              a set of the configured backup directory
  maint verify monthly                     the newest set of a series
  maint verify /mnt/usb/202608             any directory with a set; needs no configuration
  maint verify --level checksum monthly    digests alone, nothing decoded
  maint verify --level drill monthly       also restored into a throwaway PostgreSQL, and compared
  maint verify --trust ops.pub monthly     signed by one of these keys (allowed_signers of ssh-keygen)

Where a trust anchor is given or configured, a set that is not signed by one of its keys is not as it should be; without
one, who made a set is not checked, and the report says so. A drill that succeeds is recorded beside the set, in .records/ of its series. Without a configuration it uses this
host's PostgreSQL.

Exit codes: 0 all as captured, 3 something differs or is missing, 4 something could not be checked")]
pub struct Verify {
    /// SERIES/PERIOD, SERIES, or a directory
    #[arg(value_name = "SET|DIR")]
    set: PathBuf,
    /// How far to look
    #[arg(long, value_enum, default_value = "structure")]
    level: LevelArg,
    /// With --level drill: let the throwaway server run without a cage where none can be had; the evidence says so
    #[arg(long)]
    allow_unisolated: bool,
    /// Believe the keys in this allowed_signers file; default: that of [sign] in the configuration
    #[arg(long, value_name = "FILE")]
    trust: Option<PathBuf>,
    /// Print the report as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum LevelArg {
    /// Every file's length and SHA-256
    Checksum,
    /// Also decoded to the end: every frame, table and entry against the contents list
    Structure,
    /// Also restored into a throwaway PostgreSQL and scratch directories, and the copies compared with what was captured
    Drill,
}

impl Verify {
    pub fn run(self, global: &Global) -> Result<Exit, Failure> {
        let dir = set_arg::find(&self.set, global)?;
        let level = match self.level {
            LevelArg::Checksum => Level::Checksum,
            LevelArg::Structure => Level::Structure,
            LevelArg::Drill => Level::Drill,
        };
        let trust = super::trust(self.trust.as_deref(), global)?;
        // Before a drill's hours, not after them.
        let signer = if level == Level::Drill { super::signer(global)? } else { None };
        let ground = if level == Level::Drill { Some(super::ground(global, self.allow_unisolated)?) } else { None };
        let runtime = super::runtime()?;
        let cancel = CancellationToken::new();
        let _signals = signal::cancel_on_signals(&runtime, &cancel)?;
        let progress = output::progress(self.json);
        let events = StepEvents::new(progress.sink(), step_id()?);
        let report = verify::set(&dir, level, trust.as_ref(), &cancel, &events);
        let mut report = report.inspect_err(|_| progress.finish())?;
        let drilled = match &ground {
            Some(ground) if report.findings.is_empty() => {
                let request = DrillRequest {
                    dir: &dir,
                    artifacts: &report.manifest.artifacts,
                    settings: &ground.settings,
                    docker: &ground.docker,
                    servers: &ground.servers,
                };
                Some(runtime.block_on(async {
                    sweep(ground).await;
                    drill::run(request, &cancel, &events).await
                }))
            }
            _ => None,
        };
        progress.finish();
        if let Some(drilled) = drilled {
            report.add_drill(drilled)?;
        }
        let record = match &report.drill {
            Some(drill) => {
                let (series_dir, set) = records::place(&dir)?;
                let body = records::drilled(report.evidence(), drill.clone());
                let record = records::make(&report.manifest.series, &set, &report.manifest_sha256, body);
                Some(records::put(&series_dir, &record, signer.as_ref())?)
            }
            None => None,
        };
        if self.json {
            println!("{}", serde_json::to_string_pretty(&report).map_err(|e| Failure::other(e.to_string()))?);
        } else {
            print(&dir, &report, level);
            if let Some(record) = record {
                println!("recorded: {}", record.display());
            }
        }
        Ok(report.class().map_or(Exit::Ok, Exit::from))
    }
}

/// Removes what drills left that were killed; one that cannot be removed now is no reason not to drill.
async fn sweep(ground: &Ground) {
    match place::sweep(&ground.settings.scratch_dir, &ground.docker).await {
        Ok(swept) => {
            for id in swept.removed {
                eprintln!("swept what the dead drill {id} left");
            }
        }
        Err(error) => eprintln!("what dead drills left could not be swept: {}", chain(&error)),
    }
}

fn step_id() -> Result<StepId, Failure> {
    "verify".parse().map_err(|e: crate::model::ids::NameError| Failure::other(e.to_string()))
}

fn print(dir: &Path, report: &SetReport, level: Level) {
    println!("{}: verifying to the level \"{level}\"", dir.display());
    for checked in &report.checked {
        let (first, more) = checked.checks.split_first().map_or(("", [].as_slice()), |(f, m)| (f.as_str(), m));
        println!("  {} {:<34} {}", output::good("✓"), checked.file, output::faint(first));
        for check in more {
            println!("    {:<34} {}", "", output::faint(check));
        }
    }
    if let Signature::Unsigned | Signature::NotChecked { .. } = report.signature {
        println!("  {} {:<34} {}", output::warn("!"), "who made it", output::warn(&report.signature.to_string()));
    }
    if let Some(drill) = &report.drill {
        print_drill(drill);
    }
    for finding in &report.findings {
        let mark = if finding.unknown { output::warn("?") } else { output::bad("✗") };
        println!("  {mark} {}: {}", finding.file, finding.problem);
    }
    let bytes = ByteSize(report.checked.iter().map(|c| c.bytes).sum());
    let took = Elapsed(std::time::Duration::from_millis(report.millis));
    let files = count(report.checked.len() as u64, "file");
    match report.findings.as_slice() {
        [] => println!("{}: {files}, {bytes}, all as captured ({took})", output::good("verified")),
        findings if findings.iter().all(|f| f.unknown) => {
            println!("{}: {} could not be checked", output::warn("not verified"), count(findings.len() as u64, "file"));
            for hint in findings.iter().filter_map(|f| f.hint.as_ref()) {
                println!("hint: {hint}");
            }
        }
        findings => {
            println!("{}: {} ({took})", output::bad("NOT verified"), count(findings.len() as u64, "finding"));
            println!("Do not restore from this set before you know why. Keep it as it is, and look for another copy.");
        }
    }
}

fn print_drill(drill: &Drill) {
    let time = |millis| Elapsed(std::time::Duration::from_millis(millis));
    for server in &drill.servers {
        let version = server.version.split_whitespace().next().unwrap_or_default();
        println!(
            "  {} {:<34} {}",
            output::good("✓"),
            format!("drill of {}", server.server),
            output::faint(&format!("PostgreSQL {version}, {}: {}", server.place, server.isolation))
        );
    }
    for restored in &drill.restored {
        let times =
            format!("restored in {}, compared in {}", time(restored.restore_millis), time(restored.compare_millis));
        println!("  {} {:<34} {}", output::good("✓"), restored.file, output::faint(&times));
        for check in &restored.checks {
            println!("    {:<34} {}", "", output::faint(check));
        }
        for not in &restored.not_compared {
            println!("    {:<34} {} {not}", "", output::warn("not compared:"));
        }
    }
    println!("restoring it takes {} on a host like this", time(drill.recovery_millis));
}
