//! Whoever passes requests on to a service has to learn of its new containers before the old ones go.

use std::{collections::BTreeSet, time::Duration};

use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use super::{RollError, nginx};
use crate::{
    adapters::{
        clock,
        docker::{Docker, Exec, Replica, State},
    },
    model::failure::chain,
};

const POLL: Duration = Duration::from_millis(50);
/// How long nginx may take from the signal to its new workers: it looks names up in between.
const TAKES: Duration = Duration::from_secs(15);
/// How nginx calls its workers, and those that end with their last request.
const WORKER: &str = "nginx: worker process";
const LEAVING: &str = "shutting down";

/// A service that passes requests on, and how it is told to read its configuration again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proxy {
    /// The service.
    pub service: String,
    /// What says whether its configuration is right.
    pub test: Vec<String>,
    /// What makes it read it again.
    pub reload: Vec<String>,
}

/// The running containers of the proxy.
///
/// # Errors
/// When none runs.
pub async fn find(docker: &Docker, project: &str, proxy: &Proxy) -> Result<Vec<Replica>, RollError> {
    let mut replicas = docker.replicas(project, Some(&proxy.service)).await?;
    replicas.retain(|replica| replica.state == State::Running);
    if replicas.is_empty() {
        return Err(RollError::NoProxy { service: proxy.service.clone() });
    }
    Ok(replicas)
}

/// Lets every container of the proxy read its configuration again, so that it looks names up anew. One whose configuration is
/// wrong is left as it is.
///
/// # Errors
/// When one does not, or when nginx says that it does and goes on as before.
pub async fn reload(
    docker: &Docker,
    project: &str,
    proxy: &Proxy,
    cancel: &CancellationToken,
) -> Result<(), RollError> {
    for replica in find(docker, project, proxy).await? {
        let wrong = |why: String| RollError::Proxy { container: replica.name.clone(), why };
        for command in [&proxy.test, &proxy.reload].into_iter().filter(|command| !command.is_empty()) {
            let before = workers(docker, &replica.id).await?;
            let exec = Exec::new(&replica.name, command);
            docker.exec_output(&exec, cancel).await.map_err(|error| wrong(chain(&error)))?;
            if command == &proxy.reload {
                new_workers(docker, &replica.id, &before)
                    .await?
                    .then_some(())
                    .ok_or_else(|| wrong("it was told, and goes on with its old workers; its log says why".into()))?;
            }
        }
    }
    Ok(())
}

/// nginx's workers that take requests; none where it is another program.
async fn workers(docker: &Docker, id: &str) -> Result<BTreeSet<String>, RollError> {
    let processes = docker.processes(id).await?.into_iter();
    let working = processes.filter(|p| p.title.contains(WORKER) && !p.title.contains(LEAVING));
    Ok(working.map(|process| process.pid).collect())
}

/// Waits until none of these workers takes requests any more. `nginx -s reload` itself only sends a signal, and where the
/// configuration cannot be read then, nothing changes.
async fn new_workers(docker: &Docker, id: &str, before: &BTreeSet<String>) -> Result<bool, RollError> {
    if before.is_empty() {
        return Ok(true);
    }
    let begun = clock::monotonic();
    while begun.elapsed() < TAKES {
        let now = workers(docker, id).await?;
        if !now.is_empty() && now.is_disjoint(before) {
            return Ok(true);
        }
        tokio::time::sleep(POLL).await;
    }
    Ok(false)
}

/// The first container of the project that runs nginx and looks this service up only once; nobody is told of new containers
/// where it is not the `proxy`.
///
/// # Errors
/// When the engine does not answer.
pub async fn who_looks_up_once(
    docker: &Docker,
    others: &[Replica],
    names: &[&str],
    cancel: &CancellationToken,
) -> Result<Option<String>, RollError> {
    for replica in others.iter().filter(|replica| replica.state == State::Running && runs_nginx(replica)) {
        // What cannot be asked is no nginx, or none that this image lets us ask.
        let Ok(config) = docker.exec_output(&Exec::new(&replica.id, ["nginx", "-T"]), cancel).await else { continue };
        if nginx::looks_up_once(&config, names) {
            return Ok(Some(replica.service.clone()));
        }
    }
    Ok(None)
}

fn runs_nginx(replica: &Replica) -> bool {
    replica.image.contains("nginx") || replica.command.iter().any(|word| word.contains("nginx"))
}
