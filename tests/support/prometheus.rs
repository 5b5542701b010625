//! A real Prometheus that scrapes what a test says, and a real Alertmanager.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::allow_attributes,
    reason = "every test file uses its own part"
)]

use std::{
    io::{Read, Write},
    net::TcpStream,
    path::Path,
    process::Command,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use super::server::{Responder, Server};

/// An exporter of the test's own, and the Prometheus that scrapes it every second.
pub struct Stack {
    /// What the exporter says.
    pub metrics: Arc<Mutex<String>>,
    pub exporter: Responder,
    pub prometheus: Server,
}

impl Stack {
    /// Starts both; `more` are further lines of the configuration.
    pub fn start(metrics: &str, more: &str) -> Self {
        Self::with_rules(metrics, more, "groups: []")
    }

    /// The same, with alerting rules.
    pub fn with_rules(metrics: &str, more: &str, rules: &str) -> Self {
        let metrics = Arc::new(Mutex::new(metrics.to_owned()));
        let said = metrics.clone();
        let exporter = Responder::start(move |_| (200, said.lock().unwrap().clone()));
        let prometheus = prometheus(&[exporter.port], more, rules);
        Self { metrics, exporter, prometheus }
    }

    /// Waits until a query has data.
    pub fn wait_for(&self, query: &str) {
        wait_for(&self.prometheus, query);
    }
}

/// A Prometheus that scrapes ports of 127.0.0.1 every second.
pub fn prometheus(targets: &[u16], more: &str, rules: &str) -> Server {
    let targets: Vec<String> = targets.iter().map(|port| format!("\"127.0.0.1:{port}\"")).collect();
    let config = format!(
        "global: {{ scrape_interval: 1s, evaluation_interval: 1s }}\nrule_files: [ rules.yml ]\n\
         scrape_configs:\n  - job_name: leanvibe\n    static_configs: [ {{ targets: [{}] }} ]\n{more}\n",
        targets.join(", ")
    );
    Server::start("prometheus", |command, dir, port| {
        std::fs::write(dir.join("prometheus.yml"), &config).unwrap();
        std::fs::write(dir.join("rules.yml"), rules).unwrap();
        command.arg("--config.file=prometheus.yml").arg("--storage.tsdb.path=data");
        command.arg(format!("--web.listen-address=127.0.0.1:{port}")).arg("--log.level=warn");
    })
}

/// A Prometheus that scrapes nothing and has had these samples: OpenMetrics, or nothing at all.
pub fn with_history(text: &str) -> Server {
    let server = Server::start("prometheus", |command, dir, port| {
        if !text.is_empty() {
            backfill(dir, text);
        }
        std::fs::write(dir.join("prometheus.yml"), "scrape_configs: []\n").unwrap();
        command.args(["--config.file=prometheus.yml", "--storage.tsdb.path=data"]);
        command.args(["--storage.tsdb.retention.time=400d", "--log.level=warn"]);
        command.arg(format!("--web.listen-address=127.0.0.1:{port}"));
    });
    let begun = Instant::now();
    while !get(server.port, "/-/ready").starts_with("HTTP/1.1 200") {
        assert!(begun.elapsed() < Duration::from_secs(20), "Prometheus did not get ready");
        std::thread::sleep(Duration::from_millis(20));
    }
    server
}

fn backfill(dir: &Path, text: &str) {
    std::fs::write(dir.join("history"), text).unwrap();
    let made = Command::new("promtool")
        .args(["tsdb", "create-blocks-from", "openmetrics", "--quiet", "--max-block-duration=1000h", "history", "data"])
        .current_dir(dir)
        .output()
        .expect("promtool: apt-get install prometheus");
    assert!(made.status.success(), "{made:?}");
    std::fs::remove_file(dir.join("history")).unwrap();
}

pub fn wait_for(prometheus: &Server, query: &str) {
    let path = format!("/api/v1/query?query={}", percent(query));
    let begun = Instant::now();
    while !get(prometheus.port, &path).contains("\"value\"") {
        assert!(begun.elapsed() < Duration::from_secs(20), "no data: {query}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// An Alertmanager; with these lines as its web configuration.
pub fn alertmanager(web: Option<&str>) -> Server {
    Server::start("prometheus-alertmanager", |command, dir, port| {
        let config = "route: { receiver: none }\nreceivers: [ { name: none } ]\ninhibit_rules:\n  - source_matchers: [ alertname=HostDown ]\n    \
                      target_matchers: [ alertname=ServiceDown ]\n    equal: [ instance ]\n";
        std::fs::write(dir.join("am.yml"), config).unwrap();
        command.args(["--config.file=am.yml", "--storage.path=data", "--cluster.listen-address="]);
        command.arg(format!("--web.listen-address=127.0.0.1:{port}"));
        if let Some(web) = web {
            std::fs::write(dir.join("web.yml"), web).unwrap();
            command.arg("--web.config.file=web.yml");
        }
    })
}

/// Fires alerts there: a JSON list.
pub fn fire(alertmanager: &Server, alerts: &str) {
    let answer = request(alertmanager.port, "POST", "/api/v2/alerts", alerts);
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

fn percent(text: &str) -> String {
    text.bytes()
        .map(|b| if b.is_ascii_alphanumeric() { char::from(b).to_string() } else { format!("%{b:02X}") })
        .collect()
}

pub fn get(port: u16, path: &str) -> String {
    request(port, "GET", path, "")
}

pub fn request(port: u16, method: &str, path: &str, body: &str) -> String {
    let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)) else { return String::new() };
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let _ = stream.write_all(head.as_bytes());
    let mut text = String::new();
    let _ = stream.read_to_string(&mut text);
    text
}
