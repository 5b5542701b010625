//! Real PostgreSQL clusters for tests: private, stopped when dropped, also on panic.

#![expect(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests set their stage")]
#![allow(dead_code, clippy::allow_attributes, reason = "every test binary uses its own part")]

use std::{
    collections::BTreeMap,
    fs,
    io::Write,
    os::unix::{
        fs::{PermissionsExt, chown},
        process::CommandExt,
    },
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use maint::model::stack::{Docker, PostgresAddress, PostgresServer, SslMode, Stack};

/// The superuser of every test cluster.
pub const SUPERUSER: &str = "postgres";
const PORT: u16 = 5432;

/// A running cluster in a directory of its own.
pub struct Cluster {
    dir: tempfile::TempDir,
    server: Child,
    bin: PathBuf,
    /// The TCP port on 127.0.0.1; the socket has the same number.
    pub port: u16,
}

/// How a cluster differs from the plain one.
#[derive(Default)]
pub struct Options<'a> {
    /// `postgres -c` settings.
    pub settings: &'a [(&'a str, &'a str)],
    /// Further options of `initdb`.
    pub initdb: &'a [&'a str],
    /// Lines of `pg_hba.conf`, instead of trust for everybody.
    pub hba: Option<&'a str>,
    /// Whether it listens on 127.0.0.1.
    pub tcp: bool,
    /// Prepares the data directory (certificates).
    pub prepare: Option<fn(&Path)>,
}

impl Cluster {
    /// Starts a plain cluster: trust, unix socket only.
    pub fn start() -> Self {
        Self::start_with(&Options::default())
    }

    /// Starts a cluster.
    pub fn start_with(options: &Options<'_>) -> Self {
        let bin = bin_dir();
        let dir = tempfile::Builder::new().prefix("pg").tempdir().unwrap();
        let data = dir.path().join("data");
        fs::create_dir(&data).unwrap();
        hand_over(dir.path());
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
        hand_over(&data);
        let mut initdb = as_postgres(&bin.join("initdb"));
        initdb.args(["--auth=trust", "--no-sync", "--no-instructions", "--encoding=UTF8", "--locale=C.UTF-8"]);
        initdb.arg(format!("--username={SUPERUSER}")).arg("-D").arg(&data).args(options.initdb);
        run("initdb", &mut initdb);
        if let Some(lines) = options.hba {
            fs::write(data.join("pg_hba.conf"), lines).unwrap();
        }
        if let Some(prepare) = options.prepare {
            prepare(&data);
            for entry in fs::read_dir(&data).unwrap() {
                hand_over(&entry.unwrap().path());
            }
        }
        let port = if options.tcp { free_port() } else { PORT };
        let server = start_server(&bin, dir.path(), port, options);
        let mut cluster = Self { dir, server, bin, port };
        cluster.wait_until_ready();
        cluster
    }

    /// A hot standby of it, with a slot there of the same name.
    pub fn standby(&self, name: &str) -> Self {
        let dir = tempfile::Builder::new().prefix("pg").tempdir().unwrap();
        hand_over(dir.path());
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let mut backup = as_postgres(&self.bin.join("pg_basebackup"));
        let primary = format!("host={} port={} user={SUPERUSER}", self.socket_dir().display(), self.port);
        backup.args(["-d", &primary, "-C", "-S", name, "-R", "-X", "stream", "--checkpoint=fast", "--no-sync", "-D"]);
        run("pg_basebackup", backup.arg(dir.path().join("data")));
        let (cluster_name, often) = (("cluster_name", name), ("wal_receiver_status_interval", "1s"));
        let options = Options {
            settings: &[cluster_name, often, ("wal_retrieve_retry_interval", "200ms")],
            ..Default::default()
        };
        let server = start_server(&self.bin, dir.path(), PORT, &options);
        let mut standby = Self { dir, server, bin: self.bin.clone(), port: PORT };
        standby.wait_until_ready();
        standby
    }

    fn wait_until_ready(&mut self) {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            let ready = Command::new(self.bin.join("pg_isready"))
                .args(["-q", "-h"])
                .arg(self.socket_dir())
                .args(["-p", &self.port.to_string()])
                .status();
            if ready.unwrap().success() {
                return;
            }
            let log = || fs::read_to_string(self.dir.path().join("log")).unwrap_or_default();
            assert!(self.server.try_wait().unwrap().is_none(), "the server ended at once: {}", log());
            assert!(Instant::now() < deadline, "the server did not answer: {}", log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// The directory of its socket.
    pub fn socket_dir(&self) -> &Path {
        self.dir.path()
    }

    /// The directory of its data.
    pub fn data_dir(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// The server as a stack names it, by its socket.
    pub fn server(&self, dbname: &str) -> PostgresServer {
        PostgresServer {
            name: "production".into(),
            address: PostgresAddress::Socket { dir: self.socket_dir().to_owned(), port: self.port },
            tools_in: None,
            user: SUPERUSER.into(),
            dbname: dbname.into(),
            password: None,
            sslmode: SslMode::Prefer,
            sslrootcert: None,
            bin_dir: Some(self.bin.clone()),
            lock_timeout: Duration::from_secs(5),
        }
    }

    /// A client program with its connection to a database.
    pub fn tool(&self, program: &str, dbname: &str) -> Command {
        let mut command = Command::new(self.bin.join(program));
        command.env("PGHOST", self.socket_dir()).env("PGPORT", self.port.to_string());
        command.env("PGUSER", SUPERUSER).env("PGDATABASE", dbname).env("PGCLIENTENCODING", "UTF8");
        command
    }

    /// Runs SQL, stops at the first error, gives the rows unaligned.
    pub fn psql(&self, dbname: &str, sql: &str) -> String {
        let mut psql = self.tool("psql", dbname);
        psql.args(["-XAtq", "-v", "ON_ERROR_STOP=1", "-f", "-"]);
        String::from_utf8(feed("psql", &mut psql, sql.as_bytes()).stdout).unwrap().trim_end().to_owned()
    }

    /// Restores plain SQL with psql, with variables.
    pub fn restore(&self, dbname: &str, sql: &[u8], variables: &[(&str, &str)]) {
        let mut psql = self.tool("psql", dbname);
        psql.args(["-Xq", "-v", "ON_ERROR_STOP=1", "-f", "-"]);
        for (key, value) in variables {
            psql.args(["-v", &format!("{key}={value}")]);
        }
        feed("psql", &mut psql, sql);
    }

    /// A plain dump of a database, without the line that differs from run to run.
    pub fn pg_dump(&self, dbname: &str, options: &[&str]) -> String {
        let output = run("pg_dump", self.tool("pg_dump", dbname).args(options));
        without_restrict(&String::from_utf8(output.stdout).unwrap())
    }

    /// The roles and tablespaces, without the line that differs from run to run.
    pub fn globals(&self) -> String {
        let output = run("pg_dumpall", self.tool("pg_dumpall", "postgres").arg("--globals-only"));
        without_restrict(&String::from_utf8(output.stdout).unwrap())
    }

    /// Stops it hard, as a crash would.
    pub fn crash(&mut self) {
        signal(&self.server, "QUIT");
        self.server.wait().unwrap();
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if self.server.try_wait().is_ok_and(|ended| ended.is_none()) {
            signal(&self.server, "QUIT");
            let _ = self.server.wait();
        }
    }
}

/// A stack with this one server, its directories below `root`.
pub fn stack(root: &Path, server: PostgresServer) -> Arc<Stack> {
    Arc::new(Stack {
        postgres: BTreeMap::from([(server.name.clone(), server)]),
        docker: docker(),
        ..Stack::empty("test", root)
    })
}

/// An engine that no test of this theme asks.
pub fn docker() -> Docker {
    Docker { host: "unix:///nonexistent/docker.sock".into() }
}

/// The lines without `\restrict` and `\unrestrict`, whose keys are random where none is given.
pub fn without_restrict(dump: &str) -> String {
    dump.lines().filter(|l| !l.starts_with("\\restrict") && !l.starts_with("\\unrestrict")).fold(
        String::new(),
        |mut text, line| {
            text.push_str(line);
            text.push('\n');
            text
        },
    )
}

/// Where PostgreSQL 15 or the newest one is; `MAINT_TEST_POSTGRES` names the directory of another one.
pub fn bin_dir() -> PathBuf {
    if let Some(dir) = std::env::var_os("MAINT_TEST_POSTGRES") {
        return dir.into();
    }
    let mut dirs: Vec<PathBuf> = fs::read_dir("/usr/lib/postgresql")
        .map(|entries| entries.map(|e| e.unwrap().path().join("bin")).collect())
        .unwrap_or_default();
    dirs.retain(|dir| dir.join("initdb").exists());
    dirs.sort();
    dirs.pop().expect("these tests need PostgreSQL: apt-get install postgresql")
}

/// A free port of 127.0.0.1.
pub fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn start_server(bin: &Path, dir: &Path, port: u16, options: &Options<'_>) -> Child {
    let log = fs::File::create(dir.join("log")).unwrap();
    let mut postgres = as_postgres(&bin.join("postgres"));
    postgres.arg("-D").arg(dir.join("data")).arg("-p").arg(port.to_string()).arg("-k").arg(dir);
    let listen = if options.tcp { "listen_addresses=127.0.0.1" } else { "listen_addresses=" };
    postgres.args(["-c", listen, "-c", "fsync=off", "-c", "max_connections=30", "-c", "shared_buffers=16MB"]);
    for (key, value) in options.settings {
        postgres.arg("-c").arg(format!("{key}={value}"));
    }
    postgres.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap()
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

fn id(flag: &str) -> u32 {
    let output = run("id", Command::new("id").args([flag, "postgres"]));
    String::from_utf8(output.stdout).unwrap().trim().parse().unwrap()
}

/// PostgreSQL refuses root.
pub fn as_postgres(program: &Path) -> Command {
    let mut command = Command::new(program);
    command.env("LANG", "C").current_dir("/");
    if is_root() {
        command.uid(id("-u")).gid(id("-g"));
    }
    command
}

/// Gives a file to the user that runs the cluster.
pub fn hand_over(path: &Path) {
    if is_root() {
        chown(path, Some(id("-u")), Some(id("-g"))).unwrap();
    }
}

fn signal(child: &Child, name: &str) {
    run("kill", Command::new("kill").args([&format!("-{name}"), &child.id().to_string()]));
}

fn check(what: &str, output: Output) -> Output {
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{what}: {}: {stderr}", output.status);
    output
}

fn run(what: &str, command: &mut Command) -> Output {
    check(what, command.output().unwrap_or_else(|e| panic!("{what}: {e}")))
}

fn feed(what: &str, command: &mut Command, input: &[u8]) -> Output {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap_or_else(|e| panic!("{what}: {e}"));
    let mut stdin = child.stdin.take().unwrap();
    let output = std::thread::scope(|scope| {
        // A psql that stops at an error closes its end; its own message is the better one.
        scope.spawn(move || drop(stdin.write_all(input)));
        child.wait_with_output().unwrap()
    });
    check(what, output)
}

/// Gives the host's servers an extension of ours; its script may be anything.
pub fn fake_extension(name: &str, script: &str) {
    let share = run("pg_config", Command::new(bin_dir().join("pg_config")).arg("--sharedir")).stdout;
    let dir = PathBuf::from(String::from_utf8(share).unwrap().trim()).join("extension");
    fs::write(dir.join(format!("{name}.control")), "default_version = '1'\nrelocatable = false\n").unwrap();
    fs::write(dir.join(format!("{name}--1.sql")), script).unwrap();
}

/// Takes such an extension away again.
pub fn remove_extension(name: &str) {
    let share = run("pg_config", Command::new(bin_dir().join("pg_config")).arg("--sharedir")).stdout;
    let dir = PathBuf::from(String::from_utf8(share).unwrap().trim()).join("extension");
    fs::remove_file(dir.join(format!("{name}.control"))).unwrap();
    fs::remove_file(dir.join(format!("{name}--1.sql"))).unwrap();
}
