//! What a set has of one server, and what a drill of it needs.

use std::{collections::BTreeSet, path::PathBuf};

use super::{DrillError, Progress, place::Need};
use crate::{
    adapters::docker::Docker,
    backup::objects::Expected,
    model::{
        manifest::{Artifact, PostgresFacts, ServerFacts, Source},
        stack::PostgresAddress,
    },
};

/// What a set has of one server.
pub(super) struct Group<'a> {
    pub(super) facts: &'a ServerFacts,
    pub(super) globals: Option<&'a Artifact>,
    pub(super) databases: Vec<(&'a Artifact, &'a PostgresFacts)>,
}

impl Group<'_> {
    /// What the restored databases take.
    pub(super) fn bytes(&self) -> u64 {
        self.databases.iter().map(|(artifact, facts)| facts.database_bytes.max(artifact.plain_bytes)).sum()
    }

    /// What a place for them must have.
    ///
    /// # Errors
    /// When a contents list cannot be read.
    pub(super) async fn need(&self, progress: &Progress<'_>) -> Result<Need, DrillError> {
        let mut extensions = BTreeSet::new();
        for (artifact, _) in &self.databases {
            let expected = read(progress.request.dir.join(&artifact.contents.file)).await?;
            extensions.extend(expected.extensions);
        }
        let libraries = self.databases.iter().map(|(_, facts)| &facts.server.preload).chain([&self.facts.preload]);
        let preload: BTreeSet<&String> = libraries.flatten().filter(|library| extensions.contains(*library)).collect();
        Ok(Need {
            version_num: version_num(&self.facts.version),
            bytes: self.bytes(),
            preload: preload.into_iter().cloned().collect(),
            image: self.image(progress).await,
            system_identifier: self.facts.system_identifier.clone(),
        })
    }

    /// The image that the source runs, where it runs in a container of this host. Not to find it is no reason not to drill.
    async fn image(&self, progress: &Progress<'_>) -> Option<String> {
        let server = progress.request.servers.get(&self.facts.server)?;
        let PostgresAddress::Container { name, .. } = &server.address else { return None };
        let docker = Docker::connect(&progress.request.docker.host).await.ok()?;
        docker.image_of(name).await.ok()
    }
}

/// The artifacts of each server, told apart by their system identifier.
pub(super) fn groups(artifacts: &[Artifact]) -> Vec<Group<'_>> {
    let mut groups: Vec<Group<'_>> = Vec::new();
    for artifact in artifacts {
        let (facts, database) = match &artifact.source {
            Source::PostgresDatabase(facts) => (&facts.server, Some(facts)),
            Source::PostgresServer(facts) => (facts, None),
            Source::Files { .. } | Source::Volume { .. } => continue,
        };
        let found = groups.iter().position(|g| g.facts.system_identifier == facts.system_identifier);
        let at = found.unwrap_or_else(|| {
            groups.push(Group { facts, globals: None, databases: Vec::new() });
            groups.len() - 1
        });
        match database {
            Some(facts) => groups[at].databases.push((artifact, facts)),
            None => groups[at].globals = Some(artifact),
        }
    }
    groups
}

/// `server_version_num` of a version as the server tells it; a version in development has no minor.
fn version_num(version: &str) -> u32 {
    let number = |text: &str| text.chars().take_while(char::is_ascii_digit).collect::<String>().parse().unwrap_or(0);
    let (major, minor) = version.split_once('.').unwrap_or((version, ""));
    number(major) * 10_000 + number(minor)
}

/// Reads what the source said of itself, where blocking is allowed.
pub(super) async fn read(contents: PathBuf) -> Result<Expected, DrillError> {
    let read = tokio::task::spawn_blocking(move || Expected::read(&contents)).await;
    Ok(read.map_err(|_| DrillError::Panicked { task: "the reader of a contents list" })??)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_become_numbers() {
        assert_eq!(version_num("15.18 (Debian 15.18-0+deb12u1)"), 150_018);
        assert_eq!(version_num("19devel"), 190_000);
    }
}
