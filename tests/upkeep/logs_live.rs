//! Logs that are being written: not one of 400,000 lines is lost, whatever the writer does.

use std::{
    fs,
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use maint::model::outcome::Outcome;

use super::{
    Stage, about, bad,
    logs::lines,
    project::{Project, names, wait_for},
};

const LINES: usize = 400_000;

/// A writer of so many numbered lines; it opens its log anew at SIGUSR1, or never.
const WRITER: &str = r#"
    my ($path, $lines, $reopens, $pidfile) = @ARGV;
    my $again = 0; $SIG{USR1} = sub { $again = 1 if $reopens }; $SIG{TERM} = sub { exit };
    my $log; sub open_log { open($log, '>>', $path) or die; select($log); $| = 1; }
    open_log(); open(my $pid, '>', "$pidfile.new"); print $pid "$$\n"; close $pid; rename "$pidfile.new", $pidfile;
    for my $i (1 .. $lines) {
        if ($again) { $again = 0; close $log; open_log(); }
        print $log "line $i\n"; select(undef, undef, undef, 0.001) if $i % 100 == 0;
    }
    open(my $done, '>', "$pidfile.done"); close $done;
    while (1) { select(undef, undef, undef, 0.02); if ($again) { $again = 0; close $log; open_log(); } }
"#;

struct Writer(Child);

impl Writer {
    fn start(dir: &Path, log: &str, reopens: bool) -> Self {
        fs::create_dir_all(dir.join("logs")).unwrap();
        let mut perl = Command::new("perl");
        perl.arg("-e").arg(WRITER).arg(dir.join("logs").join(log)).arg(LINES.to_string());
        perl.arg(if reopens { "1" } else { "0" }).arg(dir.join("pid")).stdin(Stdio::null());
        let writer = Self(perl.spawn().unwrap());
        wait_for("the writer writes", || dir.join("pid").exists());
        writer
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn whole(logs: &Path) {
    let lines = lines(logs);
    let lost = (1..=LINES).filter(|i| lines.get(&format!("line {i}")) != Some(&1)).count();
    assert_eq!((lost, lines.len()), (0, LINES), "lines that are not there just once, and all that are there");
}

fn done(stage: &Stage) {
    super::project::wait_for("all lines are written", || stage.path().join("pid.done").exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_writer_that_opens_its_log_anew_loses_no_line() {
    let stage = Stage::files();
    let writer = Writer::start(stage.path(), "access.log", true);
    let step = "log_rotate = { paths = [\"logs/*.log\"], live = { signal = { pid_file = \"pid\" }, wait = \"10s\" } }";
    while !stage.path().join("pid.done").exists() {
        let report = stage.run(step).await;
        assert_eq!(bad(&report), Vec::<String>::new());
        // The stamp has seconds: two rotations within one are the second's own concern.
        tokio::time::sleep(Duration::from_millis(1001)).await;
    }
    done(&stage);
    drop(writer);
    let logs = stage.path().join("logs");
    assert!(names(&logs).iter().filter(|name| name.ends_with("Z.log.gz")).count() >= 2, "{:?}", names(&logs));
    whole(&logs);
}

/// Killed again and again beside a writer: whatever was renamed, hidden or half packed is there once in the end.
#[test]
fn a_killed_rotation_loses_no_line_of_a_living_writer() {
    let project = Project::new("");
    let step = "log_rotate = { paths = [\"logs/*.log\"], live = { signal = { pid_file = \"pid\" }, wait = \"10s\" } }";
    project.write("jobs/logs.toml", &format!("description = \"test\"\n[[step]]\nid = \"logs\"\ndo.{step}\n"));
    let writer = Writer::start(project.path(), "access.log", true);
    let mut killed = 0;
    for pause in [20, 50, 90, 140, 200, 270, 350].into_iter().cycle() {
        let mut child = project.start(&["run", "logs"]);
        std::thread::sleep(Duration::from_millis(pause));
        let _ = child.kill();
        killed += usize::from(child.wait().unwrap().code().is_none());
        if project.at("pid.done").exists() {
            break;
        }
    }
    // The stamp has seconds: within one, a name may be taken, and the log waits for the next run.
    std::thread::sleep(Duration::from_millis(1100));
    project.maint(&["run", "logs"]).code(0);
    drop(writer);
    println!("{killed} runs were killed");
    assert!(killed >= 3, "only {killed} were killed in time");
    whole(&project.at("logs"));
    assert!(names(&project.at("logs")).iter().all(|name| !name.starts_with('.')), "{:?}", names(&project.at("logs")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_writer_that_never_does_keeps_its_log() {
    let stage = Stage::files();
    let writer = Writer::start(stage.path(), "app.log", false);
    let step = "log_rotate = { paths = [\"logs/*.log\"], live = { wait = \"300ms\" } }";
    let logs = stage.path().join("logs");
    let report = stage.run(step).await;
    assert!(matches!(report.outcome, Outcome::Warning(_)), "{report:#?}");
    let [name] = <[String; 1]>::try_from(names(&logs)).unwrap();
    assert!(name.starts_with("app-2") && name.ends_with("Z.log"), "{name}");
    let finding = about(&report, &logs.join(&name).display().to_string());
    assert!(finding.seen.contains("left unpacked: after 300 ms perl (pid "), "{}", finding.seen);
    assert!(stage.said().contains("to let go of"), "{}", stage.said());
    // The next run does not rename it again.
    let report = stage.run(step).await;
    assert_eq!((names(&logs), bad(&report).len()), (vec![name.clone()], 1));
    done(&stage);
    drop(writer);
    let report = stage.run(step).await;
    assert_eq!(bad(&report), Vec::<String>::new());
    assert_eq!(names(&logs), [format!("{name}.gz")]);
    whole(&logs);
}

/// Without `live`, an old log that is open is left as it is: its writer may go on at any time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_old_log_that_is_open_is_left() {
    let stage = Stage::files();
    let log = stage.path().join("logs/quiet.log");
    super::logs::aged(&log, b"quiet\n", 20);
    let mut tail = Command::new("sleep").arg("60").stdin(fs::File::open(&log).unwrap()).spawn().unwrap();
    let step = "log_rotate = { paths = [\"logs/*.log\"] }";
    let report = stage.run(step).await;
    assert!(about(&report, &log.display().to_string()).seen.contains("sleep (pid"), "{report:#?}");
    assert_eq!(names(&stage.path().join("logs")), ["quiet.log"]);
    tail.kill().unwrap();
    tail.wait().unwrap();
    assert_eq!(stage.run(step).await.outcome, Outcome::Changed);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stranger_with_the_writers_number_is_not_signalled() {
    let stage = Stage::files();
    let writer = Writer::start(stage.path(), "access.log", true);
    let mut stranger = Command::new("sleep").arg("60").spawn().unwrap();
    fs::write(stage.path().join("stale"), stranger.id().to_string()).unwrap();
    for (file, why) in [("stale", "has none of these logs open"), ("missing", "missing")] {
        let step = format!(
            "log_rotate = {{ paths = [\"logs/*.log\"], live = {{ signal = {{ pid_file = \"{file}\" }}, wait = \"1s\" }} }}"
        );
        let report = stage.run(&step).await;
        assert!(matches!(report.outcome, Outcome::Failed(_)), "{report:#?}");
        assert!(report.findings.iter().any(|f| f.seen.contains(why)), "{report:#?}");
        // Nothing was renamed: nobody would let go of it.
        assert_eq!(names(&stage.path().join("logs")), ["access.log"]);
    }
    assert!(stranger.try_wait().unwrap().is_none(), "SIGUSR1 ends a program that does not expect it");
    stranger.kill().unwrap();
    stranger.wait().unwrap();
    drop(writer);
}
