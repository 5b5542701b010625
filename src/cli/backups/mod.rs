//! `maint backups`: what there is to restore from.

mod mark;

use clap::Args;
use serde::Serialize;

use super::{Exit, Failure, Global, output};
use crate::{
    adapters::signature::Trust,
    backup::{
        anomaly,
        records::{self, Found, RecordProblem},
        retention,
        sets::{self, Entry},
    },
    config,
    model::{
        manifest::Verification,
        record::{Signed, pinned},
        units::ByteSize,
    },
};

/// Lists the sets in the backup directory, and marks them: pin, unpin, ack
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  maint backups                 every set, with the level to which it was verified
  maint backups monthly         one series
  maint backups --json          for machines
  maint backups pin monthly/202608 --reason 'before the migration'     keep it whatever retention says
  maint backups unpin monthly/202608
  maint backups ack monthly/202608 --reason 'old events were archived'  you looked at what is unusual about it

A directory that should be a set and is not is listed with what is wrong (exit code 3).")]
#[command(args_conflicts_with_subcommands = true)]
pub struct Backups {
    #[command(subcommand)]
    mark: Option<mark::Mark>,
    /// Only this series
    series: Option<String>,
    /// Print the list as JSON
    #[arg(long)]
    json: bool,
}

/// One line of `--json`.
#[derive(Serialize)]
struct Line<'a> {
    set: &'a str,
    path: &'a std::path::Path,
    partial: bool,
    problem: Option<&'a str>,
    manifest: Option<&'a crate::model::manifest::Manifest>,
    /// What was recorded of it later, oldest first.
    records: Vec<Signed>,
    /// Records that cannot be read, or speak of another set.
    bad_records: Vec<RecordProblem>,
}

impl Backups {
    pub fn run(self, global: &Global) -> Result<Exit, Failure> {
        if let Some(mark) = self.mark {
            return mark.run(global);
        }
        let config = config::load(global.config.as_deref())?;
        let backup_dir = &config.stack.backup_dir;
        let wanted = |e: &Entry| {
            self.series.as_ref().is_none_or(|s| e.name.trim_start_matches(".partial/").starts_with(&format!("{s}/")))
        };
        let entries: Vec<Entry> = sets::list(backup_dir)?.into_iter().filter(wanted).collect();
        let trust = super::trust(None, global)?;
        let mut damaged = false;
        for entry in entries.iter().filter(|e| e.manifest.is_err()) {
            damaged |= !retention::is_unfinished(&entry.path, trust.as_ref())?;
        }
        if self.json {
            for e in &entries {
                let found = recorded(e, trust.as_ref())?;
                let line = Line {
                    set: &e.name,
                    path: &e.path,
                    partial: e.partial,
                    problem: e.manifest.as_ref().err().map(String::as_str),
                    manifest: e.manifest.as_ref().ok(),
                    records: found.current().cloned().collect(),
                    bad_records: found.problems,
                };
                println!("{}", serde_json::to_string(&line).map_err(|e| Failure::other(e.to_string()))?);
            }
        } else if entries.is_empty() {
            println!("no sets in {}", backup_dir.display());
            println!("make one: maint run JOB; see which jobs there are: maint jobs");
        } else {
            table(&entries, &config.stack.timezone, trust.as_ref())?;
        }
        Ok(if damaged { Exit::Verification } else { Exit::Ok })
    }
}

/// What was learned of a set later; nothing of what is no set.
fn recorded(entry: &Entry, trust: Option<&Trust>) -> Result<Found, Failure> {
    if entry.manifest.is_err() {
        return Ok(Found::default());
    }
    let (series_dir, set) = records::place(&entry.path)?;
    Ok(records::read(&series_dir, &set, trust)?)
}

/// The level that a set reached before it was published, and what was learned later.
fn level(
    entry: &Entry,
    verification: &Verification,
    zone: &chrono_tz::Tz,
    trust: Option<&Trust>,
) -> Result<String, Failure> {
    let mut level = verification.level.to_string();
    if entry.partial {
        level.push_str(" (partial)");
    }
    if verification.shortfall.is_some() {
        level.push_str(" (the drill could not run)");
    }
    let found = recorded(entry, trust)?;
    if let Some((record, drilled)) = found.drills().next_back() {
        level.push_str(&format!("\n{} {}", drilled.level, record.made.with_timezone(zone).format("%Y-%m-%d")));
    }
    let records: Vec<Signed> = found.current().cloned().collect();
    level.extend(pinned(&records).map(|why| format!("\npinned: {why}")));
    if let Ok(manifest) = &entry.manifest
        && !anomaly::standing(manifest, &records).is_empty()
    {
        level.push_str("\nunusual, not acknowledged");
    }
    level.extend(found.problems.iter().map(|problem| format!("\nbad record: {problem}")));
    Ok(level)
}

fn table(entries: &[Entry], zone: &chrono_tz::Tz, trust: Option<&Trust>) -> Result<(), Failure> {
    let mut table = output::table(&["SET", "CAPTURED", "VERIFIED", "SIZE", "HOLDS", "BY"]);
    for entry in entries {
        match &entry.manifest {
            Ok(m) => {
                let captured = m.run.started.with_timezone(zone).format("%Y-%m-%d %H:%M %Z").to_string();
                let bytes = ByteSize(m.files.iter().map(|f| f.bytes).sum());
                let holds = m.artifacts.iter().map(|a| a.packed.file.as_str()).collect::<Vec<_>>().join("\n");
                let level = level(entry, &m.verification, zone, trust)?;
                table.add_row(vec![entry.name.clone(), captured, level, bytes.to_string(), holds, m.job.to_string()]);
            }
            Err(problem) => {
                let (what, problem) = match retention::is_unfinished(&entry.path, trust)? {
                    true => ("BEING PRUNED", "the deletion was interrupted; finish it: maint prune"),
                    false => ("NOT A SET", problem.as_str()),
                };
                let unknown = || "?".to_owned();
                table.add_row(vec![entry.name.clone(), unknown(), what.into(), unknown(), problem.into(), unknown()]);
            }
        }
    }
    println!("{table}");
    Ok(())
}
