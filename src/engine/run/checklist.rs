//! A checklist: all steps at once, and all to their end, so that a hung target delays no other. What tells of the others comes
//! after them.

use std::path::Path;

use futures_util::future::join_all;
use tokio::time::Instant;

use super::{Run, Trouble};
use crate::model::outcome::Outcome;

impl Run<'_> {
    /// Runs every step; of several troubles the worst is told, the earliest of equals.
    pub(super) async fn checklist(&self, deadline: Instant) -> (Option<Trouble>, Outcome) {
        let (last, first): (Vec<_>, Vec<_>) =
            self.plan.chosen().enumerate().partition(|(_, step)| step.step.looks_back());
        let mut ended = Vec::new();
        for round in [first, last] {
            // Nothing is captured, so that there is no staging directory.
            let steps = round.into_iter().map(|(number, step)| self.step(number, step, Path::new(""), deadline));
            ended.extend(join_all(steps).await);
        }
        let mut outcome = Outcome::Ok;
        let mut worst: Option<Trouble> = None;
        for result in ended {
            match result {
                Ok(report) => outcome = outcome.worst(report.outcome),
                Err(trouble) => {
                    worst = Some(match worst {
                        Some(earlier) if earlier.outcome.clone().worst(trouble.outcome.clone()) == earlier.outcome => {
                            earlier
                        }
                        _ => trouble,
                    });
                }
            }
        }
        (worst, outcome)
    }
}
