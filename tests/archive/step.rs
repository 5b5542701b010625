//! The step `files_archive` as a job runs it.

use std::{fs, path::Path, sync::Arc};

use maint::{
    adapters::clock,
    model::{
        failure::{Class, Diagnose},
        ids::StepId,
        manifest::Source,
        outcome::Outcome,
        secret::Secret,
        stack::{Docker, Stack},
    },
    steps::{Step, StepContext, StepError, StepReport},
};
use tokio_util::sync::CancellationToken;

use crate::support::{self, Stage, stage};

fn context(root: &Path, staging: &Path) -> StepContext {
    let stack = Stack { docker: Docker { host: "unix:///nowhere".into() }, ..Stack::empty("s", root) };
    let step: StepId = "t".parse().unwrap();
    StepContext {
        stack: Arc::new(stack),
        jobs: std::sync::Arc::default(),
        job: "backup".parse().unwrap(),
        run: clock::run_id(),
        started: clock::now(),
        step,
        period: "1".into(),
        staging: staging.to_owned(),
        earlier: [].into(),
        host_secret: Secret::new("x".into()),
        cancel: CancellationToken::new(),
        events: support::events(),
    }
}

fn run(stage: &Stage, parameters: &str) -> Result<StepReport, StepError> {
    let step: Step = toml::from_str(&format!("files_archive = {parameters}")).unwrap();
    let context = context(&stage.source, &stage.out);
    assert_eq!(step.problems(&context.stack), []);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(step.run(&context))
}

#[test]
fn paths_keep_their_names_below_the_root() {
    let stage = stage();
    fs::create_dir_all(stage.source.join("deploy/config")).unwrap();
    fs::create_dir_all(stage.source.join("deploy/ssl")).unwrap();
    fs::write(stage.source.join("deploy/config/app.toml"), b"port = 1\n").unwrap();
    fs::write(stage.source.join("deploy/config/app.log"), b"log").unwrap();
    fs::write(stage.source.join("deploy/ssl/key.pem"), b"key").unwrap();
    let report = run(&stage, r#"{ paths = ["deploy/ssl", "deploy/config/"], exclude = ["*.log"] }"#).unwrap();
    assert_eq!(report.outcome, Outcome::Ok);
    assert!(report.summary.starts_with("2 files under 4 names, 12 B packed to "), "{}", report.summary);
    let artifact = &report.artifacts[0];
    assert_eq!(
        (artifact.packed.file.as_str(), artifact.contents.file.as_str()),
        ("t-1.tar.zst", "t-1.contents.jsonl.zst")
    );
    let root = stage.source.display().to_string();
    assert_eq!(artifact.source, Source::Files { paths: vec!["deploy/ssl".into(), "deploy/config".into()], root });
    support::extract(&support::plain(&stage.out), &stage.restored);
    assert_eq!(fs::read(stage.restored.join("deploy/config/app.toml")).unwrap(), b"port = 1\n");
    assert!(!stage.restored.join("deploy/config/app.log").exists());
}

#[test]
fn a_missing_path_fails_and_leaves_nothing() {
    let stage = stage();
    fs::create_dir(stage.source.join("there")).unwrap();
    let error = run(&stage, r#"{ paths = ["there", "gone"], compression = "gzip" }"#).unwrap_err();
    assert_eq!(error.class(), Class::Failed);
    assert!(error.to_string().ends_with("source/gone does not exist"), "{error}");
    assert!(support::is_empty(&stage.out));
}

#[test]
fn the_plan_names_what_is_read() {
    let step: Step = toml::from_str(r#"files_archive = { paths = ["a/b", "/etc/x"], exclude = ["*.log"] }"#).unwrap();
    let plan = step.plan(&context(Path::new("/srv"), Path::new("/nowhere")).stack);
    assert_eq!(plan, ["read /srv/a/b, stored as a/b", "read /etc/x, stored as etc/x", "leave out what matches *.log"]);
}
