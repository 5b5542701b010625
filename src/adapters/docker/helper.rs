//! A volume's content through the engine alone: a container of an empty image that has the volume mounted is created and
//! never started; archive requests read and fill it. No program runs in it and no image is pulled.

use std::{collections::HashMap, io, os::fd::OwnedFd, time::Duration};

use bollard::{
    errors::Error as Engine,
    models::{ContainerCreateBody, HostConfig, Mount, MountType, MountVolumeOptions},
    query_parameters::{
        ContainerArchiveInfoOptions, CreateContainerOptions, CreateImageOptions, DownloadFromContainerOptions,
        ListImagesOptions, RemoveContainerOptions, RemoveImageOptions, UploadToContainerOptions,
    },
};
use futures_util::{Stream, StreamExt};
use tokio::{io::AsyncWriteExt, net::unix::pipe, task::JoinHandle};
use tokio_util::bytes::Bytes;

use super::{Docker, DockerError, error};

/// Where the helper has the volume. The archive's entries begin with its last component.
const MOUNTED_AT: &str = "/volume";
/// The name of the volume's own directory in the container's tree, and the first part of every name in its archive.
pub const ROOT_ENTRY: &str = "volume";
/// The label that names the capture which made a helper.
pub(super) const OWNER: &str = "maint.helper";
/// The label that names the state directory whose locks tell whether that capture lives.
const STATE: &str = "maint.state";
/// A tar without entries: two blocks of zeros.
const EMPTY_TAR: [u8; 1024] = [0; 1024];
/// The engine answers an upload when it is through with it.
const UPLOAD_WITHIN: Duration = Duration::from_secs(7 * 24 * 3600);

/// What may be done with the volume through a helper.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// It is read.
    Read,
    /// It is filled too.
    Fill,
}

/// Whose a helper is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct HelperLabel {
    /// The capture, unique on this host.
    pub owner: String,
    /// The state directory of the maint that made it.
    pub state_dir: String,
}

impl HelperLabel {
    fn labels(&self) -> HashMap<String, String> {
        HashMap::from([(OWNER.into(), self.owner.clone()), (STATE.into(), self.state_dir.clone())])
    }
}

/// A created, never started container with a volume mounted. Remove it with [`remove`](Self::remove); dropped, it is
/// removed in the background, and after a crash by [`Docker::remove_helpers`].
#[derive(Debug)]
pub struct Helper {
    docker: Docker,
    container: String,
    image: String,
    removed: bool,
}

impl Docker {
    /// Makes a helper for a volume, which must exist: the engine would create it.
    ///
    /// # Errors
    /// When the image cannot be imported or the container not created; nothing is left then.
    pub async fn helper(&self, volume: &str, access: Access, label: &HelperLabel) -> Result<Helper, DockerError> {
        let image = self.empty_image(label).await?;
        let created = self.helper_container((volume, access), &image, label).await;
        match created {
            Ok(container) => Ok(Helper { docker: self.clone(), container, image, removed: false }),
            Err(error) => {
                // The first error says what is wrong; a leftover image is swept by its label.
                let _ = self.remove_image(&image).await;
                Err(error)
            }
        }
    }

    async fn empty_image(&self, label: &HelperLabel) -> Result<String, DockerError> {
        let changes = label.labels().into_iter().map(|(key, value)| format!("LABEL {key}={}", quoted(&value)));
        let options =
            CreateImageOptions { from_src: Some("-".into()), changes: changes.collect(), ..Default::default() };
        let body = bollard::body_full(EMPTY_TAR.to_vec().into());
        let mut progress = std::pin::pin!(self.api.create_image(Some(options), Some(body), None));
        let mut last = None;
        while let Some(line) = progress.next().await {
            last = line.map_err(|e| self.sort("importing", "an empty image", e))?.status.or(last);
        }
        last.filter(|id| id.starts_with("sha256:"))
            .ok_or(DockerError::Incomplete { subject: "an empty image".into(), what: "its id" })
    }

    async fn helper_container(
        &self,
        (volume, access): (&str, Access),
        image: &str,
        label: &HelperLabel,
    ) -> Result<String, DockerError> {
        let mount = Mount {
            typ: Some(MountType::VOLUME),
            source: Some(volume.to_owned()),
            target: Some(MOUNTED_AT.into()),
            read_only: Some(access == Access::Read),
            volume_options: Some(MountVolumeOptions { no_copy: Some(true), ..Default::default() }),
            ..Default::default()
        };
        let body = ContainerCreateBody {
            image: Some(image.to_owned()),
            // The engine wants a command even of a container that is never started.
            cmd: Some(vec!["never-started".into()]),
            labels: Some(label.labels()),
            network_disabled: Some(true),
            host_config: Some(HostConfig {
                network_mode: Some("none".into()),
                mounts: Some(vec![mount]),
                ..Default::default()
            }),
            ..Default::default()
        };
        let created = self.api.create_container(None::<CreateContainerOptions>, body).await;
        Ok(created.map_err(|e| self.sort("creating a container for the volume", volume, e))?.id)
    }

    async fn remove_container(&self, id: &str) -> Result<(), DockerError> {
        let options = RemoveContainerOptions { force: true, ..Default::default() };
        gone(self.api.remove_container(id, Some(options)).await)
            .map_err(|e| self.sort("removing the helper container", id, e))
    }

    async fn remove_image(&self, id: &str) -> Result<(), DockerError> {
        gone(self.api.remove_image(id, None::<RemoveImageOptions>, None).await)
            .map_err(|e| self.sort("removing the helper image", id, e))
    }

    /// Helpers that stand on this engine for captures of one state directory.
    ///
    /// # Errors
    /// When the engine does not answer.
    pub async fn helpers(&self, state_dir: &str) -> Result<Vec<HelperLabel>, DockerError> {
        let filter = format!("{STATE}={state_dir}");
        let mut owners: Vec<Option<String>> = Vec::new();
        for container in self.containers_with_label(&filter).await? {
            owners.push(container.labels.get(OWNER).cloned());
        }
        for image in self.helper_images(&filter).await? {
            owners.push(image.1);
        }
        let mut labels: Vec<HelperLabel> =
            owners.into_iter().flatten().map(|owner| HelperLabel { owner, state_dir: state_dir.to_owned() }).collect();
        labels.sort();
        labels.dedup();
        Ok(labels)
    }

    /// Removes what a capture that died left on the engine; gives the number of containers.
    ///
    /// # Errors
    /// When something is there and cannot be removed.
    pub async fn remove_helpers(&self, label: &HelperLabel) -> Result<usize, DockerError> {
        let mine = |labels: Option<&String>| labels == Some(&label.owner);
        let filter = format!("{STATE}={}", label.state_dir);
        let containers = self.containers_with_label(&filter).await?;
        let containers: Vec<_> = containers.into_iter().filter(|c| mine(c.labels.get(OWNER))).collect();
        for container in &containers {
            self.remove_container(&container.id).await?;
        }
        for (id, owner) in self.helper_images(&filter).await? {
            if mine(owner.as_ref()) {
                self.remove_image(&id).await?;
            }
        }
        Ok(containers.len())
    }

    async fn helper_images(&self, filter: &str) -> Result<Vec<(String, Option<String>)>, DockerError> {
        let filters = HashMap::from([("label".to_owned(), vec![filter.to_owned()])]);
        let options = ListImagesOptions { filters: Some(filters), ..Default::default() };
        let images = self.api.list_images(Some(options)).await.map_err(|e| self.sort("listing", "helper images", e))?;
        Ok(images.into_iter().map(|image| (image.id, image.labels.get(OWNER).cloned())).collect())
    }
}

/// A value of a LABEL instruction.
fn quoted(value: &str) -> String {
    format!("\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\"").replace('$', "\\$"))
}

/// What is not there any more need not be removed.
fn gone<T>(result: Result<T, Engine>) -> Result<(), Engine> {
    match result {
        Err(e) if error::status(&e) != Some(404) => Err(e),
        _ => Ok(()),
    }
}

impl Helper {
    /// The volume as a tar stream, to be read by a blocking thread. Entries are below `volume/`. The end of that file
    /// says nothing; the task's result says whether the stream was whole.
    ///
    /// # Errors
    /// When the pipe cannot be made.
    pub fn archive(&self) -> Result<(JoinHandle<Result<(), DockerError>>, OwnedFd), DockerError> {
        let subject = "the volume's archive";
        let io = |source| DockerError::Read { subject: subject.into(), source };
        let (reader, writer) = io::pipe().map_err(io)?;
        let mut sender = pipe::Sender::from_owned_fd(writer.into()).map_err(io)?;
        // The last component `.` makes the engine store the directory itself and not its name alone.
        let options = DownloadFromContainerOptions { path: format!("{MOUNTED_AT}/") };
        let (docker, container) = (self.docker.clone(), self.container.clone());
        let task = tokio::spawn(async move {
            let mut body = std::pin::pin!(docker.api.download_from_container(&container, Some(options)));
            while let Some(bytes) = body.next().await {
                let bytes = bytes.map_err(|e| docker.sort("reading", subject, e))?;
                sender
                    .write_all(&bytes)
                    .await
                    .map_err(|source| DockerError::Read { subject: subject.into(), source })?;
            }
            Ok(())
        });
        Ok((task, reader.into()))
    }

    /// Unpacks a tar into the volume. The engine confines it: entries cannot leave the volume.
    ///
    /// # Errors
    /// When the engine refuses, or the stream gives an error.
    pub async fn unpack(&self, tar: impl Stream<Item = io::Result<Bytes>> + Send + 'static) -> Result<(), DockerError> {
        self.upload(MOUNTED_AT, tar).await
    }

    /// Gives the volume's own directory what a tar of one entry says; [`ROOT_ENTRY`] is the entry's name. In a tar for
    /// [`unpack`](Self::unpack) the engine passes over the directory itself.
    ///
    /// # Errors
    /// As [`unpack`](Self::unpack).
    pub async fn set_root(&self, tar: Bytes) -> Result<(), DockerError> {
        self.upload("/", futures_util::stream::iter([Ok(tar)])).await
    }

    async fn upload(
        &self,
        path: &str,
        tar: impl Stream<Item = io::Result<Bytes>> + Send + 'static,
    ) -> Result<(), DockerError> {
        let options = UploadToContainerOptions { path: path.into(), ..Default::default() };
        let api = self.docker.api.clone().with_timeout(UPLOAD_WITHIN);
        let sent = api.upload_to_container(&self.container, Some(options), bollard::body_try_stream(tar)).await;
        sent.map_err(|e| self.docker.sort("unpacking into", "the volume", e))
    }

    /// Whether the volume has something at this path, without reading it.
    ///
    /// # Errors
    /// When the engine does not tell.
    pub async fn has(&self, path: &str) -> Result<bool, DockerError> {
        let options = ContainerArchiveInfoOptions { path: format!("{MOUNTED_AT}/{path}") };
        match self.docker.api.get_container_archive_info(&self.container, Some(options)).await {
            Ok(_) => Ok(true),
            Err(e) if error::status(&e) == Some(404) => Ok(false),
            Err(e) => Err(self.docker.sort("looking into the volume for", path, e)),
        }
    }

    /// Removes container and image.
    ///
    /// # Errors
    /// When one of them stays.
    pub async fn remove(mut self) -> Result<(), DockerError> {
        self.removed = true;
        self.docker.remove_container(&self.container).await?;
        self.docker.remove_image(&self.image).await
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        if self.removed {
            return;
        }
        // Where this does not get to its end, the sweep by label does it later.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let (docker, container, image) = (self.docker.clone(), self.container.clone(), self.image.clone());
            runtime.spawn(async move {
                let _ = docker.remove_container(&container).await;
                let _ = docker.remove_image(&image).await;
            });
        }
    }
}
