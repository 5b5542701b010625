//! The update of one service: what was begun, proven, finished or taken back. The journal says how far it is before it goes on.

use std::time::Duration;

use futures_util::future::try_join_all;
use tokio_util::sync::CancellationToken;

use super::{
    How, RollError,
    health::{self, Gate},
    journal::{Journal, Phase, Place, Way},
    proxy,
};
use crate::{
    adapters::{
        compose::{Compose, Recreate},
        docker::{Docker, DockerError, Exec, Replica, State},
    },
    model::{event::StepEvents, failure::chain},
};

/// Docker's own default.
const STOP_GRACE: Duration = Duration::from_secs(10);
/// For the engine to end what was asked of it when whoever asked was ended.
const IN_FLIGHT: Duration = Duration::from_millis(700);
/// How much of what a container that was given up had to say is kept.
const LAST_WORDS: usize = 30;

/// One service's update, by whoever carries it out: the step, or who comes after its death.
pub(super) struct Task<'a> {
    pub docker: &'a Docker,
    pub compose: &'a Compose,
    pub place: &'a Place,
    pub journal: Journal,
    pub events: &'a StepEvents,
    pub cancel: &'a CancellationToken,
}

impl Task<'_> {
    /// Carries it out from the beginning.
    pub(super) async fn carry_out(mut self) -> Result<How, RollError> {
        self.place.write(&self.journal)?;
        match self.journal.way {
            Way::Beside => match self.prove().await {
                Ok(new) => self.finish(&new).await,
                Err(why) => self.take_back(why).await,
            },
            Way::InPlace => self.in_place().await,
        }
    }

    /// The service's containers now.
    async fn replicas(&self) -> Result<Vec<Replica>, RollError> {
        Ok(self.docker.replicas(&self.journal.project.name, Some(&self.journal.service)).await?)
    }

    /// Those that served when it began, as far as they are still there.
    pub(super) async fn old_ones(&self) -> Result<Vec<Replica>, RollError> {
        let mut old = Vec::new();
        for id in &self.journal.old {
            match self.docker.replica(id).await {
                Err(DockerError::NoSuchContainer { .. }) => {}
                replica => old.push(replica?),
            }
        }
        Ok(old)
    }

    /// Those that were not there when it began.
    pub(super) async fn new_ones(&self) -> Result<Vec<Replica>, RollError> {
        let mut replicas = self.replicas().await?;
        replicas.retain(|replica| !self.journal.old.contains(&replica.id));
        Ok(replicas)
    }

    /// As many new containers beside the old ones, fit, and known to the proxy.
    async fn prove(&mut self) -> Result<Vec<Replica>, RollError> {
        let (service, old) = (self.journal.service.clone(), self.journal.old.len());
        self.compose.up(&service, Some(old * 2), Recreate::Never, self.cancel).await?;
        let new = self.new_ones().await?;
        if new.len() < old {
            return Err(RollError::Unfit(format!("only {} of {old} new containers were made", new.len())));
        }
        if let Some(other) = new.iter().find(|replica| replica.image_id != self.journal.new_image) {
            return Err(RollError::Unfit(format!("{} was made from another image, {}", other.name, other.image_id)));
        }
        self.fit(&new, self.journal.gate).await?;
        self.journal.phase = Phase::Proven;
        self.place.write(&self.journal)?;
        self.tell_proxy().await?;
        Ok(new)
    }

    /// Waits until containers are fit.
    pub(super) async fn fit(&self, replicas: &[Replica], gate: Gate) -> Result<(), RollError> {
        let ids: Vec<String> = replicas.iter().map(|replica| replica.id.clone()).collect();
        health::wait(self.docker, &ids, gate, self.cancel).await
    }

    async fn tell_proxy(&self) -> Result<(), RollError> {
        match &self.journal.proxy {
            Some(proxy) => proxy::reload(self.docker, &self.journal.project.name, proxy, self.cancel).await,
            None => Ok(()),
        }
    }

    /// What a dead run had proven: the proxy may not know of it yet.
    pub(super) async fn go_on(&self, new: &[Replica]) -> Result<How, RollError> {
        match self.tell_proxy().await {
            Ok(()) => self.finish(new).await,
            Err(why) => self.take_back(why).await,
        }
    }

    /// The new ones serve: the old ones go, each after it was drained and had its time to end.
    pub(super) async fn finish(&self, new: &[Replica]) -> Result<How, RollError> {
        let mut warnings = Vec::new();
        // What has begun here is ended: half of it would be worse than either.
        let never = CancellationToken::new();
        let old = self.old_ones().await?;
        for replica in old.iter().filter(|replica| replica.state == State::Running && !self.journal.drain.is_empty()) {
            let drained = self.docker.exec_output(&Exec::new(&replica.id, &self.journal.drain), &never).await;
            warnings.extend(drained.err().map(|e| format!("{} was not drained: {}", replica.name, chain(&e))));
        }
        try_join_all(old.iter().map(|replica| {
            let grace = self.journal.stop_grace.or(replica.stop_timeout).unwrap_or(STOP_GRACE);
            self.docker.stop(&replica.id, grace)
        }))
        .await?;
        // Until now it also knew the old ones; it goes on to the next where one is gone, but that takes time.
        let told = match &self.journal.proxy {
            Some(proxy) => proxy::reload(self.docker, &self.journal.project.name, proxy, &never).await,
            None => Ok(()),
        };
        warnings.extend(told.err().map(|e| chain(&e)));
        for id in &self.journal.old {
            self.docker.remove_replica(id).await?;
        }
        self.place.done()?;
        Ok(How::Beside { replicas: new.len(), warnings })
    }

    /// The new ones go, the old ones stay.
    pub(super) async fn take_back(&self, why: RollError) -> Result<How, RollError> {
        let not_back = |error: RollError| RollError::NotBack {
            service: self.journal.service.clone(),
            why: format!("{}; the update had failed: {}", chain(&error), chain(&why)),
        };
        // Where an old one is gone already, the new ones are all there is.
        let all_there = self.old_ones().await.map_err(not_back)?.len() == self.journal.old.len();
        if !all_there {
            let why = format!("old containers are gone, and the new ones are not fit: {}", chain(&why));
            return Err(RollError::NotServing { service: self.journal.service.clone(), why });
        }
        self.remove_new(&why).await.map_err(not_back)?;
        self.old_serve(&why).await?;
        // An image is not to blame for a run that ended.
        if !matches!(why, RollError::Cancelled | RollError::Died) {
            self.restore_name().await.map_err(not_back)?;
        }
        self.place.done()?;
        match why {
            RollError::Cancelled => Err(RollError::Cancelled),
            why => Ok(How::Kept { why: chain(&why), by: "the old one serves on" }),
        }
    }

    async fn remove_new(&self, why: &RollError) -> Result<(), RollError> {
        if !matches!(why, RollError::Unfit(_)) {
            // The engine may still be carrying out what compose asked for when it was ended.
            tokio::time::sleep(IN_FLIGHT).await;
        }
        let new = self.new_ones().await?;
        for replica in &new {
            self.keep_last_words(replica).await;
        }
        for replica in &new {
            self.docker.remove_replica(&replica.id).await?;
        }
        if self.journal.phase == Phase::Proven
            && let Some(proxy) = &self.journal.proxy
        {
            // It may know of containers that are gone now, and goes on to the next where it asks one; if it cannot be told,
            // that is what stands in `why`.
            let never = CancellationToken::new();
            let _ = proxy::reload(self.docker, &self.journal.project.name, proxy, &never).await;
        }
        Ok(())
    }

    /// Whether the old ones do serve; one that ended meanwhile is started again.
    async fn old_serve(&self, after: &RollError) -> Result<(), RollError> {
        for id in &self.journal.old {
            let serving = async {
                self.docker.start(id).await?;
                self.docker.replica(id).await
            };
            let why = match serving.await {
                Ok(replica) if replica.state == State::Running => continue,
                Ok(replica) => format!("{} does not run", replica.name),
                Err(error) => chain(&error),
            };
            let why = format!("{why}; the update had failed: {}", chain(after));
            return Err(RollError::NotServing { service: self.journal.service.clone(), why });
        }
        Ok(())
    }

    /// The image that the name can stand for again: another one than now, still on this host. A name with a digest stands for
    /// one image for ever.
    async fn old_image(&self) -> Result<Option<&str>, RollError> {
        let Some(old) = self.journal.old_image.as_deref().filter(|old| *old != self.journal.new_image) else {
            return Ok(None);
        };
        let there = !self.journal.image.contains('@') && self.docker.image(old).await?.is_some();
        Ok(there.then_some(old))
    }

    /// Whether another service runs from the new image already.
    async fn is_new_image_used(&self) -> Result<bool, RollError> {
        let all = self.docker.replicas(&self.journal.project.name, None).await?;
        let mut others = all.iter().filter(|replica| replica.service != self.journal.service);
        Ok(others.any(|replica| replica.image_id == self.journal.new_image))
    }

    /// Lets the image's name stand for the old image again, so that nobody makes a container from the new one by accident.
    async fn restore_name(&self) -> Result<(), RollError> {
        match self.old_image().await? {
            Some(old) if !self.is_new_image_used().await? => {
                Ok(self.docker.name_image(old, &self.journal.image).await?)
            }
            _ => Ok(()),
        }
    }

    /// Each container made anew where it is; from the old image where the new one does not become fit.
    pub(super) async fn in_place(&self) -> Result<How, RollError> {
        let (service, count) = (&self.journal.service, self.journal.old.len());
        let scale = (count > 1).then_some(count);
        let made = async {
            self.compose.up(service, scale, Recreate::Changed, self.cancel).await?;
            let replicas = self.replicas().await?;
            if replicas.is_empty() {
                return Err(RollError::Unfit("no container was made".into()));
            }
            self.fit(&replicas, self.journal.gate).await?;
            self.tell_proxy().await
        };
        let why = match made.await {
            Ok(()) => {
                self.place.done()?;
                return Ok(How::InPlace);
            }
            Err(why) => why,
        };
        self.go_back(scale, why).await
    }

    /// Serving from the old image again, after the new one did not become fit.
    async fn go_back(&self, scale: Option<usize>, why: RollError) -> Result<How, RollError> {
        if !matches!(why, RollError::Unfit(_)) {
            tokio::time::sleep(IN_FLIGHT).await;
        }
        let back = self.serve_from_old(scale).await;
        back.map_err(|error| RollError::NotServing {
            service: self.journal.service.clone(),
            why: format!("{}; the update had failed: {}", chain(&error), chain(&why)),
        })?;
        self.place.done()?;
        match why {
            RollError::Cancelled => Err(RollError::Cancelled),
            why => Ok(How::Kept { why: chain(&why), by: "it serves from the old image again" }),
        }
    }

    async fn serve_from_old(&self, scale: Option<usize>) -> Result<(), RollError> {
        let never = CancellationToken::new();
        for replica in self.new_ones().await? {
            self.keep_last_words(&replica).await;
        }
        let old = self.old_image().await?;
        if let Some(old) = old {
            self.docker.name_image(old, &self.journal.image).await?;
        }
        let replicas = self.replicas().await?;
        let untouched = |r: &Replica| self.journal.old.contains(&r.id) && r.state == State::Running;
        // Where the old ones run, as when the files were refused, making them anew would help nobody.
        if replicas.is_empty() || !replicas.iter().all(untouched) {
            if old.is_none() {
                return Err(RollError::Unfit("there is no other image to go back to".into()));
            }
            self.compose.up(&self.journal.service, scale, Recreate::Always, &never).await?;
            let ids: Vec<String> = self.replicas().await?.into_iter().map(|replica| replica.id).collect();
            health::wait(self.docker, &ids, self.journal.gate, &never).await?;
            if let Some(proxy) = &self.journal.proxy {
                proxy::reload(self.docker, &self.journal.project.name, proxy, &never).await?;
            }
        }
        if old.is_some() && self.is_new_image_used().await? {
            self.docker.name_image(&self.journal.new_image, &self.journal.image).await?;
        }
        Ok(())
    }

    /// What a container that is given up had to say goes into the run's log; that it cannot be had changes nothing.
    async fn keep_last_words(&self, replica: &Replica) {
        if let Ok(lines) = self.docker.last_words(&replica.id, LAST_WORDS).await
            && !lines.is_empty()
        {
            self.events.note(format!("{} said last:\n{}", replica.name, lines.join("\n")));
        }
    }
}
