//! Images from their registries, by the docker program: what a registry asks of whoever pulls stands in the program's
//! configuration or with its helpers, and the engine does not know it.

use tokio_util::sync::CancellationToken;

use super::process::{self, Invocation, ProcessError};
use crate::model::failure::{Class, Diagnose};

/// What Go's network code, the engine and registries say where nobody could be asked. Whoever answered "no" is not among it.
const UNREACHABLE: &[&str] = &[
    "connection refused",
    "no such host",
    "no route to host",
    "network is unreachable",
    "i/o timeout",
    "connection reset",
    "TLS handshake timeout",
    "Client.Timeout exceeded",
    "context deadline exceeded",
    "server misbehaving",
    "Temporary failure in name resolution",
    "502 Bad Gateway",
    "503 Service Unavailable",
    "504 Gateway",
    "toomanyrequests",
];

/// Whether these words of the engine or a registry say that nobody could be asked.
pub(super) fn is_unreachable(words: &str) -> bool {
    UNREACHABLE.iter().any(|known| words.contains(known))
}

/// Why an image was not pulled.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    #[error("its registry could not be asked: {why}")]
    Unreachable { why: String },
    #[error("{why}")]
    Refused { why: String },
    #[error(transparent)]
    Process(#[from] ProcessError),
}

impl Diagnose for RegistryError {
    fn class(&self) -> Class {
        match self {
            Self::Unreachable { .. } => Class::Unverifiable,
            Self::Refused { .. } => Class::Failed,
            Self::Process(e) => e.class(),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Unreachable { .. } | Self::Refused { .. } => None,
            Self::Process(e) => e.hint(),
        }
    }
}

/// Pulls an image by its name, for the engine at `docker_host`.
///
/// # Errors
/// When it cannot be had, its registry cannot be asked, or the docker program cannot be used.
pub async fn pull(docker_host: &str, name: &str, cancel: &CancellationToken) -> Result<(), RegistryError> {
    let docker = Invocation::new("docker").env("DOCKER_HOST", docker_host).args(["pull", "--quiet", "--", name]);
    match process::output(&docker, cancel).await {
        Ok(_) => Ok(()),
        Err(ProcessError::Failed { stderr, .. }) => {
            let last = stderr.lines().map(str::trim).rfind(|line| !line.is_empty()).unwrap_or("it did not say why");
            let why = last.strip_prefix("Error response from daemon: ").unwrap_or(last).to_owned();
            Err(if is_unreachable(&why) { RegistryError::Unreachable { why } } else { RegistryError::Refused { why } })
        }
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_registry_that_says_no_was_reached() {
        assert!(is_unreachable(
            "Get \"http://localhost:5999/v2/\": dial tcp 127.0.0.1:5999: connect: connection refused"
        ));
        assert!(!is_unreachable("manifest for app:9 not found: manifest unknown"));
        assert!(!is_unreachable("pull access denied for app, repository does not exist"));
    }
}
