//! Servers of a test's own: on a free port, in a directory of their own, ended with the test, also when it is killed.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::allow_attributes,
    reason = "every test file uses its own part"
)]

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

/// A program that serves, until it is dropped.
pub struct Server {
    child: Child,
    /// Its directory.
    pub dir: tempfile::TempDir,
    /// Its port on 127.0.0.1.
    pub port: u16,
}

impl Server {
    /// Starts it, and waits until it takes connections. `set` gives it its arguments.
    pub fn start(program: &str, set: impl Fn(&mut Command, &std::path::Path, u16)) -> Self {
        let dir = tempfile::Builder::new().prefix("maint-").tempdir().unwrap();
        let port = free_port();
        let child = spawn(program, dir.path(), |command| set(command, dir.path(), port));
        let server = Self { child, dir, port };
        server.wait();
        server
    }

    fn wait(&self) {
        let begun = Instant::now();
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            let log = std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default();
            assert!(begun.elapsed() < Duration::from_secs(20), "the server did not come up:\n{log}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Ends it at once.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Starts a program that ends with this thread.
pub fn spawn(program: &str, dir: &std::path::Path, set: impl Fn(&mut Command)) -> Child {
    let log = std::fs::File::create(dir.join("log")).unwrap();
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", program]).current_dir(dir);
    set(&mut command);
    command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
    command.spawn().unwrap_or_else(|e| panic!("{program}: {e}"))
}

/// A free port of 127.0.0.1; with room above it, for programs that take a second one there.
pub fn free_port() -> u16 {
    loop {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        if port < 55_000 {
            return port;
        }
    }
}

/// An HTTP server that says what a test wants.
pub struct Responder {
    /// Its port on 127.0.0.1.
    pub port: u16,
    stop: Arc<Mutex<bool>>,
}

type Answer = dyn Fn(&str) -> (u16, String) + Send + Sync;

impl Responder {
    /// Answers a path with a status and a body.
    pub fn start(answer: impl Fn(&str) -> (u16, String) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let stop = Arc::new(Mutex::new(false));
        let (stopped, answer): (_, Arc<Answer>) = (stop.clone(), Arc::new(answer));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if *stopped.lock().unwrap() {
                    return;
                }
                let answer = answer.clone();
                std::thread::spawn(move || respond(stream, &*answer));
            }
        });
        Self { port, stop }
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }
}

impl Drop for Responder {
    fn drop(&mut self) {
        *self.stop.lock().unwrap() = true;
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

fn respond(mut stream: impl Read + Write, answer: &Answer) {
    let (mut bytes, mut part) = (Vec::new(), [0; 4096]);
    while !bytes.windows(4).any(|w| w == b"\r\n\r\n") {
        match stream.read(&mut part) {
            Ok(n) if n > 0 => bytes.extend_from_slice(&part[..n]),
            _ => return,
        }
    }
    let text = String::from_utf8_lossy(&bytes);
    let (status, body) = answer(text.split_whitespace().nth(1).unwrap_or("/"));
    let head = format!("HTTP/1.1 {status} x\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body.as_bytes()));
}

/// The same on a unix socket, as a Docker engine of another version: answers are JSON.
pub fn on_socket(path: &std::path::Path, answer: impl Fn(&str) -> (u16, String) + Send + Sync + 'static) {
    let listener = std::os::unix::net::UnixListener::bind(path).unwrap();
    let answer: Arc<Answer> = Arc::new(answer);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let answer = answer.clone();
            std::thread::spawn(move || respond(stream, &*answer));
        }
    });
}

/// A port that takes connections and never says a word.
pub fn silent() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    (listener, url)
}
