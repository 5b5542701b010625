//! The only place that starts processes: an argv, never a shell; an own process group; TERM, grace, KILL.

use std::{
    collections::BTreeMap,
    ffi::{OsStr, OsString},
    fmt, io,
    os::{fd::OwnedFd, unix::process::ExitStatusExt},
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    sync::{Arc, Mutex, mpsc},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, BufReader},
    process::{Child, Command},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

use crate::model::failure::{Class, Diagnose};

/// How long a child may take to end after SIGTERM before it is killed.
const GRACE: Duration = Duration::from_secs(5);
/// How much of a child's stderr an error carries: the last lines say what happened.
const STDERR_TAIL_LINES: usize = 20;
/// The largest pipe that an unprivileged process may have by default (pipe(7)).
const PIPE_BYTES: usize = 1 << 20;
/// How much of a child's stdout [`output`] takes.
const OUTPUT_LIMIT: u64 = 4 << 20;

/// A process that could not be started, was stopped, or failed.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    #[error("`{program}` was not found")]
    NotFound { program: String },
    #[error("starting `{program}`")]
    Spawn { program: String, source: io::Error },
    #[error("reading from `{program}`")]
    Read { program: String, source: io::Error },
    #[error("`{program}` {end}{}", Tail(stderr))]
    Failed { program: String, end: ProcessEnd, stderr: String },
    #[error("`{program}` was stopped")]
    Cancelled { program: String },
}

struct Tail<'a>(&'a str);

impl fmt::Display for Tail<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() { Ok(()) } else { write!(f, ": {}", self.0.trim_end()) }
    }
}

impl Diagnose for ProcessError {
    fn class(&self) -> Class {
        match self {
            Self::Cancelled { .. } => Class::Interrupted,
            _ => Class::Failed,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::NotFound { program } => Some(format!("install {program}, or say where it is; see: maint doctor")),
            _ => None,
        }
    }
}

/// How a process ended: the one thing that decides whether its output is whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProcessEnd {
    /// It called exit.
    Exit(i64),
    /// A signal ended it.
    Signal(i32),
}

impl ProcessEnd {
    /// Whether it exited with 0.
    pub fn is_success(self) -> bool {
        self == Self::Exit(0)
    }
}

impl From<ExitStatus> for ProcessEnd {
    fn from(status: ExitStatus) -> Self {
        match (status.code(), status.signal()) {
            (Some(code), _) => Self::Exit(i64::from(code)),
            (None, Some(signal)) => Self::Signal(signal),
            (None, None) => Self::Exit(-1),
        }
    }
}

impl fmt::Display for ProcessEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exit(code) => write!(f, "exited with {code}"),
            Self::Signal(signal) => write!(f, "was killed by signal {signal}"),
        }
    }
}

/// What to start.
#[derive(Debug, Clone)]
pub struct Invocation {
    program: PathBuf,
    args: Vec<OsString>,
    env: BTreeMap<OsString, OsString>,
    user: Option<(u32, u32)>,
    dir: Option<PathBuf>,
    kept: bool,
}

impl Invocation {
    /// A program by path or by name on PATH. Its environment has only PATH, HOME, LANG=C and what [`env`](Self::env)
    /// adds: nothing of the caller's leaks in, and messages come in one language.
    pub fn new(program: impl Into<PathBuf>) -> Self {
        Self { program: program.into(), args: Vec::new(), env: BTreeMap::new(), user: None, dir: None, kept: false }
    }

    /// Adds an argument. Never a secret: everybody on the host can read argv.
    #[must_use]
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.args.push(arg.as_ref().to_owned());
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn args(mut self, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        self.args.extend(args.into_iter().map(|a| a.as_ref().to_owned()));
        self
    }

    /// Sets a variable. Never a secret: the same user and root can read a process's environment.
    #[must_use]
    pub fn env(mut self, key: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.env.insert(key.as_ref().to_owned(), value.as_ref().to_owned());
        self
    }

    /// Runs it as this user and group (needs root).
    #[must_use]
    pub fn user(mut self, uid: u32, gid: u32) -> Self {
        self.user = Some((uid, gid));
        self
    }

    /// Runs it in this directory.
    #[must_use]
    pub fn dir(mut self, dir: impl AsRef<Path>) -> Self {
        self.dir = Some(dir.as_ref().to_owned());
        self
    }

    /// Runs it under another program that takes a command line at the end of its own, as `nice` does. Environment, user
    /// and directory become the other's.
    #[must_use]
    pub fn under(mut self, outer: Self) -> Self {
        let inner = std::mem::replace(&mut self.program, outer.program);
        let args = std::mem::replace(&mut self.args, outer.args);
        self.args.push(inner.into_os_string());
        self.args.extend(args);
        self.env.extend(outer.env);
        self.kept |= outer.kept;
        self
    }

    /// For a program that asked the kernel to end it with its parent (PR_SET_PDEATHSIG): that is about the thread that
    /// started it, so it is started by one that waits until [`Running`] is dropped.
    #[must_use]
    pub fn kept(mut self) -> Self {
        self.kept = true;
        self
    }

    /// The program's name for messages.
    pub fn program(&self) -> String {
        self.program.file_name().unwrap_or(self.program.as_os_str()).to_string_lossy().into_owned()
    }

    #[expect(clippy::disallowed_methods, reason = "this is the process adapter")]
    pub(super) fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.args(&self.args).env_clear().process_group(0).stdin(Stdio::null());
        for key in ["PATH", "HOME"] {
            if let Some(value) = std::env::var_os(key) {
                command.env(key, value);
            }
        }
        command.env("LANG", "C").envs(&self.env);
        if let Some((uid, gid)) = self.user {
            command.uid(uid).gid(gid);
        }
        if let Some(dir) = &self.dir {
            command.current_dir(dir);
        }
        command
    }

    fn spawn(&self) -> Result<Running, ProcessError> {
        let program = self.program();
        let mut command = self.command();
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let spawned = if self.kept { spawn_by_keeper(command) } else { command.spawn().map(|child| (child, None)) };
        let (child, keeper) = spawned.map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => ProcessError::NotFound { program: program.clone() },
            _ => ProcessError::Spawn { program: program.clone(), source },
        })?;
        let group = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        Ok(Running { child, group, program, stderr: Arc::default(), stderr_reader: None, _keeper: keeper })
    }
}

/// Spawns from a thread that lives until the sender is dropped.
fn spawn_by_keeper(mut command: Command) -> io::Result<(Child, Option<mpsc::Sender<()>>)> {
    let runtime = tokio::runtime::Handle::try_current().map_err(io::Error::other)?;
    let (release, released) = mpsc::channel();
    let (tell, told) = mpsc::channel();
    std::thread::Builder::new().name("keeper".into()).spawn(move || {
        let _entered = runtime.enter();
        if tell.send(command.spawn()).is_ok() {
            // The end of the channel is what it waits for.
            let _ = released.recv();
        }
    })?;
    told.recv().map_err(io::Error::other)?.map(|child| (child, Some(release)))
}

/// A running child, the leader of its own process group. Dropping it kills the whole group.
#[derive(Debug)]
pub struct Running {
    child: Child,
    group: Option<Pid>,
    program: String,
    stderr: Arc<Mutex<Vec<String>>>,
    stderr_reader: Option<JoinHandle<()>>,
    _keeper: Option<mpsc::Sender<()>>,
}

impl Running {
    /// The child's process id, while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.child.id()
    }

    /// Sends a signal to the whole group; a group that is gone is fine.
    pub fn signal(&self, signal: Signal) {
        if let Some(group) = self.group {
            let _ = kill_process_group(group, signal);
        }
    }

    /// Waits for the child; TERM, grace, KILL when `cancel` fires.
    ///
    /// # Errors
    /// [`ProcessError::Cancelled`] after a cancellation, [`ProcessError::Read`] when it cannot be waited for.
    pub async fn wait(&mut self, cancel: &CancellationToken) -> Result<ProcessEnd, ProcessError> {
        let status = tokio::select! {
            status = self.child.wait() => status,
            () = cancel.cancelled() => {
                self.stop().await;
                return Err(ProcessError::Cancelled { program: self.program.clone() });
            }
        };
        self.group = None;
        if let Some(reader) = self.stderr_reader.take() {
            // A grandchild may hold stderr open; what was said so far is enough then.
            let _ = tokio::time::timeout(Duration::from_secs(1), reader).await;
        }
        status.map(ProcessEnd::from).map_err(|source| ProcessError::Read { program: self.program.clone(), source })
    }

    /// Ends the group: TERM, grace, KILL.
    pub async fn stop(&mut self) {
        self.signal(Signal::TERM);
        if tokio::time::timeout(GRACE, self.child.wait()).await.is_err() {
            self.signal(Signal::KILL);
            let _ = self.child.wait().await;
        }
        // Grandchildren of a leader that is gone.
        self.signal(Signal::KILL);
        self.group = None;
    }

    /// The last lines that it wrote to stderr.
    pub fn stderr(&self) -> String {
        self.stderr.lock().map(|lines| lines.join("\n")).unwrap_or_default()
    }

    /// The error for an end that is not a success.
    pub fn failure(&self, end: ProcessEnd) -> ProcessError {
        ProcessError::Failed { program: self.program.clone(), end, stderr: self.stderr() }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
    }
}

fn keep_tail(stream: tokio::process::ChildStderr, tail: Arc<Mutex<Vec<String>>>) -> JoinHandle<()> {
    tokio::spawn(async move {
        let mut lines = BufReader::new(stream).split(b'\n');
        while let Ok(Some(line)) = lines.next_segment().await {
            let line = String::from_utf8_lossy(&line).chars().take(2000).collect();
            if let Ok(mut tail) = tail.lock() {
                if tail.len() == STDERR_TAIL_LINES {
                    tail.remove(0);
                }
                tail.push(line);
            }
        }
    })
}

/// Starts a program whose stdout is to be read as a stream by a blocking thread.
///
/// # Errors
/// When it cannot be started.
pub fn stream(invocation: &Invocation) -> Result<(Running, OwnedFd), ProcessError> {
    let mut running = invocation.spawn()?;
    let program = running.program.clone();
    let stdout = running.child.stdout.take().map(tokio::process::ChildStdout::into_owned_fd);
    let stdout = match stdout {
        Some(Ok(fd)) => fd,
        Some(Err(source)) => return Err(ProcessError::Read { program, source }),
        None => return Err(ProcessError::Read { program, source: io::Error::other("no stdout") }),
    };
    // A wider pipe means fewer switches between writer and reader; where the kernel grants none, it works as well.
    let _ = rustix::pipe::fcntl_setpipe_size(&stdout, PIPE_BYTES);
    if let Some(stderr) = running.child.stderr.take() {
        running.stderr_reader = Some(keep_tail(stderr, running.stderr.clone()));
    }
    Ok((running, stdout))
}

/// Runs a program to its end and gives its stdout, up to 4 MiB.
///
/// # Errors
/// When it cannot be started, is cancelled, or ends with anything but 0.
pub async fn output(invocation: &Invocation, cancel: &CancellationToken) -> Result<String, ProcessError> {
    outputs(invocation, cancel).await.map(|(stdout, _)| stdout)
}

/// The same, with the last lines of its stderr.
///
/// # Errors
/// When it cannot be started, is cancelled, or ends with anything but 0.
pub async fn outputs(invocation: &Invocation, cancel: &CancellationToken) -> Result<(String, String), ProcessError> {
    let Ended { end, stdout, stderr } = ended(invocation, cancel).await?;
    match end.is_success() {
        true => Ok((stdout, stderr)),
        false => Err(ProcessError::Failed { program: invocation.program(), end, stderr }),
    }
}

/// How a program ended, and what it said.
#[derive(Debug)]
pub struct Ended {
    /// How it ended.
    pub end: ProcessEnd,
    /// The begin of its stdout, up to 4 MiB.
    pub stdout: String,
    /// The end of its stderr.
    pub stderr: String,
}

/// Runs a program to its end, whatever that is.
///
/// # Errors
/// When it cannot be started, or is cancelled.
pub async fn ended(invocation: &Invocation, cancel: &CancellationToken) -> Result<Ended, ProcessError> {
    let mut running = invocation.spawn()?;
    if let Some(stderr) = running.child.stderr.take() {
        running.stderr_reader = Some(keep_tail(stderr, running.stderr.clone()));
    }
    let stdout = running.child.stdout.take();
    let read = async {
        let mut bytes = Vec::new();
        if let Some(stdout) = stdout {
            stdout.take(OUTPUT_LIMIT).read_to_end(&mut bytes).await?;
        }
        Ok::<_, io::Error>(bytes)
    };
    let bytes = tokio::select! {
        bytes = read => bytes.map_err(|source| ProcessError::Read { program: running.program.clone(), source })?,
        () = cancel.cancelled() => Vec::new(),
    };
    let end = running.wait(cancel).await?;
    Ok(Ended { end, stdout: String::from_utf8_lossy(&bytes).into_owned(), stderr: running.stderr() })
}
