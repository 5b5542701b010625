//! systemd, by its own commands.

use std::path::{Path, PathBuf};

use tokio_util::sync::CancellationToken;

use super::process::{self, Invocation, ProcessError};
use crate::model::failure::{Class, Diagnose};

/// What systemd did not do.
#[derive(Debug, thiserror::Error)]
#[error("{doing}")]
pub struct SystemdError {
    doing: String,
    #[source]
    source: ProcessError,
}

impl Diagnose for SystemdError {
    fn class(&self) -> Class {
        self.source.class()
    }

    fn hint(&self) -> Option<String> {
        match &self.source {
            ProcessError::NotFound { .. } => {
                Some("this host has no systemd; the daemon needs none: maint serve".to_owned())
            }
            other => other.hint().or_else(|| Some("look at it: systemctl status 'maint*'".to_owned())),
        }
    }
}

/// The manager of this host, or the files of another root that nobody manages yet.
#[derive(Debug, Clone)]
pub struct Systemd {
    root: Option<PathBuf>,
}

impl Systemd {
    /// With a root: an image, whose units are enabled by links alone.
    pub fn new(root: Option<&Path>) -> Self {
        Self { root: root.map(Path::to_owned) }
    }

    /// Enables units: they start with the host.
    ///
    /// # Errors
    /// When systemctl fails.
    pub async fn enable(&self, units: &[String]) -> Result<(), SystemdError> {
        self.systemctl("enabling", &["enable"], units).await
    }

    /// Disables units and stops them. What is enabled no more, or was never, is fine.
    ///
    /// # Errors
    /// When systemctl fails.
    pub async fn disable(&self, units: &[String]) -> Result<(), SystemdError> {
        let now: &[&str] = if self.root.is_some() { &["disable"] } else { &["disable", "--now"] };
        self.systemctl("disabling", now, units).await
    }

    /// Starts units.
    ///
    /// # Errors
    /// When systemctl fails.
    pub async fn start(&self, units: &[String]) -> Result<(), SystemdError> {
        if self.root.is_some() { Ok(()) } else { self.systemctl("starting", &["start"], units).await }
    }

    /// Lets the manager read changed files.
    ///
    /// # Errors
    /// When systemctl fails.
    pub async fn reload(&self) -> Result<(), SystemdError> {
        if self.root.is_some() {
            return Ok(());
        }
        run("letting systemd read the units", Invocation::new("systemctl").arg("daemon-reload")).await
    }

    /// Makes what our files in sysusers.d and tmpfiles.d say; an image does it at its first boot.
    ///
    /// # Errors
    /// When one of the commands fails.
    pub async fn make_users_and_directories(&self) -> Result<(), SystemdError> {
        if self.root.is_some() {
            return Ok(());
        }
        run("making the group", Invocation::new("systemd-sysusers").arg("maint.conf")).await?;
        run("making directories", Invocation::new("systemd-tmpfiles").args(["--create", "maint.conf"])).await
    }

    /// Lets the manager forget that instances of ours failed, once their units are gone.
    ///
    /// # Errors
    /// When systemctl fails.
    pub async fn forget_failures(&self) -> Result<(), SystemdError> {
        if self.root.is_some() {
            return Ok(());
        }
        let command = Invocation::new("systemctl").args(["reset-failed", "maint@*.service", "maint-*.service"]);
        run("forgetting failures of units that are gone", command).await
    }

    async fn systemctl(&self, doing: &str, verb: &[&str], units: &[String]) -> Result<(), SystemdError> {
        if units.is_empty() {
            return Ok(());
        }
        let mut command = Invocation::new("systemctl");
        if let Some(root) = &self.root {
            command = command.arg("--root").arg(root);
        }
        run(&format!("{doing} {}", units.join(", ")), command.args(verb).arg("--").args(units)).await
    }
}

/// Nothing here takes long, and a half-done installation is worse than one second more: it is not cancelled.
async fn run(doing: &str, command: Invocation) -> Result<(), SystemdError> {
    let ended = process::output(&command, &CancellationToken::new()).await;
    ended.map(drop).map_err(|source| SystemdError { doing: doing.to_owned(), source })
}
