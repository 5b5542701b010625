//! Compose of version 2: the same updates, and what its own words about changes are worth.

use crate::stage::{APP, Stage, Version, front, service};

const STEP: &str = "rolling_restart = { services = [\"universal-orchestrator\"], settle = \"300ms\", wait = \"20s\", \
                    proxy = { service = \"nginx\" } }";

/// An application that needs another service, and has variables of a file.
fn stage(name: &'static str, more: &str) -> Stage {
    let side = "  side:\n    image: maint-test\n    command: [sleep, '1000000']\n    stop_grace_period: 1s\n";
    let needs = format!("    depends_on: [side]\n    env_file: [app.env]\n{more}");
    let services = [service(APP, &format!("{name}:latest"), &needs), side.to_owned(), front("nginx.conf")];
    let stage = Stage::up_by(Version::Two, name, &services);
    stage.project.write("app.env", "COLOUR=red\n");
    stage.image(&format!("{name}:latest"), Some("one"));
    stage.compose_up();
    stage
}

#[test]
fn the_plugin_updates_without_downtime_and_only_what_changed() {
    let stage = stage("second", "");
    stage.job("update", STEP);
    let run = |code| stage.project.maint(&["run", "update"]).code(code).said();
    let before = stage.containers("side");

    let said = run(0);
    assert!(
        said.contains("1 up to date") && said.contains("by docker compose 2."),
        "as somebody's `up` made it: {said}"
    );
    let client = stage.client();
    let second = stage.image("second:latest", Some("two"));
    let said = run(0);
    assert!(said.contains("updated without downtime"), "{said}");
    assert_eq!(stage.serves_from(APP), [second.as_str()]);
    let said = run(0);
    assert!(said.contains("1 up to date"), "as the update made it: {said}");
    stage.project.write("app.env", "COLOUR=green\n");
    let said = run(0);
    assert!(said.contains("updated without downtime"), "a variable changed: {said}");
    stage.image("second:latest", None);
    let said = run(1);
    assert!(said.contains("NOT updated") && said.contains("the old one serves on"), "{said}");
    let asked = client.end();
    assert_eq!((asked.failures, asked.answers.last().map(String::as_str)), (vec![], Some("two")));
    assert_eq!(stage.serves_from(APP), [second.as_str()]);
    assert_eq!(stage.containers("side"), before, "what it needs was not touched");
}

#[test]
fn the_plugin_updates_in_its_place() {
    let stage = stage("placed", "    container_name: the-placed-one\n");
    stage.job("update", STEP);
    let second = stage.image("placed:latest", Some("two"));
    let said = stage.project.maint(&["run", "update"]).code(0).said();
    assert!(said.contains("not without downtime, for it has the fixed container name the-placed-one"), "{said}");
    assert_eq!(stage.serves_from(APP), [second.as_str()]);
    assert!(stage.project.maint(&["run", "update"]).code(0).said().contains("1 up to date"));
    stage.image("placed:latest", None);
    let said = stage.project.maint(&["run", "update"]).code(1).said();
    assert!(said.contains("NOT updated") && said.contains("it serves from the old image again"), "{said}");
    assert_eq!(stage.serves_from(APP), [second]);
}
