//! The client programs: where they are, whether they fit the server, and how they get a connection.

mod passfile;
mod version;

use std::path::{Path, PathBuf};

use tokio_util::sync::CancellationToken;

pub use passfile::Passfile;
pub use version::ToolVersion;

use super::{Endpoint, PostgresError, ServerState};
use crate::{
    adapters::process::{self, Invocation},
    model::stack::PostgresServer,
};

/// Where distributions keep one directory of programs per major version.
const VERSIONED: &[&str] = &["/usr/lib/postgresql", "/usr/local/lib/postgresql"];

/// A directory of client programs that fits a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tools {
    dir: PathBuf,
    version: ToolVersion,
}

impl Tools {
    /// Finds the tools for a server: in `bin_dir` where it is configured, else the oldest on PATH and in the
    /// distributions' directories that is not older than the server.
    ///
    /// # Errors
    /// [`PostgresError::NoTool`] or [`PostgresError::ToolTooOld`]: an older `pg_dump` refuses the server, or worse,
    /// does not know what it leaves out.
    pub async fn find(
        server: &PostgresServer,
        state: &ServerState,
        cancel: &CancellationToken,
    ) -> Result<Self, PostgresError> {
        let mut fitting: Option<Self> = None;
        let mut too_old: Option<Self> = None;
        let dirs = candidates(server.bin_dir.as_deref());
        for dir in dirs.iter().filter(|dir| dir.join("pg_dump").is_file()) {
            let found = Self { dir: dir.clone(), version: version_of(&dir.join("pg_dump"), cancel).await? };
            let (slot, better): (_, fn(&ToolVersion, &ToolVersion) -> bool) = if found.version.serves(state.version_num)
            {
                (&mut fitting, |new, old| new < old)
            } else {
                (&mut too_old, |new, old| new > old)
            };
            if slot.as_ref().is_none_or(|old| better(&found.version, &old.version)) {
                *slot = Some(found);
            }
        }
        let server_version = state.version.clone();
        match (fitting, too_old) {
            (Some(tools), _) => Ok(tools),
            (None, Some(old)) => {
                Err(PostgresError::ToolTooOld { path: old.path("pg_dump"), tool: old.version.text, server_version })
            }
            (None, None) => {
                let looked_in = dirs.iter().map(|d| d.display().to_string()).collect::<Vec<_>>().join(", ");
                Err(PostgresError::NoTool { program: "pg_dump", server_version, looked_in })
            }
        }
    }

    /// A program's path.
    pub fn path(&self, program: &str) -> PathBuf {
        self.dir.join(program)
    }

    /// The version of `pg_dump`, and so of its siblings.
    pub fn version(&self) -> &ToolVersion {
        &self.version
    }

    /// An invocation of a program with its connection: `--no-password` and `--dbname` with a connection string
    /// without the password, which the passfile has.
    pub fn invocation(
        &self,
        program: &str,
        endpoint: &Endpoint,
        dbname: &str,
        application_name: &str,
        passfile: Option<&Passfile>,
    ) -> Invocation {
        let invocation = Invocation::new(self.path(program))
            .arg("--no-password")
            .arg(format!("--dbname={}", endpoint.conninfo(dbname, application_name)));
        match passfile {
            Some(passfile) => invocation.env("PGPASSFILE", passfile.path()),
            None => invocation,
        }
    }
}

/// Asks a program for its version.
///
/// # Errors
/// When it cannot be started or its answer is not understood.
pub async fn version_of(program: &Path, cancel: &CancellationToken) -> Result<ToolVersion, PostgresError> {
    let said = process::output(&Invocation::new(program).arg("--version"), cancel).await?;
    ToolVersion::parse(&said).ok_or_else(|| PostgresError::ToolVersion {
        program: program.display().to_string(),
        said: said.trim().to_owned(),
    })
}

/// Directories that may have the programs: `bin_dir` alone, else PATH and the distributions' own.
pub(super) fn candidates(bin_dir: Option<&Path>) -> Vec<PathBuf> {
    if let Some(dir) = bin_dir {
        return vec![dir.to_owned()];
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    // Debian's /usr/bin/pg_dump is a wrapper that picks a version by itself; the real ones come first.
    let mut dirs = Vec::new();
    for parent in VERSIONED {
        let Ok(entries) = std::fs::read_dir(parent) else { continue };
        dirs.extend(entries.flatten().map(|entry| entry.path().join("bin")).filter(|dir| dir.is_dir()));
    }
    dirs.sort();
    for dir in std::env::split_paths(&path) {
        if dir.is_absolute() && !dirs.contains(&dir) {
            dirs.push(dir);
        }
    }
    dirs
}
