//! Hosts on which there is no cage, and what a test sees of processes.

#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::allow_attributes,
    reason = "every test file uses its own part"
)]

use std::{
    fs,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

/// What a host lacks.
#[derive(Debug, Clone, Copy)]
pub enum Without {
    Nothing,
    /// No `bwrap` on PATH.
    Bubblewrap,
    /// Another user than root.
    Root,
    /// Root as in a container: without the capability to make namespaces.
    Namespaces,
}

impl Without {
    /// Runs the real binary on such a host; gives stdout and stderr.
    pub fn maint(self, config: &Path, args: &[&str]) -> String {
        let bin = env!("CARGO_BIN_EXE_maint");
        // The programs of this host, without bubblewrap.
        let tools = tempfile::tempdir().unwrap();
        let mut command = match self {
            Self::Nothing | Self::Bubblewrap => Command::new(bin),
            Self::Root => under("setpriv", &["--reuid", "65534", "--regid", "65534", "--clear-groups", "--"], bin),
            Self::Namespaces => under("setpriv", &["--bounding-set=-sys_admin", "--inh-caps=-sys_admin", "--"], bin),
        };
        if matches!(self, Self::Bubblewrap) {
            without_bubblewrap(tools.path());
            command.env("PATH", tools.path());
        }
        command.arg("--config").arg(config).args(args).env_remove("MAINT_CONFIG").env("NO_COLOR", "1");
        let output = command.output().unwrap();
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
    }
}

fn under(program: &str, args: &[&str], bin: &str) -> Command {
    let mut command = Command::new(program);
    command.args(args).arg(bin);
    command
}

/// Links to every program of /usr/bin and /usr/sbin but one.
pub fn without_bubblewrap(dir: &Path) {
    for from in ["/usr/bin", "/usr/sbin"] {
        for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
            if entry.file_name() != "bwrap" {
                // Both directories have some names.
                let _ = std::os::unix::fs::symlink(entry.path(), dir.join(entry.file_name()));
            }
        }
    }
}

/// How many processes have this real user id.
pub fn alive_with_uid(uid: u32) -> usize {
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let statuses = processes.filter_map(|entry| fs::read_to_string(entry.path().join("status")).ok());
    let of_user = statuses.filter(|status| {
        let field = |name: &str| status.lines().find_map(|l| l.strip_prefix(name)?.split_whitespace().next());
        field("Uid:") == Some(uid.to_string().as_str()) && field("State:") != Some("Z")
    });
    of_user.count()
}

/// Waits until something is so; fails the test after twenty seconds.
#[track_caller]
pub fn wait_for(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < Duration::from_secs(20), "waited twenty seconds for: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
