//! Named images, pulled one after the other, and who still runs what their names stood for before. No container is touched.

use super::{
    images::{self, Named},
    pull::{By, Got, PullError},
};
use crate::{
    adapters::{
        docker::{Image, Runner},
        registry::{self, RegistryError},
    },
    model::failure::{Class, Diagnose, chain},
};

/// An image, what became of it, and who does not run it yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BaseImage {
    /// Its name.
    pub image: String,
    /// What the name stood for.
    pub before: Option<Image>,
    /// What it stands for now.
    pub now: Option<Image>,
    /// What became of it.
    pub got: Got,
    /// The containers that run another one under its name.
    pub behind: Vec<Runner>,
}

/// Pulls these images. One that cannot be had does not keep the others from being pulled.
///
/// # Errors
/// When the engine cannot be read, the docker program cannot be used, or the run is to end.
pub async fn pull(by: &By<'_>, names: &[String]) -> Result<Vec<BaseImage>, PullError> {
    let place = |n: usize| u64::try_from(n).unwrap_or(u64::MAX);
    let mut pulled = Vec::new();
    note(by, names, &by.docker.runners(None).await?).await?;
    for (number, image) in names.iter().enumerate() {
        by.events.progress(place(number), Some(place(names.len())), format!("pulling {image}"));
        let before = by.docker.image(image).await?;
        let asked = registry::pull(by.docker.host(), image, by.cancel).await;
        let now = by.docker.image(image).await?;
        let got = match (asked, now.clone()) {
            (Err(error @ RegistryError::Process(_)), _) => return Err(error.into()),
            (Err(error), _) if error.class() == Class::Unverifiable => Got::NotAsked(chain(&error)),
            (Err(error), _) => Got::Refused(chain(&error)),
            (Ok(()), None) => Got::Refused("it was pulled, and is not on this host".to_owned()),
            (Ok(()), Some(now)) if before.as_ref().is_some_and(|before| before.id == now.id) => Got::Unchanged(now),
            (Ok(()), Some(to)) => Got::Changed { from: before.clone(), to },
        };
        pulled.push(BaseImage { image: image.clone(), before, now, got, behind: Vec::new() });
    }
    // Asked anew: pulling may take long, and containers are made anew meanwhile.
    let runners = by.docker.runners(None).await?;
    for base in &mut pulled {
        base.behind = runners.iter().filter(|runner| is_behind(base, runner)).cloned().collect();
    }
    Ok(pulled)
}

/// Whether a container runs what the name stood for, or has that name, and runs another image than the name's of now.
fn is_behind(base: &BaseImage, runner: &Runner) -> bool {
    let is_its = is_same(&runner.image, &base.image) || base.before.as_ref().is_some_and(|b| b.id == runner.image_id);
    is_its && base.now.as_ref().is_some_and(|now| now.id != runner.image_id)
}

/// What services run from now is what they may have to go back to.
async fn note(by: &By<'_>, names: &[String], runners: &[Runner]) -> Result<(), PullError> {
    for runner in runners {
        let image = names.iter().find(|name| is_same(&runner.image, name));
        if let (Some(image), Some((project, service))) = (image, &runner.service) {
            images::serves_from(by.docker, by.state_dir, Named { project, service, image }, &runner.image_id).await?;
        }
    }
    Ok(())
}

/// Whether two names stand for the same image: `redis` is `docker.io/library/redis:latest`.
fn is_same(a: &str, b: &str) -> bool {
    whole(a) == whole(b)
}

fn whole(name: &str) -> String {
    let name = name.strip_prefix("docker.io/").or(name.strip_prefix("index.docker.io/")).unwrap_or(name);
    let name = name.strip_prefix("library/").unwrap_or(name);
    let last = name.rsplit('/').next().unwrap_or(name);
    if last.contains([':', '@']) { name.to_owned() } else { format!("{name}:latest") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_image_has_several_names() {
        assert!(is_same("redis", "docker.io/library/redis:latest"));
        assert!(is_same("localhost:5000/app", "localhost:5000/app:latest"));
        assert!(!is_same("redis:7", "redis:7-alpine"));
        assert!(!is_same("library/redis", "other/redis"));
    }
}
