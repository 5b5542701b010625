//! The Docker engine, through its API on a unix socket. Nothing is pulled through it:
//! what a registry asks of whoever pulls is known to the docker program ([`super::registry`]).
//!
//! API reference: <https://docs.docker.com/reference/api/engine/version/v1.41/>. Every field of an answer is optional
//! to bollard, and engines of other versions do leave some out: what is missing is an error here, never a guess.

mod containers;
mod drill;
mod error;
mod exec;
mod helper;
mod images;
mod mounts;
mod prune;
mod replicas;
mod running;
mod stats;

use std::time::Duration;

pub use containers::{Container, Inspected, State, Use};
pub use drill::{DrillContainer, DrillLabel};
pub use error::DockerError;
pub use exec::{Exec, RunningExec};
pub use helper::{Access, Helper, HelperLabel, ROOT_ENTRY};
pub use images::Image;
pub use mounts::Kept;
pub use prune::{EndlessLog, Left, Needs, StoppedContainer, UntaggedImage};
pub use replicas::{Health, Process, Replica};
pub use running::{Runner, RunningImage};
pub use stats::{Usage, usage};

/// How long the engine may take to begin its answer to a request that waits for nothing.
const ANSWER_WITHIN: Duration = Duration::from_secs(60);

/// The newest version of the API that is understood.
const SPOKEN: &bollard::ClientVersion = bollard::API_DEFAULT_VERSION;

/// `1.41` as numbers that can be compared; what is none is older than any.
fn version(text: &str) -> Option<(u32, u32)> {
    let (major, minor) = text.split_once('.')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

/// A connection to the engine. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Docker {
    api: bollard::Docker,
    host: String,
}

/// A volume as the engine describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Volume {
    /// Its name.
    pub name: String,
    /// The driver that keeps it; `local` for the engine's own.
    pub driver: String,
    /// Where the engine has, or mounts, its content on the engine's host.
    pub mountpoint: String,
    /// Mount options (`type`, `o`, `device`). A local volume with options is mounted only while a container uses it:
    /// its mount point is an empty directory at other times.
    pub options: std::collections::BTreeMap<String, String>,
}

impl Volume {
    /// Whether its content always stands below its mount point.
    pub fn is_plain_directory(&self) -> bool {
        self.driver == "local" && self.options.is_empty()
    }
}

impl Docker {
    /// Connects to the engine at `unix:///path` and agrees on the API's version.
    ///
    /// # Errors
    /// When it is no unix socket, nobody answers there, or this user may not use it.
    pub async fn connect(host: &str) -> Result<Self, DockerError> {
        let path = host.strip_prefix("unix://").filter(|path| path.starts_with('/'));
        let Some(path) = path else {
            return Err(DockerError::Host { host: host.to_owned() });
        };
        let sort = |source| error::sort(host, "connecting to", host, source);
        let api = bollard::Docker::connect_with_unix(path, ANSWER_WITHIN.as_secs(), SPOKEN).map_err(sort)?;
        let api = api.negotiate_version().await.map_err(sort)?;
        // bollard lowers its own version only; and where it leaves versions out of its requests, nobody else would notice.
        let oldest = api.version().await.map_err(sort)?.min_api_version;
        match oldest.filter(|oldest| version(oldest) > version(&SPOKEN.to_string())) {
            Some(oldest) => {
                let said = format!("client version {SPOKEN} is too old, it takes {oldest} and later");
                Err(DockerError::Version { host: host.to_owned(), said })
            }
            None => Ok(Self { api, host: host.to_owned() }),
        }
    }

    /// The engine's address as it was given.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The engine's version, for the manifest.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn version(&self) -> Result<String, DockerError> {
        let answer = self.api.version().await.map_err(|e| self.sort("asking the version of", "the engine", e))?;
        answer.version.ok_or(DockerError::Incomplete { subject: "the engine".into(), what: "its version" })
    }

    /// A volume by name.
    ///
    /// # Errors
    /// [`DockerError::NoSuchVolume`] when there is none.
    pub async fn volume(&self, name: &str) -> Result<Volume, DockerError> {
        let found = self.api.inspect_volume(name).await.map_err(|e| match error::status(&e) {
            Some(404) => DockerError::NoSuchVolume { name: name.to_owned() },
            _ => self.sort("looking at the volume", name, e),
        })?;
        Ok(Volume {
            name: found.name,
            driver: found.driver,
            mountpoint: found.mountpoint,
            options: found.options.into_iter().collect(),
        })
    }

    /// Makes a local volume; one of that name that is there already is used as it is.
    ///
    /// # Errors
    /// When the engine refuses.
    pub async fn create_volume(&self, name: &str) -> Result<(), DockerError> {
        let request = bollard::models::VolumeCreateRequest { name: Some(name.to_owned()), ..Default::default() };
        let made = self.api.create_volume(request).await;
        made.map(drop).map_err(|e| self.sort("making the volume", name, e))
    }

    /// Removes a volume that no container uses.
    ///
    /// # Errors
    /// When the engine refuses, e.g. because it is in use.
    pub async fn remove_volume(&self, name: &str) -> Result<(), DockerError> {
        let options = None::<bollard::query_parameters::RemoveVolumeOptions>;
        self.api.remove_volume(name, options).await.map_err(|e| self.sort("removing the volume", name, e))
    }

    fn sort(&self, operation: &'static str, subject: &str, source: bollard::errors::Error) -> DockerError {
        error::sort(&self.host, operation, subject, source)
    }
}
