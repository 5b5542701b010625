//! `maint upload`: a verified set to a store, by hand.

use std::{path::PathBuf, sync::Arc, time::Duration};

use clap::Args;
use tokio_util::sync::CancellationToken;

use super::{Exit, Failure, Global, output, set_arg};
use crate::{
    adapters::clock,
    backup::{
        upload::{Destination, Uploaded},
        verify::{self, VerifiedSet, WholeError},
    },
    config::{self, Config},
    engine::signal,
    model::{
        event::StepEvents,
        failure::chain,
        ids::StepId,
        manifest::Level,
        store::Overwrites,
        units::{ByteSize, Elapsed, count},
    },
};

/// Verifies a set and sends it to a store; goes on where an upload died
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  maint upload monthly/202608                    to the stores of the series' job
  maint upload monthly                           the newest set of a series
  maint upload monthly/202608 --store offsite    to this store of maint.toml

The set is read whole and decoded first; one that is not as it was captured is not sent. A copy that is there and whole is
left as it is; nothing in a store is overwritten. Backup jobs do all this by themselves.

Exit codes: 0 the copies are there, 1 failed, 3 the set or a copy is not what it should be, 5 another upload is running")]
pub struct Upload {
    /// SERIES/PERIOD, SERIES, or a directory
    #[arg(value_name = "SET|DIR")]
    set: PathBuf,
    /// To this store; may be repeated. Default: the stores of the job that owns the series
    #[arg(long, value_name = "STORE")]
    store: Vec<String>,
    /// Print what became of it as JSON, a line per store
    #[arg(long)]
    json: bool,
}

impl Upload {
    pub fn run(self, global: &Global) -> Result<Exit, Failure> {
        let config = config::load(global.config.as_deref())?;
        let dir = set_arg::find(&self.set, global)?;
        let series = verify::read_manifest(&dir)?.series;
        let stores = if self.store.is_empty() { of_job(&config, series.as_str())? } else { self.store.clone() };
        let trust = super::trust(None, global)?;
        let runtime = super::runtime()?;
        let cancel = CancellationToken::new();
        let _signals = signal::cancel_on_signals(&runtime, &cancel)?;
        let progress = output::progress(self.json);
        let step: StepId = "upload".parse().map_err(|e| Failure::other(format!("{e}")))?;
        let events = StepEvents::new(progress.sink(), step);
        // A name that is wrong is told before everything is read.
        let opened = stores.iter().map(|name| runtime.block_on(Destination::open(&config.stack, name)));
        let opened = opened.collect::<Result<Vec<_>, _>>()?;
        let whole = verify::whole(&dir, Level::Structure, trust.as_ref(), &cancel, &events);
        let whole = whole.map(Arc::new).inspect_err(|_| progress.finish());
        let whole: Arc<VerifiedSet> = whole.map_err(|error| self.refused(error))?;
        let mut worst: Option<Failure> = None;
        for to in &opened {
            let begun = clock::monotonic();
            let sent = runtime.block_on(to.upload(whole.clone(), Duration::ZERO, &cancel, &events));
            progress.finish();
            match sent {
                Ok(uploaded) => self.print(&uploaded, begun.elapsed())?,
                Err(error) => {
                    if !self.json && opened.len() > 1 {
                        eprintln!("{} {}: {}", output::bad("✗"), to.store().name(), chain(&error));
                    }
                    worst = worst.or(Some(error.into()));
                }
            }
        }
        worst.map_or(Ok(Exit::Ok), Err)
    }

    /// Shows every finding of a set that is not sent.
    fn refused(&self, error: WholeError) -> Failure {
        if let WholeError::Findings { report, .. } = &error
            && !self.json
        {
            for finding in &report.findings {
                let mark = if finding.unknown { output::warn("?") } else { output::bad("✗") };
                eprintln!("  {mark} {}: {}", finding.file, finding.problem);
            }
        }
        error.into()
    }

    fn print(&self, uploaded: &Uploaded, took: Duration) -> Result<(), Failure> {
        if self.json {
            println!("{}", serde_json::to_string(uploaded).map_err(|e| Failure::other(e.to_string()))?);
            return Ok(());
        }
        let holds = format!("{}, {}", count(uploaded.files, "file"), ByteSize(uploaded.bytes));
        let for_whom = match uploaded.encrypted_to.as_slice() {
            [] => String::new(),
            keys => format!(", encrypted to {}", keys.join(", ")),
        };
        let Uploaded { store, set, .. } = uploaded;
        if uploaded.new {
            println!("{} {store}: {set} sent: {holds}{for_whom} ({})", output::good("✓"), Elapsed(took));
        } else {
            println!("{} {store}: has {set} already, whole: {holds}{for_whom}", output::good("✓"));
        }
        if uploaded.overwrites == Overwrites::Accepted {
            println!("  {store} lets a key be written twice: that nothing is overwritten is maint's doing alone");
        }
        Ok(())
    }
}

/// The stores of the job that owns a series; where none does, the only one that there is.
fn of_job(config: &Config, series: &str) -> Result<Vec<String>, Failure> {
    let owner = config.jobs.values().filter_map(|job| job.backup.as_ref()).find(|b| b.series.as_str() == series);
    if let Some(policy) = owner.filter(|policy| !policy.stores.is_empty()) {
        return Ok(policy.stores.clone());
    }
    let known: Vec<_> = config.stack.stores.keys().cloned().collect();
    match known.as_slice() {
        [one] => Ok(vec![one.clone()]),
        [] => Err(Failure::usage(
            format!("{} has no store", config.path.display()),
            "add [store.NAME] to it, see docs/reference.md",
        )),
        several => Err(Failure::usage(
            format!("no job says to which stores the series {series} goes"),
            format!("name one with --store: {}", several.join(", ")),
        )),
    }
}
