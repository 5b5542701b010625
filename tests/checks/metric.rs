//! `metric`: no data, no number and no news are not good news.

use super::stage::{job, look, looked};
use crate::{
    project::Project,
    prometheus::Stack,
    server::{Responder, silent},
};

const STEP: &str = "metric = {}";

fn section(url: &str, query: &str, more: &str) -> String {
    format!(
        "[prometheus.main]\nurl = \"{url}\"\ntimeout = \"1s\"\n[metric.assignment]\nquery = '{query}'\n\
         unit = \"milliseconds\"\nbands = {{ excellent = \"<0.01\", good = \"<0.1\", warning = \"<1\", critical = \">10\" }}\n{more}"
    )
}

#[test]
fn the_runbooks_three_queries_are_held_against_their_bands() {
    let stack = Stack::start("leanvibe_task_assignment_duration_ms 0.04\n", "");
    let project = Project::new(&section(
        &stack.prometheus.url(),
        "leanvibe_task_assignment_duration_ms",
        "[metric.throughput]\nquery = 'rate(leanvibe_messages_total[5s])'\nseveral = \"sum\"\nunit = \"per_second\"\n\
         bands = { good = \">15K/sec\", critical = \"<8K/sec\" }\n\
         [metric.errors]\nquery = 'rate(leanvibe_errors_total[5s])'\nshare_of = 'rate(leanvibe_messages_total[5s])'\n\
         unit = \"percent\"\nbands = { good = \"<0.1%\", critical = \">2%\" }\n",
    ));
    job(&project, &[STEP]);
    // 20 000 messages a second in two series, and 1 error in 100: counted by the clock, as a counter is.
    let metrics = stack.metrics.clone();
    let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let (begun, stopped) = (std::time::Instant::now(), stop.clone());
    let counting = std::thread::spawn(move || {
        while !stopped.load(std::sync::atomic::Ordering::Relaxed) {
            let seconds = begun.elapsed().as_secs_f64();
            let (a, errors) = (seconds * 10_000.0, seconds * 200.0);
            *metrics.lock().unwrap() = format!(
                "leanvibe_task_assignment_duration_ms{{node=\"a\"}} 0.04\nleanvibe_task_assignment_duration_ms{{node=\"b\"}} 11\n\
                 leanvibe_messages_total{{node=\"a\"}} {a}\nleanvibe_messages_total{{node=\"b\"}} {a}\n\
                 leanvibe_errors_total {errors}\n"
            );
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    });
    stack.wait_for("sum(rate(leanvibe_messages_total[5s])) > 16000");
    let found = look(&project);
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    counting.join().unwrap();
    found.code(1).is("assignment", "critical", "11 ms (good below 0.1 ms, critical above 10 ms), at instance");
    let (band, seen) = found.of("throughput");
    assert!(band == "good", "{seen}");
    found.is("errors", "warning", "% (good below 0.1 %");
    assert_eq!(
        found.field("errors", "source"),
        "\"rate(leanvibe_errors_total[5s])  as a share of  rate(leanvibe_messages_total[5s])\""
    );
    found.is("Prometheus main", "good", "1 target, all up");
}

#[test]
fn no_data_and_no_number_are_unknown() {
    let stack = Stack::start("x NaN\ny 0.01\nold_gauge 0.01 1000\n", "");
    stack.wait_for("y");
    looked(&section(&stack.prometheus.url(), "no_such_metric", ""), STEP).code(4).is(
        "assignment",
        "unknown",
        "no data",
    );
    looked(&section(&stack.prometheus.url(), "x", ""), STEP).code(4).is("assignment", "unknown", "NaN");
    looked(&section(&stack.prometheus.url(), "y / (y - y)", ""), STEP).code(4).is("assignment", "unknown", "inf");
    looked(&section(&stack.prometheus.url(), "rate(", ""), STEP).code(4).is("assignment", "unknown", "it refused");
    looked(&section(&stack.prometheus.url(), "y", ""), STEP).code(0).is("assignment", "good", "0.01 ms");
}

#[test]
fn a_stale_sample_says_nothing_of_now() {
    // A sample with a time of its own, which no scrape makes younger.
    let ago = |seconds| {
        (std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs() - seconds) * 1000
    };
    let stack = Stack::start(&format!("pushed 0.01 {}\n", ago(200)), "");
    stack.wait_for("pushed");
    let found = looked(&section(&stack.prometheus.url(), "pushed", ""), STEP);
    found.code(4).is("assignment", "unknown", "it says nothing of now");
    // By a function's result one cannot see it: what the function reads is looked at.
    let found = looked(&section(&stack.prometheus.url(), "abs(pushed)", ""), STEP);
    found.code(4).is("assignment", "unknown", "old, of pushed");
}

#[test]
fn a_dead_or_hung_prometheus_is_unknown() {
    let mut stack = Stack::start("y 0.01\n", "");
    stack.wait_for("y");
    let url = stack.prometheus.url();
    stack.prometheus.kill();
    let found = looked(&section(&url, "y", ""), STEP);
    found.code(4).is("assignment", "unknown", "no answer").is("Prometheus main", "unknown", "no answer");
    let (_held, url) = silent();
    let found = looked(&section(&url, "y", ""), STEP);
    found.code(4).is("assignment", "unknown", "no answer within 1 s");
    assert!(found.took.as_secs() < 4, "{:?}", found.took);
}

#[test]
fn a_target_that_is_down_and_a_warning_are_shown() {
    let stack =
        Stack::start("y 0.01\n", "  - job_name: gone\n    static_configs: [ { targets: [\"127.0.0.1:1\"] } ]\n");
    stack.wait_for("y");
    stack.wait_for("up{job=\"gone\"}");
    let found = looked(&section(&stack.prometheus.url(), "y", ""), STEP);
    found.code(0).is("Prometheus main", "warning", "1 of 2 targets down: instance=\"127.0.0.1:1\", job=\"gone\"");
    // Prometheus 2.42 has no query of its own that warns: an answer as of a server with a remote store that failed.
    let answer = |value: &str| {
        format!(
            "{{\"status\":\"success\",\"warnings\":[\"remote store: timeout\"],\"data\":{{\"resultType\":\"vector\",\
             \"result\":[{{\"metric\":{{}},\"value\":[1,\"{value}\"]}}]}}}}"
        )
    };
    let server = Responder::start(move |path| (200, answer(if path.contains("timestamp") { "1" } else { "0.01" })));
    let found = looked(&section(&server.url(), "y", ""), STEP);
    found.code(0).is("assignment", "warning", "the server warns: remote store: timeout");
}
