//! A program inside a running container: its stdout as a stream, its stderr, its exit code.
//!
//! The engine has no request that ends such a program, and it goes on after its caller is gone. So it is signalled by
//! its process id on this host or, where that is not allowed, by `kill` inside the container.

use std::{
    os::fd::OwnedFd,
    sync::{Arc, Mutex},
    time::Duration,
};

use bollard::{
    container::LogOutput,
    exec::{CreateExecOptions, StartExecOptions, StartExecResults},
    models::ExecInspectResponse,
};
use futures_util::{Stream, StreamExt};
use rustix::process::{Pid, Signal, getpgid, kill_process, kill_process_group};
use tokio::{io::AsyncWriteExt, net::unix::pipe, task::JoinHandle};
use tokio_util::sync::CancellationToken;

use super::{Docker, DockerError, error};
use crate::adapters::{files, process::ProcessEnd};

/// How long a program may take to end after SIGTERM before it is killed, and after SIGKILL before that is an error.
const GRACE: Duration = Duration::from_secs(5);
/// How long the engine may take to notice the end of a program whose output has ended.
const EXIT_CODE_WITHIN: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(25);
/// How much of its stderr is kept: the last lines say what happened.
const STDERR_TAIL: usize = 8 << 10;
/// The engine sends frames of up to 32 KiB.
const READ_BUFFER: usize = 256 << 10;

/// What to run in which container.
#[derive(Clone)]
pub struct Exec {
    container: String,
    argv: Vec<String>,
    env: Vec<String>,
    stdin: Vec<u8>,
}

impl Exec {
    /// A program of the container, with its arguments. Never a secret among them: everybody on the host can read argv.
    pub fn new(container: impl Into<String>, argv: impl IntoIterator<Item = impl Into<String>>) -> Self {
        let argv = argv.into_iter().map(Into::into).collect();
        Self { container: container.into(), argv, env: Vec::new(), stdin: Vec::new() }
    }

    /// Sets a variable. Never a secret: `docker inspect` shows it.
    #[must_use]
    pub fn env(mut self, key: &str, value: &str) -> Self {
        self.env.push(format!("{key}={value}"));
        self
    }

    /// What the program reads from its stdin before the end of file: the way for a secret.
    #[must_use]
    pub fn stdin(mut self, bytes: Vec<u8>) -> Self {
        self.stdin = bytes;
        self
    }

    fn program(&self) -> String {
        self.argv.first().map(|path| path.rsplit('/').next().unwrap_or(path).to_owned()).unwrap_or_default()
    }
}

/// A program that runs in a container. Dropping it ends the program.
#[derive(Debug)]
pub struct RunningExec {
    docker: Docker,
    id: String,
    program: String,
    container: String,
    stderr: Arc<Mutex<Vec<u8>>>,
    pump: Option<JoinHandle<Result<(), DockerError>>>,
    ended: bool,
}

type Output = std::pin::Pin<Box<dyn Stream<Item = Result<LogOutput, bollard::errors::Error>> + Send>>;

impl Docker {
    /// Starts a program in a running container. Its stdout is to be read as a stream by a blocking thread; the end of
    /// that file says nothing about success, [`RunningExec::wait`] does.
    ///
    /// # Errors
    /// When there is no such container, it is not running, or the program cannot be started.
    pub async fn exec_stream(&self, exec: &Exec) -> Result<(RunningExec, OwnedFd), DockerError> {
        let (container, program) = (exec.container.clone(), exec.program());
        let subject = format!("`{program}` in the container `{container}`");
        let config = CreateExecOptions {
            attach_stdin: Some(true),
            attach_stdout: Some(true),
            attach_stderr: Some(true),
            env: Some(exec.env.clone()),
            cmd: Some(exec.argv.clone()),
            ..Default::default()
        };
        let refused = |e| match error::status(&e) {
            Some(404) => DockerError::NoSuchContainer { name: container.clone() },
            Some(409) => DockerError::NotRunning { name: container.clone() },
            _ => self.sort("starting", &subject, e),
        };
        let id = self.api.create_exec(&container, config).await.map_err(refused)?.id;
        let start = StartExecOptions { output_capacity: Some(READ_BUFFER), ..Default::default() };
        let started = self.api.start_exec(&id, Some(start)).await.map_err(refused)?;
        let StartExecResults::Attached { output, mut input } = started else {
            return Err(DockerError::Incomplete { subject, what: "its output" });
        };
        let io = |source| DockerError::Read { subject: subject.clone(), source };
        let (reader, writer) = std::io::pipe().map_err(io)?;
        let sender = pipe::Sender::from_owned_fd(writer.into()).map_err(io)?;
        let stdin = exec.stdin.clone();
        let stderr = Arc::default();
        let pump = tokio::spawn(pump(output, sender, Arc::clone(&stderr), subject));
        tokio::spawn(async move {
            // A program that ends without reading its stdin says so by its exit code.
            let _ = input.write_all(&stdin).await;
            let _ = input.shutdown().await;
        });
        let docker = self.clone();
        let running = RunningExec { docker, id, program, container, stderr, pump: Some(pump), ended: false };
        Ok((running, reader.into()))
    }

    /// Runs a program in a running container to its end and gives its stdout, up to 4 MiB.
    ///
    /// # Errors
    /// When it cannot be started, is cancelled, or ends with anything but 0.
    pub async fn exec_output(&self, exec: &Exec, cancel: &CancellationToken) -> Result<String, DockerError> {
        let (mut running, stdout) = self.exec_stream(exec).await?;
        let read = tokio::task::spawn_blocking(move || {
            let mut bytes = Vec::new();
            let limited = &mut std::io::Read::take(std::fs::File::from(stdout), 4 << 20);
            std::io::Read::read_to_end(limited, &mut bytes).map(|_| bytes)
        });
        let end = running.wait(cancel).await?;
        if !end.is_success() {
            return Err(running.failure(end));
        }
        let bytes = read.await.map_err(std::io::Error::other).and_then(|read| read);
        let bytes = bytes.map_err(|source| DockerError::Read { subject: format!("`{}`", running.program), source })?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }
}

/// Carries the program's output into the pipe and its last stderr into memory.
async fn pump(
    mut output: Output,
    mut stdout: pipe::Sender,
    stderr: Arc<Mutex<Vec<u8>>>,
    subject: String,
) -> Result<(), DockerError> {
    while let Some(item) = output.next().await {
        let item = item.map_err(|source| DockerError::Request {
            operation: "reading from",
            subject: subject.clone(),
            source,
        })?;
        match item {
            LogOutput::StdOut { message } => stdout
                .write_all(&message)
                .await
                .map_err(|source| DockerError::Read { subject: subject.clone(), source })?,
            LogOutput::StdErr { message } => {
                if let Ok(mut kept) = stderr.lock() {
                    kept.extend_from_slice(&message);
                    let excess = kept.len().saturating_sub(STDERR_TAIL);
                    kept.drain(..excess);
                }
            }
            LogOutput::StdIn { .. } => {}
            // What bollard could not read as a frame: the connection was cut inside one.
            LogOutput::Console { .. } => {
                let source = std::io::Error::from(std::io::ErrorKind::UnexpectedEof);
                return Err(DockerError::Read { subject, source });
            }
        }
    }
    Ok(())
}

impl RunningExec {
    /// Waits for the program; TERM, grace, KILL when `cancel` fires.
    ///
    /// # Errors
    /// [`DockerError::Cancelled`] after a cancellation; others when its output or its exit code cannot be had: such an
    /// output is not whole.
    pub async fn wait(&mut self, cancel: &CancellationToken) -> Result<ProcessEnd, DockerError> {
        let Some(mut pump) = self.pump.take() else {
            return self.exit_code().await;
        };
        let pumped = tokio::select! {
            pumped = &mut pump => pumped,
            () = cancel.cancelled() => {
                pump.abort();
                self.stop().await?;
                return Err(DockerError::Cancelled { program: self.program.clone(), container: self.container.clone() });
            }
        };
        let pumped = pumped
            .map_err(|e| DockerError::Read { subject: self.program.clone(), source: std::io::Error::other(e) })
            .and_then(|result| result);
        if let Err(error) = pumped {
            // Its reader is gone, or the connection: nothing it still writes is of use to anyone.
            self.stop().await?;
            return Err(error);
        }
        self.exit_code().await
    }

    /// The last of what it wrote to stderr.
    pub fn stderr(&self) -> String {
        self.stderr.lock().map(|kept| String::from_utf8_lossy(&kept).into_owned()).unwrap_or_default()
    }

    /// The error for an end that is not a success.
    pub fn failure(&self, end: ProcessEnd) -> DockerError {
        let (program, container) = (self.program.clone(), self.container.clone());
        DockerError::Exec { program, container, end, stderr: self.stderr() }
    }

    /// Ends the program: TERM, grace, KILL.
    ///
    /// # Errors
    /// When it cannot be signalled, or lives on.
    pub async fn stop(&mut self) -> Result<(), DockerError> {
        self.ended = true;
        end(&self.docker, &self.id).await.map_err(|why| DockerError::NotStopped {
            program: self.program.clone(),
            container: self.container.clone(),
            why,
        })
    }

    async fn exit_code(&mut self) -> Result<ProcessEnd, DockerError> {
        let deadline = tokio::time::Instant::now() + EXIT_CODE_WITHIN;
        loop {
            let found = self.docker.inspect_exec(&self.id, &self.program).await?;
            if let (Some(false), Some(code)) = (found.running, found.exit_code) {
                self.ended = true;
                return Ok(ProcessEnd::Exit(code));
            }
            if tokio::time::Instant::now() > deadline {
                return Err(DockerError::Incomplete { subject: self.program.clone(), what: "an exit code" });
            }
            tokio::time::sleep(POLL).await;
        }
    }
}

impl Drop for RunningExec {
    fn drop(&mut self) {
        if let Some(pump) = &self.pump {
            pump.abort();
        }
        if self.ended {
            return;
        }
        // Without a runtime maint itself is ending; the program then ends by itself, its output unread.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let (docker, id) = (self.docker.clone(), self.id.clone());
            runtime.spawn(async move { end(&docker, &id).await });
        }
    }
}

impl Docker {
    async fn inspect_exec(&self, id: &str, program: &str) -> Result<ExecInspectResponse, DockerError> {
        self.api.inspect_exec(id).await.map_err(|e| self.sort("looking at", program, e))
    }
}

/// TERM, grace, KILL, grace; `Err` says why it may live on.
async fn end(docker: &Docker, id: &str) -> Result<(), String> {
    let inspect = async || docker.inspect_exec(id, "the program").await.map_err(|e| e.to_string());
    // One that does not run and has no exit code has not begun yet, and will.
    let has_ended = |found: &ExecInspectResponse| found.running == Some(false) && found.exit_code.is_some();
    let mut why = String::from("it outlived SIGKILL");
    for signal in [Signal::TERM, Signal::KILL] {
        let mut sent = false;
        let deadline = tokio::time::Instant::now() + GRACE;
        while tokio::time::Instant::now() < deadline {
            let found = inspect().await?;
            if has_ended(&found) {
                return Ok(());
            }
            if !sent && found.running == Some(true) {
                // One that begins just now is not in its place yet.
                match send(docker, &found, signal).await {
                    Ok(()) => sent = true,
                    Err(error) => why = error,
                }
            }
            tokio::time::sleep(POLL).await;
        }
    }
    Err(why)
}

/// Sends a signal to the program: from this host, else from within its container.
async fn send(docker: &Docker, found: &ExecInspectResponse, signal: Signal) -> Result<(), String> {
    let (Some(pid), Some(container)) = (found.pid, &found.container_id) else {
        return Err("the engine does not tell its process id".into());
    };
    let raw = i32::try_from(pid).ok().filter(|pid| *pid > 1);
    let Some(on_host) = raw.and_then(Pid::from_raw) else {
        return Err(format!("{pid} is not a process id"));
    };
    // A process id of another host or name space would hit a stranger.
    let cgroup = read_proc(pid, "cgroup")?;
    if !cgroup.contains(container.as_str()) {
        return Err(format!("process {pid} of this host is not in the container"));
    }
    let leads_a_group = getpgid(Some(on_host)).is_ok_and(|group| group == on_host);
    let sent = if leads_a_group { kill_process_group(on_host, signal) } else { kill_process(on_host, signal) };
    match sent {
        // Gone already: what was wanted.
        Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
        Err(rustix::io::Errno::PERM) => kill_inside(docker, container, pid, signal).await,
        Err(errno) => Err(errno.to_string()),
    }
}

async fn kill_inside(docker: &Docker, container: &str, pid: i64, signal: Signal) -> Result<(), String> {
    let status = read_proc(pid, "status")?;
    // NSpid: the process id in each name space, the innermost last (proc_pid_status(5)).
    let inside =
        status.lines().find_map(|line| line.strip_prefix("NSpid:")).and_then(|ids| ids.split_whitespace().last());
    let inside = inside.ok_or("its process id in the container is not known")?;
    let number = signal.as_raw().to_string();
    let config = CreateExecOptions {
        cmd: Some(vec!["kill", "-s", number.as_str(), inside]),
        user: Some("0"),
        ..Default::default()
    };
    let id = docker.api.create_exec(container, config).await.map_err(|e| e.to_string())?.id;
    let start = StartExecOptions { detach: true, ..Default::default() };
    docker.api.start_exec(&id, Some(start)).await.map(drop).map_err(|e| e.to_string())
}

fn read_proc(pid: i64, file: &str) -> Result<String, String> {
    let path = std::path::PathBuf::from(format!("/proc/{pid}/{file}"));
    let bytes = files::read_limited(&path, 64 << 10).map_err(|e| crate::model::failure::chain(&e))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
