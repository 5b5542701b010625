//! Heartbeats hear that a run began. The run does not wait for that; only the ping of its end waits for the one of its
//! beginning, so that they arrive in their order.

use std::sync::{Arc, Mutex};

use tokio::task::JoinHandle;

use crate::{
    adapters::notify,
    config::Job,
    model::{failure::chain, ids::RunId, stack::Stack},
};

/// Pings that are on their way.
#[derive(Debug, Default)]
pub(in crate::engine) struct Beats(Mutex<Vec<JoinHandle<()>>>);

impl Beats {
    /// Tells the job's heartbeats that a run of it began.
    pub(in crate::engine) fn begin(&self, stack: &Arc<Stack>, job: &Job, run: RunId) {
        let Ok(mut tasks) = self.0.lock() else { return };
        let hears = |name: &&String| {
            let channel = &stack.notify.channels[*name];
            channel.is_heartbeat() && channel.hears(job.name.as_str(), job.severity)
        };
        for name in stack.notify.channels.keys().filter(hears) {
            let (stack, name, job) = (stack.clone(), name.clone(), job.name.clone());
            tasks.push(tokio::spawn(async move {
                let Some(channel) = stack.notify.channels.get(&name) else { return };
                // Its end is told in any case, and an alarm about a missing one is none about this.
                if let Err(error) = notify::started(channel, job.as_str(), &run.to_string()).await {
                    tracing::warn!("the heartbeat {name} did not hear that {job} began: {}", chain(&error));
                }
            }));
        }
    }

    /// Waits for them; each has a time of its own.
    pub(in crate::engine) async fn settle(&self) {
        let tasks = self.0.lock().map(|mut tasks| std::mem::take(&mut *tasks)).unwrap_or_default();
        for task in tasks {
            let _ = task.await;
        }
    }
}
