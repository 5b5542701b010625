//! Removes what Docker has left over and nobody needed for a while, and says beforehand what that is.
//!
//! What `docker system prune` gets wrong is left out: a container's age is how long it has been stopped, not how long ago it was
//! made; an image's is how long it has been here. A network that a stopped container would need, an image that an update may
//! have to go back to, and every volume stay.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use chrono::{DateTime, TimeDelta, Utc};
use tokio_util::sync::CancellationToken;

use super::{Done, UpkeepError};
use crate::{
    adapters::{
        clock,
        docker::{Docker, DockerError, EndlessLog, Left, Needs, UntaggedImage},
        files,
    },
    model::{
        event::StepEvents,
        failure::chain,
        finding::{Finding, Unit},
        units::{ByteSize, age, count},
    },
};

/// What has this label stays, whatever its value.
const KEEP: &str = "maint.keep";
/// How many things are told one by one.
const TOLD: usize = 100;

/// What to remove.
#[derive(Debug)]
pub struct PruneRequest<'a> {
    /// The engine.
    pub host: &'a str,
    /// How long nobody must have needed it.
    pub older_than: Duration,
    /// Whether stopped containers go.
    pub containers: bool,
    /// Whether images without a name go.
    pub images: bool,
    /// Whether idle networks go.
    pub networks: bool,
    /// Whether idle build cache goes.
    pub build_cache: bool,
    /// Ids of images that stay: what an update may have to go back to.
    pub keep_images: BTreeSet<String>,
    /// Whether it is only said what would go.
    pub preview: bool,
}

/// What something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Container,
    Image,
    Network,
    BuildCache,
}

impl Kind {
    fn word(self) -> &'static str {
        match self {
            Self::Container => "container",
            Self::Image => "image",
            Self::Network => "network",
            Self::BuildCache => "build cache",
        }
    }
}

/// What goes, in the order in which it does: containers let go of images and networks.
#[derive(Debug, Default)]
struct Going {
    items: Vec<(Kind, Left)>,
    /// What is old enough and stays all the same, with the reason.
    kept: Vec<(Kind, Left, &'static str)>,
}

/// Removes, or says what would be removed.
///
/// # Errors
/// When the engine does not answer, or the run is stopped.
pub async fn prune(
    request: &PruneRequest<'_>,
    cancel: &CancellationToken,
    events: &StepEvents,
) -> Result<Done, UpkeepError> {
    let engine = Docker::connect(request.host).await?;
    let now = clock::now();
    let going = list(request, &engine, now).await?;
    let bytes: u64 = going.items.iter().map(|(_, left)| left.bytes).sum();
    for (kind, left) in going.items.iter().take(TOLD) {
        events.note(format!("goes: {} {}, {}", kind.word(), left.name, told(left, now)));
    }
    let mut findings = Vec::new();
    for (kind, left, why) in going.kept.iter().take(TOLD) {
        findings.push(Finding::good(format!("{} {}", kind.word(), left.name), format!("stays: {why}")));
    }
    if request.preview {
        for (kind, left) in going.items.iter().take(TOLD) {
            findings.push(item(*kind, left, &format!("would go: {}", told(left, now))));
        }
        let summary =
            format!("would remove {}, {}", counted(going.items.iter().map(|(kind, _)| *kind)), ByteSize(bytes));
        findings.insert(0, Finding::good("docker", &summary).value(bytes as f64, Unit::Bytes));
        return Ok(Done { summary, findings, changed: false });
    }
    let mut removed = Vec::new();
    let mut freed = 0;
    for (kind, left) in going.items {
        if cancel.is_cancelled() {
            return Err(UpkeepError::Interrupted);
        }
        match remove(&engine, kind, &left).await {
            Ok(Some(bytes)) => {
                freed += bytes;
                if removed.len() < TOLD {
                    findings.push(item(kind, &left, &format!("removed: {}", told(&left, now))));
                }
                removed.push(kind);
            }
            Ok(None) => findings.push(item(kind, &left, "stays: something needs it by now")),
            Err(error) => findings.push(
                Finding::warning(format!("{} {}", kind.word(), left.name), format!("not removed: {}", chain(&error)))
                    .hint("see the engine's log"),
            ),
        }
    }
    let changed = !removed.is_empty();
    let summary = format!("{} removed, {}", counted(removed.into_iter()), ByteSize(freed));
    findings.insert(0, Finding::good("docker", &summary).value(freed as f64, Unit::Bytes));
    Ok(Done { summary, findings, changed })
}

async fn remove(engine: &Docker, kind: Kind, left: &Left) -> Result<Option<u64>, DockerError> {
    let gone = match kind {
        Kind::Container => engine.remove_stopped(&left.id).await?,
        Kind::Image => engine.remove_untagged(&left.id).await?,
        Kind::Network => engine.remove_network(&left.id).await?,
        Kind::BuildCache => return engine.remove_build_cache(&left.id).await.map(Some),
    };
    Ok(gone.then_some(left.bytes))
}

fn item(kind: Kind, left: &Left, seen: &str) -> Finding {
    Finding::good(format!("{} {}", kind.word(), left.name), seen).value(left.bytes as f64, Unit::Bytes)
}

fn told(left: &Left, now: DateTime<Utc>) -> String {
    let since =
        left.since.map_or_else(|| "of unknown age".to_owned(), |since| format!("idle for {}", age(now - since)));
    if left.bytes > 0 { format!("{since}, {}", ByteSize(left.bytes)) } else { since }
}

fn counted(kinds: impl Iterator<Item = Kind>) -> String {
    let mut counts = [(Kind::Container, 0_u64), (Kind::Image, 0), (Kind::Network, 0), (Kind::BuildCache, 0)];
    for kind in kinds {
        for (_, number) in counts.iter_mut().filter(|(other, _)| *other == kind) {
            *number += 1;
        }
    }
    let noun = |kind| if kind == Kind::BuildCache { "entry of build cache" } else { Kind::word(kind) };
    let parts = counts.iter().filter(|(_, number)| *number > 0);
    let parts: Vec<String> = parts
        .map(|(kind, number)| match kind {
            Kind::BuildCache if *number > 1 => format!("{number} entries of build cache"),
            kind => count(*number, noun(*kind)),
        })
        .collect();
    if parts.is_empty() { "nothing".to_owned() } else { parts.join(", ") }
}

/// What goes.
async fn list(request: &PruneRequest<'_>, engine: &Docker, now: DateTime<Utc>) -> Result<Going, UpkeepError> {
    let mut going = Going::default();
    let cutoff = now - TimeDelta::from_std(request.older_than).unwrap_or(TimeDelta::MAX);
    let (stopped, needs) = engine.stopped_containers().await?;
    if request.containers {
        for container in stopped {
            going.sort(Kind::Container, container.left, cutoff);
        }
    }
    let leaving: BTreeSet<&str> = going.items.iter().map(|(_, left)| left.id.as_str()).collect();
    let staying: Vec<Needs> = needs.into_iter().filter(|needs| !leaving.contains(needs.container.as_str())).collect();
    if request.images {
        let images = engine.untagged_images().await?;
        let newest = newest(&images);
        for image in images {
            let needed = staying.iter().any(|needs| needs.image == image.left.id);
            let why = if needed {
                Some("a container is made from it")
            } else if request.keep_images.contains(&image.left.id) {
                Some("an update may have to go back to it")
            } else if newest.contains(&image.left.id) {
                Some("the last one of its repository before the one that has the name now")
            } else {
                None
            };
            going.sort_unless(Kind::Image, image.left, cutoff, why);
        }
    }
    if request.networks {
        for network in engine.idle_networks().await? {
            let by = |needs: &Needs| needs.networks.contains(&network.name) || needs.networks.contains(&network.id);
            let why = staying.iter().any(by).then_some("a stopped container would not start without it");
            going.sort_unless(Kind::Network, network, cutoff, why);
        }
    }
    if request.build_cache {
        for entry in engine.idle_build_cache().await? {
            going.sort(Kind::BuildCache, entry, cutoff);
        }
    }
    Ok(going)
}

/// Of every repository the untagged image that had its name last: where nobody noted what services ran, it is the way back.
fn newest(images: &[UntaggedImage]) -> BTreeSet<String> {
    let mut newest: BTreeMap<&str, &UntaggedImage> = BTreeMap::new();
    for image in images {
        for repository in &image.repositories {
            let last = newest.entry(repository).or_insert(image);
            if image.left.since > last.left.since {
                *last = image;
            }
        }
    }
    newest.into_values().map(|image| image.left.id.clone()).collect()
}

impl Going {
    fn sort(&mut self, kind: Kind, left: Left, cutoff: DateTime<Utc>) {
        self.sort_unless(kind, left, cutoff, None);
    }

    /// What is not old, or of an age that nobody knows, is not looked at further.
    fn sort_unless(&mut self, kind: Kind, left: Left, cutoff: DateTime<Utc>, why: Option<&'static str>) {
        if left.since.is_none_or(|since| since > cutoff) {
            return;
        }
        match why {
            _ if left.labels.contains_key(KEEP) => self.kept.push((kind, left, "it has the label maint.keep")),
            Some(why) => self.kept.push((kind, left, why)),
            None => self.items.push((kind, left)),
        }
    }
}

/// Whether the daemon limits the logs that it writes for containers. It alone may rotate them. An engine that does not answer
/// is a finding too.
pub async fn container_logs(host: &str) -> Vec<Finding> {
    let asked = async { Docker::connect(host).await?.endless_logs().await };
    let hint = "set max-size and max-file, for all in /etc/docker/daemon.json (log-opts), or under `logging:` of the \
                service, and make the container anew";
    match asked.await {
        Err(error) => {
            vec![Finding::unknown("container logs", format!("the engine could not be asked: {}", chain(&error)))]
        }
        Ok((endless, looked_at)) if endless.is_empty() => {
            let seen =
                format!("limited for each of {}", count(u64::try_from(looked_at).unwrap_or(0), "running container"));
            vec![Finding::good("container logs", seen)]
        }
        Ok((endless, _)) => endless.iter().map(|log| endless_log(log).hint(hint)).collect(),
    }
}

fn endless_log(log: &EndlessLog) -> Finding {
    let subject = format!("log of container {}", log.container);
    // On another host, or not readable: then its size is not told.
    let size = log.path.as_ref().and_then(|path| files::regular_length(path.as_ref()).ok().flatten());
    let now = size.map(|size| format!(", now {}", ByteSize(size))).unwrap_or_default();
    let finding = Finding::warning(subject, format!("grows without an end (json-file without max-size){now}"));
    match size {
        Some(size) => finding.value(size as f64, Unit::Bytes),
        None => finding,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(id: &str, repository: Option<&str>, day: i64) -> UntaggedImage {
        let since = DateTime::from_timestamp(day * 86_400, 0);
        let left = Left { id: id.into(), name: id.into(), since, bytes: 1, labels: BTreeMap::new() };
        UntaggedImage { left, repositories: repository.into_iter().map(str::to_owned).collect() }
    }

    #[test]
    fn the_way_back_of_each_repository_stays() {
        let images = [
            image("a1", Some("app"), 1),
            image("a2", Some("app"), 5),
            image("r1", Some("redis"), 2),
            image("built", None, 9),
        ];
        assert_eq!(newest(&images), BTreeSet::from(["a2".to_owned(), "r1".to_owned()]));
    }

    #[test]
    fn what_goes_is_counted() {
        assert_eq!(counted([].into_iter()), "nothing");
        let kinds = [Kind::BuildCache, Kind::Container, Kind::BuildCache, Kind::Network];
        assert_eq!(counted(kinds.into_iter()), "1 container, 1 network, 2 entries of build cache");
    }
}
