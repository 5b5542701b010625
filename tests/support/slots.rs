//! A stage for slots: jobs that owe some, a daemon, and what the ledger says of it.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::allow_attributes,
    reason = "every test file uses its own part"
)]

use std::{
    fs,
    io::{BufRead, BufReader},
    net::TcpListener,
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use chrono::{DateTime, Timelike, Utc};
use rustix::process::{Pid, Signal, kill_process};

use crate::project::{Project, wait_for};

/// The start of the minute so many hours ago: a slot of [`daily`].
pub fn hours_ago(hours: i64) -> DateTime<Utc> {
    let then = Utc::now() - chrono::Duration::hours(hours);
    then.with_second(0).unwrap().with_nanosecond(0).unwrap()
}

/// A cron expression whose slots are daily at that minute.
pub fn daily(slot: DateTime<Utc>) -> String {
    format!("{} {} * * *", slot.minute(), slot.hour())
}

/// A backup job of one small file, done in some milliseconds.
pub fn quick(project: &Project, name: &str, schedule: &str, more: &str) {
    project.write("tree/file", "content");
    let text = format!(
        "description = \"test\"\nschedule = \"{schedule}\"\n{more}\n[backup]\nseries = \"{name}\"\nperiod = \"instant\"\n\
         [[step]]\nid = \"tree\"\ndo.files_archive = {{ paths = [\"tree\"] }}\n"
    );
    project.write(&format!("jobs/{name}.toml"), &text);
}

/// The cheapest job that there is: it asks one file system how full it is, and nothing is full enough for it.
pub fn idle(project: &Project, name: &str, schedule: &str) {
    let full = "{ good = \"<101\", critical = \">101\" }";
    let text = format!(
        "description = \"test\"\nschedule = \"{schedule}\"\n[[step]]\nid = \"disk\"\n\
         do.disk = {{ paths = [\".\"], space = {full}, inodes = {full} }}\n"
    );
    project.write(&format!("jobs/{name}.toml"), &text);
}

/// A server that takes connections and never says a word.
pub fn mute() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let section =
        format!("[postgres.mute]\nhost = \"127.0.0.1\"\nport = {port}\nuser = \"postgres\"\nsslmode = \"disable\"\n");
    (listener, section)
}

/// A job that hangs at [`mute`] until it is stopped.
pub fn hanging(project: &Project, name: &str, schedule: &str, more: &str) {
    let text = format!(
        "description = \"test\"\nschedule = \"{schedule}\"\n{more}\n[backup]\nseries = \"{name}\"\nperiod = \"instant\"\n\
         [[step]]\nid = \"db\"\nretries = 0\ndo.postgres_dump = {{ server = \"mute\" }}\n"
    );
    project.write(&format!("jobs/{name}.toml"), &text);
}

/// The ledger, as any program sees it.
pub fn ledger(project: &Project) -> rusqlite::Connection {
    let db = rusqlite::Connection::open(project.at("state/ledger.sqlite")).unwrap();
    db.busy_timeout(Duration::from_secs(10)).unwrap();
    db
}

/// Lets a job be on duty since then, as if nobody had been at work meanwhile. Its schedule is what its file says.
pub fn owe(project: &Project, job: &str, since: DateTime<Utc>) {
    let text = fs::read_to_string(project.at(format!("jobs/{job}.toml"))).unwrap();
    let schedule = text.split("schedule = \"").nth(1).unwrap().split('"').next().unwrap();
    // Whoever opens it first makes it.
    project.maint(&["runs"]).code(0);
    let identity = format!("{schedule}|UTC|run_after_gap");
    let row = [job, &identity, &since.to_rfc3339(), &since.to_rfc3339()];
    ledger(project)
        .execute("INSERT OR REPLACE INTO duty (job, schedule, since, settled) VALUES (?,?,?,?)", row)
        .unwrap();
}

/// `(trigger, outcome)` of a job's runs for a slot, in the order of their attempts.
pub fn runs(project: &Project, job: &str, slot: DateTime<Utc>) -> Vec<(String, Option<String>)> {
    let db = ledger(project);
    let mut query = db
        .prepare("SELECT \"trigger\", outcome FROM run WHERE job = ? AND slot = ? ORDER BY attempt, started")
        .unwrap();
    let rows = query.query_map([job, &slot.to_rfc3339()], |r| Ok((r.get(0)?, r.get(1)?))).unwrap();
    rows.map(Result::unwrap).collect()
}

/// Outcomes of a job's runs for a slot.
pub fn outcomes(project: &Project, job: &str, slot: DateTime<Utc>) -> Vec<String> {
    runs(project, job, slot).into_iter().map(|(_, outcome)| outcome.unwrap_or_else(|| "running".into())).collect()
}

/// `(slot, why)` of what a job missed.
pub fn missed(project: &Project, job: &str) -> Vec<(DateTime<Utc>, String)> {
    let db = ledger(project);
    let mut query = db.prepare("SELECT slot, why FROM missed WHERE job = ? ORDER BY slot").unwrap();
    let rows = query.query_map([job], |r| Ok((r.get::<_, String>(0)?.parse().unwrap(), r.get(1)?))).unwrap();
    rows.map(Result::unwrap).collect()
}

/// A daemon that ends with its owner.
pub struct Daemon {
    child: Child,
    said: Arc<Mutex<Vec<String>>>,
}

impl Daemon {
    /// Starts it, and waits until it is on duty.
    pub fn start(project: &Project) -> Self {
        let daemon = Self::spawn(project.command(&["serve", "--host-root", project.path().to_str().unwrap()]));
        daemon.wait_for_line("ready: ");
        daemon
    }

    /// Starts it by this command line.
    pub fn spawn(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn().unwrap();
        let said = Arc::new(Mutex::new(Vec::new()));
        let (lines, out) = (said.clone(), child.stdout.take().unwrap());
        std::thread::spawn(move || {
            for line in BufReader::new(out).lines().map_while(Result::ok) {
                lines.lock().unwrap().push(line);
            }
        });
        Self { child, said }
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap(), signal).unwrap();
    }

    /// What it said until now.
    pub fn said(&self) -> String {
        self.said.lock().unwrap().join("\n")
    }

    #[track_caller]
    pub fn wait_for_line(&self, part: &str) {
        wait_for(&format!("the daemon's `{part}`, which said:\n{}", self.said()), || self.said().contains(part));
    }

    /// Reads the configuration anew, and waits until it has.
    #[track_caller]
    pub fn reload(&self) {
        let before = self.said().matches("reloaded ").count();
        self.signal(Signal::HUP);
        wait_for("the reload", || self.said().matches("reloaded ").count() > before);
    }

    /// Waits for its end.
    pub fn end(&mut self) -> ExitStatus {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(begun.elapsed() < Duration::from_secs(20), "the daemon does not end:\n{}", self.said());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Ends it as a supervisor does.
    #[track_caller]
    pub fn stop(mut self) -> String {
        self.signal(Signal::TERM);
        assert_eq!(self.end().code(), Some(0), "{}", self.said());
        self.said()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// How much memory a process has: `VmRSS:` is all of it, `RssAnon:` what no file backs.
pub fn resident_kib(pid: u32, which: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with(which)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// Seconds after their slot at which the jobs of the next minute started, sorted.
pub fn lateness(project: &Project, daemon: &Daemon, jobs: usize) -> Vec<f64> {
    let begun = Instant::now();
    while daemon.said().matches(": started").count() < jobs {
        assert!(begun.elapsed() < Duration::from_secs(100), "{}", daemon.said());
        std::thread::sleep(Duration::from_millis(200));
    }
    let db = ledger(project);
    let mut query = db.prepare("SELECT slot, started FROM run ORDER BY slot LIMIT ?").unwrap();
    let rows =
        query.query_map([i64::try_from(jobs).unwrap()], |r| Ok((r.get::<_, String>(0)?, r.get::<_, String>(1)?)));
    let late = |(slot, started): (String, String)| {
        let time = |text: String| text.parse::<DateTime<Utc>>().unwrap();
        (time(started) - time(slot)).as_seconds_f64()
    };
    let mut late: Vec<f64> = rows.unwrap().map(Result::unwrap).map(late).collect();
    late.sort_by(f64::total_cmp);
    late
}

/// Timer, daemon and hand at once, for the same slot: one of them does it, the others say who.
pub fn race(project: &Project, daemon: &Daemon, round: u64) {
    let (job, slot) = (format!("race{round}"), hours_ago(1));
    quick(project, &job, &daily(slot), "");
    owe(project, &job, hours_ago(2));
    let by_hand = slot.to_rfc3339();
    daemon.signal(Signal::HUP);
    let racers = [
        project.start(&["run", &job, "--due"]),
        project.start(&["run", &job, "--slot", &by_hand]),
        project.start(&["run", &job, "--due"]),
    ];
    let mut skipped = 0;
    for racer in racers {
        let ended: crate::project::Ended = racer.wait_with_output().unwrap().into();
        let ended = ended.code(0);
        skipped += usize::from(ended.stdout.contains("skipped: "));
    }
    wait_for("the daemon's part", || daemon.said().matches(&format!("{job}: ")).count() >= 1 || skipped == 2);
    wait_for("the end", || outcomes(project, &job, slot) == ["ok"]);
    assert!(skipped >= 2, "{skipped}");
    assert_eq!(
        crate::project::names(&project.at("backups").join(&job)).iter().filter(|n| !n.starts_with('.')).count(),
        1
    );
    assert_eq!(missed(project, &job), []);
}

/// A daemon is killed some time after its start; the next one says so and does the slot.
pub fn kill_round(project: &Project, round: u64, after: Duration) {
    let (job, slot) = (format!("kill{round}"), hours_ago(1));
    quick(project, &job, &daily(slot), "");
    owe(project, &job, hours_ago(2));
    let mut daemon = Daemon::start(project);
    std::thread::sleep(after);
    daemon.signal(Signal::KILL);
    daemon.end();
    let left = runs(project, &job, slot).iter().filter(|(_, outcome)| outcome.is_none()).count();
    let begun = Instant::now();
    let next = Daemon::start(project);
    assert!(begun.elapsed() < Duration::from_secs(5));
    wait_for("the slot", || outcomes(project, &job, slot).last().is_some_and(|outcome| outcome == "ok"));
    let all = outcomes(project, &job, slot);
    assert!(all.len() == 1 + left && all[..left].iter().all(|o| o == "interrupted"), "round {round}: {all:?}");
    let said = next.stop();
    assert_eq!(said.matches("died without an end").count(), left, "round {round}: {said}");
    let sets = crate::project::names(&project.at("backups").join(&job));
    assert!(sets.iter().any(|name| !name.starts_with('.')), "round {round}: {sets:?}");
    assert_eq!(project.staging(), Vec::<String>::new());
}
