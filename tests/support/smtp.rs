//! A real mail server (aiosmtpd) that keeps what it takes in a directory.

#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::allow_attributes,
    reason = "every test file uses its own part"
)]

use std::{
    fs,
    net::{TcpListener, TcpStream},
    path::PathBuf,
    process::{Command, Stdio},
    sync::mpsc,
    thread::JoinHandle,
    time::{Duration, Instant},
};

use tempfile::TempDir;

use super::authority::Authority;

/// Takes mail for everybody but `nobody@…` (550) and `later@…` (451).
const SERVER: &str = r#"
import asyncio, os, ssl, sys
from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword
dir, port, mode, password = sys.argv[1:5]
class Keep:
    async def handle_RCPT(self, server, session, envelope, address, options):
        if address.startswith("nobody@"):
            return "550 no such user"
        if address.startswith("later@"):
            return "451 try again"
        envelope.rcpt_tos.append(address)
        return "250 OK"
    async def handle_DATA(self, server, session, envelope):
        name = f"{len(os.listdir(dir + '/mail')):04}"
        tls = server.transport.get_extra_info("sslcontext") is not None
        head = f"X-Got-Tls: {tls}\nX-Got-From: {envelope.mail_from}\nX-Got-To: {' '.join(envelope.rcpt_tos)}\n"
        with open(f"{dir}/mail/{name}", "wb") as f:
            f.write(head.encode() + envelope.content)
        return "250 OK"
def check(server, session, envelope, mechanism, data):
    ok = isinstance(data, LoginPassword) and data.login == b"maint" and data.password == password.encode()
    return AuthResult(success=ok, handled=False)
context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
context.load_cert_chain(dir + "/certificate.pem", dir + "/key.pem")
def make():
    login = dict(authenticator=check, auth_required=True, auth_require_tls=mode == "starttls") if password else {}
    starttls = dict(tls_context=context, require_starttls=True) if mode == "starttls" else {}
    return SMTP(Keep(), hostname="localhost", **starttls, **login)
async def main():
    tls = context if mode == "implicit" else None
    server = await asyncio.get_running_loop().create_server(make, "127.0.0.1", int(port), ssl=tls)
    await server.serve_forever()
asyncio.run(main())
"#;

/// A running mail server; gone with its owner.
pub struct MailServer {
    dir: TempDir,
    pub port: u16,
    stop: Option<mpsc::Sender<()>>,
    keeper: Option<JoinHandle<()>>,
}

impl MailServer {
    /// `mode` is `plain`, `starttls` or `implicit`; with a password it asks for user `maint`.
    pub fn start(authority: &Authority, mode: &'static str, password: &'static str) -> Self {
        let dir = tempfile::Builder::new().prefix("maint-smtp-").tempdir().unwrap();
        fs::create_dir(dir.path().join("mail")).unwrap();
        fs::write(dir.path().join("certificate.pem"), &authority.certificate).unwrap();
        fs::write(dir.path().join("key.pem"), &authority.key).unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let home = PathBuf::from(std::env::var_os("HOME").unwrap_or_else(|| "/root".into()));
        let cache = std::env::var_os("MAINT_TEST_CACHE").map_or(home.join(".cache/maint-tests"), PathBuf::from);
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL"]).arg(cache.join("python/bin/python")).args(["-c", SERVER]);
        command.arg(dir.path()).args([&port.to_string(), mode, password]);
        let log = fs::File::create(dir.path().join("log")).unwrap();
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        let (stop, stopped) = mpsc::channel();
        // The kernel ends the server when this thread ends (PR_SET_PDEATHSIG is about threads).
        let keeper = std::thread::spawn(move || {
            let mut child = command.spawn().expect("setpriv of util-linux");
            let _ = stopped.recv();
            let _ = child.kill();
            let _ = child.wait();
        });
        let server = Self { dir, port, stop: Some(stop), keeper: Some(keeper) };
        let begun = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            let log = fs::read_to_string(server.dir.path().join("log")).unwrap_or_default();
            let up = begun.elapsed() < Duration::from_secs(20);
            assert!(up, "no mail server; scripts/install-deps test installs it:\n{log}");
            std::thread::sleep(Duration::from_millis(50));
        }
        server
    }

    /// The mails that it took, in their order.
    pub fn mails(&self) -> Vec<String> {
        let mut names: Vec<_> =
            fs::read_dir(self.dir.path().join("mail")).unwrap().map(|e| e.unwrap().path()).collect();
        names.sort();
        names.iter().map(|path| fs::read_to_string(path).unwrap().replace("\r\n", "\n")).collect()
    }
}

impl Drop for MailServer {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(keeper) = self.keeper.take() {
            let _ = keeper.join();
        }
    }
}
