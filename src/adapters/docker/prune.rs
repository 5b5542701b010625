//! What an engine has left over: stopped containers, untagged images, idle networks, build cache.
//!
//! Each thing is listed with its age and size, and removed by its id: what was announced goes, and nothing else. Volumes are
//! no part of it.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use bollard::{
    models::{ContainerSummary, EndpointSettings},
    query_parameters::{
        ListContainersOptions, ListImagesOptions, ListNetworksOptions, PruneBuildOptions, RemoveContainerOptions,
        RemoveImageOptions,
    },
};
use chrono::{DateTime, Utc};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{Docker, DockerError, State, containers::summary_container, error};

/// The longest answer that is read.
const MOST_BYTES: u64 = 64 << 20;

/// Something that an engine has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Left {
    /// Its id.
    pub id: String,
    /// Its name, or what comes nearest to one.
    pub name: String,
    /// Since when nobody needed it, as far as the engine tells.
    pub since: Option<DateTime<Utc>>,
    /// What it takes on the disk.
    pub bytes: u64,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
}

/// A container that does not run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoppedContainer {
    /// The container; since when it has been stopped.
    pub left: Left,
}

/// What the containers that are there need, running or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Needs {
    /// The container's id.
    pub container: String,
    /// Its image's id.
    pub image: String,
    /// Its networks, by name.
    pub networks: BTreeSet<String>,
}

/// An image without a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UntaggedImage {
    /// The image; since when it has been on this host, at the least.
    pub left: Left,
    /// The repositories that it came from; none where it was built here.
    pub repositories: BTreeSet<String>,
}

/// A time as the engine writes it; the year 1 stands for never.
fn time(text: Option<&str>) -> Option<DateTime<Utc>> {
    let time: DateTime<Utc> = text?.parse().ok()?;
    (time.timestamp() > 0).then_some(time)
}

fn whole(bytes: Option<i64>) -> u64 {
    bytes.and_then(|bytes| u64::try_from(bytes).ok()).unwrap_or(0)
}

fn sorted(labels: Option<HashMap<String, String>>) -> BTreeMap<String, String> {
    labels.unwrap_or_default().into_iter().collect()
}

/// The entries of the build cache that may go, of the answer of an engine before 1.52 or of a later one.
fn idle_entries(answer: &serde_json::Value) -> Vec<Left> {
    let items = match &answer["BuildCacheUsage"]["Items"] {
        serde_json::Value::Null => &answer["BuildCache"],
        items => items,
    };
    let items = items.as_array().map(Vec::as_slice).unwrap_or_default();
    // What `docker builder prune` without `--all` leaves: what the builder made for itself.
    let own = |item: &serde_json::Value| matches!(item["Type"].as_str(), Some("internal" | "frontend"));
    let idle = items.iter().filter(|item| item["InUse"] == false && item["Shared"] != true && !own(item));
    idle.map(|item| Left {
        id: item["ID"].as_str().unwrap_or_default().to_owned(),
        name: item["Description"].as_str().unwrap_or_default().to_owned(),
        since: time(item["LastUsedAt"].as_str()).or_else(|| time(item["CreatedAt"].as_str())),
        bytes: item["Size"].as_u64().unwrap_or(0),
        labels: BTreeMap::new(),
    })
    .collect()
}

impl Docker {
    async fn all_containers(&self) -> Result<Vec<ContainerSummary>, DockerError> {
        let options = ListContainersOptions { all: true, size: true, ..Default::default() };
        let listed = self.api.list_containers(Some(options)).await;
        listed.map_err(|e| self.sort("listing", "the containers", e))
    }

    /// The containers that do not run, and what every container needs.
    ///
    /// # Errors
    /// When the engine does not answer, or not fully.
    pub async fn stopped_containers(&self) -> Result<(Vec<StoppedContainer>, Vec<Needs>), DockerError> {
        let (mut stopped, mut needs) = (Vec::new(), Vec::new());
        for summary in self.all_containers().await? {
            let container = summary_container(&summary)?;
            let lacks = |what| DockerError::Incomplete { subject: format!("the container `{}`", container.name), what };
            let mut networks: BTreeSet<String> = summary
                .network_settings
                .and_then(|settings| settings.networks)
                .unwrap_or_default()
                .into_iter()
                .flat_map(|(name, of): (String, EndpointSettings)| [Some(name), of.network_id])
                .flatten()
                .collect();
            networks.extend(summary.host_config.and_then(|host| host.network_mode));
            let image = summary.image_id.ok_or_else(|| lacks("its image's id"))?;
            needs.push(Needs { container: container.id.clone(), image, networks });
            if container.state != State::Down {
                continue;
            }
            let found = match self.inspect(&container.id).await {
                // Removed since it was listed.
                Err(DockerError::NoSuchContainer { .. }) => continue,
                found => found?,
            };
            let ended = found.state.as_ref().and_then(|state| time(state.finished_at.as_deref()));
            let since = ended.or_else(|| time(found.created.as_deref()));
            let bytes = whole(summary.size_rw);
            let left = Left { id: container.id, name: container.name, since, bytes, labels: container.labels };
            stopped.push(StoppedContainer { left });
        }
        Ok((stopped, needs))
    }

    /// The images without a name.
    ///
    /// # Errors
    /// When the engine does not answer, or not fully.
    pub async fn untagged_images(&self) -> Result<Vec<UntaggedImage>, DockerError> {
        let filters = HashMap::from([("dangling".to_owned(), vec!["true".to_owned()])]);
        let options =
            ListImagesOptions { filters: Some(filters), shared_size: true, digests: true, ..Default::default() };
        let listed = self.api.list_images(Some(options)).await;
        let listed = listed.map_err(|e| self.sort("listing", "the images without a name", e))?;
        let mut images = Vec::new();
        for image in listed {
            let found = match self.api.inspect_image(&image.id).await {
                Err(e) if error::status(&e) == Some(404) => continue,
                found => found.map_err(|e| self.sort("looking at the image", &image.id, e))?,
            };
            // When it was made says nothing about when it came here: its last name does.
            let named = found.metadata.and_then(|metadata| time(metadata.last_tag_time.as_deref()));
            let since = named.max(DateTime::from_timestamp(image.created, 0));
            let repositories = image.repo_digests.iter().filter_map(|digest| digest.split_once('@'));
            let repositories = repositories.map(|(name, _)| name.to_owned()).filter(|name| name != "<none>").collect();
            let bytes = whole(Some(image.size)).saturating_sub(whole(Some(image.shared_size)));
            let name = image.id.trim_start_matches("sha256:").chars().take(12).collect();
            let labels = image.labels.into_iter().collect();
            images.push(UntaggedImage { left: Left { id: image.id, name, since, bytes, labels }, repositories });
        }
        Ok(images)
    }

    /// The networks that nobody is connected to just now.
    ///
    /// # Errors
    /// When the engine does not answer, or not fully.
    pub async fn idle_networks(&self) -> Result<Vec<Left>, DockerError> {
        let filters = HashMap::from([("dangling".to_owned(), vec!["true".to_owned()])]);
        let listed = self.api.list_networks(Some(ListNetworksOptions { filters: Some(filters) })).await;
        let listed = listed.map_err(|e| self.sort("listing", "the idle networks", e))?;
        let lacks = |what| DockerError::Incomplete { subject: "a network".into(), what };
        listed
            .into_iter()
            .filter(|network| network.scope.as_deref() != Some("swarm"))
            .map(|network| {
                Ok(Left {
                    id: network.id.ok_or_else(|| lacks("its id"))?,
                    name: network.name.ok_or_else(|| lacks("its name"))?,
                    since: time(network.created.as_deref()),
                    bytes: 0,
                    labels: sorted(network.labels),
                })
            })
            .collect()
    }

    /// The build cache that nobody uses and nothing else shares.
    ///
    /// # Errors
    /// When the engine does not answer, or not fully.
    pub async fn idle_build_cache(&self) -> Result<Vec<Left>, DockerError> {
        // bollard knows the answer of 1.52 and later only.
        Ok(idle_entries(&self.get("/system/df?type=build-cache&verbose=1").await?))
    }

    /// A plain request for JSON, for answers that bollard does not know in every version.
    async fn get(&self, path: &str) -> Result<serde_json::Value, DockerError> {
        let read = |source| DockerError::Read { subject: format!("the engine's answer to {path}"), source };
        let socket = self.host.trim_start_matches("unix://");
        let mut stream = tokio::net::UnixStream::connect(socket).await.map_err(read)?;
        // 1.0: the answer ends with the connection.
        let request = format!("GET /v{}{path} HTTP/1.0\r\nHost: docker\r\n\r\n", self.api.client_version());
        stream.write_all(request.as_bytes()).await.map_err(read)?;
        let mut answer = Vec::new();
        let mut stream = stream.take(MOST_BYTES);
        let within = tokio::time::timeout(super::ANSWER_WITHIN, stream.read_to_end(&mut answer)).await;
        within.map_err(|_| read(std::io::ErrorKind::TimedOut.into()))?.map_err(read)?;
        let text = String::from_utf8_lossy(&answer);
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or_default();
        if head.split(' ').nth(1) != Some("200") {
            return Err(read(std::io::Error::other(head.lines().next().unwrap_or_default().to_owned())));
        }
        serde_json::from_str(body).map_err(|e| read(e.into()))
    }

    /// Removes a container that does not run; its volumes stay, those without a name too. `false`: it runs again.
    ///
    /// # Errors
    /// When the engine refuses for another reason.
    pub async fn remove_stopped(&self, id: &str) -> Result<bool, DockerError> {
        let options = RemoveContainerOptions { v: false, force: false, link: false };
        self.removed("removing the container", id, self.api.remove_container(id, Some(options)).await)
    }

    /// Removes an image that has no name. `false`: something uses it.
    ///
    /// # Errors
    /// When the engine refuses for another reason.
    pub async fn remove_untagged(&self, id: &str) -> Result<bool, DockerError> {
        let options = RemoveImageOptions { force: false, noprune: true, platforms: None };
        let removed = self.api.remove_image(id, Some(options), None).await.map(drop);
        self.removed("removing the image", id, removed)
    }

    /// Removes a network that nobody is connected to. `false`: somebody is.
    ///
    /// # Errors
    /// When the engine refuses for another reason.
    pub async fn remove_network(&self, id: &str) -> Result<bool, DockerError> {
        self.removed("removing the network", id, self.api.remove_network(id).await)
    }

    /// Removes one entry of the build cache; gives the bytes that came free.
    ///
    /// # Errors
    /// When the engine refuses.
    pub async fn remove_build_cache(&self, id: &str) -> Result<u64, DockerError> {
        let filters = HashMap::from([("id".to_owned(), vec![id.to_owned()])]);
        let options = PruneBuildOptions { filters: Some(filters), ..Default::default() };
        let pruned = self.api.prune_build(Some(options)).await;
        let pruned = pruned.map_err(|e| self.sort("removing the build cache", id, e))?;
        Ok(whole(pruned.space_reclaimed))
    }

    fn removed(
        &self,
        operation: &'static str,
        id: &str,
        answer: Result<(), bollard::errors::Error>,
    ) -> Result<bool, DockerError> {
        match answer {
            Ok(()) => Ok(true),
            Err(e) => match error::status(&e) {
                // Gone already: what was wanted.
                Some(404) => Ok(true),
                Some(403 | 409) => Ok(false),
                _ => Err(self.sort(operation, id, e)),
            },
        }
    }
}

/// A container whose log grows without an end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndlessLog {
    /// The container's name.
    pub container: String,
    /// Where the daemon writes it, on the engine's host.
    pub path: Option<String>,
}

impl Docker {
    /// The running containers whose log the daemon writes to a file without a limit (`max-size`), and how many were looked
    /// at.
    ///
    /// # Errors
    /// When the engine does not answer, or not fully.
    pub async fn endless_logs(&self) -> Result<(Vec<EndlessLog>, usize), DockerError> {
        let running = self.list("status", "running").await?;
        let mut endless = Vec::new();
        for summary in &running {
            let container = summary_container(summary)?;
            let found = match self.inspect(&container.id).await {
                Err(DockerError::NoSuchContainer { .. }) => continue,
                found => found?,
            };
            let log = found.host_config.and_then(|host| host.log_config).unwrap_or_default();
            let limited = log.config.is_some_and(|config| config.contains_key("max-size"));
            // `local` has a limit of its own, and the others write no file.
            if log.typ.as_deref() == Some("json-file") && !limited {
                endless.push(EndlessLog { container: container.name, path: found.log_path.filter(|p| !p.is_empty()) });
            }
        }
        Ok((endless, running.len()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As version 1.52 documents it (`tests/data/docker/ORIGIN.md`); older ones are asked live.
    #[test]
    fn the_cache_of_a_newer_engine_is_understood() {
        let answer = include_str!("../../../tests/data/docker/1.53-documented/system-df.json");
        let idle = idle_entries(&serde_json::from_str(answer).unwrap());
        let seen: Vec<_> = idle.iter().map(|left| (left.name.as_str(), left.bytes, left.since.is_some())).collect();
        assert_eq!(seen, [("mount / from exec /bin/sh -c echo one", 51, true)]);
    }
}
