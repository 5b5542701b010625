//! A child that outlives its starter: it learns of our end, however we die, by the end of file on its stdin.

use std::{io, process::Stdio, time::Duration};

use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    process::{Child, ChildStdin, ChildStdout},
};

use super::process::{Invocation, ProcessError};

/// What it says when it is ready to act.
pub const READY: &str = "ready";
/// What tells it that there is nothing left to do.
pub const DONE: &str = "done";
/// How long it may take to get ready, and to end once there is nothing left to do.
const PATIENCE: Duration = Duration::from_secs(10);

/// A companion, in a process group of its own. Dropping it closes its stdin, so that it acts; it is never killed.
#[derive(Debug)]
pub struct Companion {
    child: Child,
    stdin: ChildStdin,
    _stdout: BufReader<ChildStdout>,
}

impl Companion {
    /// Starts it and waits until it says [`READY`].
    ///
    /// # Errors
    /// When it cannot be started, or does not get ready.
    pub async fn start(invocation: &Invocation) -> Result<Self, ProcessError> {
        let program = invocation.program();
        let spawn = |source| ProcessError::Spawn { program: program.clone(), source };
        let mut command = invocation.command();
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().map_err(spawn)?;
        let (Some(stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(spawn(io::Error::other("no pipes")));
        };
        let mut stdout = BufReader::new(stdout);
        let mut line = String::new();
        match tokio::time::timeout(PATIENCE, stdout.read_line(&mut line)).await {
            Ok(Ok(_)) if line.trim_end() == READY => Ok(Self { child, stdin, _stdout: stdout }),
            Ok(Err(source)) => Err(ProcessError::Read { program, source }),
            Ok(Ok(_)) => Err(spawn(io::Error::other("it did not get ready"))),
            Err(_) => Err(spawn(io::ErrorKind::TimedOut.into())),
        }
    }

    /// Its process id, while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.child.id()
    }

    /// Tells it that there is nothing left to do and waits for its end.
    ///
    /// # Errors
    /// When it cannot be told; it will then find nothing to do by itself.
    pub async fn dismiss(mut self) -> Result<(), ProcessError> {
        let read = |source| ProcessError::Read { program: "the companion".into(), source };
        let told = async {
            self.stdin.write_all(format!("{DONE}\n").as_bytes()).await?;
            self.stdin.shutdown().await
        };
        told.await.map_err(read)?;
        drop(self.stdin);
        match tokio::time::timeout(PATIENCE, self.child.wait()).await {
            Ok(waited) => waited.map(drop).map_err(read),
            Err(_) => Err(read(io::ErrorKind::TimedOut.into())),
        }
    }
}
