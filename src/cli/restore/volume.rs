//! Archives into volumes: by the mount point where it can be reached, else through the engine.

use std::path::{Path, PathBuf};

use super::{
    Failure, Restore, Work, archive,
    report::{Item, time},
    space::Need,
    target::{Goes, Task},
};
use crate::{
    adapters::{
        clock,
        docker::{Docker, DockerError, Volume},
    },
    backup::restore::volume::{self, FillRequest},
    capture::volume::why_engine,
    config,
    model::{
        stack,
        units::{ByteSize, count},
    },
};

/// How a volume is filled.
enum Way {
    /// It is made first.
    New,
    /// Its mount point is a directory of this host.
    Direct(PathBuf),
    /// Through the engine, and why.
    Engine(String),
}

/// The engine, and where locks are.
struct Host {
    docker: Docker,
    state_dir: PathBuf,
}

impl Host {
    async fn of(work: &Work<'_>) -> Result<Self, Failure> {
        let (host, state_dir) = match config::load_if_any(work.global.config.as_deref())? {
            Some(config) => (config.stack.docker.host.clone(), config.stack.state_dir.clone()),
            None => (stack::Docker::default().host, volume::default_state_dir()),
        };
        Ok(Self { docker: Docker::connect(&host).await?, state_dir })
    }

    async fn look(&self, name: &str) -> Result<Way, Failure> {
        match self.docker.volume(name).await {
            Ok(volume) => Ok(way(&volume)),
            Err(DockerError::NoSuchVolume { .. }) => Ok(Way::New),
            Err(error) => Err(error.into()),
        }
    }

    fn request<'a>(&'a self, command: &Restore, task: &Task<'a>, name: &'a str, work: &'a Work<'_>) -> FillRequest<'a> {
        FillRequest {
            docker: &self.docker,
            volume: name,
            new: false,
            set: &work.set,
            artifact: task.artifact,
            devices: command.devices,
            state_dir: &self.state_dir,
        }
    }
}

fn way(volume: &Volume) -> Way {
    let mountpoint = PathBuf::from(&volume.mountpoint);
    match why_engine(volume) {
        None => Way::Direct(mountpoint),
        Some(why) => Way::Engine(why),
    }
}

/// The archive, as it would go into a directory.
fn into<'a>(task: &Task<'a>, dir: &Path) -> Task<'a> {
    Task { artifact: task.artifact, goes: Goes::Directory { dir: dir.to_owned(), base: None } }
}

/// What would be done.
pub(super) async fn plan(
    command: &Restore,
    task: &Task<'_>,
    name: &str,
    work: &Work<'_>,
) -> Result<(Item, Vec<Need>), Failure> {
    let host = Host::of(work).await?;
    let way = host.look(name).await?;
    if let Way::Direct(dir) = &way {
        let (item, needs) = archive::plan(command, &into(task, dir), (dir, None), work)?;
        return Ok((Item { into: task.target().to_string(), ..item }, needs));
    }
    let (entries, files, bytes, skipped) = volume::plan(&work.set, task.artifact, command.devices, work.cancel)?;
    let file = task.artifact.packed.file.clone();
    let expected_millis = work.measured(&file);
    let expected = expected_millis.map(|millis| format!("; a drill took {} for it", time(millis))).unwrap_or_default();
    let what =
        format!("{} of {file}, {}, {}{expected}", count(entries, "entry"), count(files, "file"), ByteSize(bytes));
    let mut item = Item { file, into: task.target().to_string(), bytes, expected_millis, ..Item::default() };
    match way {
        Way::Engine(why) => {
            refuse_paths(command, name, &why)?;
            if !work.only_plan {
                volume::check_empty(&host.request(command, task, name, work)).await?;
            }
            item.said.push(format!("would restore {what} into the volume {name}, through the engine: {why}"));
            item.not_restored.extend(volume::LOST_BY_ENGINE.iter().map(|lost| (*lost).to_owned()).chain(skipped));
            item.said.extend(item.not_restored.iter().map(|lost| format!("  not kept: {lost}")));
        }
        _ => item.said.push(format!("would make the volume {name} and restore {what} into it")),
    }
    Ok((item, Vec::new()))
}

fn refuse_paths(command: &Restore, name: &str, why: &str) -> Result<(), Failure> {
    if command.path.is_empty() {
        return Ok(());
    }
    Err(Failure::usage(
        format!("--path needs the mount point, and the volume {name} is filled through the engine: {why}"),
        "restore the paths into a directory with --into dir:PATH",
    ))
}

/// Does it; a volume that was made for it goes where it fails.
pub(super) async fn restore(command: &Restore, task: &Task<'_>, name: &str, work: &Work<'_>) -> Result<Item, Failure> {
    let host = Host::of(work).await?;
    let mut way = host.look(name).await?;
    let new = matches!(way, Way::New);
    if new {
        host.docker.create_volume(name).await?;
        way = host.look(name).await?;
    }
    let restored = match way {
        Way::Direct(dir) => {
            let done = archive::restore(command, &into(task, &dir), &dir, work);
            done.map(|item| Item { into: task.target().to_string(), ..item })
        }
        Way::Engine(why) => through(command, task, &host, (name, new, &why), work).await,
        Way::New => Err(DockerError::NoSuchVolume { name: name.to_owned() }.into()),
    };
    if restored.is_err() && new {
        // The first error is the one to tell.
        let _ = host.docker.remove_volume(name).await;
    }
    restored
}

async fn through(
    command: &Restore,
    task: &Task<'_>,
    host: &Host,
    (name, new, why): (&str, bool, &str),
    work: &Work<'_>,
) -> Result<Item, Failure> {
    refuse_paths(command, name, why)?;
    let begun = clock::monotonic();
    let request = FillRequest { new, ..host.request(command, task, name, work) };
    let filled = volume::fill(&request, work.cancel, work.events).await?;
    let file = task.artifact.packed.file.clone();
    let millis = super::millis(begun);
    let mut item = Item { file, into: task.target().to_string(), bytes: filled.bytes, ..Item::default() };
    item.millis = Some(millis);
    let (entries, files) = (count(filled.compared.entries, "entry"), count(filled.compared.files, "file"));
    item.compared = vec![entries.clone(), format!("content of {files}")];
    item.not_compared = filled.compared.not_compared;
    item.not_restored = filled.skipped;
    item.warnings.push(format!("it was filled through the engine: {why}"));
    item.warnings.extend(volume::LOST_BY_ENGINE.iter().map(|lost| format!("that way does not keep: {lost}")));
    item.said.push(format!(
        "volume {name}: {entries} of {}, {files}, {}, read back and as captured ({})",
        item.file,
        ByteSize(item.bytes),
        time(millis)
    ));
    item.said.extend(item.not_restored.iter().map(|not| format!("  not restored: {not}")));
    item.said.extend(item.not_compared.iter().map(|not| format!("  not compared: {not}")));
    item.said.extend(item.warnings.iter().map(|warning| format!("  {warning}")));
    Ok(item)
}
