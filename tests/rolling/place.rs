//! Services that cannot be twice, and those that are refused.

use std::{fs, os::unix::fs::PermissionsExt};

use crate::{
    project::Ended,
    stage::{APP, Stage, front, service},
};

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

/// The plugin's command line goes to version 1 by a stand-in that notes it: both take these options. Not seen live.
#[test]
fn the_plugin_is_asked_where_there_is_one() {
    let stage = Stage::up("plugin", &[service(APP, "plugin:latest", "    ports: ['127.0.0.1:8099:80']\n")]);
    stage.image("plugin:latest", Some("one"));
    stage.compose_up();
    let second = stage.image("plugin:latest", Some("two"));
    stage.job("update", &format!("rolling_restart = {{ services = [\"{APP}\"], settle = \"300ms\" }}"));
    let said = stage.project.at("said");
    let script = format!(
        "#!/bin/sh\n[ \"$1\" = compose ] || exit 1\nshift\necho \"$*\" >> {}\n\
         [ \"$1\" = version ] && {{ echo v2.24.5; exit 0; }}\nexec docker-compose \"$@\"\n",
        said.display()
    );
    let program = stage.project.write("bin/docker", &script);
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:{}", stage.project.at("bin").display(), std::env::var("PATH").unwrap());
    let ended: Ended = stage.project.command(&["run", "update"]).env("PATH", path).output().unwrap().into();
    let ended = ended.code(0).said();
    assert!(ended.contains("by docker compose 2.24.5") && ended.contains("it has the host's port 8099"), "{ended}");
    assert_eq!(stage.serves_from(APP), [second]);
    let said = fs::read_to_string(said).unwrap();
    assert!(said.contains(&format!("up --detach --no-deps --no-build {APP}")), "{said}");
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
