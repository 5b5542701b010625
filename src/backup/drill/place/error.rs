//! Why a drill could not run. None of it says anything about the set.

use std::path::PathBuf;

use crate::{
    adapters::{
        cage::CageError, docker::DockerError, files::FileError, lock::LockError, postgres::PostgresError,
        process::ProcessError,
    },
    model::{
        failure::{Class, Diagnose},
        units::ByteSize,
    },
};

/// There is no place for a drill, or no longer.
#[derive(Debug, thiserror::Error)]
pub enum PlaceError {
    #[error("the drill could not run: there is no isolation for it")]
    Cage(#[from] CageError),
    #[error(
        "the drill could not run: PostgreSQL {wanted} is needed to restore into, and {} was found in {looked_in}",
        list(found)
    )]
    NoMajor { wanted: u32, found: Vec<String>, looked_in: String },
    #[error("the drill could not run: neither `initdb` nor `postgres` was found in {looked_in}")]
    NoPrograms { looked_in: String },
    #[error("the drill could not run: {place} has PostgreSQL {found}, and the source has {wanted}")]
    OtherMajor { place: String, found: u32, wanted: u32 },
    #[error("the drill could not run: {} are free in {}, and it needs {}", ByteSize(*free), dir.display(), ByteSize(*need))]
    NoSpace { dir: PathBuf, free: u64, need: u64 },
    #[error(
        "the drill was stopped: only {} are free in {}, and the last {} are not for drills",
        ByteSize(*free), dir.display(), ByteSize(*floor)
    )]
    Shortage { dir: PathBuf, free: u64, floor: u64 },
    #[error("the drill could not run: this host has no image `{image}`, and maint pulls none")]
    NoImage { image: String },
    #[error("the drill could not run: [postgres.{name}] is the very server that the set comes from")]
    SameServer { name: String },
    #[error("the drill could not run: no throwaway server could be had")]
    Start(#[source] PostgresError),
    #[error("the drill could not run: the server [postgres.{name}] could not be asked")]
    Server { name: String, source: Box<PostgresError> },
    #[error("the drill could not run: no container could be had")]
    Docker(#[from] DockerError),
    #[error("the drill could not run: its scratch directory cannot be used")]
    File(#[from] FileError),
    #[error("the drill could not run: its scratch directory cannot be had")]
    Lock(#[from] LockError),
}

fn list(found: &[String]) -> String {
    if found.is_empty() { "none".into() } else { found.join(", ") }
}

impl Diagnose for PlaceError {
    fn class(&self) -> Class {
        let cause: Option<&dyn Diagnose> = match self {
            Self::Cage(e) => Some(e),
            Self::Start(e) => Some(e),
            Self::Server { source, .. } => Some(source.as_ref()),
            Self::Docker(e) => Some(e),
            _ => None,
        };
        match cause.map(Diagnose::class) {
            Some(Class::Interrupted) => Class::Interrupted,
            _ => Class::Unverifiable,
        }
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Cage(CageError::Missing { program: "bwrap" }) => {
                "install it: apt-get install bubblewrap; or drill in \
                a container: `image` in [drill] of maint.toml; or, for dumps that you would run as they are, \
                `allow_unisolated = true` there"
                    .into()
            }
            Self::Cage(e) => return e.hint(),
            Self::NoMajor { wanted, .. } => {
                format!("install postgresql-{wanted}, or set `bin_dir` or `image` in [drill] of maint.toml")
            }
            Self::NoPrograms { .. } => {
                "install the package postgresql of the source's version, or set `bin_dir` or `image` in [drill] of \
                 maint.toml"
                    .into()
            }
            Self::OtherMajor { .. } => "set `image` or `server` in [drill] of maint.toml to one of that version".into(),
            Self::NoSpace { dir, .. } | Self::Shortage { dir, .. } => format!(
                "free some, see: df -h {}; or set `scratch_dir` in [drill] of maint.toml to a larger disk",
                dir.display()
            ),
            Self::NoImage { image } => format!("have it on this host: docker pull {image}"),
            Self::SameServer { .. } => "name another server as `server` in [drill] of maint.toml".into(),
            Self::Start(PostgresError::Throwaway { .. } | PostgresError::Process(ProcessError::Failed { .. })) => {
                "see what is said above; without a cage, its user must be able to reach `scratch_dir`, see: namei -l; \
                 libraries to be preloaded must be installed"
                    .into()
            }
            Self::Start(e) => return e.hint(),
            Self::Server { source, .. } => return source.hint(),
            Self::Docker(e) => return e.hint(),
            Self::File(e) => return e.hint(),
            Self::Lock(e) => return e.hint(),
        })
    }
}
