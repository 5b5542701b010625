//! A project of its own for a test: configuration, jobs, a tree to archive, and the real binary.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::allow_attributes,
    reason = "every test file uses its own part"
)]

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};

/// A temporary directory with a `maint.toml`, gone with its owner.
pub struct Project {
    dir: tempfile::TempDir,
    home: Option<PathBuf>,
}

/// How a command ended, as text.
#[derive(Debug)]
pub struct Ended {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl From<Output> for Ended {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

impl Ended {
    /// What it said, on one line: terminals' line breaks are no matter of most tests.
    pub fn said(&self) -> String {
        self.stdout.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    /// Asserts the exit code; shows everything when it is another one.
    #[track_caller]
    pub fn code(self, expected: i32) -> Self {
        assert_eq!(self.code, expected, "\n--- stdout\n{}\n--- stderr\n{}", self.stdout, self.stderr);
        self
    }
}

impl Project {
    /// `maint.toml` with a state directory of its own, plus `more`.
    pub fn new(more: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
        fs::create_dir(dir.path().join("jobs")).unwrap();
        let this = Self { dir, home: None };
        this.write("maint.toml", &format!("stack = \"test\"\nstate_dir = \"state\"\n{more}"));
        this
    }

    /// Who runs the real binary has this home from now on.
    pub fn set_home(&mut self, home: PathBuf) {
        self.home = Some(home);
    }

    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    pub fn at(&self, name: impl AsRef<Path>) -> PathBuf {
        self.path().join(name)
    }

    /// Writes a file, 0644 whatever the umask.
    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.at(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        path
    }

    /// A backup job with these steps: `(id, "kind = { … }")`.
    pub fn backup_job(&self, name: &str, steps: &[(&str, &str)]) {
        let mut text = format!("description = \"test\"\n[backup]\nseries = \"{name}\"\nperiod = \"month\"\n");
        for (id, step) in steps {
            text += &format!("[[step]]\nid = \"{id}\"\nretries = 0\ndo.{step}\n");
        }
        self.write(&format!("jobs/{name}.toml"), &text);
    }

    /// The command line of the real binary with this project's configuration.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_maint"));
        command.arg("--config").arg(self.at("maint.toml")).args(args).env_remove("MAINT_CONFIG").env("NO_COLOR", "1");
        command.envs(self.home.iter().map(|home| ("HOME", home)));
        command
    }

    /// Runs the real binary to its end.
    pub fn maint(&self, args: &[&str]) -> Ended {
        self.command(args).output().unwrap().into()
    }

    /// Starts the real binary and leaves it running.
    pub fn start(&self, args: &[&str]) -> Child {
        self.command(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    /// What is in `backups/`, as sorted relative paths of directories one below the series; staging apart.
    pub fn sets(&self) -> Vec<String> {
        let mut sets = Vec::new();
        for series in names(&self.at("backups")).into_iter().filter(|n| !n.starts_with('.')) {
            for period in names(&self.at("backups").join(&series)) {
                sets.push(format!("{series}/{period}"));
            }
        }
        sets
    }

    /// What dead or running runs have in staging.
    pub fn staging(&self) -> Vec<String> {
        names(&self.at("backups/.staging"))
    }
}

/// Sorted names in a directory; none when it is not there.
pub fn names(dir: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(dir) else { return Vec::new() };
    let mut names: Vec<_> = entries.map(|e| e.unwrap().file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// Waits until something is so; fails the test after ten seconds.
#[track_caller]
pub fn wait_for(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < Duration::from_secs(10), "waited ten seconds for: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
