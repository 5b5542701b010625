//! Images of a project, pulled one after the other, so that what goes wrong is known by name. What services run from is noted
//! before a name stands for another image.

use std::{collections::BTreeMap, path::Path};

use tokio_util::sync::CancellationToken;

use super::images::{self, Named, NoteError};
use crate::{
    adapters::{
        compose::{Compose, ComposeError},
        docker::{Docker, DockerError, Image},
        registry::RegistryError,
    },
    model::{
        event::StepEvents,
        failure::{Class, Diagnose, chain},
    },
};

/// Why nothing could be pulled.
#[derive(Debug, thiserror::Error)]
pub enum PullError {
    #[error(transparent)]
    Compose(#[from] ComposeError),
    #[error(transparent)]
    Docker(#[from] DockerError),
    #[error(transparent)]
    Registry(#[from] RegistryError),
    #[error(transparent)]
    Note(#[from] NoteError),
    #[error("the compose files of {project} have no service `{service}`")]
    NoService { service: String, project: String },
    #[error("no service of {project} has an image that could be pulled")]
    Nothing { project: String },
}

impl Diagnose for PullError {
    fn class(&self) -> Class {
        match self {
            Self::Compose(e) => e.class(),
            Self::Registry(e) => e.class(),
            Self::Docker(e) | Self::Note(NoteError::Docker(e)) => e.class(),
            Self::Note(NoteError::Ledger(e)) => e.class(),
            Self::NoService { .. } | Self::Nothing { .. } => Class::Failed,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Compose(e) => e.hint(),
            Self::Registry(e) => e.hint(),
            Self::Docker(e) | Self::Note(NoteError::Docker(e)) => e.hint(),
            Self::Note(NoteError::Ledger(e)) => e.hint(),
            Self::NoService { .. } | Self::Nothing { .. } => None,
        }
    }
}

/// Who pulls, and with what.
#[derive(Debug)]
pub struct By<'a> {
    /// Where the ledger is.
    pub state_dir: &'a Path,
    /// The engine.
    pub docker: &'a Docker,
    /// The step's voice.
    pub events: &'a StepEvents,
    /// Fires when the run is to end.
    pub cancel: &'a CancellationToken,
}

/// What became of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Got {
    /// The registry has the one that was here.
    Unchanged(Image),
    /// The name stands for another one now, or for one at all.
    Changed { from: Option<Image>, to: Image },
    /// The registry could not be asked: nobody knows whether it has another one.
    NotAsked(String),
    /// It was asked, and it cannot be had.
    Refused(String),
}

/// An image and what became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pulled {
    /// Its name.
    pub image: String,
    /// The services that are made from it.
    pub services: Vec<String>,
    /// What became of it.
    pub got: Got,
}

/// Pulls the images of these services; of all that have one and are not built here where none is named. One that cannot be had
/// does not keep the others from being pulled.
///
/// # Errors
/// When the files or the engine cannot be read, or the run is to end.
pub async fn pull(by: &By<'_>, compose: &Compose, services: &[String]) -> Result<Vec<Pulled>, PullError> {
    let wanted = wanted(by, compose, services).await?;
    let mut pulled = Vec::new();
    let count = wanted.len();
    for (number, (image, services)) in wanted.into_iter().enumerate() {
        let place = |n: usize| u64::try_from(n).unwrap_or(u64::MAX);
        by.events.progress(place(number), Some(place(count)), format!("pulling {image}"));
        note(by, &compose.project().name, &image, &services).await?;
        let before = by.docker.image(&image).await?;
        let got = match (compose.pull(&services[0], by.cancel).await, by.docker.image(&image).await?) {
            (Err(ComposeError::Cancelled), _) => return Err(ComposeError::Cancelled.into()),
            (Err(error), _) if error.is_unreachable() => Got::NotAsked(chain(&error)),
            (Err(error), _) => Got::Refused(chain(&error)),
            (Ok(()), None) => Got::Refused("it was pulled, and is not on this host".to_owned()),
            (Ok(()), Some(now)) if before.as_ref().is_some_and(|before| before.id == now.id) => Got::Unchanged(now),
            (Ok(()), Some(to)) => Got::Changed { from: before, to },
        };
        pulled.push(Pulled { image, services, got });
    }
    Ok(pulled)
}

/// The images by name, each with the services that are made from it.
async fn wanted(
    by: &By<'_>,
    compose: &Compose,
    services: &[String],
) -> Result<BTreeMap<String, Vec<String>>, PullError> {
    let project = compose.project().name.clone();
    let file = compose.file(by.cancel).await?;
    if let Some(service) = services.iter().find(|name| !file.services.contains_key(*name)) {
        return Err(PullError::NoService { service: service.clone(), project });
    }
    let mut wanted: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, service) in file.services {
        let is_wanted = services.is_empty() || services.contains(&name);
        if let Some(image) = service.image.filter(|_| is_wanted && !service.is_built) {
            wanted.entry(image).or_default().push(name);
        }
    }
    if wanted.is_empty() { Err(PullError::Nothing { project }) } else { Ok(wanted) }
}

/// What these services run from now is what an update may have to go back to.
async fn note(by: &By<'_>, project: &str, image: &str, services: &[String]) -> Result<(), PullError> {
    for service in services {
        for replica in by.docker.replicas(project, Some(service)).await? {
            let named = Named { project, service, image };
            images::serves_from(by.docker, by.state_dir, named, &replica.image_id).await?;
        }
    }
    Ok(())
}
