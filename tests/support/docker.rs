//! A private Docker engine: own data, own socket, no network, shared by the tests of a binary, gone afterwards.
//!
//! dockerd needs root. Images come from /bin/busybox by `docker import`; nothing is pulled.

#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::allow_attributes,
    reason = "every test file uses its own part"
)]

use std::{
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex, Weak, mpsc},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use tempfile::TempDir;

/// The image of every container in the tests.
pub const IMAGE: &str = "maint-test";

/// A running engine. The last test that holds it stops it.
pub struct Engine {
    dir: TempDir,
    stop: Option<mpsc::Sender<()>>,
    keeper: Option<JoinHandle<()>>,
    network: Network,
    is_newer: bool,
}

/// Programs of the next Debian, by their path in it: an engine with a newer API, compose 2, buildx.
pub fn newer(path: &str) -> PathBuf {
    let home = || PathBuf::from(std::env::var_os("HOME").unwrap()).join(".cache/maint-tests");
    let cache = std::env::var_os("MAINT_TEST_CACHE").map_or_else(home, PathBuf::from);
    let path = cache.join("trixie/docker").join(path);
    assert!(path.exists(), "{} is not there: scripts/install-deps test", path.display());
    path
}

/// Makes a directory the home of somebody whose docker command has its plugins compose and buildx.
pub fn give_plugins(home: &Path) {
    let plugins = home.join(".docker/cli-plugins");
    std::fs::create_dir_all(&plugins).unwrap();
    for name in ["docker-compose", "docker-buildx"] {
        let program = newer(&format!("usr/libexec/docker/cli-plugins/{name}"));
        std::os::unix::fs::symlink(program, plugins.join(name)).unwrap();
    }
}

/// Whether containers can have networks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Network {
    /// They have none.
    Without,
    /// The engine has a network name space of its own, with bridges that nobody else sees and that are gone with it.
    Own,
}

impl Engine {
    /// The engine of this test binary.
    pub fn shared() -> Arc<Self> {
        static SHARED: Mutex<Weak<Engine>> = Mutex::new(Weak::new());
        let mut shared = SHARED.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(engine) = shared.upgrade() {
            return engine;
        }
        let engine = Arc::new(Self::start());
        *shared = Arc::downgrade(&engine);
        engine
    }

    /// The engine of this test binary for containers that talk to each other.
    pub fn shared_with_networks() -> Arc<Self> {
        static SHARED: Mutex<Weak<Engine>> = Mutex::new(Weak::new());
        let mut shared = SHARED.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(engine) = shared.upgrade() {
            return engine;
        }
        let engine = Arc::new(Self::start_with(Network::Own, false));
        *shared = Arc::downgrade(&engine);
        engine
    }

    /// An engine of one's own: for tests that stop it.
    pub fn start() -> Self {
        Self::start_with(Network::Without, false)
    }

    /// One of one's own with a newer API.
    pub fn start_newer() -> Self {
        Self::start_with(Network::Without, true)
    }

    fn start_with(network: Network, is_newer: bool) -> Self {
        assert!(
            rustix::process::geteuid().is_root(),
            "the Docker tests start a private dockerd, which needs root: run scripts/test as root"
        );
        let dir = tempfile::Builder::new().prefix("maint-docker-").tempdir().expect("a temporary directory");
        let mut engine = Self { dir, stop: None, keeper: None, network, is_newer };
        engine.resume();
        engine.import_busybox();
        engine
    }

    /// Starts dockerd on the engine's directory; again after [`halt`](Self::halt).
    pub fn resume(&mut self) {
        let (stop, stopped) = mpsc::channel();
        let (up, is_up) = mpsc::channel();
        let (dir, network, is_newer) = (self.dir.path().to_owned(), self.network, self.is_newer);
        // The kernel ends dockerd when this thread ends (PR_SET_PDEATHSIG is about threads): also when the tests are
        // killed. So the thread waits as long as the engine is wanted.
        self.keeper = Some(std::thread::spawn(move || {
            let mut child = spawn(&dir, network, is_newer);
            up.send(()).expect("the engine waits");
            let _ = stopped.recv();
            end(&mut child);
        }));
        self.stop = Some(stop);
        is_up.recv().expect("dockerd was not started; install it: apt-get install docker.io");
        let start = Instant::now();
        while !self.try_docker(&["version"]).0 {
            let log = std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default();
            assert!(start.elapsed() < Duration::from_secs(30), "dockerd did not come up:\n{log}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Stops dockerd; what it keeps stays.
    pub fn halt(&mut self) {
        drop(self.stop.take());
        if let Some(keeper) = self.keeper.take() {
            let _ = keeper.join();
        }
    }

    /// Where maint reaches it.
    pub fn host(&self) -> String {
        format!("unix://{}", self.socket().display())
    }

    /// Its socket.
    pub fn socket(&self) -> PathBuf {
        self.dir.path().join("docker.sock")
    }

    /// Runs the docker command; gives its stdout without the last newline.
    pub fn docker(&self, args: &[&str]) -> String {
        let (ok, text) = self.try_docker(args);
        assert!(ok, "docker {args:?}: {text}");
        text
    }

    /// Runs the docker command; gives whether it worked and what it said.
    pub fn try_docker(&self, args: &[&str]) -> (bool, String) {
        let output = Command::new("docker").arg("--host").arg(self.host()).args(args).stdin(Stdio::null()).output();
        let output = output.expect("the docker command: apt-get install docker.io");
        let said = if output.status.success() { output.stdout } else { output.stderr };
        (output.status.success(), String::from_utf8_lossy(&said).trim_end().to_owned())
    }

    /// Starts a container without a network that runs until it is stopped.
    pub fn run(&self, name: &str, args: &[&str]) {
        let mut all = vec!["run", "--detach", "--name", name, "--network", "none"];
        all.extend(args);
        all.extend([IMAGE, "sleep", "1000000"]);
        self.docker(&all);
    }

    /// What a container is doing: `running`, `paused`, `exited`, …
    pub fn state(&self, name: &str) -> String {
        self.docker(&["inspect", "--format", "{{.State.Status}}", name])
    }

    /// When a container's program was started.
    pub fn started(&self, name: &str) -> String {
        self.docker(&["inspect", "--format", "{{.State.StartedAt}}", name])
    }

    /// Waits until a container does what is expected.
    pub fn wait_for(&self, name: &str, state: &str, within: Duration) {
        let start = Instant::now();
        while self.state(name) != state {
            assert!(start.elapsed() < within, "{name} is {}, not {state}, after {within:?}", self.state(name));
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// A fresh volume; gives its mount point.
    pub fn volume(&self, name: &str) -> PathBuf {
        self.docker(&["volume", "create", name]);
        self.docker(&["volume", "inspect", "--format", "{{.Mountpoint}}", name]).into()
    }

    /// Imports a directory tree as an image.
    pub fn import(&self, root: &Path, image: &str) {
        let tar = tempfile::NamedTempFile::new().unwrap();
        let packed = Command::new("tar").arg("-C").arg(root).arg("-cf").arg(tar.path()).arg(".").status().unwrap();
        assert!(packed.success());
        self.docker(&["import", tar.path().to_str().unwrap(), image]);
    }

    /// A tree with busybox and nothing else: what [`IMAGE`] is made from.
    pub fn busybox_tree(&self) -> PathBuf {
        self.dir.path().join("root")
    }

    fn import_busybox(&self) {
        let root = self.busybox_tree();
        std::fs::create_dir_all(root.join("bin")).unwrap();
        std::fs::create_dir_all(root.join("tmp")).unwrap();
        std::fs::copy("/bin/busybox", root.join("bin/busybox")).expect("apt-get install busybox-static");
        let list = Command::new(root.join("bin/busybox")).arg("--list").output().unwrap();
        for applet in String::from_utf8(list.stdout).unwrap().lines().filter(|applet| *applet != "busybox") {
            std::os::unix::fs::symlink("busybox", root.join("bin").join(applet)).unwrap();
        }
        self.import(&root, IMAGE);
    }
}

fn spawn(dir: &Path, network: Network, is_newer: bool) -> Child {
    let log = std::fs::File::create(dir.join("log")).unwrap();
    let at = |name: &str| dir.join(name).display().to_string();
    let own_network: &[&str] = match network {
        Network::Without => &[],
        Network::Own => &["unshare", "--net", "sh", "-c", "busybox ip link set lo up && exec \"$@\"", "sh"],
    };
    let mut path = std::env::var_os("PATH").unwrap_or_default();
    if is_newer {
        // dockerd finds its containerd there too.
        let own = [newer("usr/sbin"), newer("usr/bin")];
        path = std::env::join_paths(own.into_iter().chain(std::env::split_paths(&path))).unwrap();
    }
    Command::new("setpriv")
        .env("PATH", path)
        .args(["--pdeathsig", "TERM"])
        .args(own_network)
        .arg("dockerd")
        .args(["--data-root", &at("data"), "--exec-root", &at("exec"), "--pidfile", &at("pid")])
        .args(["--host", &format!("unix://{}", at("docker.sock")), "--group", "root"])
        .args(["--bridge=none", "--iptables=false", "--ip6tables=false", "--ip-forward=false", "--ip-masq=false"])
        .args(["--shutdown-timeout", "2"])
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn()
        .expect("dockerd: apt-get install docker.io")
}

/// TERM, and KILL after a while.
fn end(child: &mut Child) {
    signal("TERM", &[child.id()]);
    let start = Instant::now();
    while child.try_wait().is_ok_and(|status| status.is_none()) {
        if start.elapsed() > Duration::from_secs(20) {
            let _ = child.kill();
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn signal(name: &str, pids: &[u32]) {
    let pids = pids.iter().map(u32::to_string);
    let _ = Command::new("kill").arg(format!("-{name}")).args(pids).stderr(Stdio::null()).status();
}

/// Processes that name this directory in their command line: containerd and its shims, where dockerd left some.
fn leftovers(dir: &Path) -> Vec<u32> {
    let dir = dir.as_os_str().as_encoded_bytes();
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let names = |pid: &u32| {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        *pid != std::process::id() && line.windows(dir.len()).any(|window| window == dir)
    };
    pids.filter(names).collect()
}

fn mounts_below(dir: &Path) -> Vec<String> {
    let table = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let points = table.lines().filter_map(|line| line.split(' ').nth(1).map(str::to_owned));
    points.filter(|point| Path::new(point).starts_with(dir)).collect()
}

impl Drop for Engine {
    fn drop(&mut self) {
        if self.keeper.is_some() {
            let (_, ids) = self.try_docker(&["ps", "--all", "--quiet"]);
            for id in ids.lines() {
                self.try_docker(&["rm", "--force", id]);
            }
        }
        self.halt();
        let dir = self.dir.path();
        for _ in 0..50 {
            let left = leftovers(dir);
            if left.is_empty() {
                break;
            }
            signal("KILL", &left);
            std::thread::sleep(Duration::from_millis(20));
        }
        for mount in mounts_below(dir).iter().rev() {
            let _ = Command::new("umount").args(["--lazy", mount]).status();
        }
    }
}
