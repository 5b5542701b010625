//! Containers of drills: an image's own server without a network, without capabilities, without anything of the host
//! but one directory.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
};

use bollard::{
    models::{
        ContainerCreateBody, HostConfig, HostConfigLogConfig, Mount, MountType, RestartPolicy, RestartPolicyNameEnum,
    },
    query_parameters::{CreateContainerOptions, LogsOptionsBuilder, RemoveContainerOptions},
};
use futures_util::StreamExt;
use tokio_util::sync::CancellationToken;

use super::{Docker, DockerError, Exec, error};

/// The label that names the drill.
pub(super) const DRILL: &str = "maint.drill";
/// The label that names the scratch directory whose locks tell whether that drill lives.
const SCRATCH: &str = "maint.scratch";
/// More processes than a load with many jobs ever has.
const PROCESSES: i64 = 1024;
/// Shared memory for parallel workers.
const SHM_BYTES: i64 = 1 << 30;

/// Whose a container is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DrillLabel {
    /// The drill, unique on this host.
    pub drill: String,
    /// The scratch directory that all drills of this maint share.
    pub scratch_dir: String,
}

/// What to create.
#[derive(Debug, Clone)]
pub struct DrillContainer {
    /// An image of this host.
    pub image: String,
    /// The user of the image that runs it.
    pub user: String,
    /// The program and its arguments, instead of the image's own.
    pub argv: Vec<String>,
    /// The one directory of the host that it sees, at the same path.
    pub dir: PathBuf,
    /// Whose it is.
    pub label: DrillLabel,
    /// As in nice(1); of processor and disk it gets as much less than others.
    pub nice: u8,
}

impl Docker {
    /// Whether the engine has an image.
    ///
    /// # Errors
    /// When it does not tell.
    pub async fn has_image(&self, image: &str) -> Result<bool, DockerError> {
        match self.api.inspect_image(image).await {
            Ok(_) => Ok(true),
            Err(e) if error::status(&e) == Some(404) => Ok(false),
            Err(e) => Err(self.sort("looking at the image", image, e)),
        }
    }

    /// Creates a drill's container and gives its id. It is not started yet.
    ///
    /// # Errors
    /// When the engine refuses, e.g. because it does not have the image.
    pub async fn create_drill(&self, order: &DrillContainer) -> Result<String, DockerError> {
        let mount = Mount {
            typ: Some(MountType::BIND),
            source: Some(order.dir.display().to_string()),
            target: Some(order.dir.display().to_string()),
            read_only: Some(false),
            ..Default::default()
        };
        // A log without an end would fill the engine's disk.
        let log = HashMap::from([("max-size".to_owned(), "1m".to_owned()), ("max-file".to_owned(), "1".to_owned())]);
        let share = i64::from(1024 / (u32::from(order.nice) + 1)).max(2);
        let host = HostConfig {
            network_mode: Some("none".into()),
            mounts: Some(vec![mount]),
            cap_drop: Some(vec!["ALL".into()]),
            security_opt: Some(vec!["no-new-privileges".into()]),
            readonly_rootfs: Some(true),
            tmpfs: Some(HashMap::from([("/tmp".to_owned(), "size=256m,mode=1777,nosuid,nodev".to_owned())])),
            shm_size: Some(SHM_BYTES),
            pids_limit: Some(PROCESSES),
            cpu_shares: Some(share),
            oom_score_adj: Some(500),
            restart_policy: Some(RestartPolicy { name: Some(RestartPolicyNameEnum::NO), ..Default::default() }),
            log_config: Some(HostConfigLogConfig { typ: Some("json-file".into()), config: Some(log) }),
            ..Default::default()
        };
        let body = ContainerCreateBody {
            image: Some(order.image.clone()),
            user: Some(order.user.clone()),
            entrypoint: Some(order.argv.clone()),
            cmd: Some(Vec::new()),
            working_dir: Some(order.dir.display().to_string()),
            labels: Some(HashMap::from([
                (DRILL.to_owned(), order.label.drill.clone()),
                (SCRATCH.to_owned(), order.label.scratch_dir.clone()),
            ])),
            network_disabled: Some(true),
            host_config: Some(host),
            ..Default::default()
        };
        let options =
            CreateContainerOptions { name: Some(format!("maint-drill-{}", order.label.drill)), ..Default::default() };
        let created = self.api.create_container(Some(options), body).await;
        Ok(created.map_err(|e| self.sort("creating the drill's container of", &order.image, e))?.id)
    }

    /// The last lines that a container's program wrote; empty where the engine does not tell.
    pub async fn said_by(&self, id: &str) -> String {
        let options = LogsOptionsBuilder::default().stdout(true).stderr(true).tail("20").build();
        let lines = self.api.logs(id, Some(options)).filter_map(async |line| line.ok().map(|line| line.to_string()));
        lines.collect::<String>().await.trim_end().to_owned()
    }

    /// Removes what a running drill wrote to its directory by the drill's own user, where maint is not root and so could
    /// not. The removal of the directory says what stayed.
    pub async fn remove_drill_content(&self, id: &str, path: &Path) {
        if rustix::process::geteuid().is_root() {
            return;
        }
        let rm = Exec::new(id, ["rm".to_owned(), "-rf".to_owned(), path.display().to_string()]);
        let _ = self.exec_output(&rm, &CancellationToken::new()).await;
    }

    /// Removes a drill's container with the volumes that the image declares; one that is gone is fine.
    ///
    /// # Errors
    /// When it stays.
    pub async fn remove_drill(&self, id: &str) -> Result<(), DockerError> {
        let options = RemoveContainerOptions { force: true, v: true, ..Default::default() };
        match self.api.remove_container(id, Some(options)).await {
            Err(e) if error::status(&e) != Some(404) => Err(self.sort("removing the drill's container", id, e)),
            _ => Ok(()),
        }
    }

    /// The containers of a drill, by id.
    ///
    /// # Errors
    /// When the engine does not answer.
    pub async fn drill_containers(&self, label: &DrillLabel) -> Result<Vec<String>, DockerError> {
        let containers = self.containers_with_label(&format!("{SCRATCH}={}", label.scratch_dir)).await?;
        let mine = containers.into_iter().filter(|c| c.labels.get(DRILL) == Some(&label.drill));
        Ok(mine.map(|c| c.id).collect())
    }
}
