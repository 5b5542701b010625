//! An HTTP server on a thread that keeps what it is sent and answers as it is told to: a receiver of notifications.

#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::allow_attributes,
    reason = "every test file uses its own part"
)]

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use rustls::{ServerConfig, ServerConnection, StreamOwned};

/// How requests are answered.
#[derive(Debug, Clone)]
pub enum Answers {
    /// Each with this status and body.
    Always(u16, &'static str),
    /// So often with 503, then with 200.
    After(usize),
    /// Never.
    Hang,
}

/// One request.
#[derive(Debug, Clone)]
pub struct Got {
    pub path: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Got {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

/// A running receiver; its thread ends with the process.
pub struct Receiver {
    pub port: u16,
    scheme: &'static str,
    state: Arc<Mutex<State>>,
}

struct State {
    answers: Answers,
    got: Vec<Got>,
}

impl Receiver {
    pub fn start() -> Self {
        Self::serve(None)
    }

    /// The same with TLS.
    pub fn with_tls(config: Arc<ServerConfig>) -> Self {
        Self::serve(Some(config))
    }

    fn serve(tls: Option<Arc<ServerConfig>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::new(Mutex::new(State { answers: Answers::Always(200, "ok"), got: Vec::new() }));
        let (shared, scheme) = (state.clone(), if tls.is_some() { "https" } else { "http" });
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (state, tls) = (shared.clone(), tls.clone());
                std::thread::spawn(move || match tls {
                    Some(config) => {
                        let tls = StreamOwned::new(ServerConnection::new(config).unwrap(), stream);
                        answer(tls, &state);
                    }
                    None => answer(stream, &state),
                });
            }
        });
        Self { port, scheme, state }
    }

    pub fn url(&self, path: &str) -> String {
        format!("{}://localhost:{}{path}", self.scheme, self.port)
    }

    /// How it answers from now on.
    pub fn answers(&self, answers: Answers) {
        self.state.lock().unwrap().answers = answers;
    }

    /// What it got so far, and forgets.
    pub fn take(&self) -> Vec<Got> {
        std::mem::take(&mut self.state.lock().unwrap().got)
    }

    /// What it got below a path so far.
    pub fn count(&self, path: &str) -> usize {
        self.state.lock().unwrap().got.iter().filter(|got| got.path.starts_with(path)).count()
    }

    /// Waits for a request; fails the test after ten seconds.
    pub fn wait(&self) {
        let begun = Instant::now();
        while self.state.lock().unwrap().got.is_empty() {
            assert!(begun.elapsed() < Duration::from_secs(10), "no request came");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

fn answer(stream: impl Read + Write, state: &Mutex<State>) {
    let mut reader = BufReader::new(stream);
    let Some(got) = request(&mut reader) else { return };
    let answers = {
        let mut state = state.lock().unwrap();
        state.got.push(got);
        let now = state.answers.clone();
        if let Answers::After(left @ 1..) = now {
            state.answers = Answers::After(left - 1);
        }
        now
    };
    let (status, body) = match answers {
        Answers::Always(status, body) => (status, body),
        Answers::After(0) => (200, "ok"),
        Answers::After(_) => (503, "not now"),
        Answers::Hang => {
            // Until the client goes away.
            let _ = reader.read(&mut [0; 1]);
            return;
        }
    };
    let mut stream = reader.into_inner();
    let location = if (300..400).contains(&status) { "location: /elsewhere\r\n" } else { "" };
    let head = format!("HTTP/1.1 {status} X\r\nconnection: close\r\n{location}content-length: {}\r\n\r\n", body.len());
    let _ = stream.write_all(format!("{head}{body}").as_bytes()).and_then(|()| stream.flush());
}

fn request(reader: &mut impl BufRead) -> Option<Got> {
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let path = line.split(' ').nth(1)?.to_owned();
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        headers.push((name.to_owned(), value.trim().to_owned()));
    }
    let length = headers.iter().find(|(n, _)| n.eq_ignore_ascii_case("content-length"));
    let mut body = vec![0; length.map_or(0, |(_, value)| value.parse().unwrap())];
    reader.read_exact(&mut body).ok()?;
    Some(Got { path, headers, body })
}

/// Nobody listens there.
pub fn closed_port() -> u16 {
    let listener: TcpListener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

/// Whether something listens there.
pub fn listens(port: u16) -> bool {
    TcpStream::connect(("127.0.0.1", port)).is_ok()
}
