//! The containers of a compose service: by the labels that compose gives them, never by a part of a name.

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use bollard::{
    container::LogOutput,
    models::{ContainerInspectResponse, ContainerState, HealthConfig, HealthStatusEnum},
    query_parameters::{ListContainersOptions, LogsOptions, RemoveContainerOptions, TopOptions},
};
use chrono::{DateTime, Utc};
use futures_util::StreamExt;

use super::{Docker, DockerError, State, containers};

/// The label of a container's project.
const PROJECT: &str = "com.docker.compose.project";
/// The label of its service.
const SERVICE: &str = "com.docker.compose.service";
/// The label of `compose run`'s containers, which are no replicas.
const ONE_OFF: &str = "com.docker.compose.oneoff=False";
/// The label of its number among the service's.
const NUMBER: &str = "com.docker.compose.container-number";
/// The label of what compose made it from.
const CONFIG_HASH: &str = "com.docker.compose.config-hash";
/// What the engine takes where a health check does not say (Docker's documentation of HEALTHCHECK).
const PROBE_INTERVAL: Duration = Duration::from_secs(30);
const PROBE_TIMEOUT: Duration = Duration::from_secs(30);
const PROBE_RETRIES: u32 = 3;

/// The project and the service of a container, by its labels.
pub(super) fn service(labels: &BTreeMap<String, String>) -> Option<(String, String)> {
    Some((labels.get(PROJECT)?.clone(), labels.get(SERVICE)?.clone()))
}

/// What the engine's health check says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Health {
    /// There is no health check.
    None,
    /// It has not decided yet; it must have after this time from the start on.
    Starting { decides_within: Duration },
    /// The last probe went well.
    Healthy,
    /// So many probes failed that it is not; the last one said this.
    Unhealthy { said: String },
}

/// A container of a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replica {
    /// The engine's id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// The service.
    pub service: String,
    /// Its number among the service's.
    pub number: u32,
    /// What it is doing.
    pub state: State,
    /// When its program was started, where it ever was.
    pub started: Option<DateTime<Utc>>,
    /// How its program ended, where it did.
    pub exit_code: Option<i64>,
    /// Whether the kernel ended it for want of memory.
    pub out_of_memory: bool,
    /// How often the engine started it again.
    pub restarts: u32,
    /// What its health check says.
    pub health: Health,
    /// The image that it was made from, as it was named then.
    pub image: String,
    /// That image's id.
    pub image_id: String,
    /// What compose made it from.
    pub config_hash: Option<String>,
    /// The volumes that it may write to, by name, and their places.
    pub volumes: Vec<(String, String)>,
    /// The most memory that it may use; `None`: no limit is set.
    pub memory_limit: Option<u64>,
    /// How long it may take to end.
    pub stop_timeout: Option<Duration>,
    /// The command that it runs.
    pub command: Vec<String>,
}

/// A process of a container.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Process {
    /// Its id on the engine's host.
    pub pid: String,
    /// Its title.
    pub title: String,
}

impl Docker {
    /// The containers of a project's service, running or not, by number; of all services without one.
    ///
    /// # Errors
    /// When the engine does not answer, or not fully.
    pub async fn replicas(&self, project: &str, service: Option<&str>) -> Result<Vec<Replica>, DockerError> {
        let mut labels = vec![format!("{PROJECT}={project}"), ONE_OFF.to_owned()];
        labels.extend(service.map(|service| format!("{SERVICE}={service}")));
        let filters = HashMap::from([("label".to_owned(), labels)]);
        let options = ListContainersOptions { all: true, filters: Some(filters), ..Default::default() };
        let listed = self.api.list_containers(Some(options)).await;
        let mut replicas = Vec::new();
        for summary in listed.map_err(|e| self.sort("listing the containers of", project, e))? {
            let Some(id) = summary.id else {
                return Err(DockerError::Incomplete { subject: "a container".into(), what: "its id" });
            };
            match self.replica(&id).await {
                Ok(replica) => replicas.push(replica),
                // Removed since it was listed.
                Err(DockerError::NoSuchContainer { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        replicas.sort_by(|a, b| (&a.service, a.number, &a.name).cmp(&(&b.service, b.number, &b.name)));
        Ok(replicas)
    }

    /// One container of a service.
    ///
    /// # Errors
    /// [`DockerError::NoSuchContainer`] when there is none.
    pub async fn replica(&self, id: &str) -> Result<Replica, DockerError> {
        read(id, self.inspect(id).await?)
    }

    /// Removes a container; one that runs is killed. Its anonymous volumes go with it. One that is not there is fine.
    ///
    /// # Errors
    /// When the engine refuses.
    pub async fn remove_replica(&self, id: &str) -> Result<(), DockerError> {
        let options = RemoveContainerOptions { v: true, force: true, ..Default::default() };
        match self.api.remove_container(id, Some(options)).await {
            Ok(()) => Ok(()),
            Err(e) => match self.about_container("removing the container", id, e) {
                DockerError::NoSuchContainer { .. } => Ok(()),
                error => Err(error),
            },
        }
    }

    /// The last lines that a container's program wrote.
    ///
    /// # Errors
    /// When there is no such container, or its log cannot be read.
    pub async fn last_words(&self, id: &str, lines: usize) -> Result<Vec<String>, DockerError> {
        let options = LogsOptions { stdout: true, stderr: true, tail: lines.to_string(), ..Default::default() };
        let mut log = std::pin::pin!(self.api.logs(id, Some(options)));
        let mut bytes = Vec::new();
        while let Some(part) = log.next().await {
            let part: LogOutput = part.map_err(|e| self.about_container("reading the log of", id, e))?;
            bytes.extend_from_slice(&part.into_bytes());
        }
        Ok(String::from_utf8_lossy(&bytes).lines().map(str::to_owned).collect())
    }

    /// The processes of a running container.
    ///
    /// # Errors
    /// When there is no such container, or it does not run.
    pub async fn processes(&self, id: &str) -> Result<Vec<Process>, DockerError> {
        let options = TopOptions { ps_args: "-eo pid,args".into() };
        let answer = self.api.top_processes(id, Some(options)).await;
        let answer = answer.map_err(|e| self.about_container("looking at the processes of", id, e))?;
        let rows = answer.processes.unwrap_or_default().into_iter();
        Ok(rows
            .filter_map(|row| {
                let mut columns = row.into_iter();
                let pid = columns.next()?;
                Some(Process { pid, title: columns.collect::<Vec<_>>().join(" ") })
            })
            .collect())
    }
}

fn read(id: &str, found: ContainerInspectResponse) -> Result<Replica, DockerError> {
    let lacks = |what| DockerError::Incomplete { subject: format!("the container `{id}`"), what };
    let state = found.state.ok_or_else(|| lacks("its state"))?;
    let config = found.config.ok_or_else(|| lacks("its configuration"))?;
    let labels = config.labels.unwrap_or_default();
    let mounts = found.mounts.unwrap_or_default().into_iter();
    let written = mounts.filter(|mount| mount.rw != Some(false));
    let number = labels.get(NUMBER).and_then(|number| number.parse().ok());
    Ok(Replica {
        name: found.name.ok_or_else(|| lacks("its name"))?.trim_start_matches('/').to_owned(),
        service: labels.get(SERVICE).cloned().ok_or_else(|| lacks("its service"))?,
        number: number.unwrap_or(u32::MAX),
        started: state.started_at.as_deref().and_then(|at| at.parse().ok()),
        exit_code: state.exit_code.filter(|_| state.running == Some(false)),
        out_of_memory: state.oom_killed.unwrap_or(false),
        restarts: found.restart_count.and_then(|n| u32::try_from(n).ok()).unwrap_or(0),
        health: health(&state, config.healthcheck.as_ref()),
        state: containers::state(Some(state.status.ok_or_else(|| lacks("its state"))?)),
        image: config.image.ok_or_else(|| lacks("its image"))?,
        image_id: found.image.ok_or_else(|| lacks("its image's id"))?,
        config_hash: labels.get(CONFIG_HASH).cloned(),
        volumes: written
            .map(|mount| (mount.name.or(mount.source).unwrap_or_default(), mount.destination.unwrap_or_default()))
            .collect(),
        memory_limit: found
            .host_config
            .and_then(|host| host.memory)
            .and_then(|limit| u64::try_from(limit).ok())
            .filter(|limit| *limit > 0),
        stop_timeout: config.stop_timeout.and_then(|s| u64::try_from(s).ok()).map(Duration::from_secs),
        command: config.entrypoint.unwrap_or_default().into_iter().chain(config.cmd.unwrap_or_default()).collect(),
        id: found.id.ok_or_else(|| lacks("its id"))?,
    })
}

fn health(state: &ContainerState, check: Option<&HealthConfig>) -> Health {
    let Some(health) = &state.health else { return Health::None };
    match health.status {
        None | Some(HealthStatusEnum::EMPTY | HealthStatusEnum::NONE) => Health::None,
        Some(HealthStatusEnum::STARTING) => Health::Starting { decides_within: decides_within(check) },
        Some(HealthStatusEnum::HEALTHY) => Health::Healthy,
        Some(HealthStatusEnum::UNHEALTHY) => {
            let last = health.log.iter().flatten().next_back().and_then(|probe| probe.output.clone());
            let said: String = last.unwrap_or_default().trim().chars().take(300).collect();
            Health::Unhealthy { said }
        }
    }
}

/// The start period, in which failures do not count, and as many probes as it takes.
fn decides_within(check: Option<&HealthConfig>) -> Duration {
    let span =
        |nanos: Option<i64>| nanos.and_then(|n| u64::try_from(n).ok()).filter(|n| *n > 0).map(Duration::from_nanos);
    let Some(check) = check else { return (PROBE_INTERVAL + PROBE_TIMEOUT) * PROBE_RETRIES };
    let interval = span(check.interval).unwrap_or(PROBE_INTERVAL);
    let timeout = span(check.timeout).unwrap_or(PROBE_TIMEOUT);
    let retries = check.retries.and_then(|n| u32::try_from(n).ok()).filter(|n| *n > 0).unwrap_or(PROBE_RETRIES);
    span(check.start_period).unwrap_or_default().saturating_add((interval + timeout).saturating_mul(retries))
}
