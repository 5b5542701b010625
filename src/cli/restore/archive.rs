//! Archives into directories and volumes.

use std::{
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    time::Duration,
};

use tokio::runtime::Runtime;

use super::{Failure, Global, Restore, Work};
use crate::{
    adapters::{
        clock,
        docker::{Docker, DockerError},
        files,
    },
    backup::restore::tree::{self, TreeFiles, TreeOptions},
    config,
    model::{
        contents::PathBytes,
        manifest::{Artifact, Source},
        stack,
        units::{ByteSize, Elapsed, count},
    },
};

fn is_archive(source: &Source) -> bool {
    matches!(source, Source::Files { .. } | Source::Volume { .. })
}

/// One archive into the directory itself, several each into one of its own below it.
pub(super) fn into_directory(command: &Restore, into: &Path, work: &Work<'_>) -> Result<Vec<String>, Failure> {
    let artifacts = command.items(work, is_archive, "archive")?;
    let mut said = Vec::new();
    if let [one] = artifacts.as_slice() {
        said.extend(one_archive(command, one, into, work)?);
        return Ok(said);
    }
    if !command.path.is_empty() {
        let names = artifacts.iter().map(|a| a.packed.file.as_str()).collect::<Vec<_>>().join(", ");
        return Err(Failure::usage(format!("the set has several archives: {names}"), "name one with --item"));
    }
    if !command.plan {
        files::create_private_dir(into)?;
    }
    for artifact in artifacts {
        said.extend(one_archive(command, artifact, &into.join(artifact.step.as_str()), work)?);
    }
    Ok(said)
}

/// A new volume, or an empty one, by its mount point.
pub(super) fn into_volume(
    command: &Restore,
    name: &str,
    work: &Work<'_>,
    runtime: &Runtime,
    global: &Global,
) -> Result<Vec<String>, Failure> {
    let artifact = command.item(work, is_archive, "archive")?;
    let host = match config::load_if_any(global.config.as_deref())? {
        Some(config) => config.stack.docker.clone(),
        None => stack::Docker::default(),
    };
    let docker = runtime.block_on(Docker::connect(&host.host))?;
    let found = match runtime.block_on(docker.volume(name)) {
        Ok(volume) => Some(volume),
        Err(DockerError::NoSuchVolume { .. }) => None,
        Err(error) => return Err(error.into()),
    };
    let new = found.is_none();
    if new && command.plan {
        let size = ByteSize(artifact.plain_bytes);
        return Ok(vec![format!("would make the volume {name} and unpack {size} into it; nothing was done (--plan)")]);
    }
    let volume = match found {
        Some(volume) => volume,
        None => {
            runtime.block_on(docker.create_volume(name))?;
            runtime.block_on(docker.volume(name))?
        }
    };
    let mountpoint = PathBuf::from(&volume.mountpoint);
    let restored = if volume.is_plain_directory() && mountpoint.is_dir() {
        one_archive(command, artifact, &mountpoint, work)
    } else {
        Err(Failure::usage(
            format!("the files of the volume {name} are not at {} of this host", mountpoint.display()),
            "run it as root on the engine's host, or restore into a directory with --into dir:PATH",
        ))
    };
    if restored.is_err() && new {
        // What was made for this restore goes with it; the first error is the one to tell.
        let _ = runtime.block_on(docker.remove_volume(name));
    }
    restored
}

fn one_archive(command: &Restore, artifact: &Artifact, into: &Path, work: &Work<'_>) -> Result<Vec<String>, Failure> {
    let archive = TreeFiles::of(&work.set, artifact);
    let paths = command.path.iter().map(|p| PathBytes(p.as_os_str().as_bytes().to_vec())).collect();
    let options = TreeOptions { devices: command.devices, paths, ..TreeOptions::default() };
    let file = &artifact.packed.file;
    let into = std::path::absolute(into).map_err(|e| files::FileError::new("finding", into, e))?;
    if command.plan {
        let plan = tree::plan(&archive, &into, &options, work.cancel)?;
        let mut said = vec![format!(
            "would restore {} of {file} into {}: {}, {} on the disk; {} are free",
            count(plan.entries, "entry"),
            into.display(),
            count(plan.files, "file"),
            ByteSize(plan.needed),
            ByteSize(plan.free)
        )];
        if plan.devices > 0 && !options.devices {
            said.push(format!("without {}; --devices makes them", count(plan.devices, "device node")));
        }
        said.push("nothing was done (--plan)".into());
        return Ok(said);
    }
    let begun = clock::monotonic();
    let planted = tree::tree(&archive, &into, &options, work.cancel, work.events)?;
    let mut said = vec![format!(
        "{}: {} of {file}, {}, {}, every content as captured ({})",
        into.display(),
        count(planted.entries, "entry"),
        count(planted.files, "file"),
        ByteSize(planted.bytes),
        Elapsed(Duration::from_millis(u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX)))
    )];
    said.extend(planted.skipped.iter().map(|skipped| format!("  not restored: {skipped}")));
    said.extend(planted.leftovers.iter().map(|left| format!("  a killed restore left {}; remove it", left.display())));
    Ok(said)
}
