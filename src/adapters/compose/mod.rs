//! The compose program, v1 (`docker-compose`) and v2 (`docker compose`) behind one face.
//!
//! It says what the project's files come to, it pulls, and it ups; everything else about services is asked of the engine,
//! by the labels that both versions give their containers. Command lines are of the options that both have.

mod error;
mod file;

use std::{collections::BTreeMap, fmt};

use tokio_util::sync::CancellationToken;

pub use error::ComposeError;
pub use file::{File, Service, Volume};

use super::process::{self, Invocation, ProcessError};
use crate::model::compose::ComposeProject;

/// Where the program is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Program {
    /// `docker compose`.
    Plugin,
    /// `docker-compose`: version 1, or version 2 under its own name.
    Standalone,
}

impl Program {
    /// Its command line so far: under a program that ends it when maint dies, so that nothing goes on behind the back of
    /// whoever puts things right then.
    fn invocation(self) -> Invocation {
        let own = match self {
            Self::Plugin => Invocation::new("docker").arg("compose"),
            Self::Standalone => Invocation::new("docker-compose"),
        };
        own.under(Invocation::new("setpriv").args(["--pdeathsig", "KILL"])).kept()
    }
}

impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Plugin => "docker compose",
            Self::Standalone => "docker-compose",
        })
    }
}

/// The program, found, and the project that it is for.
#[derive(Debug, Clone)]
pub struct Compose {
    program: Program,
    version: String,
    project: ComposeProject,
    docker_host: String,
}

/// What becomes of containers that are there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recreate {
    /// Those that are not as the files and images say are made anew.
    Changed,
    /// They stay as they are.
    Never,
    /// All are made anew.
    Always,
}

impl Compose {
    /// Finds the program: the plugin where there is one, for version 1 gets no updates any more.
    ///
    /// # Errors
    /// When there is none.
    pub async fn find(
        project: &ComposeProject,
        docker_host: &str,
        cancel: &CancellationToken,
    ) -> Result<Self, ComposeError> {
        let mut why = Vec::new();
        for program in [Program::Plugin, Program::Standalone] {
            match process::output(&program.invocation().args(["version", "--short"]), cancel).await {
                Ok(said) => {
                    let version = said.trim().trim_start_matches('v').to_owned();
                    let (project, docker_host) = (project.clone(), docker_host.to_owned());
                    return Ok(Self { program, version, project, docker_host });
                }
                Err(ProcessError::Cancelled { .. }) => return Err(ComposeError::Cancelled),
                Err(error) => why.push(format!("{program}: {error}")),
            }
        }
        Err(ComposeError::NotFound { why: why.join("; ") })
    }

    /// The project.
    pub fn project(&self) -> &ComposeProject {
        &self.project
    }

    /// The program and its version, for a run's tools.
    pub fn tool(&self) -> (String, String) {
        (self.program.to_string(), self.version.clone())
    }

    /// The program and its version, in words.
    pub fn shown(&self) -> String {
        format!("{} {}", self.program, self.version)
    }

    /// What the files say now, variables filled in and files laid over each other.
    ///
    /// # Errors
    /// When the program refuses them, or its answer cannot be understood.
    pub async fn file(&self, cancel: &CancellationToken) -> Result<File, ComposeError> {
        let said = self.run("reading the files of", &self.project.name, config(), cancel).await?.0;
        file::parse(&said).map_err(|why| ComposeError::Answer { what: "config", why })
    }

    /// What the program would write into the label `com.docker.compose.config-hash` of a container that it makes now, by
    /// service: where a container has another value, see [`would_leave`](Self::would_leave).
    ///
    /// # Errors
    /// When the program refuses the files.
    pub async fn hashes(&self, cancel: &CancellationToken) -> Result<BTreeMap<String, String>, ComposeError> {
        let said = self.run("reading the files of", &self.project.name, hashes(), cancel).await?.0;
        let pair = |line: &str| line.split_once(' ').map(|(name, hash)| (name.to_owned(), hash.trim().to_owned()));
        Ok(said.lines().filter_map(pair).collect())
    }

    /// Whether the program would leave these containers, all of a service, as they are. Version 1 is not asked, for its
    /// [`hashes`](Self::hashes) say it. Those of version 2 say it only where they are equal: it lists them without what
    /// `env_file` names, and labels what it makes alone as if the service needed no other.
    ///
    /// # Errors
    /// When the program cannot be used. One that does not know `--dry-run`, as before 2.16, leaves nothing as it is.
    pub async fn would_leave(
        &self,
        service: &str,
        containers: &[&str],
        cancel: &CancellationToken,
    ) -> Result<bool, ComposeError> {
        if self.version.starts_with("1.") {
            return Ok(false);
        }
        // Made alone, as here, or with what it needs, as by hand.
        for alone in [true, false] {
            let args = would_up(service, containers.len(), alone);
            match self.run("asking for the changes of", service, args, cancel).await {
                Ok((_, told)) if leaves(&told, containers) => return Ok(true),
                Ok(_) | Err(ComposeError::Failed { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(false)
    }

    /// Pulls the image of a service.
    ///
    /// # Errors
    /// When it cannot be pulled; whether the registry was reached is told by [`ComposeError::is_unreachable`].
    pub async fn pull(&self, service: &str, cancel: &CancellationToken) -> Result<(), ComposeError> {
        self.run("pulling the image of", service, pull(service), cancel).await.map(drop)
    }

    /// Makes a service's containers be as the files say: so many of them, or what the files say. Touches no other service.
    ///
    /// # Errors
    /// When the program fails; what it had done by then stays.
    pub async fn up(
        &self,
        service: &str,
        scale: Option<usize>,
        recreate: Recreate,
        cancel: &CancellationToken,
    ) -> Result<(), ComposeError> {
        self.run("making the containers of", service, up(service, scale, recreate), cancel).await.map(drop)
    }

    /// Gives its stdout and the last lines of its stderr.
    async fn run(
        &self,
        doing: &'static str,
        subject: &str,
        args: Vec<String>,
        cancel: &CancellationToken,
    ) -> Result<(String, String), ComposeError> {
        let mut invocation = self.program.invocation().env("DOCKER_HOST", &self.docker_host);
        invocation = invocation.args(["--project-name", self.project.name.as_str()]);
        for file in &self.project.files {
            invocation = invocation.arg("--file").arg(file);
        }
        if let Some(file) = &self.project.env_file {
            invocation = invocation.arg("--env-file").arg(file);
        }
        let ended = process::outputs(&invocation.args(args), cancel).await;
        ended.map_err(|source| ComposeError::of(doing, subject, self.program.to_string(), source))
    }
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

fn config() -> Vec<String> {
    words(&["config"])
}

fn hashes() -> Vec<String> {
    words(&["config", "--hash", "*"])
}

fn pull(service: &str) -> Vec<String> {
    words(&["pull", "--quiet", service])
}

fn up(service: &str, scale: Option<usize>, recreate: Recreate) -> Vec<String> {
    let mut args = words(&["up", "--detach", "--no-deps", "--no-build"]);
    args.extend(match recreate {
        Recreate::Changed => None,
        Recreate::Never => Some("--no-recreate".to_owned()),
        Recreate::Always => Some("--force-recreate".to_owned()),
    });
    args.extend(scale.map(|n| ["--scale".to_owned(), format!("{service}={n}")]).into_iter().flatten());
    args.push(service.to_owned());
    args
}

fn would_up(service: &str, containers: usize, alone: bool) -> Vec<String> {
    let mut args = words(&["--dry-run"]);
    args.extend(up(service, Some(containers), Recreate::Changed));
    args.retain(|word| alone || word != "--no-deps");
    args
}

/// Whether each container was told as running, and as nothing else.
fn leaves(told: &str, containers: &[&str]) -> bool {
    let told: Vec<(&str, &str)> = told
        .lines()
        .filter_map(|line| {
            let mut words = line.split_once(" Container ")?.1.split_whitespace();
            Some((words.next()?, words.next()?))
        })
        .collect();
    containers.iter().all(|container| {
        let mut words = told.iter().filter(|(name, _)| name == container).map(|(_, word)| *word);
        words.next() == Some("Running") && words.all(|word| word == "Running")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn command_lines_have_only_what_both_versions_know() {
        let line = up("web", Some(4), Recreate::Never).join(" ");
        assert_eq!(line, "up --detach --no-deps --no-build --no-recreate --scale web=4 web");
        assert_eq!(
            up("web", None, Recreate::Always).join(" "),
            "up --detach --no-deps --no-build --force-recreate web"
        );
        assert_eq!(pull("web").join(" "), "pull --quiet web");
    }

    /// Written by version 2.26.1.
    #[test]
    fn what_would_be_made_anew_is_no_leaving() {
        let line = |name: &str, word: &str| format!(" DRY-RUN MODE -  Container p-{name}  {word}\n");
        let one = line("web-1", "Running");
        assert!(leaves(&one, &["p-web-1"]) && leaves(&(line("db-1", "Recreate") + &one), &["p-web-1"]));
        assert!(!leaves(&one, &["p-web-1", "p-web-2"]) && !leaves("", &["p-web-1"]));
        assert!(!leaves(&(line("web-1", "Recreate") + &line("web-1", "Recreated")), &["p-web-1"]));
        let line = |alone| would_up("web", 2, alone).join(" ");
        assert_eq!(line(true), "--dry-run up --detach --no-deps --no-build --scale web=2 web");
        assert_eq!(line(false), "--dry-run up --detach --no-build --scale web=2 web");
    }
}
