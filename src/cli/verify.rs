//! `maint verify`: believes nothing, reads everything.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use tokio_util::sync::CancellationToken;

use super::{
    Exit, Failure, Global,
    copy_arg::{Copy, CopyArgs},
    output, set_arg,
};
use crate::{
    adapters::signature::{Signer, Trust},
    backup::{
        drill::{self, DrillRequest, Ground, place},
        fetch::{self, FetchError, Fetched},
        records,
        verify::{self, Finding, SetReport},
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
  maint verify --store offsite monthly     the newest copy in a store: fetched, and verified
  maint verify --store offsite --identity key.txt monthly/202608    an encrypted one
  maint verify --trust ops.pub monthly     signed by one of these keys (allowed_signers of ssh-keygen)

Without --identity, what lies in the store of an encrypted copy is read and compared with what was sent; what it holds is
then not checked (exit code 4). Where a trust anchor is given or configured, a set that is not signed by one of its keys is not as it should be; without
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
    #[command(flatten)]
    copy: CopyArgs,
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
        let level = match self.level {
            LevelArg::Checksum => Level::Checksum,
            LevelArg::Structure => Level::Structure,
            LevelArg::Drill => Level::Drill,
        };
        let runtime = super::runtime()?;
        let copy = self.copy.find(&self.set, &runtime, global)?;
        let dir = if copy.is_some() { PathBuf::new() } else { set_arg::find(&self.set, global)? };
        let trust = super::trust(self.trust.as_deref(), global)?;
        // Before a drill's hours, not after them.
        let signer = if level == Level::Drill { super::signer(global)? } else { None };
        let ground = if level == Level::Drill { Some(super::ground(global, self.allow_unisolated)?) } else { None };
        let cancel = CancellationToken::new();
        let _signals = signal::cancel_on_signals(&runtime, &cancel)?;
        let progress = output::progress(self.json);
        let work = Work { level, trust, signer, ground, runtime, cancel };
        let done = match copy {
            Some(copy) => self.copy(&copy, &work, &progress),
            None => self.set(&dir, &dir.display().to_string(), None, &work, &progress),
        };
        progress.finish();
        done
    }

    /// A copy: fetched into a scratch directory that goes with it, and verified there as any set.
    fn copy(&self, copy: &Copy, work: &Work, progress: &output::Progress) -> Result<Exit, Failure> {
        let events = StepEvents::new(progress.sink(), step_id()?);
        let fetched = match work.runtime.block_on(fetch::fetch(copy.request(), &|_, _| true, &work.cancel, &events)) {
            Ok(fetched) => fetched,
            Err(FetchError::Closed { .. }) => return self.closed(copy, work, progress),
            Err(error) => return Err(error.into()),
        };
        self.set(fetched.dir(), &copy.shown(), Some((copy, &fetched)), work, progress)
    }

    /// An encrypted copy that cannot be opened here: whether it is as it was sent, and no more.
    fn closed(&self, copy: &Copy, work: &Work, progress: &output::Progress) -> Result<Exit, Failure> {
        let events = StepEvents::new(progress.sink(), step_id()?);
        let compared = work.runtime.block_on(fetch::compare_closed(copy.request(), &work.cancel, &events));
        progress.finish();
        let (bytes, findings) = compared?;
        if self.json {
            let report =
                serde_json::json!({ "copy": copy.shown(), "opened": false, "bytes": bytes, "findings": findings });
            println!("{report:#}");
        } else {
            println!("{}: reading what lies there", copy.shown());
            print_findings(&findings);
        }
        if findings.iter().any(|f| !f.unknown) {
            if !self.json {
                println!("{}: {}", output::bad("NOT verified"), count(findings.len() as u64, "finding"));
            }
            return Ok(Exit::Verification);
        }
        if !self.json {
            let verdict = if findings.is_empty() { "it is as it was sent" } else { "not all of it could be read" };
            println!(
                "{}: {}; {verdict}, but what it holds was not checked",
                output::warn("not verified"),
                ByteSize(bytes)
            );
            println!("hint: it is encrypted; name the file with the secret key: --identity FILE");
        }
        Ok(Exit::Unverifiable)
    }

    fn set(
        &self,
        dir: &Path,
        shown: &str,
        copy: Option<(&Copy, &Fetched)>,
        work: &Work,
        progress: &output::Progress,
    ) -> Result<Exit, Failure> {
        let events = StepEvents::new(progress.sink(), step_id()?);
        let mut report = verify::set(dir, work.level, work.trust.as_ref(), &work.cancel, &events)?;
        if let Some((_, fetched)) = copy {
            fetched.add_findings(&mut report);
        }
        if let Some(ground) = work.ground.as_ref().filter(|_| report.findings.is_empty()) {
            let request = DrillRequest {
                dir,
                artifacts: &report.manifest.artifacts,
                settings: &ground.settings,
                docker: &ground.docker,
                servers: &ground.servers,
            };
            let drilled = work.runtime.block_on(async {
                sweep(ground).await;
                drill::run(request, &work.cancel, &events).await
            });
            report.add_drill(drilled)?;
        }
        progress.finish();
        let record = record(&copy.map_or(dir.to_owned(), |(copy, _)| copy.primary()), &report, work.signer.as_ref())?;
        if self.json {
            println!("{}", serde_json::to_string_pretty(&report).map_err(|e| Failure::other(e.to_string()))?);
        } else {
            print(shown, &report, work.level);
            match record {
                Some(record) => println!("recorded: {}", record.display()),
                None if report.drill.is_some() => println!("not recorded: the set is not in the backup directory"),
                None => {}
            }
        }
        Ok(report.class().map_or(Exit::Ok, Exit::from))
    }
}

/// What a verification is done with.
struct Work {
    level: Level,
    trust: Option<Trust>,
    signer: Option<Signer>,
    ground: Option<Ground>,
    runtime: tokio::runtime::Runtime,
    cancel: CancellationToken,
}

/// Records a drill beside the set; that of a copy beside the set that it is a copy of, where that is there.
fn record(set: &Path, report: &SetReport, signer: Option<&Signer>) -> Result<Option<PathBuf>, Failure> {
    let Some(drill) = report.drill.clone() else { return Ok(None) };
    if verify::open(set).is_ok_and(|sealed| sealed.sha256 != report.manifest_sha256) || !set.is_dir() {
        return Ok(None);
    }
    let (series_dir, name) = records::place(set)?;
    let body = records::drilled(report.evidence(), drill);
    let record = records::make(&report.manifest.series, &name, &report.manifest_sha256, body);
    Ok(Some(records::put(&series_dir, &record, signer)?))
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

fn print_findings(findings: &[Finding]) {
    for finding in findings {
        let mark = if finding.unknown { output::warn("?") } else { output::bad("✗") };
        println!("  {mark} {}: {}", finding.file, finding.problem);
    }
}

fn print(shown: &str, report: &SetReport, level: Level) {
    println!("{shown}: verifying to the level \"{level}\"");
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
    print_findings(&report.findings);
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
