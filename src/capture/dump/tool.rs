//! `pg_dump` itself: on this host or inside a container, with its connection and without a secret in sight.

use std::{os::fd::OwnedFd, path::Path, time::Duration};

use tokio_util::sync::CancellationToken;

use super::error::DumpError;
use crate::{
    adapters::{
        docker::{Docker, Exec, RunningExec},
        files::FileError,
        postgres::{
            Endpoint, PostgresError, ServerState,
            tools::{Passfile, ToolVersion, Tools},
        },
        process::{self, Invocation, ProcessEnd, Running},
    },
    model::stack::{self, PostgresAddress, PostgresServer},
};

/// Where `pg_dump` is.
pub(in crate::capture) enum Tool {
    Host(Tools),
    Container { docker: Docker, container: String, version: ToolVersion },
}

/// What a dump is told.
pub(super) struct Order<'a> {
    pub(super) endpoint: &'a Endpoint,
    pub(super) database: &'a str,
    pub(super) application: &'a str,
    pub(super) snapshot: &'a str,
    pub(super) encoding: &'a str,
    pub(super) restrict_key: &'a str,
    pub(super) lock_timeout: Duration,
}

impl Order<'_> {
    /// `--create` is not among them: the dump goes into whatever database it is read into. Row security stays off (the
    /// default), so that a role that would not see every row fails instead of dumping a part.
    fn options(&self, version: &ToolVersion) -> Vec<String> {
        let mut options = vec![
            "--format=plain".to_owned(),
            format!("--encoding={}", self.encoding),
            format!("--snapshot={}", self.snapshot),
            format!("--lock-wait-timeout={}", self.lock_timeout.as_millis()),
        ];
        if version.has_restrict_key() {
            options.push(format!("--restrict-key={}", self.restrict_key));
        }
        options
    }
}

impl Tool {
    /// Finds a `pg_dump` that is not older than the server.
    ///
    /// # Errors
    /// When there is none; its class is `Usage`.
    pub(in crate::capture) async fn find(
        server: &PostgresServer,
        docker: &stack::Docker,
        state: &ServerState,
        cancel: &CancellationToken,
    ) -> Result<Self, DumpError> {
        let Some(container) = &server.tools_in else {
            return Ok(Self::Host(Tools::find(server, state, cancel).await?));
        };
        let docker = Docker::connect(&docker.host).await?;
        let said = docker.exec_output(&Exec::new(container, ["pg_dump", "--version"]), cancel).await?;
        let version = ToolVersion::parse(&said).ok_or_else(|| PostgresError::ToolVersion {
            program: format!("pg_dump in container {container}"),
            said: said.trim().to_owned(),
        })?;
        if !version.serves(state.version_num) {
            let (tool, server) = (version.text, state.version.clone());
            return Err(DumpError::ToolTooOld { container: container.clone(), tool, server });
        }
        Ok(Self::Container { docker, container: container.clone(), version })
    }

    pub(in crate::capture) fn version(&self) -> &ToolVersion {
        match self {
            Self::Host(tools) => tools.version(),
            Self::Container { version, .. } => version,
        }
    }

    /// Starts the dump; its plain SQL comes out of the pipe. `private`: a directory for the passfile.
    ///
    /// # Errors
    /// When it cannot be started.
    pub(super) async fn start(&self, order: &Order<'_>, private: &Path) -> Result<(Dump, OwnedFd), DumpError> {
        let login = (order.endpoint, order.database, order.application);
        self.start_program("pg_dump", login, order.options(self.version()), private).await
    }

    /// Starts `pg_dump` or a sibling with its connection: endpoint, database, application name.
    ///
    /// # Errors
    /// When it cannot be started.
    pub(in crate::capture) async fn start_program(
        &self,
        program: &str,
        (endpoint, database, application): (&Endpoint, &str, &str),
        options: Vec<String>,
        private: &Path,
    ) -> Result<(Dump, OwnedFd), DumpError> {
        match self {
            Self::Host(tools) => {
                let passfile = Passfile::create(private, endpoint)?;
                let invocation: Invocation =
                    tools.invocation(program, endpoint, database, application, passfile.as_ref()).args(options);
                let (running, stdout) = process::stream(&invocation)?;
                Ok((Dump::Host(running, passfile), stdout))
            }
            Self::Container { docker, container, .. } => {
                let mut argv = vec![program.to_owned()];
                argv.push(format!("--dbname={}", endpoint.conninfo(database, application)));
                argv.extend(options);
                // Without a terminal libpq's prompt reads stdin (src/port/sprompt.c): no file, no variable.
                let stdin = endpoint.password.as_ref().map(|password| format!("{}\n", password.reveal()));
                if stdin.is_none() {
                    argv.push("--no-password".to_owned());
                }
                let exec = Exec::new(container, argv).stdin(stdin.unwrap_or_default().into_bytes());
                let (running, stdout) = docker.exec_stream(&exec).await?;
                Ok((Dump::Container(running), stdout))
            }
        }
    }
}

/// Where the server is, seen from where `pg_dump` runs: inside its own container it is at the usual socket.
pub(in crate::capture) fn endpoint_for_tool(server: &PostgresServer, endpoint: &Endpoint) -> Endpoint {
    match (&server.tools_in, &server.address) {
        (Some(container), PostgresAddress::Container { name, port }) if container == name => {
            Endpoint { host: String::new(), port: *port, ..endpoint.clone() }
        }
        _ => endpoint.clone(),
    }
}

/// A running dump; dropped, it is killed and its passfile removed.
pub(in crate::capture) enum Dump {
    Host(Running, Option<Passfile>),
    Container(RunningExec),
}

impl Dump {
    /// Waits for its end; stops it when `cancel` fires.
    ///
    /// # Errors
    /// When it was stopped, or its end is not known.
    pub(in crate::capture) async fn wait(&mut self, cancel: &CancellationToken) -> Result<ProcessEnd, DumpError> {
        match self {
            Self::Host(running, _) => Ok(running.wait(cancel).await?),
            Self::Container(running) => Ok(running.wait(cancel).await?),
        }
    }

    /// The last lines that it wrote to stderr.
    pub(in crate::capture) fn stderr(&self) -> String {
        match self {
            Self::Host(running, _) => running.stderr(),
            // Where the password came by stdin, libpq's prompt stands before everything else.
            Self::Container(running) => running.stderr().trim_start_matches("Password: ").to_owned(),
        }
    }

    /// Removes the password from the disk.
    ///
    /// # Errors
    /// When that fails: it must not stay behind unsaid.
    pub(in crate::capture) fn forget_password(self) -> Result<(), FileError> {
        match self {
            Self::Host(_, Some(passfile)) => passfile.remove(),
            Self::Host(_, None) | Self::Container(_) => Ok(()),
        }
    }
}

/// Messages of `pg_dump` that name something which may be over at the next try: libpq's and the server's for a lost
/// connection, the lock that was not obtained in time, and what was dropped meanwhile.
const PASSING: &[&str] = &[
    // pg_dump sets --lock-wait-timeout as its statement_timeout.
    "canceling statement due to statement timeout",
    "server closed the connection",
    "terminating connection",
    "could not receive data from server",
    "could not send data to server",
    "SSL connection has been closed",
    "SSL SYSCALL error",
    "connection to server",
    "lock timeout",
    "could not obtain lock",
    "deadlock detected",
    "cache lookup failed",
    // Dropped between the snapshot and the dump's locks.
    "could not open relation",
    "does not exist",
];

/// Whether another try may help after this end.
pub(in crate::capture) fn may_pass(end: ProcessEnd, stderr: &str) -> bool {
    matches!(end, ProcessEnd::Signal(_)) || PASSING.iter().any(|message| stderr.contains(message))
}

/// What `pg_dump` warned of though it ended well: one warning with its details a line.
pub(super) fn warnings(stderr: &str) -> Vec<String> {
    let mut warnings: Vec<String> = Vec::new();
    for line in stderr.lines().filter(|line| !line.trim().is_empty()) {
        let detail = ["pg_dump: detail: ", "pg_dump: hint: "].iter().find_map(|p| line.strip_prefix(p));
        match (detail, warnings.last_mut()) {
            (Some(detail), Some(last)) => {
                last.push_str("; ");
                last.push_str(detail);
            }
            _ => warnings.push(line.to_owned()),
        }
    }
    warnings
}
