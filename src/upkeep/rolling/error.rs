//! Why services could not be updated, or not be brought back to how they were.

use std::path::PathBuf;

use crate::{
    adapters::{compose::ComposeError, docker::DockerError, files::FileError, lock::LockError},
    model::failure::{Class, Diagnose},
    upkeep::images::NoteError,
};

/// Why services could not be updated.
#[derive(Debug, thiserror::Error)]
pub enum RollError {
    #[error(transparent)]
    Compose(#[from] ComposeError),
    #[error(transparent)]
    Docker(#[from] DockerError),
    #[error(transparent)]
    File(#[from] FileError),
    #[error(transparent)]
    Note(#[from] NoteError),
    #[error(transparent)]
    Lock(#[from] LockError),
    #[error("maint.toml names no compose project")]
    NoProject,
    #[error("the compose files of {project} have no service `{service}`")]
    NoService { service: String, project: String },
    #[error("`{service}` {why}: it keeps data, and is not updated here; nothing was touched")]
    Stateful { service: String, why: String },
    #[error("the image `{image}` of `{service}` is not on this host; nothing of it was touched")]
    NoImage { service: String, image: String },
    #[error("`{service}` has no image in the compose files")]
    Unnamed { service: String },
    #[error(
        "nginx in `{proxy}` looks up `{service}` once, when it starts, and would go on asking a container that is gone; \
         nothing was touched"
    )]
    ProxyStays { service: String, proxy: String },
    #[error("no container of the proxy `{service}` runs; nothing was touched")]
    NoProxy { service: String },
    #[error("the proxy `{container}` does not take its configuration again: {why}")]
    Proxy { container: String, why: String },
    #[error("{0}")]
    Unfit(String),
    #[error("`{service}` is NOT serving: {why}")]
    NotServing { service: String, why: String },
    #[error("`{service}`: what the update had begun could not be taken back ({why})")]
    NotBack { service: String, why: String },
    #[error("{} is not a journal of an update", path.display())]
    Journal { path: PathBuf, source: serde_json::Error },
    #[error("{} has version {version}, which this maint does not know", path.display())]
    NewerJournal { path: PathBuf, version: u32 },
    #[error("the run died before the new containers were proven")]
    Died,
    #[error("stopped")]
    Cancelled,
}

impl RollError {
    /// Whether somebody has to act now: something that served does not.
    pub fn is_harm(&self) -> bool {
        matches!(self, Self::NotServing { .. } | Self::NotBack { .. })
    }
}

impl Diagnose for RollError {
    fn class(&self) -> Class {
        match self {
            Self::Compose(e) => e.class(),
            Self::Docker(e) | Self::Note(NoteError::Docker(e)) => e.class(),
            Self::File(e) => e.class(),
            Self::Note(NoteError::Ledger(e)) => e.class(),
            Self::Lock(e) => e.class(),
            Self::Cancelled => Class::Interrupted,
            _ => Class::Failed,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Compose(e) => e.hint(),
            Self::Docker(e) | Self::Note(NoteError::Docker(e)) => e.hint(),
            Self::File(e) => e.hint(),
            Self::Note(NoteError::Ledger(e)) => e.hint(),
            Self::Lock(e) => e.hint(),
            Self::Stateful { service, .. } => {
                Some(format!("take it off `services`; if that is no database, say allow_stateful = [\"{service}\"]"))
            }
            Self::NoImage { .. } => Some("let a step `image_pull` come before".into()),
            Self::ProxyStays { proxy, .. } => {
                Some(format!("let the step reload it: proxy = {{ service = \"{proxy}\" }}"))
            }
            Self::Proxy { container, .. } => Some(format!("see: docker exec {container} nginx -t")),
            Self::NotServing { service, .. } => {
                Some(format!("act now: docker ps --all --filter label=com.docker.compose.service={service}"))
            }
            Self::NotBack { .. } => Some("try again: maint recover".into()),
            Self::Journal { path, .. } | Self::NewerJournal { path, .. } => Some(format!(
                "see which containers it names, put them right by hand, then remove it: {}",
                path.display()
            )),
            _ => None,
        }
    }
}
