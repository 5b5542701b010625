//! Which image a service serves from, noted for whoever has to go back to it, and for whoever removes images.

use std::path::Path;

use crate::adapters::{
    clock,
    docker::{Docker, DockerError},
    ledger::{Ledger, LedgerError, ServiceImage},
};

/// Why it could not be noted.
#[derive(Debug, thiserror::Error)]
pub enum NoteError {
    #[error(transparent)]
    Docker(#[from] DockerError),
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

/// A project's service and the name of its image.
#[derive(Debug, Clone, Copy)]
pub struct Named<'a> {
    /// The project.
    pub project: &'a str,
    /// The service.
    pub service: &'a str,
    /// The image's name.
    pub image: &'a str,
}

/// Notes in the ledger that a service serves from the image with this id.
///
/// # Errors
/// When the engine does not answer or the ledger cannot be written.
pub async fn serves_from(docker: &Docker, state_dir: &Path, named: Named<'_>, id: &str) -> Result<(), NoteError> {
    let digests = docker.image(id).await?.map(|image| image.digests).unwrap_or_default();
    let image = ServiceImage {
        project: named.project.to_owned(),
        service: named.service.to_owned(),
        id: id.to_owned(),
        name: named.image.to_owned(),
        digest: digests.into_iter().next(),
    };
    Ok(Ledger::open(state_dir)?.serves_from(&image, clock::now())?)
}
