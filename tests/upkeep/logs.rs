//! Log rotation: what is packed, what is removed, what is left alone, and what a kill leaves.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::Read,
    os::unix::fs::{MetadataExt, PermissionsExt, symlink},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use maint::model::outcome::Outcome;

use super::{
    Stage, about, bad,
    project::{Project, names},
};

const STEP: &str = "log_rotate = { paths = [\"logs/**/*.log\"] }";

fn days_ago(days: u64) -> SystemTime {
    SystemTime::now() - Duration::from_secs(days * 24 * 3600)
}

/// Writes a file that nobody wrote to for so many days.
pub(super) fn aged(path: &Path, content: &[u8], days: u64) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
    File::options().write(true).open(path).unwrap().set_modified(days_ago(days)).unwrap();
}

fn gunzip(path: &Path) -> Vec<u8> {
    let mut plain = Vec::new();
    flate2::read::MultiGzDecoder::new(File::open(path).unwrap()).read_to_end(&mut plain).unwrap();
    plain
}

fn gzipped(content: &[u8]) -> Vec<u8> {
    let mut packed = Vec::new();
    flate2::read::GzEncoder::new(content, flate2::Compression::fast()).read_to_end(&mut packed).unwrap();
    packed
}

/// Every log below a directory with its content, packed or not; how often each line stands there.
pub(super) fn lines(dir: &Path) -> BTreeMap<String, usize> {
    let mut lines = BTreeMap::new();
    for path in files(dir) {
        let content =
            if path.extension().is_some_and(|e| e == "gz") { gunzip(&path) } else { fs::read(&path).unwrap() };
        for line in String::from_utf8(content).unwrap().lines() {
            *lines.entry(line.to_owned()).or_default() += 1;
        }
    }
    lines
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap().map(Result::unwrap) {
        if entry.file_type().unwrap().is_dir() { found.extend(files(&entry.path())) } else { found.push(entry.path()) }
    }
    found.sort();
    found
}

#[tokio::test]
async fn old_logs_are_packed_and_packed_ones_removed_in_time() {
    let stage = Stage::files();
    let logs = stage.path().join("logs");
    let text: Vec<u8> = (0..200_000).flat_map(|i| format!("line {i} of the log\n").into_bytes()).collect();
    aged(&logs.join("large.log"), &text.repeat(4), 8);
    aged(&logs.join("a/b/old.log"), b"old\n", 29);
    aged(&logs.join("a/empty.log"), b"", 9);
    aged(&logs.join("a/young.log"), b"young\n", 6);
    aged(&logs.join("a/old.txt"), b"no log\n", 100);
    aged(&logs.join("x.log.gz"), &gzipped(b"x\n"), 31);
    aged(&logs.join("y.log.gz"), &gzipped(b"y\n"), 29);
    aged(&logs.join("z-20260101T000000Z.log.gz"), &gzipped(b"z\n"), 31);
    aged(&logs.join("other.gz"), &gzipped(b"other\n"), 100);
    let odd = fs::metadata(logs.join("a/b/old.log")).unwrap();
    fs::set_permissions(logs.join("a/b/old.log"), fs::Permissions::from_mode(0o640)).unwrap();
    std::os::unix::fs::chown(logs.join("a/b/old.log"), Some(65534), Some(65534)).unwrap();
    let report = stage.run(STEP).await;
    assert_eq!((report.outcome.clone(), bad(&report)), (Outcome::Changed, Vec::<String>::new()), "{report:#?}");
    let relative: Vec<_> = files(&logs).iter().map(|p| p.strip_prefix(&logs).unwrap().display().to_string()).collect();
    let expected =
        ["a/b/old.log.gz", "a/empty.log.gz", "a/old.txt", "a/young.log", "large.log.gz", "other.gz", "y.log.gz"];
    assert_eq!(relative, expected);
    assert_eq!(gunzip(&logs.join("large.log.gz")), text.repeat(4));
    assert_eq!(
        (gunzip(&logs.join("a/empty.log.gz")), gunzip(&logs.join("a/b/old.log.gz"))),
        (vec![], b"old\n".to_vec())
    );
    let packed = fs::metadata(logs.join("a/b/old.log.gz")).unwrap();
    assert_eq!((packed.mode() & 0o7777, packed.uid(), packed.gid()), (0o640, 65534, 65534));
    assert_eq!((packed.mtime(), packed.mtime_nsec()), (odd.mtime(), odd.mtime_nsec()));
    assert!(report.summary.contains("3 logs packed") && report.summary.contains("2 logs older than 30 days removed"));
    // The tools that people have read it too.
    let zcat = std::process::Command::new("gzip").arg("-t").arg(logs.join("large.log.gz")).status().unwrap();
    assert!(zcat.success());
    assert_eq!(stage.run(STEP).await.outcome, Outcome::Ok);
}

#[tokio::test]
async fn a_name_that_is_taken_overwrites_nothing() {
    let stage = Stage::files();
    let logs = stage.path().join("logs");
    aged(&logs.join("a.log"), b"new\n", 10);
    aged(&logs.join("a.log.gz"), &gzipped(b"older\n"), 20);
    let report = stage.run(STEP).await;
    assert_eq!(bad(&report), Vec::<String>::new());
    assert_eq!(gunzip(&logs.join("a.log.gz")), b"older\n");
    assert_eq!(lines(&logs), BTreeMap::from([("new".into(), 1), ("older".into(), 1)]));
}

#[tokio::test]
async fn links_and_open_doors_lead_nowhere() {
    let stage = Stage::files();
    let logs = stage.path().join("logs");
    let outside = stage.path().join("outside");
    aged(&outside.join("secret.log"), b"secret\n", 50);
    aged(&outside.join("packed.log.gz"), &gzipped(b"p\n"), 50);
    aged(&logs.join("twin.log"), b"twin\n", 50);
    fs::hard_link(logs.join("twin.log"), outside.join("twin")).unwrap();
    fs::hard_link(outside.join("packed.log.gz"), logs.join("linked.log.gz")).unwrap();
    symlink(outside.join("secret.log"), logs.join("link.log")).unwrap();
    symlink(&outside, logs.join("dir")).unwrap();
    symlink(outside.join("packed.log.gz"), logs.join("link.log.gz")).unwrap();
    // What waits under the names that rotation uses: it must not be written through.
    aged(&logs.join("trap.log"), b"trap\n", 50);
    symlink(outside.join("victim"), logs.join("trap.log.gz")).unwrap();
    symlink(outside.join("victim"), logs.join(".trap.log.gz.maint-tmp")).unwrap();
    aged(&logs.join("open/theirs.log"), b"theirs\n", 50);
    fs::set_permissions(logs.join("open"), fs::Permissions::from_mode(0o1777)).unwrap();
    rustix::fs::mknodat(rustix::fs::CWD, logs.join("pipe.log"), rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    let report = stage.run(STEP).await;
    assert!(matches!(report.outcome, Outcome::Warning(_)), "{report:#?}");
    assert_eq!(names(&outside), ["packed.log.gz", "secret.log", "twin"]);
    assert_eq!(fs::read(outside.join("secret.log")).unwrap(), b"secret\n");
    let left = ["dir", "link.log", "link.log.gz", "linked.log.gz", "open", "pipe.log", "trap.log.gz", "twin.log"];
    let mut after = names(&logs);
    after.retain(|name| !name.starts_with("trap-"));
    assert_eq!(after, left);
    assert_eq!(names(&logs.join("open")), ["theirs.log"]);
    assert!(fs::symlink_metadata(logs.join("trap.log.gz")).unwrap().is_symlink());
    let stamped = names(&logs).into_iter().find(|name| name.starts_with("trap-")).unwrap();
    assert_eq!(gunzip(&logs.join(stamped)), b"trap\n");
    assert!(about(&report, &logs.join("open").display().to_string()).seen.contains("everybody may write"));
    assert!(about(&report, &logs.join("twin.log").display().to_string()).seen.contains("1 further name"));
    // The directory itself may not be a link either: whoever can swap it leads maint anywhere.
    symlink(&outside, stage.path().join("linked")).unwrap();
    let report = stage.run("log_rotate = { paths = [\"linked/*.log\"] }").await;
    assert!(matches!(report.outcome, Outcome::Failed(_)), "{report:#?}");
    let report = stage.run("log_rotate = { paths = [\"nowhere/*.log\"] }").await;
    assert!(matches!(&report.outcome, Outcome::Failed(why) if why.contains("nowhere")), "{report:#?}");
}

#[tokio::test]
async fn another_maint_is_not_disturbed() {
    let stage = Stage::files();
    let logs = stage.path().join("logs");
    aged(&logs.join("a.log"), b"a\n", 10);
    let dir = File::open(&logs).unwrap();
    rustix::fs::flock(&dir, rustix::fs::FlockOperation::LockExclusive).unwrap();
    let error = stage.try_run(STEP).await.unwrap_err();
    assert_eq!(maint::model::failure::Diagnose::class(&error), maint::model::failure::Class::Locked);
    assert_eq!(names(&logs), ["a.log"]);
    drop(dir);
    assert_eq!(stage.run(STEP).await.outcome, Outcome::Changed);
}

#[tokio::test]
async fn what_a_killed_maint_left_is_put_right() {
    let stage = Stage::files();
    let logs = stage.path().join("logs");
    // Killed while it packed, while the log was hidden, and when only the hidden log was still to be removed.
    aged(&logs.join("a.log"), b"a\n", 10);
    aged(&logs.join(".a.log.gz.maint-tmp"), b"\x1f\x8b half", 0);
    aged(&logs.join(".b.log.maint-held"), b"b\n", 10);
    aged(&logs.join(".b.log.gz.maint-tmp"), &gzipped(b"b\n"), 10);
    aged(&logs.join("c.log"), b"c\n", 10);
    assert_eq!(stage.run(STEP).await.outcome, Outcome::Changed);
    assert_eq!(names(&logs), ["a.log.gz", "b.log.gz", "c.log.gz"]);
    aged(&logs.join(".c.log.maint-held"), b"c\n", 10);
    // A hidden log beside a copy of something else, and beside a new log of its name.
    aged(&logs.join(".a.log.maint-held"), b"another a\n", 10);
    aged(&logs.join(".d.log.maint-held"), b"old d\n", 10);
    aged(&logs.join("d.log"), b"new d\n", 0);
    let report = stage.run(STEP).await;
    assert_eq!(bad(&report), Vec::<String>::new());
    let expected = ["a", "another a", "b", "c", "new d", "old d"].map(|line| (line.to_owned(), 1));
    assert_eq!(lines(&logs), BTreeMap::from(expected));
    assert!(names(&logs).iter().all(|name| !name.starts_with('.')), "{:?}", names(&logs));
}

/// A directory of logs that are old enough, as many as a kill needs to hit the middle.
pub(super) fn fill(logs: &Path, count: usize) -> BTreeMap<String, usize> {
    let mut expected = BTreeMap::new();
    for i in 0..count {
        let text = (0..50).fold(String::new(), |text, line| text + &format!("log {i} line {line}\n"));
        expected.extend(text.lines().map(|line| (line.to_owned(), 1)));
        aged(&logs.join(format!("d{}/{i}.log", i % 7)), text.as_bytes(), 10);
    }
    expected
}

#[test]
fn killed_in_the_middle_nothing_is_lost() {
    let project = Project::new("");
    project.write("jobs/logs.toml", &format!("description = \"test\"\n[[step]]\nid = \"logs\"\ndo.{STEP}\n"));
    let mut killed = 0;
    for pause in [15, 40, 80, 120, 160, 200] {
        let _ = fs::remove_dir_all(project.at("logs"));
        let expected = fill(&project.at("logs"), 700);
        let mut child = project.start(&["run", "logs"]);
        std::thread::sleep(Duration::from_millis(pause));
        let _ = child.kill();
        killed += usize::from(child.wait().unwrap().code().is_none());
        project.maint(&["run", "logs"]).code(0);
        assert_eq!(lines(&project.at("logs")), expected, "killed after {pause} ms");
        let left = files(&project.at("logs"));
        assert!(left.iter().all(|path| path.extension().unwrap() == "gz"), "{left:?}");
    }
    assert!(killed >= 2, "only {killed} were killed in time");
}

#[test]
fn who_may_not_look_into_other_processes_packs_nothing() {
    let project = Project::new("");
    aged(&project.at("logs/a.log"), b"a\n", 10);
    project.write("jobs/logs.toml", &format!("description = \"test\"\n[[step]]\nid = \"logs\"\ndo.{STEP}\n"));
    let nobody = |path: PathBuf| std::os::unix::fs::chown(path, Some(65534), Some(65534)).unwrap();
    for name in ["", "logs", "logs/a.log", "jobs", "jobs/logs.toml", "maint.toml"] {
        nobody(project.at(name));
    }
    let mut command = project.command(&["run", "logs"]);
    std::os::unix::process::CommandExt::uid(&mut command, 65534);
    let ended: super::project::Ended = command.output().unwrap().into();
    let ended = ended.code(4);
    assert!(ended.stdout.contains("cannot be looked at"), "{}", ended.stdout);
    assert_eq!(names(&project.at("logs")), ["a.log"]);
}
