//! What exists and what backs it up: databases, volumes and bind mounts against the backup jobs and the exclusions.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use globset::Glob;
use serde::{Deserialize, Serialize};

use super::ids::JobName;

/// Something that a host can lose.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Thing {
    /// A database of a server of the configuration.
    Database { server: String, name: String },
    /// A Docker volume.
    Volume { name: String },
    /// A directory or file of this host that a container has mounted.
    Path { path: PathBuf },
}

impl fmt::Display for Thing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Database { server, name } => write!(f, "database {server}/{name}"),
            Self::Volume { name } => write!(f, "volume {name}"),
            Self::Path { path } => write!(f, "bind mount {}", path.display()),
        }
    }
}

/// What a step of a backup job captures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Captures {
    /// One database.
    Database { server: String, name: String },
    /// Every database of a server but those that match.
    EveryDatabase { server: String, exclude: Vec<String> },
    /// A Docker volume.
    Volume { name: String },
    /// A directory or file with everything below it but the paths that match. They are of the archive's names: `name` is
    /// what `path` is called there.
    Tree { path: PathBuf, name: String, exclude: Vec<String> },
}

/// What is left out on purpose.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exclusion {
    /// What.
    pub what: Excluded,
    /// Why.
    pub reason: String,
}

/// What an exclusion leaves out, by glob pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Excluded {
    /// `server/name`
    Database(String),
    /// A volume's name.
    Volume(String),
    /// A path; everything below it too.
    Path(String),
}

impl Exclusion {
    /// Whether it leaves this out.
    pub fn matches(&self, thing: &Thing) -> bool {
        match (&self.what, thing) {
            (Excluded::Database(pattern), Thing::Database { server, name }) => {
                matches(pattern, Path::new(&format!("{server}/{name}")))
            }
            (Excluded::Volume(pattern), Thing::Volume { name }) => matches(pattern, Path::new(name)),
            (Excluded::Path(pattern), Thing::Path { path }) => path.ancestors().any(|p| matches(pattern, p)),
            _ => false,
        }
    }

    /// As it stands in `maint.toml`.
    pub fn text(&self) -> &str {
        match &self.what {
            Excluded::Database(text) | Excluded::Volume(text) | Excluded::Path(text) => text,
        }
    }
}

/// A pattern that is none matches nothing; the configuration refuses such.
fn matches(pattern: &str, path: &Path) -> bool {
    Glob::new(pattern).is_ok_and(|glob| glob.compile_matcher().is_match(path))
}

/// A thing that exists, and what becomes of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CoverageLine {
    /// What exists.
    pub thing: Thing,
    /// What becomes of it.
    #[serde(flatten)]
    pub covered: Covered,
}

/// What becomes of a thing that exists.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", content = "by", rename_all = "snake_case")]
pub enum Covered {
    /// This job backs it up.
    Job(JobName),
    /// It is left out on purpose, for this reason.
    Excluded(String),
    /// Nobody knows of it. A job may leave it out without a reason.
    Nobody(Option<JobName>),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exclusions_are_patterns() {
        let path = |p: &str| Thing::Path { path: p.into() };
        let exclude = |what| Exclusion { what, reason: "x".into() };
        let logs = exclude(Excluded::Path("/var/log".into()));
        assert!(logs.matches(&path("/var/log")) && logs.matches(&path("/var/log/nginx")));
        assert!(!logs.matches(&path("/var/logs")));
        let database = |name: &str| Thing::Database { server: "p".into(), name: name.into() };
        let tests = exclude(Excluded::Database("p/test_*".into()));
        assert!(tests.matches(&database("test_1")) && !tests.matches(&database("app")));
        assert!(!tests.matches(&Thing::Volume { name: "p/test_1".into() }));
    }
}
