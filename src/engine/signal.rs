//! SIGINT and SIGTERM: the first asks the run to end and leave nothing behind, the second ends at once.

use std::io;

use rustix::process::{Signal, getpid, kill_process};
use tokio::{
    runtime::Runtime,
    signal::unix::{SignalKind, signal},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

use crate::model::failure::Diagnose;

/// The signals cannot be listened to.
#[derive(Debug, thiserror::Error)]
#[error("listening to signals")]
pub struct SignalError(#[from] io::Error);

impl Diagnose for SignalError {}

/// Listens for as long as it lives.
#[derive(Debug)]
pub struct Listening(JoinHandle<()>);

impl Drop for Listening {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Ends this process at once. The next one sweeps up.
pub(super) fn die() {
    // Nothing can be done if a process may not signal itself.
    let _ = kill_process(getpid(), Signal::KILL);
}

/// Cancels `cancel` on the first SIGINT or SIGTERM. On the second the process kills itself: the next run sweeps what
/// is left, and containers that were stopped come back by their guard.
///
/// # Errors
/// When the signals cannot be listened to.
pub fn cancel_on_signals(runtime: &Runtime, cancel: &CancellationToken) -> Result<Listening, SignalError> {
    let _in_runtime = runtime.enter();
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let cancel = cancel.clone();
    Ok(Listening(tokio::spawn(async move {
        for first in [true, false] {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            if first {
                cancel.cancel();
            } else {
                die();
            }
        }
    })))
}
