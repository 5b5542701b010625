//! What the status page shows, out of the ledger.

use crate::{
    adapters::{clock, host, ledger::Ledger, ledger::LedgerError},
    config::Config,
    model::outcome::Outcome,
    page::status::{self, JobRow, Page, RunLine},
};

/// Runs on the page.
const RUNS: u32 = 20;

/// The page.
///
/// # Errors
/// When the ledger cannot be read.
pub(super) fn render(config: &Config) -> Result<String, LedgerError> {
    let now = clock::now();
    let ledger = Ledger::open(&config.stack.state_dir)?;
    let metrics = ledger.metrics(&config.roster(), now)?;
    let jobs = config.jobs.values().zip(metrics).map(|(job, told)| JobRow {
        description: job.description.clone(),
        // What its schedule says next, whatever is overdue.
        next: job.schedule.as_ref().and_then(|schedule| schedule.next_after(now)),
        overdue: told.next.filter(|next| *next + job.timeout < now && told.running == 0),
        told,
    });
    let runs = ledger.runs(None, RUNS)?.into_iter().map(|run| RunLine {
        id: run.id,
        job: run.job,
        started: run.started.parse().ok(),
        ended: run.ended.and_then(|at| at.parse().ok()),
        outcome: run.outcome.as_ref().map(|o| (o.word().to_owned(), o.reason().unwrap_or_default().to_owned())),
        bad: matches!(run.outcome, Some(Outcome::Failed(_) | Outcome::Unknown(_) | Outcome::Interrupted)),
    });
    Ok(status::render(&Page {
        stack: config.stack.name.clone(),
        host: host::name(),
        now,
        zone: config.stack.timezone,
        jobs: jobs.collect(),
        runs: runs.collect(),
    }))
}
