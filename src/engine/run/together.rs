//! Runs that are due at the same time all begin before one of them goes on: what the first one does would make the last one
//! late for its slot.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::sync::watch;

/// One that cannot begin, e.g. because it waits for a lock, holds the others up for no longer.
const PATIENCE: Duration = Duration::from_secs(1);

/// A run's place among those that begin together; a run that ends without having begun gives it up.
#[derive(Debug)]
pub(in crate::engine) struct Place {
    outstanding: Arc<watch::Sender<usize>>,
    begun: AtomicBool,
}

/// Places for so many runs.
pub(in crate::engine) fn places(runs: usize) -> Vec<Place> {
    let outstanding = Arc::new(watch::Sender::new(runs));
    (0..runs).map(|_| Place { outstanding: outstanding.clone(), begun: AtomicBool::new(false) }).collect()
}

impl Place {
    /// This run has begun: waits for the others.
    pub(super) async fn begun(&self) {
        self.count();
        let mut outstanding = self.outstanding.subscribe();
        // Whoever is not there by then is not waited for.
        let _ = tokio::time::timeout(PATIENCE, outstanding.wait_for(|left| *left == 0)).await;
    }

    fn count(&self) {
        if !self.begun.swap(true, Ordering::Relaxed) {
            self.outstanding.send_modify(|left| *left = left.saturating_sub(1));
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.count();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_goes_on_before_all_have_begun_or_given_up() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let mut places = places(3);
            let (last, second, first) = (places.pop().unwrap(), places.pop().unwrap(), places.pop().unwrap());
            let first = tokio::spawn(async move { first.begun().await });
            let second = tokio::spawn(async move { second.begun().await });
            tokio::time::sleep(Duration::from_millis(30)).await;
            assert!(!first.is_finished() && !second.is_finished());
            drop(last);
            tokio::time::timeout(PATIENCE / 2, async { (first.await, second.await) }).await.unwrap().0.unwrap();
        });
    }
}
