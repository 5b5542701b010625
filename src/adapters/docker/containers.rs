//! Containers: which there are, how they are, stop and pause and back.

use std::{collections::BTreeMap, collections::HashMap, time::Duration};

use bollard::{
    models::{ContainerInspectResponse, ContainerStateStatusEnum, ContainerSummary},
    query_parameters::{
        InspectContainerOptions, KillContainerOptions, ListContainersOptions, StartContainerOptions,
        StopContainerOptions,
    },
};

use super::{ANSWER_WITHIN, Docker, DockerError, error};

/// What a container is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Its program runs.
    Running,
    /// Its processes are frozen.
    Paused,
    /// Its program ended and the engine is about to start it again.
    Restarting,
    /// Anything else: created, exited, dead, being removed.
    Down,
}

/// A container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Container {
    /// The engine's id, 64 hex digits.
    pub id: String,
    /// Its name, without the slash that the API puts before it.
    pub name: String,
    /// What it is doing.
    pub state: State,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
}

/// A container that has a volume mounted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Use {
    /// The container.
    pub container: Container,
    /// Whether it may write to the volume.
    pub writable: bool,
}

/// A container with what decides how it may be stopped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inspected {
    /// The container.
    pub container: Container,
    /// `--rm`: the engine removes it when it stops.
    pub removed_when_stopped: bool,
}

pub(super) fn state(status: Option<ContainerStateStatusEnum>) -> State {
    match status {
        Some(ContainerStateStatusEnum::RUNNING) => State::Running,
        Some(ContainerStateStatusEnum::PAUSED) => State::Paused,
        Some(ContainerStateStatusEnum::RESTARTING) => State::Restarting,
        _ => State::Down,
    }
}

pub(super) fn summary_container(summary: &ContainerSummary) -> Result<Container, DockerError> {
    let lacks = |what| DockerError::Incomplete { subject: "a container".into(), what };
    let id = summary.id.clone().ok_or_else(|| lacks("its id"))?;
    // A container that is linked to has further names `/other/alias`.
    let names = summary.names.iter().flatten();
    let name = names.map(|name| name.trim_start_matches('/')).find(|name| !name.contains('/'));
    let name = name.ok_or_else(|| lacks("its name"))?.to_owned();
    let status = summary.state.as_ref().ok_or_else(|| lacks("its state"))?;
    let labels = summary.labels.clone().unwrap_or_default().into_iter().collect();
    Ok(Container { id, name, state: state(status.as_ref().parse().ok()), labels })
}

impl Docker {
    pub(super) async fn list(&self, filter: &str, value: &str) -> Result<Vec<ContainerSummary>, DockerError> {
        let filters = HashMap::from([(filter.to_owned(), vec![value.to_owned()])]);
        let options = ListContainersOptions { all: true, filters: Some(filters), ..Default::default() };
        self.api.list_containers(Some(options)).await.map_err(|e| self.sort("listing the containers with", value, e))
    }

    /// The containers, running or not, that have the volume mounted.
    ///
    /// # Errors
    /// When the engine does not answer, or not fully.
    pub async fn containers_using(&self, volume: &str) -> Result<Vec<Use>, DockerError> {
        let mut uses = Vec::new();
        for summary in self.list("volume", volume).await? {
            let mounts = summary.mounts.iter().flatten();
            // The filter also takes a mount's destination for a name.
            let mut of_it =
                mounts.filter(|mount| mount.name.as_deref() == Some(volume) && mount.typ.as_deref() == Some("volume"));
            let Some(first) = of_it.next() else { continue };
            let writable = first.rw != Some(false) || of_it.any(|mount| mount.rw != Some(false));
            uses.push(Use { container: summary_container(&summary)?, writable });
        }
        Ok(uses)
    }

    /// The containers, running or not, with a label: `key` or `key=value`.
    ///
    /// # Errors
    /// When the engine does not answer, or not fully.
    pub async fn containers_with_label(&self, label: &str) -> Result<Vec<Container>, DockerError> {
        self.list("label", label).await?.iter().map(summary_container).collect()
    }

    /// A container by name or id.
    ///
    /// # Errors
    /// [`DockerError::NoSuchContainer`] when there is none.
    pub async fn container(&self, name: &str) -> Result<Inspected, DockerError> {
        let found = self.inspect(name).await?;
        let lacks = |what| DockerError::Incomplete { subject: format!("the container `{name}`"), what };
        let id = found.id.ok_or_else(|| lacks("its id"))?;
        let full_name = found.name.ok_or_else(|| lacks("its name"))?;
        let status = found.state.and_then(|state| state.status).ok_or_else(|| lacks("its state"))?;
        let labels = found.config.and_then(|config| config.labels).unwrap_or_default().into_iter().collect();
        let name = full_name.trim_start_matches('/').to_owned();
        let removed_when_stopped = found.host_config.and_then(|host| host.auto_remove).unwrap_or(false);
        Ok(Inspected { container: Container { id, name, state: state(Some(status)), labels }, removed_when_stopped })
    }

    /// The image that a container was made from, as it was named then.
    ///
    /// # Errors
    /// [`DockerError::NoSuchContainer`] when there is none.
    pub async fn image_of(&self, name: &str) -> Result<String, DockerError> {
        let image = self.inspect(name).await?.config.and_then(|config| config.image);
        image.ok_or_else(|| DockerError::Incomplete { subject: format!("the container `{name}`"), what: "its image" })
    }

    pub(super) async fn inspect(&self, name: &str) -> Result<ContainerInspectResponse, DockerError> {
        self.api
            .inspect_container(name, None::<InspectContainerOptions>)
            .await
            .map_err(|e| self.about_container("looking at the container", name, e))
    }

    pub(super) fn about_container(
        &self,
        operation: &'static str,
        name: &str,
        source: bollard::errors::Error,
    ) -> DockerError {
        match error::status(&source) {
            Some(404) => DockerError::NoSuchContainer { name: name.to_owned() },
            _ => self.sort(operation, name, source),
        }
    }

    /// Where this host reaches a port of a container: its published port on 127.0.0.1, else its address on a bridge.
    ///
    /// # Errors
    /// When there is no such container, it is not running, or the port cannot be reached from this host.
    pub async fn container_address(&self, name: &str, port: u16) -> Result<(String, u16), DockerError> {
        let found = self.inspect(name).await?;
        if found.state.and_then(|state| state.running) != Some(true) {
            return Err(DockerError::NotRunning { name: name.to_owned() });
        }
        let networks = found.network_settings.unwrap_or_default();
        let key = format!("{port}/tcp");
        let published = networks.ports.unwrap_or_default().remove(&key).flatten().unwrap_or_default();
        for binding in published {
            let local = matches!(binding.host_ip.as_deref(), None | Some("" | "0.0.0.0" | "127.0.0.1"));
            if let (true, Some(Ok(host_port))) = (local, binding.host_port.map(|port| port.parse())) {
                return Ok(("127.0.0.1".into(), host_port));
            }
        }
        if found.host_config.and_then(|host| host.network_mode).as_deref() == Some("host") {
            return Ok(("127.0.0.1".into(), port));
        }
        let addresses = networks.networks.unwrap_or_default().into_values().filter_map(|network| network.ip_address);
        match addresses.into_iter().find(|address| !address.is_empty()) {
            Some(address) => Ok((address, port)),
            None => Err(DockerError::NoAddress { container: name.to_owned(), port }),
        }
    }

    /// Stops a container: its stop signal, `grace`, SIGKILL. One that is not running is fine.
    ///
    /// # Errors
    /// When there is no such container or it does not stop.
    pub async fn stop(&self, name: &str, grace: Duration) -> Result<(), DockerError> {
        let seconds = i32::try_from(grace.as_secs()).unwrap_or(i32::MAX);
        let options = StopContainerOptions { t: Some(seconds), ..Default::default() };
        let patient = self.api.clone().with_timeout(grace.saturating_add(ANSWER_WITHIN));
        patient.stop_container(name, Some(options)).await.map_err(|e| self.about_container("stopping", name, e))
    }

    /// Starts a container. One that is running is fine.
    ///
    /// # Errors
    /// When there is no such container or it does not start.
    pub async fn start(&self, name: &str) -> Result<(), DockerError> {
        let started = self.api.start_container(name, None::<StartContainerOptions>).await;
        started.map_err(|e| self.about_container("starting", name, e))
    }

    /// Sends a signal to a container's program.
    ///
    /// # Errors
    /// When there is no such container or it is not running.
    pub async fn kill(&self, name: &str, signal: &str) -> Result<(), DockerError> {
        let options = KillContainerOptions { signal: signal.to_owned() };
        let sent = self.api.kill_container(name, Some(options)).await;
        sent.map_err(|e| match error::status(&e) {
            Some(409) => DockerError::NotRunning { name: name.to_owned() },
            _ => self.about_container("signalling", name, e),
        })
    }

    /// Freezes a container's processes.
    ///
    /// # Errors
    /// When there is no such container or it is not running.
    pub async fn pause(&self, name: &str) -> Result<(), DockerError> {
        self.api.pause_container(name).await.map_err(|e| self.about_container("pausing", name, e))
    }

    /// Lets a paused container go on.
    ///
    /// # Errors
    /// When there is no such container or it is not paused.
    pub async fn unpause(&self, name: &str) -> Result<(), DockerError> {
        self.api.unpause_container(name).await.map_err(|e| self.about_container("unpausing", name, e))
    }
}
