//! A faulty proxy in front of a real server: what happens to a request is up to the test.
//!
//! One connection carries one request. A request goes to the first rule that wants it and is not used up, else through.

#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::allow_attributes,
    reason = "every test file uses its own part"
)]

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    sync::{Arc, Mutex},
    time::Duration,
};

/// What is done to a request or its answer.
#[derive(Debug, Clone)]
pub enum Fault {
    /// Answered with this status and body; the server never sees it.
    Answer(u16, &'static str),
    /// Passed on, and answered only after a while.
    Slow(Duration),
    /// Cut off after so many bytes of its body; the server sees the same.
    Reset(usize),
    /// Passed on; the connection ends after so many bytes of the answer's body.
    Truncate(usize),
    /// Passed on; the answer is lost.
    LoseAnswer,
    /// One bit of the request's body changes on its way.
    FlipSent(usize),
    /// One bit of the answer's body changes on its way.
    FlipAnswer(usize),
    /// A header of the answer has another value.
    Header(&'static str, &'static str),
    /// A header of the answer is missing.
    NoHeader(&'static str),
}

/// A request's first line and headers, in lower case.
#[derive(Debug, Clone)]
pub struct Head {
    pub method: String,
    pub target: String,
    pub headers: Vec<(String, String)>,
}

impl Head {
    /// Whether it is this operation: `PUT`, `POST`, … with all of these words in its target.
    pub fn is(&self, method: &str, words: &[&str]) -> bool {
        self.method == method && words.iter().all(|word| self.target.contains(word))
    }

    fn length(&self) -> usize {
        self.header("content-length").and_then(|text| text.parse().ok()).unwrap_or(0)
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

type Wants = Box<dyn Fn(&Head) -> bool + Send>;

struct Rule {
    wants: Wants,
    times: usize,
    fault: Fault,
}

/// A running proxy. Its threads end with the process.
pub struct Proxy {
    port: u16,
    rules: Arc<Mutex<Vec<Rule>>>,
    seen: Arc<Mutex<Vec<String>>>,
}

impl Proxy {
    /// Starts one in front of a port of this host.
    pub fn before(server: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (rules, seen) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Mutex::new(Vec::new())));
        let proxy = Self { port, rules: rules.clone(), seen: seen.clone() };
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let (rules, seen) = (rules.clone(), seen.clone());
                std::thread::spawn(move || {
                    // What breaks off here is what the test is about, or a client that has gone.
                    let _ = serve(client, server, &rules, &seen);
                });
            }
        });
        proxy
    }

    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The next `times` requests that are wanted have this fault.
    pub fn fault(&self, times: usize, fault: Fault, wants: impl Fn(&Head) -> bool + Send + 'static) {
        self.rules.lock().unwrap().push(Rule { wants: Box::new(wants), times, fault });
    }

    /// From now on all goes through.
    pub fn heal(&self) {
        self.rules.lock().unwrap().clear();
    }

    /// How often a fault is still to come.
    pub fn left(&self) -> usize {
        self.rules.lock().unwrap().iter().map(|rule| rule.times).sum()
    }

    /// The requests so far, as `METHOD target`, and forgets them.
    pub fn seen(&self) -> Vec<String> {
        std::mem::take(&mut self.seen.lock().unwrap())
    }
}

fn serve(client: TcpStream, server: u16, rules: &Mutex<Vec<Rule>>, seen: &Mutex<Vec<String>>) -> io::Result<()> {
    let mut reader = BufReader::new(client.try_clone()?);
    let (first, headers) = read_head(&mut reader)?;
    let mut words = first.split(' ');
    let (method, target) = (words.next().unwrap_or_default().to_owned(), words.next().unwrap_or_default().to_owned());
    let head = Head { method, target, headers };
    seen.lock().unwrap().push(format!("{} {}", head.method, head.target));
    let fault = {
        let mut rules = rules.lock().unwrap();
        let rule = rules.iter_mut().find(|rule| rule.times > 0 && (rule.wants)(&head));
        rule.map(|rule| {
            rule.times -= 1;
            rule.fault.clone()
        })
    };
    if head.header("expect").is_some() {
        (&client).write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
    }
    if let Some(Fault::Answer(status, body)) = fault {
        io::copy(&mut (&mut reader).take(head.length() as u64), &mut io::sink())?;
        write!(
            &client,
            "HTTP/1.1 {status} x\r\ncontent-type: application/xml\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
            body.len()
        )?;
        return finish(&client);
    }
    let upstream = TcpStream::connect(("127.0.0.1", server))?;
    send(&first, &head, &mut reader, &upstream, fault.as_ref(), &client)?;
    if let Some(Fault::Slow(pause)) = fault {
        std::thread::sleep(pause);
    }
    answer(&head, upstream, &client, fault.as_ref())
}

fn read_head(reader: &mut impl BufRead) -> io::Result<(String, Vec<(String, String)>)> {
    let (mut first, mut headers) = (String::new(), Vec::new());
    reader.read_line(&mut first)?;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let Some((name, value)) = line.trim_end().split_once(':') else {
            return Ok((first.trim_end().to_owned(), headers));
        };
        headers.push((name.to_lowercase(), value.trim().to_owned()));
    }
}

fn send(
    first: &str,
    head: &Head,
    reader: &mut impl Read,
    mut upstream: &TcpStream,
    fault: Option<&Fault>,
    client: &TcpStream,
) -> io::Result<()> {
    let mut text = format!("{first}\r\n");
    for (name, value) in head.headers.iter().filter(|(name, _)| !matches!(name.as_str(), "connection" | "expect")) {
        text += &format!("{name}: {value}\r\n");
    }
    upstream.write_all(format!("{text}connection: close\r\n\r\n").as_bytes())?;
    let (mut at, length, mut buffer) = (0, head.length(), vec![0; 64 << 10]);
    while at < length {
        let most = buffer.len().min(length - at);
        let read = reader.read(&mut buffer[..most])?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        match fault {
            Some(Fault::FlipSent(place)) if (at..at + read).contains(place) => buffer[place - at] ^= 1,
            Some(Fault::Reset(place)) if at + read > *place => {
                upstream.write_all(&buffer[..place - at])?;
                reset(upstream);
                reset(client);
                return Err(io::ErrorKind::ConnectionReset.into());
            }
            _ => {}
        }
        upstream.write_all(&buffer[..read])?;
        at += read;
    }
    Ok(())
}

fn answer(head: &Head, upstream: TcpStream, mut client: &TcpStream, fault: Option<&Fault>) -> io::Result<()> {
    let mut reader = BufReader::new(upstream);
    let (first, mut headers) = read_head(&mut reader)?;
    if matches!(fault, Some(Fault::LoseAnswer)) {
        io::copy(&mut reader, &mut io::sink())?;
        reset(client);
        return Ok(());
    }
    match fault {
        Some(Fault::Header(name, value)) => {
            for header in headers.iter_mut().filter(|(key, _)| key == name) {
                (*value).clone_into(&mut header.1);
            }
        }
        Some(Fault::NoHeader(name)) => headers.retain(|(key, _)| key != name),
        _ => {}
    }
    let mut text = format!("{first}\r\n");
    for (name, value) in headers.iter().filter(|(name, _)| name != "connection") {
        text += &format!("{name}: {value}\r\n");
    }
    client.write_all(format!("{text}connection: close\r\n\r\n").as_bytes())?;
    if head.method == "HEAD" {
        return finish(client);
    }
    let (mut at, mut buffer) = (0, vec![0; 64 << 10]);
    loop {
        let read = reader.read(&mut buffer)?;
        if read == 0 {
            return finish(client);
        }
        match fault {
            Some(Fault::FlipAnswer(place)) if (at..at + read).contains(place) => buffer[place - at] ^= 1,
            Some(Fault::Truncate(place)) if at + read > *place => {
                client.write_all(&buffer[..place - at])?;
                return finish(client);
            }
            _ => {}
        }
        client.write_all(&buffer[..read])?;
        at += read;
    }
}

/// Ends a connection in order: the other side sees what was written.
fn finish(mut stream: &TcpStream) -> io::Result<()> {
    stream.flush()?;
    stream.shutdown(Shutdown::Write)?;
    stream.set_read_timeout(Some(Duration::from_secs(1)))?;
    io::copy(&mut stream, &mut io::sink()).map(drop)
}

/// Ends a connection with a reset, once its last handle is dropped.
fn reset(stream: &TcpStream) {
    let _ = rustix::net::sockopt::set_socket_linger(stream, Some(Duration::ZERO));
}
