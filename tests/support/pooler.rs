//! A real PgBouncer in front of a cluster.
#![expect(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests set their stage")]

use std::{
    fs,
    net::TcpStream,
    path::PathBuf,
    process::{Child, Stdio},
    time::{Duration, Instant},
};

use crate::postgres::{Cluster, SUPERUSER, as_postgres, free_port, hand_over};

/// A running PgBouncer, gone with its owner.
pub struct Pooler {
    child: Child,
    _dir: tempfile::TempDir,
    pub port: u16,
}

impl Pooler {
    /// Starts one; `more` are lines of its configuration.
    pub fn start(cluster: &Cluster, more: &str) -> Self {
        let dir = tempfile::Builder::new().prefix("pool").tempdir().unwrap();
        let port = free_port();
        let users = dir.path().join("users");
        fs::write(&users, format!("\"{SUPERUSER}\" \"\"\n")).unwrap();
        let ini = dir.path().join("pgbouncer.ini");
        let text = format!(
            "[databases]\n* = host={} port={}\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\n\
             unix_socket_dir =\nauth_type = trust\nauth_file = {}\nignore_startup_parameters = extra_float_digits\n{more}\n",
            cluster.socket_dir().display(),
            cluster.port,
            users.display()
        );
        fs::write(&ini, text).unwrap();
        for path in [dir.path().to_owned(), users, ini.clone()] {
            hand_over(&path);
        }
        // It ends with the test, however that ends.
        let mut command = as_postgres(&PathBuf::from("setpriv"));
        command.args(["--pdeathsig", "KILL", "pgbouncer", "-q"]).arg(&ini).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().expect("these tests need PgBouncer: apt-get install pgbouncer");
        let begun = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(begun.elapsed() < Duration::from_secs(10), "pgbouncer does not listen");
            std::thread::sleep(Duration::from_millis(20));
        }
        Self { child, _dir: dir, port }
    }

    /// It as a server of `maint.toml`.
    pub fn section(&self, name: &str) -> String {
        format!(
            "[postgres.{name}]\nhost = \"127.0.0.1\"\nport = {}\nuser = \"{SUPERUSER}\"\nsslmode = \"disable\"\n",
            self.port
        )
    }
}

impl Drop for Pooler {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
