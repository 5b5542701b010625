//! Volumes and the containers around them, by the real binary against a real engine.
#![expect(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests set their stage")]

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

#[path = "support/docker.rs"]
mod docker;
#[path = "support/project.rs"]
mod project;
use docker::Engine;
use project::{Project, names, wait_for};

/// How long containers may stay away after maint was killed.
const BACK_WITHIN: Duration = Duration::from_secs(10);

fn project(engine: &Engine) -> Project {
    Project::new(&format!("[docker]\nhost = \"{}\"\n", engine.host()))
}

/// A volume with a few files; gives its mount point.
fn volume(engine: &Engine, name: &str) -> PathBuf {
    let mountpoint = engine.volume(name);
    fs::create_dir_all(mountpoint.join("sub/empty")).unwrap();
    fs::write(mountpoint.join("a"), "hello\n").unwrap();
    fs::write(mountpoint.join("sub/b"), vec![7; 3_000_000]).unwrap();
    std::os::unix::fs::symlink("../a", mountpoint.join("sub/link")).unwrap();
    fs::hard_link(mountpoint.join("a"), mountpoint.join("hard")).unwrap();
    mountpoint
}

/// Extracts the one archive of a set as RESTORE.md says.
fn extract(set: &Path) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let restore = fs::read_to_string(set.join("RESTORE.md")).unwrap();
    let line = restore
        .lines()
        .find(|l| l.contains(" | tar -x") && l.contains("-C /var/tmp/restored-v-"))
        .unwrap_or_else(|| panic!("{restore}"));
    let (command, _) = line.split_once(" -C ").unwrap();
    let line = format!("{command} -C {}", dir.path().display());
    let ended = Command::new("sh").args(["-c", &line]).current_dir(set).status().unwrap();
    assert!(ended.success(), "{line}");
    dir
}

/// What a tree holds: path, type, mode, owner, links, target and content of each entry.
fn listing(dir: &Path) -> String {
    let script = "find . -printf '%P %y %m %U:%G %n %l %Ts\\n' | LC_ALL=C sort; find . -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum";
    let output = Command::new("sh").args(["-c", script]).current_dir(dir).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

fn manifest(set: &Path) -> serde_json::Value {
    serde_json::from_str(&fs::read_to_string(set.join("manifest.json")).unwrap()).unwrap()
}

#[test]
fn a_volume_is_the_same_by_mount_point_and_through_the_engine() {
    let engine = Engine::shared();
    let mountpoint = volume(&engine, "vol");
    let project = project(&engine);
    project.backup_job("direct", &[("v", "volume_archive = { volume = \"vol\" }")]);
    project.backup_job("api", &[("v", "volume_archive = { volume = \"vol\", read = \"api\" }")]);
    for (job, direct) in [("direct", true), ("api", false)] {
        project.maint(&["run", job]).code(0);
        let set = project.at("backups").join(project.sets().into_iter().find(|s| s.starts_with(job)).unwrap());
        assert_eq!(listing(extract(&set).path()), listing(&mountpoint), "{job}");
        let manifest = manifest(&set);
        let artifact = &manifest["artifacts"][0];
        assert_eq!(artifact["source"]["mountpoint"].is_string(), direct);
        let not_kept = artifact["not_kept"].to_string();
        assert_eq!(not_kept.contains("nanoseconds"), !direct, "{not_kept}");
    }
    let left = engine.docker(&["ps", "--all", "--filter", "label=maint.helper", "--quiet"]);
    let images = engine.docker(&["images", "--filter", "label=maint.helper", "--quiet"]);
    assert_eq!((left.as_str(), images.as_str()), ("", ""));
}

#[test]
fn containers_that_ran_are_quiet_meanwhile_and_run_again() {
    let engine = Engine::shared();
    volume(&engine, "quiet");
    engine.run("q-app", &["--volume", "quiet:/data", "--label", "role=q"]);
    engine.run("q-side", &["--label", "role=q"]);
    engine.run("q-paused", &[]);
    engine.docker(&[
        "create",
        "--name",
        "q-never",
        "--label",
        "role=q",
        "--network",
        "none",
        docker::IMAGE,
        "sleep",
        "9",
    ]);
    let (before, side) = (engine.started("q-app"), engine.started("q-side"));
    let project = project(&engine);
    let step = "volume_archive = { volume = \"quiet\", stop = [\"role=q\"], pause = [\"q-paused\"], stop_timeout = 1 }";
    project.backup_job("quiet", &[("v", step)]);
    let ended = project.maint(&["run", "quiet"]).code(0);
    assert!(ended.stdout.contains("quiet for"), "{}", ended.stdout);
    let states = ["q-app", "q-side", "q-paused", "q-never"].map(|name| engine.state(name));
    assert_eq!(states, ["running", "running", "running", "created"]);
    assert!(engine.started("q-app") != before && engine.started("q-side") != side);
    let set = project.at("backups").join(&project.sets()[0]);
    let quiesced = manifest(&set)["artifacts"][0]["source"]["quiesced"].to_string();
    assert!(
        ["q-app", "q-side", "q-paused"].iter().all(|n| quiesced.contains(n)) && !quiesced.contains("q-never"),
        "{quiesced}"
    );
    assert_eq!(names(&project.at("state/journals")), Vec::<String>::new());
}

#[test]
fn a_failed_capture_brings_containers_back_too() {
    let engine = Engine::shared();
    let mountpoint = volume(&engine, "failing");
    engine.run("f-app", &[]);
    let project = project(&engine);
    project.backup_job(
        "failing",
        &[("v", "volume_archive = { volume = \"failing\", stop = [\"f-app\"], stop_timeout = 1, exclude = [\"x\"] }")],
    );
    // A name that no tar can hold fails the capture in its middle.
    let holes = fs::File::create(mountpoint.join("holes")).unwrap();
    holes.set_len(1 << 41).unwrap();
    let mut child = project.start(&["run", "failing"]);
    engine.wait_for("f-app", "exited", BACK_WITHIN);
    rustix::process::kill_process(
        rustix::process::Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap(),
        rustix::process::Signal::INT,
    )
    .unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert_eq!(engine.state("f-app"), "running");
    assert_eq!((project.sets(), project.staging()), (vec![], vec![]));
}

#[test]
fn after_sigkill_containers_run_again_and_nobody_typed_a_command() {
    let engine = Engine::shared();
    for how in ["stop", "pause"] {
        let (name, app) = (format!("killed-{how}"), format!("k-{how}"));
        let mountpoint = volume(&engine, &name);
        fs::File::create(mountpoint.join("holes")).unwrap().set_len(1 << 41).unwrap();
        engine.run(&app, &[]);
        let project = project(&engine);
        let step = format!("volume_archive = {{ volume = \"{name}\", {how} = [\"{app}\"], stop_timeout = 1 }}");
        project.backup_job("killed", &[("v", &step)]);
        let mut child = project.start(&["run", "killed"]);
        engine.wait_for(&app, if how == "stop" { "exited" } else { "paused" }, BACK_WITHIN);
        let begun = Instant::now();
        child.kill().unwrap();
        child.wait().unwrap();
        engine.wait_for(&app, "running", BACK_WITHIN);
        assert!(begun.elapsed() < BACK_WITHIN);
        wait_for("the guard's end", || !names(&project.at("state/journals")).iter().any(|n| n.ends_with(".lock")));

        let look = project.maint(&["recover", "--dry-run"]).code(0).stdout;
        assert!(look.contains("would sweep") && look.contains(&app) && look.contains("would mark"), "{look}");
        let done = project.maint(&["recover"]).code(0).stdout;
        assert!(done.contains("brought back by the guard") && done.contains("swept"), "{done}");
        assert_eq!(project.maint(&["recover"]).code(0).stdout, "nothing to put right\n");
        assert!(project.maint(&["runs"]).code(0).stdout.contains("interrupted"));
    }
}

#[test]
fn where_the_guard_died_too_recover_brings_back() {
    let engine = Engine::shared();
    let mountpoint = volume(&engine, "both");
    fs::File::create(mountpoint.join("holes")).unwrap().set_len(1 << 41).unwrap();
    engine.run("both-app", &[]);
    let project = project(&engine);
    project.backup_job(
        "both",
        &[("v", "volume_archive = { volume = \"both\", stop = [\"both-app\"], stop_timeout = 1 }")],
    );
    let mut child = project.start(&["run", "both"]);
    engine.wait_for("both-app", "exited", BACK_WITHIN);
    // As when the host loses power: everybody of ours is gone at once.
    let guard = format!("__guard --journal {}", project.at("state").display());
    assert!(Command::new("pkill").args(["-KILL", "-f", &guard]).status().unwrap().success());
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(engine.state("both-app"), "exited");
    let done = project.maint(&["recover"]).code(0).stdout;
    assert!(done.contains("brought back: both-app"), "{done}");
    assert_eq!(engine.state("both-app"), "running");
}

#[test]
fn a_live_database_directory_is_refused_unless_its_container_is_stopped() {
    let engine = Engine::shared();
    let mountpoint = volume(&engine, "pg");
    fs::write(mountpoint.join("PG_VERSION"), "15\n").unwrap();
    engine.run("pg-server", &["--volume", "pg:/var/lib/postgresql/data"]);
    let project = project(&engine);
    project.backup_job("live", &[("v", "volume_archive = { volume = \"pg\" }")]);
    project.backup_job("api", &[("v", "volume_archive = { volume = \"pg\", read = \"api\" }")]);
    project.backup_job(
        "quiet",
        &[("v", "volume_archive = { volume = \"pg\", stop = [\"pg-server\"], stop_timeout = 1 }")],
    );
    for job in ["live", "api"] {
        let ended = project.maint(&["run", job]).code(1);
        assert!(
            ended.stdout.contains("PostgreSQL data directory") && ended.stdout.contains("pg-server"),
            "{}",
            ended.stdout
        );
    }
    project.maint(&["run", "quiet"]).code(0);
    assert_eq!(engine.state("pg-server"), "running");
}

#[test]
fn what_is_not_there_is_named_and_nothing_is_made() {
    let engine = Engine::shared();
    let project = project(&engine);
    project.backup_job("gone", &[("v", "volume_archive = { volume = \"no-such-volume\" }")]);
    let ended = project.maint(&["run", "gone"]).code(1);
    assert!(ended.stdout.contains("no-such-volume"), "{}", ended.stdout);
    assert!(!engine.docker(&["volume", "ls", "--quiet"]).contains("no-such-volume"));
    volume(&engine, "there");
    project.backup_job("app", &[("v", "volume_archive = { volume = \"there\", stop = [\"no-such-app\"] }")]);
    assert!(project.maint(&["run", "app"]).code(1).stdout.contains("no-such-app"));

    let nowhere = Project::new("[docker]\nhost = \"unix:///nonexistent/docker.sock\"\n");
    nowhere.backup_job("gone", &[("v", "volume_archive = { volume = \"vol\" }")]);
    let ended = nowhere.maint(&["run", "gone"]).code(1);
    assert!(ended.stdout.contains("/nonexistent/docker.sock"), "{}", ended.stdout);
}
