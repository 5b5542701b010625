//! A real nginx that shows certificates: one server block for each name.
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
    process::{Command, Output},
    time::{Duration, Instant},
};

use super::server::Server;

/// nginx; `web.test` is served with `web.test.crt` and `web.test.key` of its directory.
pub struct Nginx {
    pub server: Server,
}

impl Nginx {
    /// Starts it with these names, each with its chain and key.
    pub fn start(served: &[(&str, &str, &str)]) -> Self {
        let server = Server::start("setpriv", |command, dir, port| {
            let blocks: String = served.iter().map(|(name, chain, key)| block(dir, port, name, chain, key)).collect();
            // It takes weak certificates, which clients turn away.
            let conf = format!(
                "daemon off; pid nginx.pid; error_log stderr;\nevents {{}}\nhttp {{ access_log off; \
                 ssl_ciphers DEFAULT@SECLEVEL=0;\n{blocks}}}\n"
            );
            fs::write(dir.join("nginx.conf"), conf).unwrap();
            // A master that is killed would leave its workers behind.
            command.args(["--pdeathsig", "TERM", "nginx", "-p"]).arg(dir).args(["-e", "stderr", "-c", "nginx.conf"]);
        });
        Self { server }
    }

    /// Where a served name's file lies: `crt` or `key`.
    pub fn file(&self, name: &str, kind: &str) -> std::path::PathBuf {
        self.server.dir.path().join(format!("{name}.{kind}"))
    }

    /// `nginx OPTIONS` in its directory.
    pub fn nginx(&self, options: &[&str]) -> Output {
        let mut command = Command::new("nginx");
        command.arg("-p").arg(self.server.dir.path()).args(["-e", "stderr", "-c", "nginx.conf"]).args(options);
        command.output().unwrap()
    }

    /// Reads the configuration anew, and waits until the workers of before are gone: they take connections for a while.
    pub fn reload(&self) {
        let master = fs::read_to_string(self.server.dir.path().join("nginx.pid")).unwrap();
        let workers = Command::new("pgrep").args(["-P", master.trim()]).output().unwrap().stdout;
        assert!(self.nginx(&["-s", "reload"]).status.success());
        let begun = Instant::now();
        for worker in String::from_utf8_lossy(&workers).split_whitespace() {
            while Path::new("/proc").join(worker).exists() {
                assert!(begun.elapsed() < Duration::from_secs(20), "worker {worker} stays");
                std::thread::sleep(Duration::from_millis(10));
            }
        }
    }

    /// What OpenSSL's client says of a name: the end of its line `Verify return code`.
    pub fn openssl(&self, name: &str, ca_file: &Path) -> String {
        let mut client = Command::new("openssl");
        client.args(["s_client", "-connect", &format!("127.0.0.1:{}", self.server.port), "-servername", name]);
        client.args(["-verify_hostname", name, "-CAfile"]).arg(ca_file).stdin(std::process::Stdio::null());
        let said = String::from_utf8_lossy(&client.output().unwrap().stdout).into_owned();
        let line = said.lines().find_map(|line| line.trim().strip_prefix("Verify return code: "));
        line.unwrap_or(&said).to_owned()
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        self.nginx(&["-s", "stop"]);
        let begun = Instant::now();
        while self.server.dir.path().join("nginx.pid").exists() && begun.elapsed() < Duration::from_secs(2) {
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

fn block(dir: &Path, port: u16, name: &str, chain: &str, key: &str) -> String {
    fs::write(dir.join(format!("{name}.crt")), chain).unwrap();
    fs::write(dir.join(format!("{name}.key")), key).unwrap();
    format!(
        "server {{ listen 127.0.0.1:{port} ssl; server_name {name}; ssl_certificate {name}.crt; ssl_certificate_key \
         {name}.key; }}\n"
    )
}
