//! When a new container counts as fit: by its health check, or by staying up where it has none.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use super::RollError;
use crate::adapters::{
    clock,
    docker::{Docker, DockerError, Health, Replica, State},
};

const POLL: Duration = Duration::from_millis(200);
/// For an engine that is slow to note what a probe said.
const SLACK: Duration = Duration::from_secs(5);

/// When a new container counts as fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gate {
    /// How long it may take to become healthy.
    pub wait: Duration,
    /// How long it must stay so.
    pub settle: Duration,
}

/// What is to be said of one look at a container.
#[derive(Debug, PartialEq, Eq)]
enum Look {
    Fit,
    NotYet(&'static str),
    Unfit(String),
}

/// Waits until all of them are fit, and have been for as long as they must.
///
/// # Errors
/// [`RollError::Unfit`] with the reason as soon as one cannot become fit, or has not in time.
pub async fn wait(docker: &Docker, ids: &[String], gate: Gate, cancel: &CancellationToken) -> Result<(), RollError> {
    let begun = clock::monotonic();
    let mut fit_since = None;
    loop {
        let mut waits_for = None;
        for id in ids {
            let replica = match docker.replica(id).await {
                Err(DockerError::NoSuchContainer { .. }) => {
                    return Err(RollError::Unfit("a new container was removed by somebody else".into()));
                }
                replica => replica?,
            };
            match judge(&replica, begun.elapsed()) {
                Look::Fit => {}
                Look::NotYet(what) => waits_for = Some(format!("{} {what}", replica.name)),
                Look::Unfit(why) => return Err(RollError::Unfit(format!("{} {why}", replica.name))),
            }
        }
        match waits_for {
            None if fit_since.get_or_insert_with(clock::monotonic).elapsed() >= gate.settle => return Ok(()),
            None => {}
            Some(what) if begun.elapsed() >= gate.wait => {
                let limit = humantime::format_duration(gate.wait);
                return Err(RollError::Unfit(format!("{what} after {limit}")));
            }
            Some(_) => fit_since = None,
        }
        tokio::select! {
            () = tokio::time::sleep(POLL) => {}
            () = cancel.cancelled() => return Err(RollError::Cancelled),
        }
    }
}

/// A container that was started `age` ago.
fn judge(replica: &Replica, age: Duration) -> Look {
    if replica.out_of_memory {
        return Look::Unfit("was ended for want of memory".into());
    }
    match replica.state {
        State::Down | State::Restarting => {
            let code = replica.exit_code.map(|code| format!(" with exit code {code}")).unwrap_or_default();
            return Look::Unfit(format!("ended{code}"));
        }
        State::Paused => return Look::Unfit("is paused".into()),
        State::Running if replica.restarts > 0 => return Look::Unfit("ended, and was started again".into()),
        State::Running => {}
    }
    match &replica.health {
        Health::None | Health::Healthy => Look::Fit,
        Health::Unhealthy { said } if said.is_empty() => Look::Unfit("is unhealthy".into()),
        Health::Unhealthy { said } => Look::Unfit(format!("is unhealthy: {said}")),
        Health::Starting { decides_within } if age > decides_within.saturating_add(SLACK) => {
            Look::Unfit("is still starting, though its health check had time to decide".into())
        }
        Health::Starting { .. } => Look::NotYet("is still starting"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replica(state: State, health: Health) -> Replica {
        Replica {
            id: "1".into(),
            name: "app_1".into(),
            service: "app".into(),
            number: 1,
            state,
            exit_code: None,
            out_of_memory: false,
            restarts: 0,
            health,
            started: None,
            memory_limit: None,
            image: "app".into(),
            image_id: "sha256:1".into(),
            config_hash: None,
            volumes: Vec::new(),
            stop_timeout: None,
            command: Vec::new(),
        }
    }

    #[test]
    fn only_what_runs_and_is_not_unhealthy_is_fit() {
        let age = Duration::from_secs(1);
        let starting = |secs| Health::Starting { decides_within: Duration::from_secs(secs) };
        assert_eq!(judge(&replica(State::Running, Health::None), age), Look::Fit);
        assert_eq!(judge(&replica(State::Running, Health::Healthy), age), Look::Fit);
        assert_eq!(judge(&replica(State::Running, starting(1)), age), Look::NotYet("is still starting"));
        let unhealthy = Health::Unhealthy { said: "refused".into() };
        for (replica, age, why) in [
            (replica(State::Running, starting(1)), 60, "is still starting"),
            (replica(State::Running, unhealthy), 1, "is unhealthy: refused"),
            (Replica { restarts: 1, ..replica(State::Running, Health::Healthy) }, 1, "started again"),
            (Replica { out_of_memory: true, ..replica(State::Running, Health::Healthy) }, 1, "want of memory"),
            (Replica { exit_code: Some(3), ..replica(State::Down, Health::None) }, 1, "ended with exit code 3"),
            (replica(State::Restarting, Health::None), 1, "ended"),
            (replica(State::Paused, Health::Healthy), 1, "is paused"),
        ] {
            let Look::Unfit(said) = judge(&replica, Duration::from_secs(age)) else { panic!("{why}") };
            assert!(said.contains(why), "{said}");
        }
    }
}
