//! `containers` and `resources`: a real engine with the runbook's services, and engines of other versions as they answered.

use super::stage::{job, look};
use crate::{
    docker::{Engine, IMAGE},
    project::Project,
};

/// The runbook's services, as far as it names them.
pub const SERVICES: [&str; 8] = [
    "universal-orchestrator",
    "communication-hub",
    "specialized-engines",
    "postgres-primary",
    "redis-cluster-node1",
    "redis-cluster-node2",
    "redis-cluster-node3",
    "nginx",
];

/// Starts a service's container as compose would.
pub fn service(engine: &Engine, project: &str, service: &str, more: &[&str], command: &[&str]) -> String {
    let name = format!("{project}-{service}");
    let labels = [
        format!("com.docker.compose.project={project}"),
        format!("com.docker.compose.service={service}"),
        "com.docker.compose.oneoff=False".into(),
        "com.docker.compose.container-number=1".into(),
    ];
    let mut args = vec!["run", "--detach", "--network", "none", "--name", &name];
    for label in &labels {
        args.extend(["--label", label]);
    }
    args.extend(more);
    args.push(IMAGE);
    args.extend(command);
    engine.docker(&args);
    name
}

fn project(engine: &Engine, name: &str, steps: &[&str]) -> Project {
    let project = Project::new(&format!(
        "[docker]\nhost = \"{}\"\n[compose]\nproject = \"{name}\"\nfiles = [\"compose.yml\"]\n",
        engine.host()
    ));
    job(&project, steps);
    project
}

#[test]
fn the_projects_containers_are_judged_by_more_than_that_they_run() {
    let engine = Engine::shared();
    for name in SERVICES {
        service(&engine, "leanvibe", name, &[], &["sleep", "600"]);
    }
    // Another project's container of a similar name does not count.
    service(&engine, "leanvibe-old", "nginx", &[], &["sleep", "600"]);
    let step = "containers = { at_least = 8 }";
    let checked = project(&engine, "leanvibe", &[step]);
    let found = look(&checked);
    found.code(0).is("running", "good", "8 running").is("leanvibe-nginx", "good", "running, without a health check");
    assert_eq!(found.subjects().len(), 9);

    engine.docker(&["kill", "leanvibe-nginx"]);
    engine.docker(&["pause", "leanvibe-communication-hub"]);
    let probe = ["--health-cmd", "exit 1", "--health-interval", "1s", "--health-retries", "1"];
    let unhealthy = service(&engine, "leanvibe", "gateway", &probe, &["sleep", "600"]);
    engine.docker(&["exec", "leanvibe-universal-orchestrator", "true"]);
    crate::project::wait_for("the health check", || {
        engine.docker(&["inspect", "--format", "{{.State.Health.Status}}", &unhealthy]) == "unhealthy"
    });
    let found = look(&checked);
    found.code(1).is("running", "critical", "7 running, at least 8 must");
    found.is("leanvibe-nginx", "critical", "is not running (exit code 137)");
    found.is("leanvibe-communication-hub", "critical", "is paused").is(&unhealthy, "critical", "is unhealthy");

    // Restarted since the last look, and running again.
    let again = service(
        &engine,
        "restarts",
        "flaky",
        &["--restart", "always"],
        &["sh", "-c", "[ -e /tmp/up ] && sleep 600; touch /tmp/up; sleep 1"],
    );
    let checked = project(&engine, "restarts", &["containers = { at_least = 1 }"]);
    look(&checked).code(0).is(&again, "good", "running");
    crate::project::wait_for("a restart", || {
        engine.docker(&["inspect", "--format", "{{.RestartCount}} {{.State.Status}}", &again]) == "1 running"
    });
    look(&checked).code(0).is(&again, "warning", "restarted 1 times since the last look");
    look(&checked).code(0).is(&again, "good", "running");
}

#[test]
fn an_engine_without_cgroup_data_is_unknown_never_zero() {
    let engine = Engine::shared();
    service(&engine, "stats", "web", &["--memory", "100m"], &["sleep", "600"]);
    let checked = project(&engine, "stats", &["resources = { cpu = { good = \"<50%\", critical = \">85%\" } }"]);
    let found = look(&checked);
    // This depends on the host: either the engine has numbers, or it has not; zero of nothing is never good.
    let (band, seen) = found.of("stats-web, memory");
    match band {
        "unknown" => {
            found.code(4).is("stats-web, cpu", "unknown", "no numbers").is(
                "all containers, memory",
                "unknown",
                "not every",
            );
        }
        _ => assert!(seen.contains("of its limit 104.9 MB"), "{seen}"),
    }
    let nobody = project(&engine, "no-such-project", &["containers = { at_least = 1 }", "resources = {}"]);
    look(&nobody).code(1).is("running", "critical", "0 running").is(
        "containers of no-such-project",
        "unknown",
        "none runs",
    );
}

#[test]
fn an_engine_that_is_away_is_unknown() {
    let project = Project::new("[docker]\nhost = \"unix:///nonexistent.sock\"\n");
    job(&project, &["containers = { at_least = 1, project = \"x\" }", "resources = { project = \"x\" }"]);
    look(&project).code(4).is("containers of x", "unknown", "cannot be reached");
}

/// Answers in `tests/data/docker`, by directory or file; its ORIGIN.md says where each comes from.
fn recorded(path: &str) -> String {
    let data = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/docker");
    std::fs::read_to_string(data.join(path)).unwrap()
}

/// A project on an engine that answers as it was recorded.
fn replayed(dir: &std::path::Path, of: &str, stats: &str, steps: &[&str]) -> Project {
    let path = dir.join("engine.sock");
    let [version, list, inspect] = ["version", "list", "inspect"].map(|what| recorded(&format!("{of}/{what}.json")));
    // Each sample is a line.
    let stats: serde_json::Value = serde_json::from_str(&recorded(&format!("{of}/{stats}.json"))).unwrap();
    let stats = format!("{stats}\n");
    crate::server::on_socket(&path, move |path| {
        let answer = match path.split('?').next().unwrap() {
            path if path.ends_with("/version") => &version,
            path if path.ends_with("/containers/json") => &list,
            path if path.ends_with("/stats") => &stats,
            _ => &inspect,
        };
        (200, answer.clone())
    });
    on(&format!("unix://{}", path.display()), steps)
}

fn on(host: &str, steps: &[&str]) -> Project {
    let project =
        Project::new(&format!("[docker]\nhost = \"{host}\"\n[compose]\nproject = \"web\"\nfiles = [\"c.yml\"]\n"));
    job(&project, steps);
    project
}

const LOOK: [&str; 2] = [
    "containers = { at_least = 1 }",
    "resources = { cpu = { good = \"<50%\", critical = \">85%\" }, memory = { good = \"<300MB\", critical = \">500MB\" } }",
];

#[test]
fn an_older_and_a_newer_engine_are_understood() {
    // As docker stats shows them: of the processor time of the second before; of the memory what cannot be dropped at once.
    for (of, cpu, memory) in [
        ("20.10.24", "%", "of its limit 104.9 MB"),
        ("26.1.5", "%", "of its limit 104.9 MB"),
        ("1.53-documented", "20 %", "200.0 MB"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let found = look(&replayed(dir.path(), of, "stats", &LOOK));
        found.code(0).is("web-hub-1", "good", "running and healthy").is("web-hub-1, cpu", "good", cpu);
        found.is("web-hub-1, memory", "good", memory);
    }
}

#[test]
fn a_newer_engine_itself_is_understood() {
    let engine = Engine::start_newer();
    let name = service(&engine, "web", "hub", &["--memory", "100m"], &["sleep", "600"]);
    let found = look(&on(&engine.host(), &LOOK));
    found.is(&name, "good", "running, without a health check");
    // Whether it has numbers depends on the host.
    match found.of("web-hub, memory") {
        ("unknown", _) => found.code(4).is("web-hub, cpu", "unknown", "no numbers"),
        _ => found.code(0).is("web-hub, memory", "good", "of its limit 104.9 MB"),
    };
}

#[test]
fn stats_without_cgroup_data_are_unknown() {
    let dir = tempfile::tempdir().unwrap();
    let found = look(&replayed(dir.path(), "20.10.24", "stats-without-cgroups", &LOOK));
    found.code(4).is("web-hub-1", "good", "running and healthy");
    found.is("web-hub-1, cpu", "unknown", "no numbers").is("web-hub-1, memory", "unknown", "no numbers");
}

#[test]
fn an_engine_that_refuses_the_version_is_unknown_with_the_way_out() {
    for (file, said, remedy) in [
        (
            "20.10.24/too-new.json",
            "client version 1.53 is too new. Maximum supported API version is 1.41",
            "update the engine",
        ),
        ("26.1.5/too-old.json", "client version 1.12 is too old. Minimum supported API", "install a newer maint"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let (path, answer) = (dir.path().join("engine.sock"), recorded(file));
        crate::server::on_socket(&path, move |_| (400, answer.clone()));
        let found = look(&on(&format!("unix://{}", path.display()), &LOOK[..1]));
        found.code(4).is("containers of web", "unknown", "refuses the version of its API").is(
            "containers of web",
            "unknown",
            said,
        );
        assert!(found.field("containers of web", "hint").contains(remedy), "{found:?}");
    }
    // One that would not even be asked in a version that it knows.
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("engine.sock");
    let later = recorded("1.53-documented/version.json").replace("1.53", "1.70").replace("1.44", "1.60");
    crate::server::on_socket(&path, move |_| (200, later.clone()));
    let found = look(&on(&format!("unix://{}", path.display()), &LOOK[..1]));
    found.code(4).is("containers of web", "unknown", "is too old, it takes 1.60 and later");
    assert!(found.field("containers of web", "hint").contains("DOCKER_MIN_API_VERSION="), "{found:?}");
}
