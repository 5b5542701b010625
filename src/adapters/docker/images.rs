//! Images: what a name stands for, and giving a name to an image again.

use bollard::query_parameters::TagImageOptions;

use super::{Docker, DockerError, error};

/// An image as this host has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// Its id: the digest of its configuration.
    pub id: String,
    /// What registries have it as: `name@sha256:…`. None where it never came from one.
    pub digests: Vec<String>,
}

impl Docker {
    /// The image that a name or id stands for; `None` where this host has none.
    ///
    /// # Errors
    /// When the engine does not answer, or not fully.
    pub async fn image(&self, name: &str) -> Result<Option<Image>, DockerError> {
        let found = match self.api.inspect_image(name).await {
            Ok(found) => found,
            Err(e) if error::status(&e) == Some(404) => return Ok(None),
            Err(e) => return Err(self.sort("looking at the image", name, e)),
        };
        let lacks = |what| DockerError::Incomplete { subject: format!("the image `{name}`"), what };
        Ok(Some(Image {
            id: found.id.ok_or_else(|| lacks("its id"))?,
            digests: found.repo_digests.unwrap_or_default(),
        }))
    }

    /// Lets a name stand for an image of this host.
    ///
    /// # Errors
    /// When there is no such image, or the name is none (`name@sha256:…` stands for one image for ever).
    pub async fn name_image(&self, id: &str, name: &str) -> Result<(), DockerError> {
        // A colon behind the last slash divides name and tag; before it, it is a registry's port.
        let (repo, tag) = match name.rsplit_once(':') {
            Some((repo, tag)) if !tag.contains('/') => (repo, tag),
            _ => (name, "latest"),
        };
        let options = TagImageOptions { repo: Some(repo.to_owned()), tag: Some(tag.to_owned()) };
        self.api.tag_image(id, Some(options)).await.map_err(|e| self.sort("naming the image", name, e))
    }
}
