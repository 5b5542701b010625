//! `maint prune`: deletes what the policy lets go, and says why.

use clap::Args;
use tokio_util::sync::CancellationToken;

use super::{Exit, Failure, Global, output};
use crate::{
    config::{self, Job},
    engine::{
        prune::{self, Place},
        signal,
    },
    model::{
        ids::SeriesName,
        units::{ByteSize, count},
    },
};

/// Deletes the sets that the policy of their series lets go
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  maint prune --dry-run              every set with the reason why it stays or goes
  maint prune                        do it (a backup job does it by itself after each run that went well)
  maint prune --series monthly       one series

Only sets that were verified count, the newest one always stays, and so does what is pinned. While a set is unusual
and nobody has looked at it (maint backups ack SET), nothing of its series is deleted. A set that goes leaves a
tombstone among the records of its series.

Exit codes: 0 done (warnings are shown; with --strict they are 1), 4 the clock cannot be right, 5 the job is running")]
pub struct Prune {
    /// Say what would go, and do nothing
    #[arg(long)]
    dry_run: bool,
    /// Only this series
    #[arg(long)]
    series: Option<SeriesName>,
    /// Print one place a line as JSON
    #[arg(long)]
    json: bool,
    /// Exit with 1 where something stands in the way
    #[arg(long)]
    strict: bool,
}

impl Prune {
    pub fn run(self, global: &Global) -> Result<Exit, Failure> {
        let config = config::load(global.config.as_deref())?;
        let jobs = self.jobs(&config)?;
        let runtime = super::runtime()?;
        let cancel = CancellationToken::new();
        let _signals = signal::cancel_on_signals(&runtime, &cancel)?;
        let (mut warned, mut failed) = (false, None);
        for job in &jobs {
            let report = runtime.block_on(prune::by_hand(&config.stack, job, !self.dry_run, &cancel))?;
            for place in report.places {
                warned |= place.pruning.freeze().is_some() || !place.pruning.damaged.is_empty();
                if self.json {
                    println!("{}", serde_json::to_string(&place).map_err(|e| Failure::other(e.to_string()))?);
                } else {
                    show(&place, self.dry_run);
                }
            }
            for (name, error) in report.failed {
                eprintln!("{name} could not be pruned");
                let failure = Failure::from(error).print();
                failed = failed.or(Some(failure));
            }
        }
        if self.dry_run && !self.json {
            println!("nothing was done (--dry-run)");
        }
        if let Some(exit) = failed {
            return Ok(exit);
        }
        Ok(if warned && self.strict { Exit::Failed } else { Exit::Ok })
    }

    /// The jobs whose series have a policy.
    fn jobs<'c>(&self, config: &'c config::Config) -> Result<Vec<&'c Job>, Failure> {
        let of_series = |job: &&Job| {
            job.backup.as_ref().is_some_and(|b| self.series.as_ref().is_none_or(|series| b.series == *series))
        };
        let jobs: Vec<&Job> = config.jobs.values().filter(of_series).collect();
        if let (Some(series), true) = (&self.series, jobs.is_empty()) {
            return Err(Failure::usage(
                format!("no job makes the series `{series}`"),
                "see which there are: maint jobs --json",
            ));
        }
        let jobs: Vec<&Job> = jobs.into_iter().filter(|job| prune::has_policy(job, &config.stack)).collect();
        if jobs.is_empty() {
            return Err(Failure::usage(
                "no policy says what to keep, so every set is kept",
                "add `keep` to [backup] of a job or to a store, e.g. keep = { monthly = 12, yearly = 3 }",
            ));
        }
        Ok(jobs)
    }
}

fn show(place: &Place, dry_run: bool) {
    let Place { pruning, pruned } = place;
    println!("{} in {}: keeps {}", output::bold(pruning.series.as_str()), pruning.place, pruning.policy);
    for decision in &pruning.decisions {
        let word = match (decision.keep, dry_run) {
            (true, _) => output::faint("keep "),
            (false, _) if !pruning.frozen.is_empty() => output::warn("stays"),
            (false, true) => output::warn("prune"),
            (false, false) if pruned.removed.iter().any(|(set, _)| *set == decision.set) => output::good("gone "),
            (false, false) => output::warn("stays"),
        };
        println!("  {word} {:<16} {}", decision.set, output::faint(&decision.why()));
    }
    for set in &pruning.unfinished {
        let what = if dry_run { "to be finished" } else { "finished" };
        println!("  {what}: {set}, which an earlier pruning began to delete");
    }
    for set in &pruned.in_use {
        println!("  {}: {set} is in use, and goes the next time", output::warn("left"));
    }
    for (set, until) in &pruned.kept_until {
        println!("  {}: {set} is kept by the store until {}", output::warn("left"), until.format("%Y-%m-%d %H:%M UTC"));
    }
    for (set, problem) in &pruning.damaged {
        let path = format!("{}/{set}", pruning.series);
        println!("  {}: {path} does not count: {problem}; see: maint verify {path}", output::warn("warning"));
    }
    if let Some(freeze) = pruning.freeze() {
        println!("  {}: {freeze}", output::warn("warning"));
    }
    if !dry_run && !pruned.removed.is_empty() {
        let bytes = ByteSize(pruned.removed.iter().map(|(_, bytes)| bytes).sum());
        println!("  pruned {}, {bytes}", count(pruned.removed.len() as u64, "set"));
    }
}
