//! Scanners of container images: trivy, grype and docker scout, whichever is installed. They are asked for JSON in a file;
//! their exit status says whether they worked, never whether they found something.

mod grype;
mod scout;
mod trivy;

use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use tokio_util::sync::CancellationToken;

use super::{
    files::{self, FileError},
    process::{self, Invocation, ProcessError},
};
use crate::model::{
    failure::{Class, Diagnose},
    vulnerability::Scan,
};

/// An answer of this size is not read.
const MOST_BYTES: u64 = 256 << 20;

/// A scan that could not be made, or not be understood.
#[derive(Debug, thiserror::Error)]
pub enum ScanError {
    #[error("no scanner of images was found; looked for trivy, grype and docker scout")]
    NoScanner,
    #[error(transparent)]
    Process(#[from] ProcessError),
    #[error(transparent)]
    File(#[from] FileError),
    #[error("the answer of {scanner} is not understood: {problem}")]
    Answer { scanner: &'static str, problem: String },
}

impl Diagnose for ScanError {
    fn class(&self) -> Class {
        match self {
            Self::Process(e) if e.class() == Class::Interrupted => Class::Interrupted,
            Self::File(e) => e.class(),
            // Nobody knows what is in the image: that is not clean.
            Self::NoScanner | Self::Process(_) | Self::Answer { .. } => Class::Unverifiable,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::NoScanner => Some("install trivy or grype, or name one with `scanner`".into()),
            Self::Process(e) => e.hint(),
            Self::File(e) => e.hint(),
            Self::Answer { .. } => Some("run it by hand; if it answers well, please report this".into()),
        }
    }
}

/// Which scanner.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// <https://trivy.dev>
    Trivy,
    /// <https://github.com/anchore/grype>
    Grype,
    /// `docker scout`, which needs a login
    Scout,
}

impl Kind {
    const ALL: [Self; 3] = [Self::Trivy, Self::Grype, Self::Scout];

    /// The name that people know it by.
    pub fn name(self) -> &'static str {
        match self {
            Self::Trivy => "trivy",
            Self::Grype => "grype",
            Self::Scout => "docker scout",
        }
    }

    fn program(self) -> &'static str {
        match self {
            Self::Trivy => "trivy",
            Self::Grype => "grype",
            Self::Scout => "docker",
        }
    }
}

/// A scanner that is installed.
#[derive(Debug, Clone)]
pub struct Scanner {
    kind: Kind,
    program: PathBuf,
    docker_host: String,
    /// Its version, as it says it.
    pub version: String,
}

/// What is known of a scanner's database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Database {
    /// When it was built; `None`: it does not say.
    pub built: Option<DateTime<Utc>>,
    /// Why a newer one could not be fetched.
    pub not_fetched: Option<String>,
}

impl Scanner {
    /// The scanner of that kind, or the first one that is installed, for images of the engine at `docker_host`.
    ///
    /// # Errors
    /// When there is none.
    pub async fn find(kind: Option<Kind>, docker_host: &str, cancel: &CancellationToken) -> Result<Self, ScanError> {
        for kind in Kind::ALL.into_iter().filter(|k| kind.is_none_or(|wanted| wanted == *k)) {
            let Some(program) = on_path(kind.program()) else { continue };
            let ask = match kind {
                Kind::Scout => Invocation::new(&program).args(["scout", "version"]),
                Kind::Trivy | Kind::Grype => Invocation::new(&program).args(["version"]),
            };
            // The docker program without its plugin is no scanner.
            let Ok(said) = process::output(&ask, cancel).await else { continue };
            let version =
                said.lines().find_map(|line| line.split_once(char::is_whitespace).filter(|(key, _)| is_version(key)));
            let version = version.map_or_else(|| "unknown".to_owned(), |(_, value)| value.trim().to_owned());
            return Ok(Self { kind, program, docker_host: docker_host.to_owned(), version });
        }
        Err(ScanError::NoScanner)
    }

    /// Which it is.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    fn invocation(&self) -> Invocation {
        Invocation::new(&self.program).env("DOCKER_HOST", &self.docker_host)
    }

    /// Fetches the newest database, or says why the one at hand has to do, and tells how old it is.
    ///
    /// # Errors
    /// When it was interrupted, or there is no database at all.
    pub async fn update(&self, cancel: &CancellationToken) -> Result<Database, ScanError> {
        let fetched = match self.kind {
            Kind::Trivy => process::output(&trivy::fetch(self.invocation()), cancel).await,
            Kind::Grype => process::output(&grype::fetch(self.invocation()), cancel).await,
            // Its database is a service: each scan asks it.
            Kind::Scout => return Ok(Database { built: Some(super::clock::now()), not_fetched: None }),
        };
        let not_fetched = match fetched {
            Ok(_) => None,
            Err(e) if e.class() == Class::Interrupted => return Err(e.into()),
            Err(e) => Some(crate::model::failure::chain(&e)),
        };
        let status = match self.kind {
            Kind::Trivy => trivy::status(self.invocation()),
            Kind::Grype => grype::status(self.invocation()),
            Kind::Scout => return Ok(Database { built: None, not_fetched }),
        };
        Ok(Database { built: built(self.kind, &process::output(&status, cancel).await?)?, not_fetched })
    }

    /// Scans an image of the engine by its id; `answer` is where the scanner writes what it found, and is removed.
    ///
    /// # Errors
    /// When the scanner did not work or its answer is not understood.
    pub async fn scan(&self, image: &str, answer: &Path, cancel: &CancellationToken) -> Result<Scan, ScanError> {
        let invocation = match self.kind {
            Kind::Trivy => trivy::scan(self.invocation(), image, answer),
            Kind::Grype => grype::scan(self.invocation(), image, answer),
            Kind::Scout => scout::scan(self.invocation(), image, answer),
        };
        let scan = parse(self.kind, &answered(&invocation, answer, cancel).await?)?;
        if scan.understood || self.kind != Kind::Scout {
            return Ok(scan);
        }
        let list = scout::list(self.invocation(), image, answer);
        let packages = scout::packages(&answered(&list, answer, cancel).await?)?;
        Ok(Scan { packages: Some(packages), understood: packages > 0, ..scan })
    }
}

/// What a program wrote into the file `answer`, which is removed.
async fn answered(invocation: &Invocation, answer: &Path, cancel: &CancellationToken) -> Result<Vec<u8>, ScanError> {
    let ended = process::output(invocation, cancel).await;
    let read = ended.map_err(ScanError::from).and_then(|_| Ok(files::read_limited(answer, MOST_BYTES)?));
    if answer.exists() {
        files::remove_file(answer)?;
    }
    read
}

/// What a scanner's answer says. Never panics, whatever the answer is.
///
/// # Errors
/// When it is not understood.
pub fn parse(kind: Kind, answer: &[u8]) -> Result<Scan, ScanError> {
    match kind {
        Kind::Trivy => trivy::parse(answer),
        Kind::Grype => grype::parse(answer),
        Kind::Scout => scout::parse(answer),
    }
}

/// When a scanner's database was built, by its answer. Never panics, whatever the answer is.
///
/// # Errors
/// When it is not understood.
pub fn built(kind: Kind, answer: &str) -> Result<Option<DateTime<Utc>>, ScanError> {
    match kind {
        Kind::Trivy => trivy::built(answer),
        Kind::Grype => grype::built(answer),
        // Its database is a service.
        Kind::Scout => Ok(None),
    }
}

fn is_version(key: &str) -> bool {
    matches!(key.trim_end_matches(':').to_ascii_lowercase().as_str(), "version")
}

fn on_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|dir| dir.join(program)).find(|p| p.is_absolute() && p.is_file())
}

/// The JSON of an answer.
fn json<T: serde::de::DeserializeOwned>(scanner: &'static str, answer: &[u8]) -> Result<T, ScanError> {
    serde_json::from_slice(answer).map_err(|e| ScanError::Answer { scanner, problem: e.to_string() })
}
