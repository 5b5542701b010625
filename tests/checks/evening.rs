//! `traffic` and `utilisation` of a real Prometheus: nine days by a known course, and what node_exporter measures of this host.

use std::fmt::Write;

use super::stage::{Found, job, look, looked};
use crate::{
    project::Project,
    prometheus::{prometheus, wait_for, with_history},
    server::{Responder, Server},
};

const HOUR: i64 = 3600;
const DAY: i64 = 24 * HOUR;

/// A zone where it is evening, whenever the tests run, and when its day began.
fn evening() -> (String, i64, i64) {
    let now = chrono::DateTime::<chrono::Utc>::from(std::time::SystemTime::now()).timestamp();
    let ahead = 20 - now % DAY / HOUR;
    let ahead = if ahead > 14 { ahead - 24 } else { ahead };
    let midnight = (now + ahead * HOUR) / DAY * DAY - ahead * HOUR;
    (format!("Etc/GMT{:+}", -ahead), midnight, now)
}

/// Messages a second: five times as many in business hours, twice as many as a week ago, and a peak at noon.
fn rate(at: i64) -> f64 {
    let (day, time) = (at.div_euclid(DAY), at.rem_euclid(DAY));
    let usual = if (8 * HOUR..18 * HOUR).contains(&time) { 100.0 } else { 20.0 };
    match day {
        0 if (12 * HOUR..12 * HOUR + 600).contains(&time) => 400.0,
        0 => usual * 2.0,
        _ => usual,
    }
}

/// What Prometheus has had, minute by minute since nine days; times are seconds since midnight.
struct History {
    zone: String,
    server: Server,
    /// How many messages there were today.
    messages: f64,
}

fn history() -> History {
    let (zone, midnight, now) = evening();
    let minutes = || (-9 * DAY / 60..=(now - midnight) / 60).map(|minute| minute * 60);
    let mut text = String::new();
    let mut write = |name: &str, labels: &str, value: &mut dyn FnMut(i64) -> Option<f64>| {
        if !text.contains(&format!("# TYPE {name} ")) {
            writeln!(text, "# TYPE {name} gauge").unwrap();
        }
        for at in minutes() {
            if let Some(value) = value(at) {
                writeln!(text, "{name}{{{labels}}} {value} {}", midnight + at).unwrap();
            }
        }
    };
    let within = |at: i64, from: i64, seconds: i64| (from * HOUR..from * HOUR + seconds).contains(&at);
    write("up", "job=\"api\"", &mut |at| Some(if within(at, 2, HOUR) { 0.0 } else { 1.0 }));
    write("up", "job=\"db\"", &mut |_| Some(1.0));
    // The process was made anew at 13:00: its counters began at 0 again.
    let (mut counted, mut failed, mut messages) = (0.0, 0.0, 0.0);
    write("messages_total", "", &mut |at| {
        counted = if at == 13 * HOUR { 0.0 } else { counted + rate(at) * 60.0 };
        messages += if at > 0 { rate(at) * 60.0 } else { 0.0 };
        Some(counted)
    });
    write("errors_total", "", &mut |at| {
        failed = if at == 13 * HOUR { 0.0 } else { failed + rate(at) * 0.6 };
        Some(failed)
    });
    write("latency", "", &mut |at| {
        Some(if within(at, 3, 600) {
            30.0
        } else if within(at, 12, 600) {
            20.0
        } else {
            5.0
        })
    });
    write("gappy", "", &mut |at| (!within(at, 10, HOUR)).then_some(1.0));
    write("young", "", &mut |at| (at >= -DAY).then_some(1.0));
    write("memory", "", &mut |at| Some(if at > -DAY { 125e6 } else { 100e6 }));
    text += "# EOF\n";
    History { zone, server: with_history(&text), messages }
}

impl History {
    fn look(&self, metrics: &str, steps: &[&str]) -> Found {
        let url = self.server.url();
        let project =
            Project::new(&format!("timezone = \"{}\"\n[prometheus.main]\nurl = \"{url}\"\n{metrics}", self.zone));
        job(&project, steps);
        look(&project)
    }
}

const METRICS: &str = "\
    [metric.throughput]\nquery = \"rate(messages_total[5m])\"\nseveral = \"sum\"\nunit = \"per_second\"\n\
    [metric.error-rate]\nquery = \"rate(errors_total[5m])\"\nshare_of = \"rate(messages_total[5m])\"\nunit = \"percent\"\n\
    bands = { good = \"<0.1%\", critical = \">2%\" }\nhint = \"look at the log\"\n\
    [metric.latency]\nquery = \"max(latency)\"\nunit = \"milliseconds\"\nbands = { good = \"<10ms\", critical = \">25ms\" }\n\
    [metric.memory]\nquery = \"memory\"\nunit = \"bytes\"\n\
    [metric.gappy]\nquery = \"gappy\"\nunit = \"count\"\n\
    [metric.young]\nquery = \"young\"\nunit = \"count\"\n";

#[test]
fn the_day_is_told_by_its_peaks_its_total_and_the_same_weekday() {
    let history = history();
    let found = history.look(METRICS, &["traffic = { names = [\"throughput\", \"error-rate\", \"latency\"] }"]);
    // One of two targets was down for an hour.
    found.code(1).is("availability today, by main", "critical", "97.");
    assert_eq!(found.field("availability today, by main", "source"), "\"avg(up)\"");
    let number = |subject: &str| found.number(subject).unwrap();
    let total = number("throughput, total today");
    println!("{} messages, {total} told; {found:?}", history.messages);
    assert!((total / history.messages - 1.0).abs() < 0.02, "{total} of {}: {found:?}", history.messages);
    // 200 a second for ten hours, and the peak.
    let office = number("throughput, total in business hours");
    assert!((office / 7_320_000.0 - 1.0).abs() < 0.02, "{office}");
    assert!((number("throughput, peak today") - 400.0).abs() < 1.0);
    assert!((number("throughput, mean in business hours") - 203.0).abs() < 3.0);
    found.is("throughput, mean today", "good", "% against a week before (");
    found.is("throughput, mean in business hours", "good", "+10").is("error-rate, mean today", "warning", "1 % (good");
    found.is("error-rate, mean today", "warning", "+0 % against a week before (1 %)");
    found.is("latency, peak today", "critical", "30 ms").is("latency, peak in business hours", "warning", "20 ms");
    assert_eq!(found.field("error-rate, peak today", "hint"), "\"look at the log\"");
    for (subject, query) in [
        ("throughput, total today", "rate(messages_total[5m])"),
        ("throughput, peak in business hours", "rate(messages_total[5m])"),
        ("error-rate, mean today", "rate(errors_total[5m])  as a share of  rate(messages_total[5m])"),
        ("latency, peak today", "max(latency)"),
    ] {
        assert_eq!(found.field(subject, "source"), format!("{query:?}"), "{subject}");
    }
    assert!(!found.subjects().iter().any(|subject| subject.contains("gaps")), "{found:?}");

    // What nobody scraped is not what was well.
    let gaps = history.look(
        METRICS,
        &[
            "traffic = { names = [\"gappy\"], availability_query = \"avg(gappy)\" }",
            "utilisation = { names = [\"gappy\"] }",
        ],
    );
    gaps.code(4).is("availability today, by main", "unknown", "100 %, no data for 5");
    for when in ["today", "in business hours", "of the last 1day"] {
        gaps.is(&format!("gappy, gaps {when}"), "unknown", " minutes from ").is(
            &format!("gappy, peak {when}"),
            "good",
            "1",
        );
    }
    assert!(gaps.of("gappy, gaps today").1.contains(" 10:0"), "{gaps:?}");

    let well = history.look(
        METRICS,
        &[
            "traffic = { names = [\"young\"], availability_query = 'avg(up{job=\"db\"})' }",
            "utilisation = { names = [\"memory\"], last = \"24h\" }",
        ],
    );
    well.code(0).is("availability today, by main", "good", "100 %");
    well.is("young, mean today", "good", "nothing to compare with a week before");
    well.is("memory, mean of the last 1day", "good", "+25 % against a week before (100.0 MB)");
    assert_eq!(well.field("memory, mean of the last 1day", "source"), "\"memory\"");
    assert!(well.all_good(), "{well:?}");
}

#[test]
fn an_empty_history_is_neither_nothing_nor_good() {
    let server = with_history("");
    let project = Project::new(&format!("[prometheus.main]\nurl = \"{}\"\n{METRICS}", server.url()));
    job(&project, &["traffic = {}", "utilisation = {}"]);
    let found = look(&project);
    found.code(4).is("availability today, by main", "unknown", "there is no data of this day");
    for subject in found.subjects() {
        assert_eq!((found.of(subject).0, found.field(subject, "value").as_str()), ("unknown", "null"), "{found:?}");
    }
    for subject in ["throughput, peak today", "error-rate, peak today", "memory, peak of the last 1day"] {
        found.is(subject, "unknown", "there is no data of this time");
    }
    let url = server.url();
    drop(server);
    let found = looked(&format!("[prometheus.main]\nurl = \"{url}\"\n{METRICS}"), "utilisation = {}");
    found.code(4).is("memory, peak of the last 1day", "unknown", "no answer");
}

#[test]
fn what_the_server_warns_of_may_be_a_part() {
    // Prometheus 2.42 has no query of its own that warns: an answer as of a server with a remote store that failed.
    let server = Responder::start(|path| {
        let start: f64 =
            path.split("start=").nth(1).and_then(|rest| rest.split('&').next()?.parse().ok()).unwrap_or(0.0);
        let points: Vec<String> = (0..=480).map(|n| format!("[{},\"1\"]", start + f64::from(n) * 180.0)).collect();
        let result = format!("{{\"metric\":{{}},\"values\":[{}]}}", points.join(","));
        let head = "{\"status\":\"success\",\"warnings\":[\"remote store: timeout\"]";
        (200, format!("{head},\"data\":{{\"resultType\":\"matrix\",\"result\":[{result}]}}}}"))
    });
    let found = looked(
        &format!("[prometheus.main]\nurl = \"{}\"\n{METRICS}", server.url()),
        "utilisation = { names = [\"memory\"] }",
    );
    found.code(0).is("memory, gaps of the last 1day", "warning", "the server warns: remote store: timeout");
}

#[test]
fn what_node_exporter_measures_of_this_host() {
    let exporter = Server::start("prometheus-node-exporter", |command, _, port| {
        command.arg(format!("--web.listen-address=127.0.0.1:{port}"));
    });
    let server = prometheus(&[exporter.port], "", "groups: []");
    wait_for(&server, "rate(node_cpu_seconds_total{mode=\"idle\"}[5m])");
    // As they are shipped.
    let shipped = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/maint.toml")).unwrap();
    let metrics = shipped.split("[metric.host-cpu]").nth(1).unwrap().split("[systemd]").next().unwrap();
    let project = Project::new(&format!("[prometheus.main]\nurl = \"{}\"\n[metric.host-cpu]{metrics}", server.url()));
    job(&project, &["metric = {}", "utilisation = { names = [\"host-cpu\", \"host-memory\"], last = \"24h\" }"]);
    let found = look(&project);
    found.is("Prometheus main", "good", "1 target, all up").is("host-memory", "good", "B");
    assert_ne!(found.of("host-cpu").0, "unknown", "{found:?}");
    let meminfo = std::fs::read_to_string("/proc/meminfo").unwrap();
    let field = |name: &str| {
        let line = meminfo.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() * 1024.0
    };
    let (total, used) = (field("MemTotal"), field("MemTotal") - field("MemAvailable"));
    for subject in ["host-memory", "host-memory, peak of the last 1day"] {
        let told = found.number(subject).unwrap();
        assert!((told - used).abs() < total / 4.0, "{subject}: {told}, and the host says {used}");
    }
    // It has been there for a moment only.
    found.is("host-memory, gaps of the last 1day", "unknown", "no data for");
}
