//! Docker's leftovers: what the preview says is what goes, and nothing else.

use std::collections::BTreeSet;

use maint::{
    adapters::ledger::{Ledger, ServiceImage},
    model::outcome::Outcome,
    steps::StepReport,
};

use super::{
    Stage, about, bad,
    docker::{Engine, IMAGE},
};

const NOW: &str = "docker_prune = { older_than = \"0s\" }";
const PREVIEW: &str = "docker_prune = { older_than = \"0s\", preview = true }";

/// Everything that the engine has, one line each.
fn inventory(engine: &Engine) -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    for (kind, args) in [
        ("container", ["ps", "--all", "--format", "{{.Names}}"].as_slice()),
        ("image", ["images", "--format", "{{.ID}}"].as_slice()),
        ("network", ["network", "ls", "--format", "{{.Name}}"].as_slice()),
        ("volume", ["volume", "ls", "--format", "{{.Name}}"].as_slice()),
    ] {
        all.extend(engine.docker(args).lines().map(|line| format!("{kind} {line}")));
    }
    all
}

/// The things that findings of this beginning are about.
fn told(report: &StepReport, seen: &str) -> BTreeSet<String> {
    let of_it = report.findings.iter().filter(|finding| finding.seen.starts_with(seen));
    of_it.map(|finding| finding.subject.clone()).collect()
}

/// An image of the host's own, made from the test's by changing its configuration; the name goes to the next one.
fn image(engine: &Engine, name: &str, change: &str) -> String {
    let container = engine.docker(&["create", "--network", "none", IMAGE, "true"]);
    engine.docker(&["commit", "--change", change, &container, name]);
    engine.docker(&["rm", &container]);
    engine.docker(&["image", "inspect", "--format", "{{.Id}}", name])
}

fn short(id: &str) -> String {
    id.trim_start_matches("sha256:").chars().take(12).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_announced_goes_and_nothing_else() {
    let engine = Engine::start();
    let stage = Stage::docker(&engine.host());
    engine.volume("data");
    engine.run("serves", &[]);
    let old = image(&engine, "app:1", "LABEL version=1");
    let kept = image(&engine, "app:1", "LABEL version=2");
    engine.docker(&["network", "create", "idle"]);
    engine.docker(&["network", "create", "needed"]);
    engine.docker(&["create", "--name", "keeps", "--label", "maint.keep=yes", "--network", "needed", "app:1", "true"]);
    let labelled = image(&engine, "app:1", "LABEL maint.keep=1");
    image(&engine, "app:1", "LABEL version=4");
    let ended = format!("run --name ended --network none --volume data:/data --volume /anonymous {IMAGE} true");
    engine.docker(&ended.split(' ').collect::<Vec<_>>());
    engine.docker(&["create", "--name", "never-ran", "--network", "none", IMAGE, "true"]);
    // What a service has served from stays, though nothing has its name or runs it any more.
    let rollback = image(&engine, "app:1", "LABEL version=5");
    image(&engine, "app:1", "LABEL version=6");
    let of = ServiceImage {
        project: "p".into(),
        service: "app".into(),
        id: rollback.clone(),
        name: "app:1".into(),
        digest: None,
    };
    let state = &stage.context.stack.state_dir;
    Ledger::open(state).unwrap().serves_from(&of, maint::adapters::clock::now()).unwrap();
    let before = inventory(&engine);

    // Nothing is old enough for the runbook's week.
    let report = stage.run("docker_prune = { older_than = \"168h\" }").await;
    assert_eq!((report.outcome.clone(), report.summary.as_str()), (Outcome::Ok, "nothing removed, 0 B"));
    assert_eq!(inventory(&engine), before);

    let preview = stage.run(PREVIEW).await;
    assert_eq!(inventory(&engine), before, "a preview changes nothing");
    let announced = told(&preview, "would go: ");
    for goes in ["container ended".to_owned(), "container never-ran".into(), "network idle".into()] {
        assert!(announced.contains(&goes), "{goes}: {announced:?}");
    }
    assert!(announced.contains(&format!("image {}", short(&old))), "{announced:?}");
    assert!(about(&preview, &format!("image {}", short(&kept))).seen.contains("a container is made from it"));
    assert!(about(&preview, &format!("image {}", short(&rollback))).seen.contains("may have to go back to it"));
    assert!(about(&preview, &format!("image {}", short(&labelled))).seen.contains("maint.keep"));
    assert!(about(&preview, "container keeps").seen.contains("maint.keep"));
    assert!(about(&preview, "network needed").seen.contains("would not start without it"));

    let report = stage.run(NOW).await;
    assert_eq!((report.outcome.clone(), bad(&report)), (Outcome::Changed, vec![]), "{report:#?}");
    assert_eq!(told(&report, "removed: "), announced);
    assert!(stage.said().contains("goes: container ended, idle for"), "{}", stage.said());
    let gone: BTreeSet<String> = before.difference(&inventory(&engine)).cloned().collect();
    assert_eq!(gone, announced, "volumes stay, the one without a name too");
    assert_eq!(engine.state("serves"), "running");
    engine.docker(&["start", "keeps"]);
    assert_eq!(stage.run(NOW).await.summary, "nothing removed, 0 B");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn logs_of_containers_without_a_limit_are_named() {
    let engine = Engine::shared();
    engine.run("endless", &[]);
    engine.run("limited", &["--log-opt", "max-size=10m"]);
    let stage = Stage::docker(&engine.host());
    std::fs::create_dir(stage.path().join("logs")).unwrap();
    let step = "log_rotate = { paths = [\"logs/*.log\"], container_logs = true }";
    let report = stage.run(step).await;
    assert!(matches!(report.outcome, Outcome::Warning(_)), "{report:#?}");
    let finding = about(&report, "log of container endless");
    assert!(finding.seen.contains("json-file without max-size") && finding.value.is_some(), "{finding:?}");
    assert_eq!(bad(&report).len(), 1);
    engine.docker(&["rm", "--force", "endless"]);
    assert_eq!(stage.run(step).await.outcome, Outcome::Ok);
    engine.docker(&["rm", "--force", "limited"]);
    let lonely = Stage::files();
    std::fs::create_dir(lonely.path().join("logs")).unwrap();
    let report = lonely.run(step).await;
    assert!(matches!(report.outcome, Outcome::Unknown(_)), "{report:#?}");
}

/// A writer in a container: told by the engine, seen by its open files.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_container_is_told_to_open_its_log_anew() {
    let engine = Engine::shared();
    let stage = Stage::docker(&engine.host());
    let logs = stage.path().join("logs");
    std::fs::create_dir(&logs).unwrap();
    let mount = format!("{}:/logs", logs.display());
    let script = "trap 'exec 3>>/logs/app.log' USR1; exec 3>>/logs/app.log; echo one >&3; while :; do sleep 0.05; done";
    let run =
        ["run", "--detach", "--name", "writer", "--network", "none", "--volume", &mount, IMAGE, "sh", "-c", script];
    engine.docker(&run);
    super::project::wait_for("the writer writes", || {
        std::fs::read(logs.join("app.log")).is_ok_and(|text| !text.is_empty())
    });
    let step =
        "log_rotate = { paths = [\"logs/*.log\"], live = { signal = { container = \"writer\" }, wait = \"5s\" } }";
    let report = stage.run(step).await;
    assert_eq!((report.outcome.clone(), bad(&report)), (Outcome::Changed, vec![]), "{report:#?}");
    let names = super::project::names(&logs);
    assert!(names.len() == 2 && names[0].ends_with("Z.log.gz") && names[1] == "app.log", "{names:?}");
    engine.docker(&["rm", "--force", "writer"]);
}

/// What buildx left behind goes as it was announced, entry by entry; what an image still has stays.
async fn build_cache_goes(engine: Engine) {
    let stage = Stage::docker(&engine.host());
    super::docker::give_plugins(stage.path());
    let context = stage.path().join("context");
    std::fs::create_dir(&context).unwrap();
    std::fs::write(context.join("Dockerfile"), format!("FROM {IMAGE}\nRUN echo one > /one\nCOPY file /file\n"))
        .unwrap();
    let build = |name: &str, text: &str| {
        std::fs::write(context.join("file"), text).unwrap();
        let mut docker = std::process::Command::new("docker");
        docker.env("HOME", stage.path()).env("DOCKER_HOST", engine.host());
        docker.args(["buildx", "build", "--network", "none", "--load", "--tag", name]).arg(&context);
        let ended = docker.output().unwrap();
        assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    };
    build("gone", "one");
    build("stays", "two");
    engine.docker(&["image", "rm", "gone"]);
    let cache = || engine.docker(&["system", "df", "--format", "{{.Type}} {{.TotalCount}}"]);
    let before = cache();

    let preview = stage.run(PREVIEW).await;
    assert_eq!(cache(), before);
    let announced = told(&preview, "would go: ");
    let of_cache = announced.iter().filter(|thing| thing.starts_with("build cache")).count();
    assert!(of_cache >= 1, "{preview:#?}");
    let report = stage.run(NOW).await;
    assert_eq!((report.outcome.clone(), bad(&report)), (Outcome::Changed, vec![]), "{report:#?}");
    assert_eq!(told(&report, "removed: "), announced);
    assert_ne!(cache(), before);
    engine.docker(&["run", "--rm", "--network", "none", "stays", "test", "-s", "/one"]);
    assert_eq!(told(&stage.run(PREVIEW).await, "would go: "), BTreeSet::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_cache_of_buildx_goes() {
    build_cache_goes(Engine::start()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_cache_of_buildx_goes_from_a_newer_engine() {
    build_cache_goes(Engine::start_newer()).await;
}
