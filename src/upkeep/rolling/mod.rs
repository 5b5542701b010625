//! Services made anew from new images, one after the other, each behind a health gate, and never the database.
//!
//! Where a service may be there twice, as many new containers are made beside the old ones; when all of them are fit, the proxy
//! is told, and the old ones go. Where it may not (a fixed name, a port of the host, a volume that it writes to), it is made
//! anew in its place, and it is said that it was away. In both ways what does not become fit is taken back. A journal says at
//! any time what a dead run had begun: [`recover`] finishes it or takes it back.

mod back;
mod error;
mod health;
mod journal;
mod kind;
mod nginx;
mod order;
mod proxy;
mod task;

use std::{collections::BTreeMap, path::Path, time::Duration};

use tokio_util::sync::CancellationToken;

pub use back::{Healed, Recovery, look, recover};
pub use error::RollError;
pub use health::Gate;
pub use journal::{Journal, Phase, Way};
pub use kind::is_named_as_store;
pub use proxy::Proxy;

use self::{journal::Place, task::Task};
use super::images::{self, Named};
use crate::{
    adapters::{
        clock,
        compose::{Compose, File, Service},
        docker::{Docker, Image, Replica, State},
    },
    model::{
        event::StepEvents,
        ids::{RunId, StepId},
    },
};

/// What is to be updated, and how.
#[derive(Debug, Clone)]
pub struct Wish {
    /// The services.
    pub services: Vec<String>,
    /// Those of them that are updated though they look like a database.
    pub allow_stateful: Vec<String>,
    /// Volumes, by name or place, that several containers of a service may write to at once.
    pub shared: Vec<String>,
    /// When a new container counts as fit.
    pub gate: Gate,
    /// Who passes requests on to them.
    pub proxy: Option<Proxy>,
    /// What is run in an old container before it is stopped.
    pub drain: Vec<String>,
}

/// Who updates, and with what.
#[derive(Debug)]
pub struct By<'a> {
    /// The run.
    pub run: RunId,
    /// Its step.
    pub step: &'a StepId,
    /// Where the ledger and the journal are.
    pub state_dir: &'a Path,
    /// The engine.
    pub docker: &'a Docker,
    /// The compose program, with the project.
    pub compose: &'a Compose,
    /// The step's voice.
    pub events: &'a StepEvents,
    /// Fires when the run is to end.
    pub cancel: &'a CancellationToken,
}

/// What became of a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum How {
    /// It runs from the image that its name stands for, as the files say.
    UpToDate,
    /// New containers beside the old ones.
    Beside { replicas: usize, warnings: Vec<String> },
    /// Made anew in its place.
    InPlace,
    /// The new one was not fit, and things are as they were.
    Kept { why: String, by: &'static str },
}

/// A service and what became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rolled {
    /// The service.
    pub service: String,
    /// What became of it.
    pub how: How,
    /// Why it could only be made anew in its place.
    pub in_place: Option<String>,
    /// The id of the image that it ran from.
    pub from: Option<String>,
    /// The id of the image that its name stands for.
    pub to: String,
    /// How long it took.
    pub took: Duration,
}

/// What became of the services that were named.
#[derive(Debug, Default)]
pub struct Outcome {
    /// What a dead run had left, put right first.
    pub healed: Option<Healed>,
    /// Those that were looked at, in their order; the last one may have failed.
    pub rolled: Vec<Rolled>,
    /// Those that were not touched because one before them failed.
    pub untouched: Vec<String>,
}

/// A service with all that is known of it before it is touched.
struct Known {
    name: String,
    service: Service,
    image: String,
    new: Image,
    is_as_written: bool,
    replicas: Vec<Replica>,
}

impl Known {
    /// Whether every container runs, from this image, made from what the files say now.
    fn is_up_to_date(&self) -> bool {
        let as_is = |replica: &Replica| replica.state == State::Running && replica.image_id == self.new.id;
        self.is_as_written && !self.replicas.is_empty() && self.replicas.iter().all(as_is)
    }
}

/// Updates the services, in the order of what they need; the first that fails ends it.
///
/// # Errors
/// When one may not be updated, which is known before the first is touched; when what was begun could be neither finished nor
/// taken back.
pub async fn roll(by: &By<'_>, wish: &Wish) -> Result<Outcome, RollError> {
    let place = Place::take(by.state_dir, &by.compose.project().name)?;
    let mut outcome = Outcome::default();
    if let Some(left) = place.left()? {
        outcome.healed = Some(back::heal(&place, left).await?);
    }
    let file = by.compose.file(by.cancel).await?;
    let hashes = by.compose.hashes(by.cancel).await?;
    let mut order = order::dependencies_first(&wish.services, &file);
    for name in &wish.services {
        check(by, wish, &file, &hashes, name).await?;
    }
    while !order.is_empty() {
        let name = order.remove(0);
        // Looked at again: the one before it may have taken a while.
        let known = know(by, &file, &hashes, &name).await?;
        let rolled = one(by, wish, &place, known).await?;
        let failed = matches!(rolled.how, How::Kept { .. });
        outcome.rolled.push(rolled);
        if failed {
            outcome.untouched = order;
            break;
        }
    }
    Ok(outcome)
}

async fn know(by: &By<'_>, file: &File, hashes: &BTreeMap<String, String>, name: &str) -> Result<Known, RollError> {
    let project = &by.compose.project().name;
    let missing = || RollError::NoService { service: name.to_owned(), project: project.clone() };
    let service = file.services.get(name).cloned().ok_or_else(missing)?;
    let image = service.image.clone().ok_or_else(|| RollError::Unnamed { service: name.to_owned() })?;
    let new = by.docker.image(&image).await?;
    let new = new.ok_or_else(|| RollError::NoImage { service: name.to_owned(), image: image.clone() })?;
    let replicas = by.docker.replicas(project, Some(name)).await?;
    let hash = hashes.get(name);
    let names: Vec<&str> = replicas.iter().map(|replica| replica.name.as_str()).collect();
    let is_as_written = hash.is_none()
        || replicas.iter().all(|replica| replica.config_hash.as_ref() == hash)
        || by.compose.would_leave(name, &names, by.cancel).await?;
    Ok(Known { name: name.to_owned(), service, image, new, is_as_written, replicas })
}

/// What forbids an update is found before anything is touched.
async fn check(
    by: &By<'_>,
    wish: &Wish,
    file: &File,
    hashes: &BTreeMap<String, String>,
    name: &str,
) -> Result<(), RollError> {
    let known = know(by, file, hashes, name).await?;
    if !wish.allow_stateful.contains(&known.name)
        && let Some(why) = kind::keeps_data(name, &known.service, &known.replicas)
    {
        return Err(RollError::Stateful { service: known.name, why });
    }
    if known.is_up_to_date() {
        return Ok(());
    }
    let project = &by.compose.project().name;
    if let Some(proxy) = &wish.proxy {
        return proxy::find(by.docker, project, proxy).await.map(drop);
    }
    let mut others = by.docker.replicas(project, None).await?;
    others.retain(|replica| replica.service != name);
    let own = known.replicas.iter().map(|replica| replica.name.as_str());
    let names: Vec<&str> = own.chain([name]).collect();
    match proxy::who_looks_up_once(by.docker, &others, &names, by.cancel).await? {
        Some(proxy) => Err(RollError::ProxyStays { service: known.name, proxy }),
        None => Ok(()),
    }
}

async fn one(by: &By<'_>, wish: &Wish, place: &Place, known: Known) -> Result<Rolled, RollError> {
    if by.cancel.is_cancelled() {
        return Err(RollError::Cancelled);
    }
    let begun = clock::monotonic();
    let project = by.compose.project();
    let from = known.replicas.first().map(|replica| replica.image_id.clone());
    if let Some(first) = &from {
        // What serves now is what an update may have to go back to.
        serves_from(by, &known, first).await?;
    }
    let rolled = |how, in_place| Rolled {
        service: known.name.clone(),
        how,
        in_place,
        from: from.clone(),
        to: known.new.id.clone(),
        took: begun.elapsed(),
    };
    if known.is_up_to_date() {
        return Ok(rolled(How::UpToDate, None));
    }
    let in_place = kind::only_in_place(&known.service, &known.replicas, &wish.shared);
    let journal = Journal {
        version: Journal::VERSION,
        run: by.run,
        step: by.step.clone(),
        docker_host: by.docker.host().to_owned(),
        project: project.clone(),
        begun: clock::now(),
        service: known.name.clone(),
        way: if in_place.is_some() { Way::InPlace } else { Way::Beside },
        phase: Phase::Begun,
        old: known.replicas.iter().map(|replica| replica.id.clone()).collect(),
        image: known.image.clone(),
        old_image: from.clone(),
        new_image: known.new.id.clone(),
        gate: wish.gate,
        stop_grace: known.service.stop_grace,
        proxy: wish.proxy.clone().filter(|proxy| proxy.service != known.name),
        drain: wish.drain.clone(),
    };
    let task = Task { docker: by.docker, compose: by.compose, place, journal, events: by.events, cancel: by.cancel };
    let how = task.carry_out().await?;
    if !matches!(how, How::Kept { .. }) {
        serves_from(by, &known, &known.new.id).await?;
    }
    Ok(rolled(how, in_place))
}

/// Notes in the ledger what a service serves from.
async fn serves_from(by: &By<'_>, known: &Known, id: &str) -> Result<(), RollError> {
    let named = Named { project: &by.compose.project().name, service: &known.name, image: &known.image };
    Ok(images::serves_from(by.docker, by.state_dir, named, id).await?)
}
