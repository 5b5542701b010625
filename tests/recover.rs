//! What dies, is taken away or gets in the way while containers are quiet, by the real binary against a real engine.
#![expect(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests set their stage")]

use std::{
    fs,
    path::PathBuf,
    process::Child,
    time::{Duration, Instant},
};

#[path = "support/docker.rs"]
mod docker;
#[path = "support/project.rs"]
mod project;
use docker::Engine;
use project::{Ended, Project, names, wait_for};

/// How long containers may stay away once nothing stands in the way any more.
const BACK_WITHIN: Duration = Duration::from_secs(10);

fn project(engine: &Engine) -> Project {
    Project::new(&format!("[docker]\nhost = \"{}\"\n", engine.host()))
}

/// A volume that takes forever to read.
fn endless(engine: &Engine, name: &str) -> PathBuf {
    let mountpoint = engine.volume(name);
    fs::File::create(mountpoint.join("holes")).unwrap().set_len(1 << 41).unwrap();
    mountpoint
}

/// Starts a capture of an endless volume that keeps a container stopped, and waits until it does.
fn capture_around(engine: &Engine, project: &Project, app: &str, stop_timeout: u32) -> Child {
    let volume = format!("{app}-data");
    endless(engine, &volume);
    engine.run(app, &[]);
    let step =
        format!("volume_archive = {{ volume = \"{volume}\", stop = [\"{app}\"], stop_timeout = {stop_timeout} }}");
    project.backup_job(app, &[("v", &step)]);
    let child = project.start(&["run", app]);
    wait_for("the journal", || names(&project.at("state/journals")).iter().any(|n| n.ends_with(".quiesce.json")));
    child
}

fn interrupt(child: Child) -> Ended {
    let pid = rustix::process::Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    child.wait_with_output().unwrap().into()
}

fn kill(mut child: Child) {
    child.kill().unwrap();
    child.wait().unwrap();
}

fn no_guard_is_left(project: &Project) {
    wait_for("the guard's end", || !names(&project.at("state/journals")).iter().any(|n| n.ends_with(".lock")));
}

#[test]
fn a_stop_that_was_under_way_at_the_kill_does_not_win() {
    let engine = Engine::shared();
    let project = project(&engine);
    // `sleep` as process 1 has no handler for SIGTERM: the engine waits out the stop timeout, then kills.
    let child = capture_around(&engine, &project, "slow", 3);
    let before = engine.started("slow");
    std::thread::sleep(Duration::from_millis(700));
    assert_eq!(engine.state("slow"), "running", "the stop is under way");
    kill(child);
    wait_for("a new start", || engine.started("slow") != before);
    assert_eq!(engine.state("slow"), "running");
    no_guard_is_left(&project);
    assert_eq!(engine.state("slow"), "running");
}

#[test]
fn a_guard_waits_for_an_engine_that_is_away() {
    let mut engine = Engine::start();
    let project = project(&engine);
    let child = capture_around(&engine, &project, "away", 1);
    engine.wait_for("away", "exited", BACK_WITHIN);
    engine.halt();
    kill(child);
    std::thread::sleep(Duration::from_millis(1500));
    engine.resume();
    engine.wait_for("away", "running", BACK_WITHIN);
    no_guard_is_left(&project);
}

#[test]
fn a_container_that_cannot_come_back_is_said_loudly_and_once() {
    let engine = Engine::shared();
    let project = project(&engine);
    let child = capture_around(&engine, &project, "removed", 1);
    engine.wait_for("removed", "exited", BACK_WITHIN);
    engine.docker(&["rm", "removed"]);
    let ended = interrupt(child).code(1);
    let said = format!("{}{}", ended.stdout, ended.stderr);
    assert!(said.contains("NOT running again: removed (removed meanwhile)"), "{said}");
    assert!(said.contains("docker compose up --detach removed"), "{said}");
    no_guard_is_left(&project);
    let told = project.maint(&["recover"]).code(1);
    assert!(format!("{}{}", told.stdout, told.stderr).contains("removed meanwhile"), "{told:?}");
    assert_eq!(project.maint(&["recover"]).code(0).stdout, "nothing to put right\n");
}

#[test]
fn a_container_that_another_capture_keeps_quiet_is_left_to_it() {
    let engine = Engine::shared();
    let project = project(&engine);
    let first = capture_around(&engine, &project, "wanted", 1);
    engine.wait_for("wanted", "exited", BACK_WITHIN);
    engine.volume("second-data");
    let second = "volume_archive = { volume = \"second-data\", stop = [\"wanted\"], stop_timeout = 1 }";
    project.backup_job("second", &[("v", second)]);
    let refused = project.maint(&["run", "second"]).code(5);
    let said = format!("{}{}", refused.stdout, refused.stderr);
    assert!(said.contains("`wanted` is kept quiet by another capture"), "{said}");
    assert_eq!(engine.state("wanted"), "exited", "it is the first one's");
    interrupt(first).code(130);
    assert_eq!(engine.state("wanted"), "running");
}

#[test]
fn helpers_of_killed_captures_are_swept() {
    let engine = Engine::shared();
    let project = project(&engine);
    let mountpoint = endless(&engine, "swept");
    project.backup_job("swept", &[("v", "volume_archive = { volume = \"swept\", read = \"api\" }")]);
    let mine = format!("label=maint.state={}", project.at("state").display());
    let left = || {
        let of = |what: &str| engine.docker(&[what, "ls", "--all", "--filter", &mine, "--quiet"]);
        (of("container").lines().count(), of("image").lines().count())
    };
    let die_in_the_middle = || {
        let child = project.start(&["run", "swept"]);
        wait_for("the helper", || left() == (1, 1));
        std::thread::sleep(Duration::from_millis(300));
        kill(child);
        assert_eq!(left(), (1, 1));
    };
    die_in_the_middle();
    let look = project.maint(&["recover", "--dry-run"]).code(0).stdout;
    assert!(look.contains("would remove: the helper container") && left() == (1, 1), "{look}");
    assert!(project.maint(&["recover"]).code(0).stdout.contains("removed: the helper container"));
    assert_eq!(left(), (0, 0));
    die_in_the_middle();
    fs::remove_file(mountpoint.join("holes")).unwrap();
    project.maint(&["run", "swept"]).code(0);
    assert_eq!((left(), names(&project.at("state/journals"))), ((0, 0), vec![]));
}

#[test]
fn a_volume_with_mount_options_is_not_taken_for_an_empty_directory() {
    let engine = Engine::shared();
    engine.docker(&["volume", "create", "--opt", "type=tmpfs", "--opt", "device=tmpfs", "optioned"]);
    engine.run("optioned-app", &["--volume", "optioned:/data"]);
    engine.docker(&["exec", "optioned-app", "sh", "-c", "echo precious > /data/file"]);
    let project = project(&engine);
    project.backup_job("optioned", &[("v", "volume_archive = { volume = \"optioned\" }")]);
    project.maint(&["run", "optioned"]).code(0);
    let set = project.at("backups").join(&project.sets()[0]);
    let manifest: serde_json::Value = serde_json::from_slice(&fs::read(set.join("manifest.json")).unwrap()).unwrap();
    let artifact = &manifest["artifacts"][0];
    assert_eq!(artifact["counts"]["files"], 1, "{artifact}");
    assert!(artifact["method"].as_str().unwrap().contains("it has mount options"), "{artifact}");
    let with_patterns = "volume_archive = { volume = \"optioned\", exclude = [\"x\"] }";
    project.backup_job("patterns", &[("v", with_patterns)]);
    assert!(project.maint(&["run", "patterns"]).code(1).stdout.contains("need the mount point"));
}

#[test]
fn a_container_that_its_stop_would_remove_is_not_stopped() {
    let engine = Engine::shared();
    engine.volume("rm-data");
    engine.run("rm-app", &["--rm"]);
    let project = project(&engine);
    project.backup_job("rm", &[("v", "volume_archive = { volume = \"rm-data\", stop = [\"rm-app\"] }")]);
    let begun = Instant::now();
    assert!(project.maint(&["run", "rm"]).code(1).stdout.contains("--rm"));
    assert!(begun.elapsed() < BACK_WITHIN);
    assert_eq!((engine.state("rm-app").as_str(), names(&project.at("state/journals"))), ("running", vec![]));
}
