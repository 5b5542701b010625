//! Says, while tables are being worked on, how far that is and who is being waited for.

use std::{collections::BTreeMap, convert::Infallible, time::Duration};

use super::work::{Board, Running, weight};
use crate::{
    adapters::postgres::{
        PostgresError, Session,
        upkeep::{self, Holder},
    },
    model::{event::StepEvents, units::Elapsed},
};

/// The time between two looks.
const PAUSE: Duration = Duration::from_millis(400);

/// Looks on until it is dropped.
pub(super) async fn watch(session: &Session, board: &Board, events: &StepEvents) -> Infallible {
    loop {
        tokio::time::sleep(PAUSE).await;
        // Without an answer nothing is told now; what the work itself comes to is told by the workers.
        if let Ok((done, total, doing)) = look(session, board).await {
            events.progress(done, Some(total), doing);
        }
    }
}

async fn look(session: &Session, board: &Board) -> Result<(u64, u64, String), PostgresError> {
    let standing = board.standing();
    let pids: Vec<i32> = standing.running.keys().copied().collect();
    let phases = upkeep::vacuums(session, &pids).await?;
    let phases: BTreeMap<i32, (String, f64)> =
        phases.into_iter().map(|(pid, name, share)| (pid, (name, share))).collect();
    let waits: BTreeMap<i32, Holder> = upkeep::waits_of(session, &pids).await?.into_iter().collect();
    let mut done = standing.done_bytes;
    let mut doing = Vec::new();
    for (pid, running) in &standing.running {
        let phase = phases.get(pid);
        done += share(weight(&running.table), phase.map_or(0.0, |(_, share)| *share));
        doing.push(line(running, phase.map(|(name, _)| name.as_str()), waits.get(pid)));
    }
    Ok((done, standing.total_bytes, doing.join("; ")))
}

fn share(bytes: u64, of_one: f64) -> u64 {
    let part = bytes as f64 * of_one.clamp(0.0, 1.0);
    format!("{part:.0}").parse().unwrap_or(0)
}

/// `public.events: scanning heap`, `public.events: waiting for pid 123 (psql, leanvibe, idle in transaction, 14 min)`.
fn line(running: &Running, phase: Option<&str>, wait: Option<&Holder>) -> String {
    let name = &running.table.name;
    match (wait, phase) {
        (Some(holder), _) => format!("{name}: waiting {} for {holder}", Elapsed(running.since.elapsed())),
        (None, Some(phase)) => format!("{name}: {phase}"),
        (None, None) => name.to_string(),
    }
}
