//! Services that cannot be twice, and those that are refused.

use std::fs;

use crate::stage::{APP, Stage, front, service};

#[test]
fn a_fixed_name_is_updated_in_its_place_and_comes_back_from_a_broken_image() {
    let fixed = service(APP, "place:latest", "    container_name: the-only-one\n");
    let stage = Stage::up("place", &[fixed]);
    stage.image("place:latest", Some("one"));
    stage.compose_up();
    stage.job("update", &format!("rolling_restart = {{ services = [\"{APP}\"], settle = \"300ms\", wait = \"20s\" }}"));

    let second = stage.image("place:latest", Some("two"));
    let ended = stage.project.maint(&["run", "update"]).code(0).said();
    let said = "not without downtime, for it has the fixed container name the-only-one";
    assert!(ended.contains(said) && ended.contains("by docker-compose 1."), "{ended}");
    assert_eq!(stage.serves_from(APP), [second.as_str()]);

    stage.image("place:latest", None);
    let ended = stage.project.maint(&["run", "update"]).code(1).said();
    assert!(ended.contains("NOT updated") && ended.contains("it serves from the old image again"), "{ended}");
    assert_eq!(stage.serves_from(APP), [second.as_str()]);
    assert_eq!(stage.image_id("place:latest"), second);
    assert!(stage.containers(APP)[0].ends_with("running healthy"), "{:?}", stage.containers(APP));
    let logs = stage.project.at("state/logs");
    let log =
        fs::read_dir(logs).unwrap().map(|run| fs::read_to_string(run.unwrap().path().join("update.log")).unwrap());
    assert!(log.collect::<String>().contains("is unhealthy"), "the run's log says why");
}

#[test]
fn what_may_not_be_updated_is_refused_before_anything_is_touched() {
    let store = "  store:\n    image: refused:latest\n    command: [sleep, '1000000']\n    stop_grace_period: 1s\n    \
                 volumes: ['data:/var/lib/postgresql/data']\n";
    let stage = Stage::up("refused", &[service(APP, "refused:latest", ""), front("nginx.conf"), store.to_owned()]);
    stage.image("refused:latest", Some("one"));
    stage.compose_up();
    stage.image("refused:latest", Some("two"));
    let before = stage.containers("");

    stage.job("named", "rolling_restart = { services = [\"universal-orchestrator\", \"redis-master\"] }");
    let said = stage.project.maint(&["check"]).code(2);
    let said = said.stderr + &said.stdout;
    assert!(said.contains("`redis-master` is named as a database"), "{said}");
    fs::remove_file(stage.project.at("jobs/named.toml")).unwrap();

    stage.job(
        "store",
        "rolling_restart = { services = [\"universal-orchestrator\", \"store\"], proxy = { service = \"nginx\" } }",
    );
    let said = stage.project.maint(&["run", "store"]).code(1).said();
    assert!(said.contains("`store` has data at /var/lib/postgresql/data: it keeps data"), "{said}");

    stage.job("blind", "rolling_restart = { services = [\"universal-orchestrator\"] }");
    let said = stage.project.maint(&["run", "blind"]).code(1).said();
    assert!(said.contains("nginx in `nginx` looks up `universal-orchestrator` once"), "{said}");
    assert!(said.contains("proxy = { service = \"nginx\" }"), "the way out: {said}");

    stage.job("unknown", "rolling_restart = { services = [\"nobody\"] }");
    let said = stage.project.maint(&["run", "unknown"]).code(1).said();
    assert!(said.contains("the compose files of refused have no service `nobody`"), "{said}");
    assert_eq!(stage.containers(""), before, "nothing was touched");
}
