//! What this host can lose against what backup jobs name: a new database or volume is a finding until somebody decides.

use std::path::{Path, PathBuf};

use globset::Glob;

use super::Audit;
use crate::{
    adapters::{
        docker::Docker,
        postgres::{PostgresError, Session, catalogue},
    },
    capture::archive::Patterns,
    model::{
        audit::{Area, Finding, Severity},
        coverage::{Captures, CoverageLine, Covered, Excluded, Thing},
        failure::{Diagnose, chain},
        ids::JobName,
        stack::PostgresServer,
    },
};

/// How long a server may take to list its databases.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(60);
/// Templates that every server has; nobody misses them in a backup.
const BUILT_IN: [&str; 2] = ["template0", "template1"];
/// What the kernel makes up, or is gone with the next start: nothing there can be backed up.
const VOLATILE: [&str; 5] = ["/proc", "/sys", "/dev", "/run", "/var/run"];

impl Audit<'_> {
    /// Everything that exists, and what becomes of it.
    pub(super) async fn coverage(&mut self) -> Vec<CoverageLine> {
        let mut things = Vec::new();
        for server in self.request.stack.postgres.values() {
            self.databases(server, &mut things).await;
        }
        self.docker(&mut things).await;
        things.sort();
        let lines: Vec<CoverageLine> = things.into_iter().map(|thing| self.line(thing)).collect();
        for line in &lines {
            if let Covered::Nobody(job) = &line.covered {
                self.findings.push(uncovered(&line.thing, job.as_ref()));
            }
        }
        self.idle_exclusions(&lines);
        lines
    }

    async fn databases(&mut self, server: &PostgresServer, things: &mut Vec<Thing>) {
        let docker = &self.request.stack.docker;
        let ask = async {
            let session = Session::connect(server, docker, &server.dbname, "maint audit").await?;
            let databases = catalogue::databases(&session).await?;
            session.close().await;
            Ok::<_, PostgresError>(databases)
        };
        let found = match tokio::time::timeout(PATIENCE, ask).await {
            Ok(Ok(databases)) => Ok(databases),
            Ok(Err(error)) => Err((chain(&error), error.hint().unwrap_or_default())),
            Err(_) => Err((format!("it did not answer in {} s", PATIENCE.as_secs()), String::new())),
        };
        match found {
            Ok(databases) => {
                let names = databases.into_iter().map(|d| d.name).filter(|name| !BUILT_IN.contains(&name.as_str()));
                things.extend(names.map(|name| Thing::Database { server: server.name.clone(), name }));
            }
            Err((problem, remedy)) => {
                let problem = format!("which databases it has could not be asked: {problem}");
                let subject = format!("server {}", server.name);
                self.findings.push(Finding::new(Severity::Unchecked, Area::Coverage, subject, problem).remedy(remedy));
            }
        }
    }

    async fn docker(&mut self, things: &mut Vec<Thing>) {
        let host = &self.request.stack.docker.host;
        let volumes = self.request.captures.iter().any(|(_, c)| matches!(c, Captures::Volume { .. }));
        // Where no engine ever was, there is nothing to ask.
        if !volumes && host.strip_prefix("unix://").is_some_and(|socket| !Path::new(socket).exists()) {
            self.scope.left_out.push(format!("volumes and bind mounts: there is no Docker engine at {host}"));
            return;
        }
        let asked = async { Docker::connect(host).await?.kept().await };
        match asked.await {
            Ok(kept) => {
                things.extend(kept.volumes.into_iter().map(|name| Thing::Volume { name }));
                let lasting = kept.bind_mounts.into_iter().filter(|path| can_be_lost(path));
                things.extend(lasting.map(|path| Thing::Path { path }));
            }
            Err(error) => {
                let problem = format!("which volumes and bind mounts it has could not be asked: {}", chain(&error));
                let finding = Finding::new(Severity::Unchecked, Area::Coverage, format!("Docker at {host}"), problem);
                self.findings.push(finding.remedy(error.hint().unwrap_or_default()));
            }
        }
    }

    fn line(&self, thing: Thing) -> CoverageLine {
        let mut left_out = None;
        for (job, captures) in &self.request.captures {
            match takes(captures, &thing) {
                Some(true) => return CoverageLine { thing, covered: Covered::Job(job.clone()) },
                Some(false) => left_out = Some(job.clone()),
                None => {}
            }
        }
        let excluded = self.request.stack.audit.excluded.iter().find(|e| e.matches(&thing));
        let covered = match excluded {
            Some(exclusion) => Covered::Excluded(exclusion.reason.clone()),
            None => Covered::Nobody(left_out),
        };
        CoverageLine { thing, covered }
    }

    /// An exclusion of what is not there may be a misspelling of something that is.
    fn idle_exclusions(&mut self, lines: &[CoverageLine]) {
        for exclusion in &self.request.stack.audit.excluded {
            if !lines.iter().any(|line| exclusion.matches(&line.thing)) {
                let kind = match exclusion.what {
                    Excluded::Database(_) => "database",
                    Excluded::Volume(_) => "volume",
                    Excluded::Path(_) => "path",
                };
                let subject = format!("exclusion of {kind} {}", exclusion.text());
                let finding =
                    Finding::new(Severity::Note, Area::Coverage, subject, "nothing of that name exists on this host");
                self.findings.push(finding.remedy("correct it, or remove it from [coverage]"));
            }
        }
    }
}

/// Whether a step takes a thing; `Some(false)`: it would, but leaves it out by a pattern.
fn takes(captures: &Captures, thing: &Thing) -> Option<bool> {
    match (captures, thing) {
        (Captures::Database { server, name }, Thing::Database { server: s, name: n }) => {
            (server == s && name == n).then_some(true)
        }
        (Captures::EveryDatabase { server, exclude }, Thing::Database { server: s, name }) if server == s => {
            let excluded = |pattern: &String| Glob::new(pattern).is_ok_and(|g| g.compile_matcher().is_match(name));
            Some(!exclude.iter().any(excluded))
        }
        (Captures::Volume { name }, Thing::Volume { name: n }) => (name == n).then_some(true),
        (Captures::Tree { path, name, exclude }, Thing::Path { path: mounted }) => {
            let below = mounted.strip_prefix(path).ok()?;
            let base = if name == "." { PathBuf::new() } else { PathBuf::from(name) };
            let inside = base.join(below);
            // The configuration was checked: every pattern is one.
            let patterns = Patterns::new(exclude).ok()?;
            let parts = inside.ancestors().filter(|part| *part != Path::new(""));
            Some(!parts.map(Path::as_os_str).any(|part| patterns.matches(part.as_encoded_bytes())))
        }
        _ => None,
    }
}

/// A socket, a device or what the kernel makes up holds nothing that a backup could bring back.
fn can_be_lost(path: &Path) -> bool {
    !VOLATILE.iter().any(|volatile| path.starts_with(volatile)) && holds_data(path)
}

/// Whether a path is a directory or a regular file; what cannot be asked may be one.
fn holds_data(path: &Path) -> bool {
    path.is_dir() || path.is_file() || !matches!(path.try_exists(), Ok(true))
}

fn uncovered(thing: &Thing, left_out_by: Option<&JobName>) -> Finding {
    let (step, key) = match thing {
        Thing::Database { server, name } => ("a postgres_dump step", format!("database = \"{server}/{name}\"")),
        Thing::Volume { name } => ("a volume_archive step", format!("volume = \"{name}\"")),
        Thing::Path { path } => ("a files_archive step", format!("path = \"{}\"", path.display())),
    };
    let problem = match left_out_by {
        Some(job) => format!("the job {job} leaves it out by a pattern, and nothing says why"),
        None => "no backup job names it, and nothing says that it needs no backup".to_owned(),
    };
    Finding::new(Severity::Policy, Area::Coverage, thing.to_string(), problem)
        .remedy(format!("name it in {step}, or say why not, in [coverage]: exclude = [{{ {key}, reason = \"…\" }}]"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(path: &str) -> Thing {
        Thing::Path { path: path.into() }
    }

    #[test]
    fn a_tree_takes_what_is_below_it_but_not_what_it_leaves_out() {
        let tree = |name: &str, exclude: &[&str]| Captures::Tree {
            path: "/srv/app".into(),
            name: name.into(),
            exclude: exclude.iter().map(|e| (*e).to_owned()).collect(),
        };
        assert_eq!(takes(&tree("app", &[]), &path("/srv/app/data")), Some(true));
        assert_eq!(takes(&tree("app", &[]), &path("/srv/app")), Some(true));
        assert_eq!(takes(&tree("app", &[]), &path("/srv")), None);
        assert_eq!(takes(&tree("app", &["app/cache"]), &path("/srv/app/cache/x")), Some(false));
        assert_eq!(takes(&tree(".", &["cache"]), &path("/srv/app/cache/x")), Some(false));
        assert_eq!(takes(&tree("app", &["*.log"]), &path("/srv/app/data")), Some(true));
    }

    #[test]
    fn every_database_but_the_excluded() {
        let every = Captures::EveryDatabase { server: "p".into(), exclude: vec!["test_*".into()] };
        let database = |server: &str, name: &str| Thing::Database { server: server.into(), name: name.into() };
        assert_eq!(takes(&every, &database("p", "app")), Some(true));
        assert_eq!(takes(&every, &database("p", "test_1")), Some(false));
        assert_eq!(takes(&every, &database("q", "app")), None);
    }
}
