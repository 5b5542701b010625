//! The images that containers run.

use std::collections::BTreeMap;

use super::{Docker, DockerError};

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
    /// The images of running containers: of those with this label, or of all.
    ///
    /// # Errors
    /// When the engine does not answer, or not fully.
    pub async fn running_images(&self, label: Option<&str>) -> Result<Vec<RunningImage>, DockerError> {
        let summaries = match label {
            Some(label) => self.list("label", label).await?,
            None => self.list("status", "running").await?,
        };
        let mut images: BTreeMap<(String, String), Vec<String>> = BTreeMap::new();
        for summary in summaries {
            let container = super::containers::summary_container(&summary)?;
            if container.state != super::State::Running {
                continue;
            }
            let lacks = |what| DockerError::Incomplete { subject: format!("the container `{}`", container.name), what };
            let id = summary.image_id.ok_or_else(|| lacks("its image's id"))?;
            let name = summary.image.ok_or_else(|| lacks("its image's name"))?;
            images.entry((name, id)).or_default().push(container.name);
        }
        Ok(images.into_iter().map(|((name, id), containers)| RunningImage { name, id, containers }).collect())
    }
}
