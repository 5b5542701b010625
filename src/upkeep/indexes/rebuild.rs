//! One rebuild, watched: what it is at, who it waits for, and what it leaves.

use std::{
    collections::BTreeSet,
    convert::Infallible,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use super::{Stage, Tally, leftovers};
use crate::{
    adapters::{
        clock,
        postgres::{
            PostgresError,
            upkeep::{self, Build, Estimated, Holder, Index},
        },
    },
    model::{
        bloat::Bloat,
        failure::chain,
        finding::{Finding, Unit},
        units::{ByteSize, Elapsed},
    },
    upkeep::{UpkeepError, tables::execute},
};

/// The longest time between two looks.
const LONGEST_PAUSE: Duration = Duration::from_millis(300);
/// A rebuild that gives back less than this share of what it promised, in percent, was in vain.
const IN_VAIN: f64 = 20.0;

/// Rebuilds one index.
pub(super) async fn rebuild(
    stage: &Stage<'_>,
    index: &Estimated,
    bloat: Option<Bloat>,
    progress: (u64, u64),
    tally: &mut Tally,
) -> Result<(), UpkeepError> {
    let begun = clock::monotonic();
    let Some(before) = upkeep::index_after(stage.watcher, &index.name).await? else { return Ok(()) };
    let invalid: BTreeSet<u32> = upkeep::invalid_indexes(stage.watcher).await?.into_iter().map(|i| i.oid).collect();
    let watch = Watch { stage, index, progress, begun, seen: Mutex::default() };
    let sql = format!("REINDEX INDEX CONCURRENTLY {}", index.name.quoted());
    stage.worker.session.take_notices();
    let ended = tokio::select! {
        biased;
        ended = execute(stage.worker, &sql, stage.cancel) => ended,
        never = watch.run() => match never {},
    };
    if let Err(UpkeepError::Postgres(error)) = &ended
        && stage.worker.session.is_closed()
    {
        // The next try of the step begins with what this one left.
        tracing::debug!(%error, "the session of a rebuild was lost");
        return ended;
    }
    // Also of a run that is being stopped: what is left would cost every writer until somebody looks.
    let left = leftovers::remove_new(stage, index.table.1, &invalid).await?;
    let after = upkeep::index_after(stage.watcher, &index.name).await?;
    let renewed = after.filter(|after| after.valid && after.oid != before.oid);
    tally.findings.extend(left);
    match (ended, renewed) {
        (Err(UpkeepError::Interrupted), _) => return Err(UpkeepError::Interrupted),
        (_, Some(after)) => {
            tally.rebuilt += 1;
            tally.given_back += before.bytes.saturating_sub(after.bytes);
            tally.findings.push(rebuilt(index, bloat, before, after, begun.elapsed()));
        }
        (Ok(()), None) => {
            let warnings = stage.worker.session.take_notices().into_iter().filter(|n| n.warning);
            let said: Vec<String> = warnings.map(|notice| notice.message).collect();
            let said = if said.is_empty() { "the server did not say why".to_owned() } else { said.join("; ") };
            tally.undone(Finding::critical(index.name.to_string(), format!("not rebuilt: {said}")).source(sql));
        }
        (Err(error), None) => tally.undone(watch.failed(&error, &sql).await?),
    }
    Ok(())
}

fn rebuilt(index: &Estimated, bloat: Option<Bloat>, before: Index, after: Index, took: Duration) -> Finding {
    let spared = before.bytes.saturating_sub(after.bytes);
    let seen = format!("{} -> {} in {}", ByteSize(before.bytes), ByteSize(after.bytes), Elapsed(took));
    let name = index.name.to_string();
    match bloat {
        Some(promised) if (spared as f64) < promised.bytes * IN_VAIN / 100.0 => {
            let seen =
                format!("{seen}: rebuilt in vain, the estimate of {:.0} % air is wrong for it", promised.percent);
            Finding::warning(name.clone(), seen).hint(format!("leave it out: exclude = [\"{name}\"]"))
        }
        _ => Finding::good(name, seen).value(spared as f64, Unit::Bytes),
    }
}

/// Looks at a rebuild while it runs.
struct Watch<'a> {
    stage: &'a Stage<'a>,
    index: &'a Estimated,
    progress: (u64, u64),
    begun: Instant,
    /// Whom it was last seen waiting for.
    seen: Mutex<Option<Holder>>,
}

impl Watch<'_> {
    async fn run(&self) -> Infallible {
        let pause = (self.stage.request.lock_timeout / 5).clamp(Duration::from_millis(20), LONGEST_PAUSE);
        loop {
            tokio::time::sleep(pause).await;
            // Without an answer nothing is told now; how the rebuild ends is told by itself.
            let _ = self.look().await;
        }
    }

    async fn look(&self) -> Result<(), PostgresError> {
        let (watcher, pid) = (self.stage.watcher, self.stage.worker.pid);
        let build = upkeep::builds(watcher).await?.into_iter().find(|build| build.pid == pid);
        let waits = upkeep::blockers_of(watcher, pid).await?.into_iter().next();
        let (done, total) = self.progress;
        let share = build.as_ref().map_or(0, |build| self.share(build));
        let phase = build.map(|build| build.phase).unwrap_or_default();
        let doing = match &waits {
            Some(holder) => format!("{}: waiting {} for {holder}", self.index.name, Elapsed(self.begun.elapsed())),
            None => format!("{}: {phase}", self.index.name),
        };
        self.stage.events.progress(done + share, Some(total), doing);
        if waits.is_some() {
            *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = waits;
        }
        Ok(())
    }

    /// Bytes that a phase's blocks stand for; phases that wait for others count lockers, which are no bytes.
    fn share(&self, build: &Build) -> u64 {
        if build.total == 0 || !build.phase.starts_with("building") {
            return 0;
        }
        self.index.bytes.saturating_mul(build.done.min(build.total)) / build.total
    }

    /// What a failed rebuild is told as.
    async fn failed(&self, error: &UpkeepError, sql: &str) -> Result<Finding, UpkeepError> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let name = self.index.name.to_string();
        if !matches!(error, UpkeepError::Postgres(PostgresError::LockTimeout { .. })) {
            let finding = Finding::critical(name, format!("not rebuilt: {}", chain(error))).source(sql);
            return Ok(finding.hint("nothing of the attempt is left; see the server's log"));
        }
        let holder = match seen {
            Some(holder) => Some(holder),
            None => upkeep::long_transactions(self.stage.watcher, Duration::ZERO).await?.into_iter().next(),
        };
        let timeout = Elapsed(self.stage.request.lock_timeout);
        let by = holder.as_ref().map(|holder| format!(" for {holder}")).unwrap_or_default();
        let finding = Finding::critical(name, format!("not rebuilt: gave up after waiting {timeout}{by}")).source(sql);
        Ok(finding.hint(match holder {
            Some(holder) => {
                format!("look at what it does, and end it if it may go: {}", self.stage.psql(&[&holder.remedy()]))
            }
            None => "try again when older transactions have ended; it is rebuilt at the next run".to_owned(),
        }))
    }
}
