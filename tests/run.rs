//! Runs of the real binary: what is published, what is left behind, how it exits, what the ledger says.
#![expect(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests set their stage")]

use std::{
    fs,
    os::unix::{fs::PermissionsExt, process::CommandExt},
    path::Path,
    process::{Child, Command},
    time::{Duration, Instant},
};

use maint::model::event::Event;
use rustix::process::{Pid, Signal, kill_process};

#[path = "support/project.rs"]
mod project;
use project::{Ended, Project, names, wait_for};

const TREE: (&str, &str) = ("tree", "files_archive = { paths = [\"tree\"] }");
/// A file of holes takes minutes to hash, so that a run can be met in the middle.
const SLOW: (&str, &str) = ("slow", "files_archive = { paths = [\"slow\"] }");

fn project() -> Project {
    let project = Project::new("");
    project.write("tree/a.txt", "hello\n");
    project.write("tree/sub/b.txt", &"line\n".repeat(1000));
    fs::create_dir(project.at("slow")).unwrap();
    fs::File::create(project.at("slow/holes")).unwrap().set_len(1 << 40).unwrap();
    project.backup_job("tree", &[TREE]);
    project.backup_job("slow", &[TREE, SLOW]);
    project
}

fn signal(child: &Child, signal: Signal) {
    kill_process(Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap(), signal).unwrap();
}

/// Starts the slow job and waits until it is in its slow step.
fn start_slow(project: &Project) -> Child {
    let child = project.start(&["run", "slow", "--json"]);
    wait_for("the slow step", || {
        let staging = project.at("backups/.staging");
        names(&staging).iter().any(|run| names(&staging.join(run)).iter().any(|n| n.starts_with(".slow")))
    });
    child
}

fn period() -> String {
    let now: chrono::DateTime<chrono::Utc> = std::time::SystemTime::now().into();
    now.format("%Y%m").to_string()
}

fn events(stdout: &str) -> Vec<Event> {
    stdout.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{line}: {e}"))).collect()
}

#[test]
fn a_run_publishes_a_set_and_never_overwrites_one() {
    let project = project();
    let first = project.maint(&["run", "tree"]).code(0);
    let month = period();
    assert_eq!(project.sets(), [format!("tree/{month}")], "{}", first.stdout);
    project.maint(&["run", "tree"]).code(0);
    assert_eq!(project.sets(), [format!("tree/{month}"), format!("tree/{month}-2")]);
    assert_eq!(project.staging(), Vec::<String>::new());
    assert!(first.stdout.contains("RESTORE.md"), "{}", first.stdout);
    let set = project.at(format!("backups/tree/{month}"));
    assert_eq!(fs::metadata(&set).unwrap().permissions().mode() & 0o777, 0o700);
    for name in names(&set) {
        assert_eq!(fs::metadata(set.join(&name)).unwrap().permissions().mode() & 0o777, 0o600, "{name}");
    }
    let sums = Command::new("sha256sum").args(["--strict", "-c", "SHA256SUMS"]).current_dir(&set).output().unwrap();
    assert!(sums.status.success(), "{sums:?}");
    let listed = project.maint(&["backups"]).code(0).stdout;
    assert!(listed.contains(&format!("tree/{month}-2")) && listed.contains("structure"), "{listed}");
}

#[test]
fn json_is_one_event_a_line() {
    let project = project();
    let events = events(&project.maint(&["run", "tree", "--json"]).code(0).stdout);
    assert!(matches!(events.first(), Some(Event::RunStarted { .. })));
    assert!(matches!(events.last(), Some(Event::RunFinished { .. })));
    let ended: Vec<_> = events
        .iter()
        .filter_map(|e| match e {
            Event::StepFinished { step, .. } => Some(step.to_string()),
            _ => None,
        })
        .collect();
    assert_eq!(ended, ["tree", "verify", "publish"]);
    assert!(events.iter().any(|e| matches!(e, Event::SetPublished { artifacts: 1, .. })));
}

#[test]
fn a_failed_step_publishes_nothing_and_is_not_tried_again_in_vain() {
    let project = project();
    project.write(
        "jobs/gone.toml",
        "description = \"x\"\n[backup]\nseries = \"gone\"\nperiod = \"month\"\n[[step]]\nid = \"tree\"\n\
         do.files_archive = { paths = [\"tree\"] }\n[[step]]\nid = \"gone\"\nretries = 3\ndo.files_archive = { paths = [\"not-there\"] }\n",
    );
    let ended = project.maint(&["run", "gone"]).code(1);
    assert!(ended.stdout.contains("not-there") && ended.stdout.contains("nothing was published"), "{ended:?}");
    assert_eq!((project.sets(), project.staging()), (vec![], vec![]));
    assert!(!ended.stdout.contains("attempt 2"), "{ended:?}");
    let shown = project.maint(&["runs", "show", &run_id(&ended)]).code(0).stdout;
    assert!(shown.contains("failed: gone: ") && shown.contains("not-there"), "{shown}");
}

/// The run's id, from the first line that a run prints.
fn run_id(ended: &Ended) -> String {
    let line = ended.stdout.lines().next().unwrap();
    line.rsplit(' ').next().unwrap().to_owned()
}

#[test]
fn a_failure_that_may_pass_is_tried_again() {
    let project = Project::new("[postgres.down]\nsocket = \"/nonexistent\"\nuser = \"u\"\n");
    project.write(
        "jobs/db.toml",
        "description = \"x\"\n[backup]\nseries = \"db\"\nperiod = \"month\"\n[[step]]\nid = \"db\"\nretries = 1\n\
         do.postgres_dump = { server = \"down\" }\n",
    );
    let ended = project.maint(&["run", "db", "--json"]).code(1);
    let retries = events(&ended.stdout).iter().filter(|e| matches!(e, Event::Retry { attempt: 2, .. })).count();
    assert_eq!(retries, 1, "{}", ended.stdout);
}

#[test]
fn a_second_run_at_the_same_time_is_told_who_has_the_lock() {
    let project = project();
    let mut running = start_slow(&project);
    let second = project.maint(&["run", "slow"]).code(5);
    assert!(second.stderr.contains(&format!("pid {}", running.id())), "{}", second.stderr);
    // Another job is not concerned.
    project.maint(&["run", "tree"]).code(0);
    signal(&running, Signal::TERM);
    running.wait().unwrap();
    assert_eq!(project.sets(), [format!("tree/{}", period())]);
}

#[test]
fn named_locks_hold_across_jobs_and_a_queue_waits() {
    let project = project();
    let job = |name: &str, more: &str, path: &str| {
        project.write(
            &format!("jobs/{name}.toml"),
            &format!(
                "description = \"x\"\nlocks = [\"maintenance\"]\nlock_wait = \"1s\"\n{more}[backup]\nseries = \"{name}\"\n\
                 period = \"month\"\n[[step]]\nid = \"slow\"\ndo.files_archive = {{ paths = [\"{path}\"] }}\n"
            ),
        );
    };
    job("holder", "", "slow");
    job("waiter", "", "tree");
    job("queued", "overlap = \"queue\"\n", "tree");
    let mut holder = project.start(&["run", "holder"]);
    wait_for("the holder", || !project.staging().is_empty());
    let begun = Instant::now();
    let waited = project.maint(&["run", "waiter"]).code(5);
    assert!(begun.elapsed() > Duration::from_millis(900) && waited.stderr.contains("maintenance"), "{}", waited.stderr);
    signal(&holder, Signal::INT);
    holder.wait().unwrap();
    project.maint(&["run", "queued"]).code(0);
}

#[test]
fn a_signal_ends_a_run_and_leaves_nothing() {
    for which in [Signal::INT, Signal::TERM] {
        let project = project();
        let child = start_slow(&project);
        signal(&child, which);
        let begun = Instant::now();
        let ended: Ended = child.wait_with_output().unwrap().into();
        let ended = ended.code(130);
        assert!(begun.elapsed() < Duration::from_secs(5));
        assert_eq!((project.sets(), project.staging()), (vec![], vec![]));
        assert!(matches!(
            events(&ended.stdout).last(),
            Some(Event::RunFinished { outcome: maint::model::outcome::Outcome::Interrupted, .. })
        ));
    }
}

#[test]
fn what_a_killed_run_left_is_swept_by_the_next() {
    let project = project();
    let mut child = start_slow(&project);
    let runs = project.maint(&["runs"]).code(0).stdout;
    assert!(runs.contains("running (pid"), "{runs}");
    child.kill().unwrap();
    child.wait().unwrap();
    let runs = project.maint(&["runs"]).code(0).stdout;
    assert!(runs.contains("died; see: maint recover --dry-run"), "{runs}");
    assert!(!project.staging().is_empty());
    project.backup_job("slow", &[TREE]);
    let next = project.maint(&["run", "slow"]).code(0);
    assert!(next.stdout.contains("swept") && next.stdout.contains("died without an end"), "{}", next.stdout);
    assert_eq!(project.staging(), Vec::<String>::new());
    let runs = project.maint(&["runs"]).code(0).stdout;
    assert!(runs.contains("interrupted") && runs.contains("ok"), "{runs}");
}

#[test]
fn a_full_disk_publishes_nothing_and_says_so() {
    let project = project();
    let disk = project.at("backups");
    fs::create_dir(&disk).unwrap();
    let noise: Vec<u8> =
        (0..4_u32 << 18).flat_map(|i| i.wrapping_mul(2_654_435_761).rotate_left(i % 31).to_le_bytes()).collect();
    fs::write(project.at("tree/noise"), noise).unwrap();
    let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=1m", "tmpfs"]).arg(&disk).status().unwrap();
    assert!(mounted.success(), "mount needs root");
    let ended = project.maint(&["run", "tree"]);
    let left = (project.sets(), project.staging());
    assert!(Command::new("umount").arg(&disk).status().unwrap().success());
    let ended = ended.code(1);
    assert!(ended.stdout.contains("disk is full"), "{ended:?}");
    assert_eq!(left, (vec![], vec![]));
}

#[test]
fn a_step_and_a_job_that_take_too_long_are_failures() {
    let project = project();
    for (job, head, of_step) in [("a", "", "timeout = \"1s\"\n"), ("b", "timeout = \"1s\"\n", "")] {
        project.write(
            &format!("jobs/{job}.toml"),
            &format!(
                "description = \"x\"\n{head}[backup]\nseries = \"{job}\"\nperiod = \"month\"\n[[step]]\nid = \"slow\"\n{of_step}\
                 do.files_archive = {{ paths = [\"slow\"] }}\n"
            ),
        );
        let ended = project.maint(&["run", job]).code(1);
        assert!(ended.stdout.contains("timeout of 1.0 s"), "{}", ended.stdout);
        assert_eq!((project.sets(), project.staging()), (vec![], vec![]));
    }
}

#[test]
fn only_and_skip_make_a_partial_set_that_nothing_counts() {
    let project = project();
    project.write("tree2/x", "x");
    project.backup_job("two", &[TREE, ("other", "files_archive = { paths = [\"tree2\"] }")]);
    project.maint(&["run", "two", "--only", "other"]).code(0);
    assert_eq!(project.sets(), Vec::<String>::new());
    let partial = project.at(format!("backups/.partial/two/{}", period()));
    assert!(partial.join("manifest.json").exists());
    assert!(project.maint(&["backups"]).code(0).stdout.contains("partial"));
    let wrong = project.maint(&["run", "two", "--skip", "nothing"]).code(2);
    assert!(wrong.stderr.contains("tree, other"), "{}", wrong.stderr);
    project.maint(&["run", "two", "--skip", "tree", "--skip", "other"]).code(2);
    let unknown = project.maint(&["run", "tw"]).code(2);
    assert!(unknown.stderr.contains("did you mean: two"), "{}", unknown.stderr);
}

#[test]
fn a_slot_names_the_period_and_succeeds_once() {
    let project = project();
    let slot = ["run", "tree", "--slot", "2026-08-02T01:00:00Z"];
    project.maint(&slot).code(0);
    assert_eq!(project.sets(), ["tree/202608"]);
    let again = project.maint(&slot).code(0);
    assert!(again.stdout.contains("skipped: the slot was done by run"), "{}", again.stdout);
    assert_eq!(project.sets(), ["tree/202608"]);
}

#[test]
fn a_dry_run_does_nothing() {
    let project = project();
    let ended = project.maint(&["run", "tree", "--dry-run"]).code(0);
    insta::assert_snapshot!(
        ended.stdout.replace(&project.path().display().to_string(), "DIR").replace(&period(), "YYYYMM")
    );
    assert!(!project.at("state").exists() && !project.at("backups").exists());
}

#[test]
fn a_ledger_of_a_newer_maint_is_refused() {
    let project = project();
    project.maint(&["run", "tree"]).code(0);
    let ledger = rusqlite::Connection::open(project.at("state/ledger.sqlite")).unwrap();
    ledger.pragma_update(None, "user_version", 1000).unwrap();
    drop(ledger);
    let ended = project.maint(&["run", "tree"]).code(1);
    assert!(ended.stderr.contains("newer maint"), "{}", ended.stderr);
    assert_eq!(project.sets().len(), 1);
}

#[test]
fn who_may_not_use_the_state_directory_is_told_how() {
    let project = project();
    project.maint(&["run", "tree"]).code(0);
    let program = project.at("maint");
    fs::copy(env!("CARGO_BIN_EXE_maint"), &program).unwrap();
    let ended: Ended = Command::new(&program)
        .arg("--config")
        .arg(project.at("maint.toml"))
        .args(["run", "tree"])
        .uid(65534)
        .gid(65534)
        .output()
        .unwrap()
        .into();
    let ended = ended.code(1);
    assert!(ended.stderr.contains("sudo -u maint"), "{}", ended.stderr);
}

#[test]
fn runs_are_listed_and_shown() {
    let project = project();
    let ended = project.maint(&["run", "tree"]).code(0);
    let id = run_id(&ended);
    for part in [&id[..], &id[..30], &id[28..]] {
        let shown = project.maint(&["runs", "show", part]).code(0).stdout;
        assert!(shown.contains(&id) && shown.contains("outcome   ok") && shown.contains("publish"), "{shown}");
    }
    project.maint(&["runs", "show", "zz"]).code(2);
    let json = project.maint(&["runs", "show", &id, "--json"]).code(0).stdout;
    let shown: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(shown["steps"].as_array().unwrap().len(), 3);
    let log = fs::read_to_string(Path::new(shown["logs"].as_str().unwrap()).join("tree.log")).unwrap();
    assert!(log.contains("ok after"), "{log}");
}
