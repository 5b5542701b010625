//! What monitoring sees: our text by promtool, node_exporter's collector and a real Prometheus with the shipped rules.
#![expect(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests set their stage")]

#[path = "support/project.rs"]
mod project;
#[path = "support/slots.rs"]
mod slots;

use std::{
    collections::BTreeSet,
    fs,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use project::Project;
use slots::{Daemon, daily, hours_ago, owe, quick};

fn docs(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/monitoring").join(file)
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A program that ends with the test, however that ends.
struct Server(Child);

impl Server {
    fn start(args: &[&str]) -> Self {
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL"]).args(args).stdout(Stdio::null()).stderr(Stdio::null());
        Self(command.spawn().unwrap())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Status line and all the rest of an answer; `None` while nobody listens.
fn ask(port: u16, path: &str, host: &str) -> Option<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.write_all(format!("GET {path} HTTP/1.0\r\nHost: {host}\r\n\r\n").as_bytes()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    Some(answer)
}

/// Asks until the answer is as it should be.
#[track_caller]
fn until(port: u16, path: &str, is_so: impl Fn(&str) -> bool) -> String {
    let begun = Instant::now();
    loop {
        let answer = ask(port, path, "localhost").unwrap_or_default();
        if is_so(&answer) {
            return answer;
        }
        assert!(begun.elapsed() < Duration::from_secs(30), "{path}: {answer}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[track_caller]
fn promtool(args: &[&str], input: &str) {
    let mut child = Command::new("promtool")
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("these tests need Prometheus: apt-get install prometheus prometheus-node-exporter");
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{args:?}: {said}\n{input}");
}

/// A job that did its slot, one that failed, and one whose slot nobody did.
fn stage(more: &str) -> Project {
    let project = Project::new(more);
    let slot = hours_ago(1);
    for job in ["good", "bad", "late"] {
        quick(&project, job, &daily(slot), "severity = \"P1\"\ntimeout = \"5m\"");
        owe(&project, job, hours_ago(2));
    }
    project.maint(&["run", "good", "--due"]).code(0);
    fs::rename(project.at("tree"), project.at("gone")).unwrap();
    project.maint(&["run", "bad", "--due"]).code(1);
    fs::rename(project.at("gone"), project.at("tree")).unwrap();
    project
}

/// Names of our metrics in a text.
fn names(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words.filter(|word| word.starts_with("maint_")).map(str::to_owned).collect()
}

#[test]
fn rules_behave_as_their_tests_say() {
    promtool(&["check", "rules", docs("maint-rules.yml").to_str().unwrap()], "");
    promtool(&["test", "rules", docs("maint-rules.test.yml").to_str().unwrap()], "");
}

#[test]
fn what_rules_and_dashboard_name_is_told_and_is_well_formed() {
    let project = stage("");
    slots::ledger(&project)
        .execute(
            "INSERT INTO delivery (id, channel, why, about, created, message, state, next_try) \
             VALUES ('1', 'ops', 'failed', 'bad', '', '{}', 'given up', '')",
            [],
        )
        .unwrap();
    let text = project.maint(&["metrics"]).code(0).stdout;
    promtool(&["check", "metrics"], &text);
    assert!(text.contains("maint_notification_deliveries{channel=\"ops\",state=\"given_up\"} 1"), "{text}");
    // A sample has no time of its own: node_exporter refuses such files.
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let after = line.rsplit_once('}').map_or(line, |(_, value)| value);
        assert_eq!(after.split_whitespace().count(), 1, "{line}");
    }
    // The slot that was done is no longer expected, nor the one that failed; the one that nobody did is.
    let expected = |job: &str| -> f64 {
        let start = format!("maint_job_next_expected_timestamp_seconds{{name=\"{job}\"}} ");
        text.lines().find_map(|line| line.strip_prefix(&start)).unwrap().parse().unwrap()
    };
    let now = chrono::Utc::now().timestamp() as f64;
    assert!(expected("good") > now && expected("bad") > now && expected("late") < now, "{text}");
    let told = names(&text);
    for file in ["maint-rules.yml", "maint-rules.test.yml", "dashboard.json", "README.md"] {
        let named = names(&fs::read_to_string(docs(file)).unwrap());
        let unknown: Vec<_> = named.difference(&told).collect();
        assert_eq!(unknown, Vec::<&String>::new(), "{file} names what is not told");
    }
    let dashboard: serde_json::Value = serde_json::from_slice(&fs::read(docs("dashboard.json")).unwrap()).unwrap();
    assert!(dashboard["panels"].as_array().unwrap().len() > 5);
}

#[test]
fn prometheus_scrapes_the_daemon_and_the_shipped_rules_find_the_failure() {
    let (web, port) = (free_port(), free_port());
    let project = stage(&format!("[web]\nlisten = \"127.0.0.1:{web}\"\n"));
    // Nobody does this one: its job is not to be caught up.
    fs::remove_file(project.at("jobs/late.toml")).unwrap();
    let daemon = Daemon::start(&project);
    let text = until(web, "/metrics", |answer| answer.lines().next().is_some_and(|line| line.contains(" 200")));
    let body = text.split_once("\r\n\r\n").unwrap().1;
    promtool(&["check", "metrics"], body);
    assert!(text.to_lowercase().contains("content-type: text/plain; version=0.0.4"), "{text}");
    // DNS rebinding: on loopback only its own names are answered.
    assert!(ask(web, "/metrics", "evil.example").unwrap().lines().next().unwrap().contains(" 421"));
    assert!(ask(web, "/healthz", "127.0.0.1").unwrap().ends_with("ok\n"));
    let page = ask(web, "/", "localhost").unwrap();
    assert!(page.contains("bad") && page.to_lowercase().contains("content-security-policy"), "{page}");

    let config = project.write(
        "prometheus.yml",
        &format!(
            "global: {{ scrape_interval: 1s, evaluation_interval: 1s }}\nrule_files: [{:?}]\nscrape_configs:\n\
             - job_name: maint\n  static_configs: [{{ targets: ['127.0.0.1:{web}'] }}]\n",
            docs("maint-rules.yml")
        ),
    );
    let (config, data) = (config.to_str().unwrap().to_owned(), project.at("tsdb"));
    let _prometheus = Server::start(&[
        "prometheus",
        &format!("--config.file={config}"),
        &format!("--storage.tsdb.path={}", data.display()),
        &format!("--web.listen-address=127.0.0.1:{port}"),
    ]);
    let alerts = until(port, "/api/v1/alerts", |answer| answer.contains("MaintJobFailed"));
    let body: serde_json::Value = serde_json::from_str(alerts.split_once("\r\n\r\n").unwrap().1).unwrap();
    let firing: Vec<String> = body["data"]["alerts"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|alert| alert["state"] == "firing")
        .map(|alert| {
            format!("{} {} {}", alert["labels"]["alertname"], alert["labels"]["name"], alert["labels"]["severity"])
        })
        .map(|text| text.replace('"', ""))
        .collect();
    assert_eq!(firing, ["MaintJobFailed bad P1"], "{alerts}");
    daemon.stop();
}

#[test]
fn node_exporter_reads_the_textfile() {
    let port = free_port();
    let prom = tempfile::tempdir().unwrap();
    let project = stage(&format!("[metrics]\ntextfile_dir = {:?}\n", prom.path()));
    let file = prom.path().join("maint.prom");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o644);
    assert_eq!(project::names(prom.path()), ["maint.prom"]);
    let _exporter = Server::start(&[
        "prometheus-node-exporter",
        "--collector.disable-defaults",
        "--collector.textfile",
        &format!("--collector.textfile.directory={}", prom.path().display()),
        &format!("--web.listen-address=127.0.0.1:{port}"),
    ]);
    let text = until(port, "/metrics", |answer| answer.contains("maint_build_info"));
    for line in [
        "maint_job_last_run_outcome{name=\"bad\",outcome=\"failed\"} 1",
        "maint_job_last_run_outcome{name=\"good\",outcome=\"ok\"} 1",
        "node_textfile_scrape_error 0",
    ] {
        assert!(text.contains(line), "{line}\n{text}");
    }
    assert!(text.contains("node_textfile_mtime_seconds{file=") && text.contains("maint.prom\"}"), "{text}");
    // A failure of the next run leaves the last success as it was.
    let success = |text: &str| {
        let line =
            text.lines().find(|line| line.starts_with("maint_job_last_success_timestamp_seconds{name=\"good\"}"));
        line.unwrap().to_owned()
    };
    let before = success(&fs::read_to_string(&file).unwrap());
    fs::remove_dir_all(project.at("tree")).unwrap();
    project.maint(&["run", "good"]).code(1);
    let after = fs::read_to_string(&file).unwrap();
    assert_eq!(success(&after), before);
    assert!(after.contains("maint_job_last_run_outcome{name=\"good\",outcome=\"failed\"} 1"), "{after}");
    // Where it cannot be written the run says so, and ends as it would have.
    fs::remove_dir_all(prom.path()).unwrap();
    project.write("tree/file", "back");
    let ended = project.maint(&["run", "good"]).code(0);
    assert!(ended.stderr.contains("metrics could not be written"), "{ended:?}");
}
