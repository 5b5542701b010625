//! What can go wrong with the compose program.

use crate::{
    adapters::{process::ProcessError, registry},
    model::failure::{Class, Diagnose},
};

/// The compose program could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum ComposeError {
    #[error("neither `docker compose` nor `docker-compose` can be used ({why})")]
    NotFound { why: String },
    #[error("{doing} {subject}: {why}")]
    Failed { doing: &'static str, subject: String, why: String },
    #[error("{doing} {subject}")]
    Process { doing: &'static str, subject: String, source: ProcessError },
    #[error("the answer of compose {what} cannot be understood: {why}")]
    Answer { what: &'static str, why: String },
    #[error("stopped")]
    Cancelled,
}

impl ComposeError {
    pub(super) fn of(doing: &'static str, subject: &str, program: String, source: ProcessError) -> Self {
        let subject = subject.to_owned();
        match source {
            ProcessError::Cancelled { .. } => Self::Cancelled,
            ProcessError::Failed { stderr, end, .. } => {
                let why = reason(&stderr).map_or_else(|| format!("{program} {end}"), str::to_owned);
                Self::Failed { doing, subject, why }
            }
            source => Self::Process { doing, subject, source },
        }
    }

    /// Whether the registry could not even be asked.
    pub fn is_unreachable(&self) -> bool {
        matches!(self, Self::Failed { why, .. } if registry::is_unreachable(why))
    }
}

/// The line of stderr that says why. Version 1 ends with a line that says nothing, and says the reason twice; version 2 ends
/// with it.
fn reason(stderr: &str) -> Option<&str> {
    let lines = || stderr.lines().map(str::trim).filter(|line| !line.is_empty());
    let of_service = lines().find_map(|line| line.strip_prefix("ERROR: for "));
    let of_service = of_service.map(|line| line.split_once("  ").map_or(line, |(_, why)| why));
    let last = lines().rfind(|line| !line.starts_with("Encountered errors while"));
    of_service.or(last.map(|line| line.trim_start_matches("ERROR: ")))
}

impl Diagnose for ComposeError {
    fn class(&self) -> Class {
        match self {
            Self::Process { source, .. } => source.class(),
            Self::Cancelled => Class::Interrupted,
            _ => Class::Failed,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::NotFound { .. } => {
                Some("install it: apt-get install docker-compose-plugin, or docker-compose".into())
            }
            Self::Process { source, .. } => source.hint(),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What docker-compose 1.29.2 wrote, and what version 2 writes by its documentation and issues.
    #[test]
    fn the_reason_is_found_in_what_either_version_says() {
        let v1 = "Creating thedb ... \nCreating thedb ... error\n\nERROR: for thedb  Cannot create container for service \
                  db: Conflict.\n\nERROR: for db  Cannot create container for service db: Conflict.\nEncountered errors \
                  while bringing up the project.";
        assert_eq!(reason(v1), Some("Cannot create container for service db: Conflict."));
        let v2 = " db Pulling \n db Error \nError response from daemon: manifest for app:9 not found: manifest unknown";
        assert_eq!(reason(v2), Some("Error response from daemon: manifest for app:9 not found: manifest unknown"));
        assert_eq!(reason(" \n"), None);
    }
}
