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

/// An engine that is not at hand: it answers as one with that API on a host with cgroups of version 2, and refuses
/// clients that are older or newer than it knows.
fn engine_of(dir: &std::path::Path, api: &'static str, oldest: (u32, u32), gaps: bool) -> String {
    let path = dir.join("engine.sock");
    let id = "a".repeat(64);
    let labels = "{\"com.docker.compose.project\":\"web\",\"com.docker.compose.service\":\"hub\",\"com.docker.compose.oneoff\":\"False\"}";
    let list = format!("[{{\"Id\":\"{id}\",\"Names\":[\"/web-hub-1\"],\"State\":\"running\",\"Labels\":{labels}}}]");
    let inspect = format!(
        "{{\"Id\":\"{id}\",\"Name\":\"/web-hub-1\",\"Image\":\"sha256:1\",\"RestartCount\":0,\
         \"State\":{{\"Status\":\"running\",\"Running\":true,\"StartedAt\":\"2026-08-02T00:00:00Z\",\"Health\":{{\"Status\":\"healthy\"}}}},\
         \"Config\":{{\"Image\":\"hub\",\"Labels\":{labels}}},\"HostConfig\":{{\"Memory\":1000000000}}}}"
    );
    // 200 ms of processor time in a second of two cores; 300 MB, 100 MB of them files that can be dropped.
    let cpu = |used: u64, system: u64| {
        format!("{{\"cpu_usage\":{{\"total_usage\":{used}}},\"system_cpu_usage\":{system},\"online_cpus\":2}}")
    };
    let stats = if gaps {
        "{\"cpu_stats\":{\"cpu_usage\":{\"total_usage\":0}},\"precpu_stats\":{\"cpu_usage\":{\"total_usage\":0}},\"memory_stats\":{}}".to_owned()
    } else {
        format!(
            "{{\"cpu_stats\":{},\"precpu_stats\":{},\"memory_stats\":{{\"usage\":300000000,\"limit\":1000000000,\
             \"stats\":{{\"inactive_file\":100000000}}}}}}",
            cpu(1_200_000_000, 12_000_000_000),
            cpu(1_000_000_000, 10_000_000_000)
        )
    };
    crate::server::on_socket(&path, move |path| {
        let number = |text: &str| {
            let (major, minor) = text.split_once('.')?;
            Some((major.parse::<u32>().ok()?, minor.parse::<u32>().ok()?))
        };
        let known = number(api).unwrap();
        let version = path.strip_prefix("/v").and_then(|rest| rest.split('/').next()).filter(|v| number(v).is_some());
        let version = version.unwrap_or(api);
        let asked = number(version).unwrap();
        match path {
            _ if path.ends_with("/version") => {
                let minimum = format!("{}.{}", oldest.0, oldest.1);
                (200, format!("{{\"Version\":\"x\",\"ApiVersion\":\"{api}\",\"MinAPIVersion\":\"{minimum}\"}}"))
            }
            _ if asked > known => (400, format!("{{\"message\":\"client version {version} is too new\"}}")),
            _ if asked < oldest => (400, format!("{{\"message\":\"client version {version} is too old\"}}")),
            _ if path.contains("/stats") => (200, stats.clone()),
            _ if path.contains("/json") && path.contains(&"a".repeat(64)) => (200, inspect.clone()),
            _ => (200, list.clone()),
        }
    });
    format!("unix://{}", path.display())
}

#[test]
fn an_older_and_a_newer_engine_are_understood() {
    for (api, oldest) in [("1.40", (1, 12)), ("1.51", (1, 44))] {
        let dir = tempfile::tempdir().unwrap();
        let host = engine_of(dir.path(), api, oldest, false);
        let project = Project::new(&format!("[docker]\nhost = \"{host}\"\n"));
        let bands = "{ good = \"<50%\", critical = \">85%\" }";
        job(
            &project,
            &[
                "containers = { at_least = 1, project = \"web\" }",
                &format!(
                    "resources = {{ project = \"web\", cpu = {bands}, memory = {{ good = \"<300MB\", critical = \">500MB\" }} }}"
                ),
            ],
        );
        let found = look(&project);
        // As docker stats shows them: (1.2 - 1.0) / (12 - 10) of two cores, and 300 MB less what can be dropped.
        found.code(0).is("web-hub-1, cpu", "good", "20 %").is(
            "web-hub-1, memory",
            "good",
            "200.0 MB, 20 % of its limit",
        );
        found.is("web-hub-1", "good", "running and healthy");
    }
}

#[test]
fn stats_with_gaps_are_unknown() {
    let dir = tempfile::tempdir().unwrap();
    let host = engine_of(dir.path(), "1.41", (1, 12), true);
    let project = Project::new(&format!("[docker]\nhost = \"{host}\"\n"));
    job(&project, &["resources = { project = \"web\" }"]);
    look(&project).code(4).is("web-hub-1, cpu", "unknown", "no numbers").is(
        "web-hub-1, memory",
        "unknown",
        "no numbers",
    );
}
