//! A database's directory that is copied while the database runs is not a backup of it.

use std::path::Path;

use super::error::VolumeError;
use crate::adapters::docker::{Docker, Helper, State};

/// What stands in the directory of a database that keeps its files by itself.
const MARKERS: &[(&str, &str)] = &[
    ("PG_VERSION", "a PostgreSQL data directory"),
    ("data/PG_VERSION", "a PostgreSQL data directory"),
    ("pgdata/PG_VERSION", "a PostgreSQL data directory"),
    ("18/docker/PG_VERSION", "a PostgreSQL data directory"),
    ("ibdata1", "a MySQL or MariaDB data directory"),
    ("WiredTiger", "a MongoDB data directory"),
    ("appendonlydir", "a Redis append-only log"),
    ("appendonly.aof", "a Redis append-only log"),
];

/// Names of the running containers that may write to a volume, but for those that are stopped meanwhile.
pub(super) async fn writers(docker: &Docker, volume: &str, stopped: &[&str]) -> Result<Vec<String>, VolumeError> {
    let uses = docker.containers_using(volume).await?;
    let live = uses.into_iter().filter(|u| u.writable && u.container.state != State::Down);
    Ok(live.filter(|u| !stopped.contains(&u.container.id.as_str())).map(|u| u.container.name).collect())
}

fn refuse(volume: &str, (marker, what): (&'static str, &'static str), writers: &[String]) -> VolumeError {
    VolumeError::LiveDatabase { volume: volume.to_owned(), what, marker, writers: writers.to_vec() }
}

/// Looks below the mount point.
pub(super) fn refuse_at(mountpoint: &Path, volume: &str, writers: &[String]) -> Result<(), VolumeError> {
    let found = MARKERS.iter().find(|(marker, _)| mountpoint.join(marker).exists());
    match found {
        Some(found) if !writers.is_empty() => Err(refuse(volume, *found, writers)),
        _ => Ok(()),
    }
}

/// Looks through the engine.
pub(super) async fn refuse_in(helper: &Helper, volume: &str, writers: &[String]) -> Result<(), VolumeError> {
    if writers.is_empty() {
        return Ok(());
    }
    for marker in MARKERS {
        if helper.has(marker.0).await? {
            return Err(refuse(volume, *marker, writers));
        }
    }
    Ok(())
}
