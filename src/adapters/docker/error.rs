//! What can go wrong with the Docker engine, sorted by what an operator can do about it.

use std::io;

use bollard::errors::Error as Engine;

use super::SPOKEN;
use crate::{
    adapters::process::ProcessEnd,
    model::failure::{Class, Diagnose},
};

/// A request to the Docker engine that failed: which, about what.
#[derive(Debug, thiserror::Error)]
pub enum DockerError {
    #[error("docker.host `{host}` is not the path of a unix socket")]
    Host { host: String },
    #[error("the Docker engine at {host} cannot be reached")]
    Unreachable { host: String, source: Engine },
    #[error("the Docker engine at {host} may not be used by this user")]
    Denied { host: String, source: Engine },
    #[error("the Docker engine at {host} refuses the version of its API that maint speaks: {said}")]
    Version { host: String, said: String },
    #[error("there is no volume `{name}`")]
    NoSuchVolume { name: String },
    #[error("there is no container `{name}`")]
    NoSuchContainer { name: String },
    #[error("the container `{name}` is not running")]
    NotRunning { name: String },
    #[error("the container `{container}` offers port {port} neither on 127.0.0.1 nor on a network of its own")]
    NoAddress { container: String, port: u16 },
    #[error("{operation} {subject}")]
    Request { operation: &'static str, subject: String, source: Engine },
    #[error("the answer of the Docker engine about {subject} lacks {what}")]
    Incomplete { subject: String, what: &'static str },
    #[error("reading from {subject}")]
    Read { subject: String, source: io::Error },
    #[error("`{program}` in the container `{container}` {end}{}", tail(stderr))]
    Exec { program: String, container: String, end: ProcessEnd, stderr: String },
    #[error("`{program}` in the container `{container}` was stopped")]
    Cancelled { program: String, container: String },
    #[error("`{program}` in the container `{container}` may still be running: {why}")]
    NotStopped { program: String, container: String, why: String },
}

fn tail(stderr: &str) -> String {
    if stderr.is_empty() { String::new() } else { format!(": {}", stderr.trim_end()) }
}

impl Diagnose for DockerError {
    fn class(&self) -> Class {
        match self {
            Self::Host { .. } => Class::Usage,
            Self::Unreachable { .. } => Class::Retryable,
            Self::Cancelled { .. } => Class::Interrupted,
            Self::Request { source: Engine::RequestTimeoutError, .. } => Class::Retryable,
            _ => Class::Failed,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Host { .. } => Some("write it as `host = \"unix:///var/run/docker.sock\"` in maint.toml".into()),
            Self::Unreachable { host, .. } => Some(format!(
                "start it, e.g. systemctl start docker, or name the right socket as docker.host in maint.toml \
                 (now {host})"
            )),
            Self::Denied { .. } => {
                Some("let this user into the socket's group, e.g. usermod -aG docker maint, or run sudo maint".into())
            }
            Self::Version { said, .. } if said.contains("too old") => Some(format!(
                "install a newer maint, or let the engine take older clients: DOCKER_MIN_API_VERSION={SPOKEN} in the \
                 environment of dockerd"
            )),
            Self::Version { .. } => Some(
                "update the engine; where something stands between it and its socket, let it pass /version through"
                    .into(),
            ),
            Self::NoSuchVolume { .. } => Some("see which there are: docker volume ls".into()),
            Self::NoSuchContainer { .. } => Some("see which there are: docker ps --all".into()),
            Self::NotRunning { name } => Some(format!("start it: docker start {name}")),
            Self::NoAddress { container, port } => {
                Some(format!("publish the port, e.g. 127.0.0.1:{port}:{port}; see: docker port {container}"))
            }
            Self::NotStopped { container, .. } => Some(format!("look at it: docker top {container}")),
            _ => None,
        }
    }
}

/// The kind of the I/O error at the bottom of an engine error, where there is one.
fn io_kind(error: &(dyn std::error::Error + 'static)) -> Option<io::ErrorKind> {
    let mut next = Some(error);
    while let Some(current) = next {
        if let Some(io) = current.downcast_ref::<io::Error>() {
            return Some(io.kind());
        }
        next = current.source();
    }
    None
}

/// The words with which an engine refuses a client of another version.
fn refusal(error: &Engine) -> Option<&str> {
    match error {
        Engine::DockerResponseServerError { status_code: 400, message } if message.starts_with("client version ") => {
            Some(message.trim_end())
        }
        _ => None,
    }
}

/// The HTTP status that the engine answered with, where it answered.
pub(super) fn status(error: &Engine) -> Option<u16> {
    match error {
        Engine::DockerResponseServerError { status_code, .. } => Some(*status_code),
        _ => None,
    }
}

/// Sorts an engine error: no permission, no engine, or this request's own failure.
pub(super) fn sort(host: &str, operation: &'static str, subject: &str, source: Engine) -> DockerError {
    let host = host.to_owned();
    if let Some(said) = refusal(&source) {
        return DockerError::Version { host, said: said.to_owned() };
    }
    match (io_kind(&source), &source) {
        (Some(io::ErrorKind::PermissionDenied), _) => DockerError::Denied { host, source },
        (Some(_), _) | (_, Engine::SocketNotFoundError(_) | Engine::HyperLegacyError { .. }) => {
            DockerError::Unreachable { host, source }
        }
        _ => DockerError::Request { operation, subject: subject.to_owned(), source },
    }
}
