//! What the engine's containers and volumes keep outside of images: what a host can lose.

use std::{collections::BTreeSet, path::PathBuf};

use bollard::{
    models::ContainerSummary,
    query_parameters::{ListContainersOptions, ListVolumesOptions},
};

use super::{Docker, DockerError, drill::DRILL, helper::OWNER};

/// What exists on the engine's host.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Kept {
    /// Every volume, by name.
    pub volumes: BTreeSet<String>,
    /// Directories and files of the host that containers, running or not, have mounted.
    pub bind_mounts: BTreeSet<PathBuf>,
}

impl Docker {
    /// Volumes and bind mounts of everything but maint's own containers.
    ///
    /// # Errors
    /// When the engine does not answer, or not fully.
    pub async fn kept(&self) -> Result<Kept, DockerError> {
        let asked = self.api.list_volumes(None::<ListVolumesOptions>).await;
        let volumes = asked.map_err(|e| self.sort("listing", "the volumes", e))?.volumes.unwrap_or_default();
        let mut kept = Kept { volumes: volumes.into_iter().map(|v| v.name).collect(), ..Kept::default() };
        let options = ListContainersOptions { all: true, ..Default::default() };
        let containers = self.api.list_containers(Some(options)).await;
        for container in containers.map_err(|e| self.sort("listing", "the containers", e))? {
            if is_own(&container) {
                continue;
            }
            let mounts = container.mounts.unwrap_or_default();
            let binds = mounts.into_iter().filter(|mount| mount.typ.as_deref() == Some("bind"));
            kept.bind_mounts.extend(binds.filter_map(|mount| mount.source).map(PathBuf::from));
        }
        Ok(kept)
    }
}

/// Helpers and drills have nothing of their own to lose.
fn is_own(container: &ContainerSummary) -> bool {
    container.labels.iter().flat_map(|labels| labels.keys()).any(|key| key == OWNER || key == DRILL)
}
