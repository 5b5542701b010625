//! Heartbeats: start, success and failure, paired by the run's id.

use std::time::{Duration, Instant};

use super::{
    asked, breaks, mend, project,
    project::Project,
    receiver::{Answers, Receiver},
};

fn beating(receiver: &Receiver, path: &str, more: &str) -> Project {
    let url = receiver.url(path);
    let project =
        project(&format!("[notify.beat]\ntype = \"heartbeat\"\nurl_file = \"beat\"\nanswer_within = \"1s\"\n{more}\n"));
    project.write("beat", &url);
    project
}

fn paths(receiver: &Receiver) -> Vec<String> {
    receiver.take().into_iter().map(|got| got.path).collect()
}

#[test]
fn every_run_is_pinged_at_its_start_and_its_end() {
    let receiver = Receiver::start();
    let project = beating(&receiver, "/ping/key/{job}", "slugs = { tree = \"nightly\" }");
    mend(&project);
    for (code, end) in [(0, ""), (1, "/fail"), (1, "/fail"), (0, "")] {
        if code == 1 {
            std::fs::rename(project.at("tree"), project.at("away")).unwrap()
        }
        project.maint(&["run", "tree"]).code(code);
        if code == 1 {
            std::fs::rename(project.at("away"), project.at("tree")).unwrap()
        }
        let run = asked(&project, "SELECT id FROM run ORDER BY started DESC LIMIT 1");
        let expected = ["/start", end].map(|end| format!("/ping/key/nightly{end}?rid={run}"));
        assert_eq!(paths(&receiver), expected);
    }
    breaks(&project);
    project.maint(&["run", "tree"]).code(1);
    let body = receiver.take().pop().unwrap().text();
    assert!(body.contains("tree failed") && body.contains("files"), "{body}");
}

#[test]
fn a_server_that_hangs_delays_no_run() {
    let receiver = Receiver::start();
    receiver.answers(Answers::Hang);
    let project = beating(&receiver, "/{job}", "");
    mend(&project);
    let begun = Instant::now();
    let ended = project.maint(&["run", "tree", "--json"]).code(0);
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    let finished = ended.stdout.lines().find(|line| line.contains("run_finished")).unwrap();
    let event: serde_json::Value = serde_json::from_str(finished).unwrap();
    assert!(event["millis"].as_u64().unwrap() < 900, "the run waited for its heartbeat: {event}");
    // The ping that is late says less than the next one.
    receiver.answers(Answers::Always(200, "OK"));
    receiver.take();
    breaks(&project);
    project.maint(&["run", "tree"]).code(1);
    let sent = paths(&receiver);
    assert_eq!(sent.len(), 2, "{sent:?}");
    assert!(sent[1].starts_with("/tree/fail?rid="), "{sent:?}");
    assert_eq!(asked(&project, "SELECT group_concat(state) FROM delivery"), "superseded,accepted");
}

#[test]
fn a_ping_of_no_check_or_of_several_jobs_is_refused() {
    let receiver = Receiver::start();
    receiver.answers(Answers::Always(200, "OK (not found)"));
    let project = beating(&receiver, "/{job}", "");
    let said = project.maint(&["notify", "test", "beat"]).code(1).stderr;
    assert!(said.contains("not for a check of its own: OK (not found)"), "{said}");
    receiver.answers(Answers::Always(200, "OK"));
    project.write("beat", &receiver.url("/only-one"));
    let said = project.maint(&["notify", "test", "beat"]).code(1).stderr;
    assert!(said.contains("has no {job}"), "{said}");
    let config = std::fs::read_to_string(project.at("maint.toml")).unwrap();
    project.write("maint.toml", &format!("{config}jobs = [\"tree\"]\n"));
    project.maint(&["notify", "test", "beat"]).code(0);
}
