//! What wakes the daemon: tokio-cron-scheduler, every second, in UTC. It knows no job and no zone: when slots are is decided
//! by [`Schedule`](crate::model::schedule::Schedule) and the ledger alone, so that a tick too many or too few does no harm.

use std::{sync::Arc, time::Duration};

use tokio::sync::Notify;
use tokio_cron_scheduler::{Job, JobScheduler, JobSchedulerError};

const EVERY_SECOND: &str = "* * * * * *";
/// Its ticks follow the wall clock, and stay away for an hour when that is set back by one: nobody waits longer than this.
const AT_THE_LATEST: Duration = Duration::from_secs(5);

/// Ticks for as long as it lives.
pub(super) struct Ticker {
    scheduler: JobScheduler,
    ticked: Arc<Notify>,
    longest: Duration,
}

impl Ticker {
    /// Starts to tick; at least as often as `often`.
    pub(super) async fn start(often: Option<Duration>) -> Result<Self, JobSchedulerError> {
        let ticked = Arc::new(Notify::new());
        let scheduler = JobScheduler::new().await?;
        let tick = ticked.clone();
        let job = Job::new_async(EVERY_SECOND, move |_, _| {
            tick.notify_one();
            Box::pin(std::future::ready(()))
        })?;
        scheduler.add(job).await?;
        scheduler.start().await?;
        Ok(Self { scheduler, ticked, longest: often.map_or(AT_THE_LATEST, |often| often.min(AT_THE_LATEST)) })
    }

    /// Waits for the next tick.
    pub(super) async fn next(&self) {
        // That none came in time is a tick too.
        let _ = tokio::time::timeout(self.longest, self.ticked.notified()).await;
    }

    /// Ends it.
    pub(super) async fn stop(mut self) {
        // The process ends anyway.
        let _ = self.scheduler.shutdown().await;
    }
}
