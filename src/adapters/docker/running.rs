//! The images that containers run.

use std::collections::BTreeMap;

use super::{Docker, DockerError, State, containers, replicas};

/// A container that runs, and what it was made from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Runner {
    /// Its name.
    pub container: String,
    /// The compose project and the service that it belongs to, where it does.
    pub service: Option<(String, String)>,
    /// Its image, as it was named when the container was made: the name may stand for another one by now.
    pub image: String,
    /// The id of that image.
    pub image_id: String,
}

/// An image that something runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunningImage {
    /// What its containers call it, e.g. `redis:7-alpine`.
    pub name: String,
    /// Its id: what really runs, whatever its name means by now.
    pub id: String,
    /// The containers that run it.
    pub containers: Vec<String>,
}

impl Docker {
    /// The containers that run: those with this label, or all.
    ///
    /// # Errors
    /// When the engine does not answer, or not fully.
    pub async fn runners(&self, label: Option<&str>) -> Result<Vec<Runner>, DockerError> {
        let summaries = match label {
            Some(label) => self.list("label", label).await?,
            None => self.list("status", "running").await?,
        };
        let mut runners = Vec::new();
        for summary in summaries {
            let container = containers::summary_container(&summary)?;
            if container.state != State::Running {
                continue;
            }
            // A list names an image by its id as soon as its name stands for another one.
            let image = match self.image_of(&container.id).await {
                Ok(image) => image,
                // Removed since it was listed.
                Err(DockerError::NoSuchContainer { .. }) => continue,
                Err(error) => return Err(error),
            };
            let lacks = |what| DockerError::Incomplete { subject: format!("the container `{}`", container.name), what };
            runners.push(Runner {
                service: replicas::service(&container.labels),
                image,
                image_id: summary.image_id.ok_or_else(|| lacks("its image's id"))?,
                container: container.name,
            });
        }
        Ok(runners)
    }

    /// The images of running containers: of those with this label, or of all.
    ///
    /// # Errors
    /// When the engine does not answer, or not fully.
    pub async fn running_images(&self, label: Option<&str>) -> Result<Vec<RunningImage>, DockerError> {
        let mut images: BTreeMap<(String, String), Vec<String>> = BTreeMap::new();
        for runner in self.runners(label).await? {
            images.entry((runner.image, runner.image_id)).or_default().push(runner.container);
        }
        Ok(images.into_iter().map(|((name, id), containers)| RunningImage { name, id, containers }).collect())
    }
}
