//! Why units could not be installed.

use std::path::PathBuf;

use crate::{
    adapters::{files::FileError, systemd::SystemdError},
    model::failure::{Class, Diagnose},
};

/// Why units could not be read, installed or taken away.
#[derive(Debug, thiserror::Error)]
pub enum UnitsError {
    #[error("{} is not maint's: its first line says so, and it is left alone", path.display())]
    Foreign { path: PathBuf },
    #[error("the units would read {}, and not {}", units.display(), given.display())]
    AnotherConfig { units: PathBuf, given: PathBuf },
    #[error("the units would start {}, which is not there", .0.display())]
    NoBinary(PathBuf),
    #[error("reading and writing unit files")]
    File(#[from] FileError),
    #[error("telling systemd")]
    Systemd(#[from] SystemdError),
}

impl Diagnose for UnitsError {
    fn class(&self) -> Class {
        match self {
            Self::AnotherConfig { .. } | Self::NoBinary(_) => Class::Usage,
            Self::Foreign { .. } => Class::Failed,
            Self::File(error) => error.class(),
            Self::Systemd(error) => error.class(),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Foreign { path } => {
                Some(format!("look at it; to let maint have the name: mv {0} {0}.mine", path.display()))
            }
            Self::AnotherConfig { given, .. } => {
                Some(format!("say in [systemd] of maint.toml: config = \"{}\"; or move it", given.display()))
            }
            Self::NoBinary(path) => Some(format!(
                "install -m 755 maint {}; or say in [systemd] of maint.toml: binary = \"…\"",
                path.display()
            )),
            Self::File(error) => error.hint(),
            Self::Systemd(error) => error.hint(),
        }
    }
}
