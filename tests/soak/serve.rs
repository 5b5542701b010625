//! Slots in large numbers: races for one, kills at any moment, many in one minute, and an idle daemon.

use std::{
    fs,
    time::{Duration, Instant},
};

use rand::RngExt;

use crate::{
    from_env, kill,
    project::{Project, wait_for},
    random, rounds,
    slots::{Daemon, daily, hours_ago, kill_round, lateness, ledger, outcomes, owe, quick, race, resident_kib},
};

#[test]
#[ignore = "belongs to scripts/soak"]
fn slots_that_are_raced_for_are_done_once() {
    let project = Project::new("");
    let daemon = Daemon::start(&project);
    for round in 0..rounds() / 2 {
        race(&project, &daemon, round);
        // Every job is read again by each of them.
        fs::remove_file(project.at(format!("jobs/race{round}.toml"))).unwrap();
    }
    daemon.stop();
    let twice: i64 = ledger(&project)
        .query_row("SELECT count(*) FROM (SELECT 1 FROM run GROUP BY job, slot HAVING count(*) > 1)", [], |r| r.get(0))
        .unwrap();
    assert_eq!(twice, 0);
    println!("slots: {} races of daemon, two timers and a hand, each done once", rounds() / 2);
}

#[test]
#[ignore = "belongs to scripts/soak"]
fn slots_are_not_lost_by_kills_at_any_moment() {
    let project = Project::new("");
    let mut random = random(7);
    for round in 0..rounds() {
        let wait = Duration::from_millis(random.random_range(0..150));
        match round % 3 {
            0 => kill_round(&project, round, wait),
            which => kill_start(&project, round, wait, which == 1),
        }
        fs::remove_file(project.at(format!("jobs/kill{round}.toml"))).unwrap();
    }
    let stuck: i64 =
        ledger(&project).query_row("SELECT count(*) FROM run WHERE outcome IS NULL", [], |r| r.get(0)).unwrap();
    let again: i64 =
        ledger(&project).query_row("SELECT count(*) FROM run WHERE attempt > 1", [], |r| r.get(0)).unwrap();
    assert_eq!(stuck, 0);
    println!("slots: {} kills, none lost, none stuck, {again} done by a second attempt", rounds());
}

/// A timer's start, or a daemon's, is killed at any moment, also before it is ready; a timer's next start does the slot.
fn kill_start(project: &Project, round: u64, after: Duration, timer: bool) {
    let (job, slot) = (format!("kill{round}"), hours_ago(1));
    quick(project, &job, &daily(slot), "");
    owe(project, &job, hours_ago(2));
    let root = project.path().to_str().unwrap();
    let args = if timer { vec!["run", &job, "--due"] } else { vec!["serve", "--host-root", root] };
    let child = project.start(&args);
    std::thread::sleep(after);
    kill(child);
    let left = outcomes(project, &job, slot).iter().filter(|outcome| *outcome == "running").count();
    let begun = Instant::now();
    let next = project.maint(&["run", &job, "--due"]).code(0);
    assert!(begun.elapsed() < Duration::from_secs(5));
    let all = outcomes(project, &job, slot);
    assert_eq!(all.last().map(String::as_str), Some("ok"), "round {round}: {next:?}");
    assert_eq!(all.len(), 1 + left, "round {round}: {all:?}");
    let told = next.stderr.matches("died without an end").count();
    assert!(told >= left, "round {round}: {next:?}");
    assert_eq!(project.staging(), Vec::<String>::new());
}

#[test]
#[ignore = "belongs to scripts/soak"]
fn daemon_starts_five_hundred_in_their_minute() {
    const JOBS: usize = 500;
    let project = Project::new("[daemon]\nmax_running = 500\n");
    for i in 0..JOBS {
        crate::slots::idle(&project, &format!("job{i}"), "* * * * *");
    }
    let daemon = Daemon::start(&project);
    let late = lateness(&project, &daemon, JOBS);
    println!(
        "minute: {JOBS} jobs, half within {:.2} s of their slot, all within {:.2} s",
        late[JOBS / 2],
        late[JOBS - 1]
    );
    assert!(late[JOBS - 1] < 2.0, "{late:?}");
}

#[test]
#[ignore = "belongs to scripts/soak"]
fn daemon_is_small_while_it_waits() {
    let project = Project::new("");
    for i in 0..50 {
        quick(&project, &format!("job{i}"), &daily(hours_ago(1)), "");
    }
    // It has worked before it waits.
    owe(&project, "job0", hours_ago(2));
    let daemon = Daemon::start(&project);
    wait_for("its first run", || daemon.said().contains(": ok after"));
    let seconds = from_env("MAINT_SOAK_IDLE", 300);
    let before = cpu(daemon.id());
    std::thread::sleep(Duration::from_secs(seconds));
    let used = cpu(daemon.id()) - before;
    let percent = used * 100.0 / Duration::from_secs(seconds).as_secs_f64();
    let resident = resident_kib(daemon.id(), "VmRSS:");
    println!("idle: {resident} KiB, {percent:.3} % of a core over {seconds} s, 50 jobs");
    assert!(percent < 0.2, "{percent} %");
    // An optimised program is a third of this; what tests run usually is not.
    assert!(cfg!(debug_assertions) || resident < 30 * 1024, "{resident} KiB");
}

/// Seconds of processor time that a process has used.
fn cpu(pid: u32) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    // utime and stime, in the hundredths that Linux shows.
    fields[11..13].iter().map(|ticks| ticks.parse::<f64>().unwrap()).sum::<f64>() / 100.0
}
