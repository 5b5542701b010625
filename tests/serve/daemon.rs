//! The daemon's manners: reload, overlap, locks, limits, and what a hanging job may not do to others.

use std::{os::unix::fs::symlink, time::Duration};

use rustix::process::Signal;

use crate::{
    project::{Project, wait_for},
    slots::{Daemon, daily, hanging, hours_ago, ledger, missed, mute, outcomes, owe, quick},
};

#[test]
fn a_wrong_configuration_is_refused_and_the_old_one_stays() {
    let project = Project::new("");
    let slot = hours_ago(1);
    quick(&project, "job", &daily(slot), "");
    let daemon = Daemon::start(&project);
    project.write("jobs/wrong.toml", "description = 1\n");
    daemon.signal(Signal::HUP);
    daemon.wait_for_line("NOT reloaded, the old configuration stays:");
    daemon.wait_for_line("wrong.toml:1:15");
    std::fs::remove_file(project.at("jobs/wrong.toml")).unwrap();
    project.write("maint.toml", "stack = \"test\"\nstate_dir = \"elsewhere\"\n");
    daemon.signal(Signal::HUP);
    daemon.wait_for_line("restart the daemon");
    project.write("maint.toml", "stack = \"test\"\nstate_dir = \"state\"\n");
    // Still on duty; a right one is taken, with what it owes.
    quick(&project, "new", &daily(slot), "");
    owe(&project, "new", hours_ago(2));
    daemon.reload();
    wait_for("the new job's slot", || outcomes(&project, "new", slot) == ["ok"]);
    assert_eq!(outcomes(&project, "job", slot), [""; 0], "it owes nothing of its past");
    assert!(daemon.stop().contains("reloaded"));
}

#[test]
fn one_daemon_and_no_timers() {
    let project = Project::new("");
    let daemon = Daemon::start(&project);
    let root = project.path().to_str().unwrap().to_owned();
    let second = project.maint(&["serve", "--host-root", &root]).code(5);
    assert!(second.stderr.contains("another daemon is at work"), "{}", second.stderr);
    daemon.stop();
    let wants = project.at("etc/systemd/system/timers.target.wants");
    std::fs::create_dir_all(&wants).unwrap();
    symlink("/etc/systemd/system/other.timer", wants.join("other.timer")).unwrap();
    Daemon::start(&project).stop();
    symlink("/etc/systemd/system/maint-daily-backup.timer", wants.join("maint-daily-backup.timer")).unwrap();
    let refused = project.maint(&["serve", "--host-root", &root]).code(2);
    assert!(refused.stderr.contains("maint-daily-backup.timer"), "{}", refused.stderr);
    assert!(refused.stderr.contains("systemctl disable --now"), "{}", refused.stderr);
}

#[test]
fn a_hanging_job_delays_no_other_and_its_timeout_ends_it() {
    let (_server, section) = mute();
    let project = Project::new(&section);
    let slot = hours_ago(1);
    hanging(&project, "hangs", &daily(slot), "timeout = \"3s\"\nlocks = [\"one\"]");
    quick(&project, "others", &daily(slot), "");
    // Its slot was later, and it waits for the lock of the one that hangs.
    let later = slot + chrono::Duration::minutes(1);
    quick(&project, "same-lock", &daily(later), "locks = [\"one\"]");
    for job in ["hangs", "others", "same-lock"] {
        owe(&project, job, hours_ago(2));
    }
    let daemon = Daemon::start(&project);
    wait_for("the other job", || outcomes(&project, "others", slot) == ["ok"]);
    assert_eq!(outcomes(&project, "hangs", slot), ["running"]);
    assert_eq!(outcomes(&project, "same-lock", later), [""; 0]);
    wait_for("the lock", || outcomes(&project, "same-lock", later) == ["ok"]);
    assert_eq!(outcomes(&project, "hangs", slot), ["failed"]);
    let said = daemon.stop();
    assert!(said.contains("timeout of 3.0 s"), "{said}");
    let late: Vec<String> = {
        let db = ledger(&project);
        let mut query = db.prepare("SELECT job FROM run ORDER BY ended").unwrap();
        query.query_map([], |r| r.get(0)).unwrap().map(Result::unwrap).collect()
    };
    assert_eq!(late, ["others", "hangs", "same-lock"]);
}

#[test]
fn the_limit_holds_and_slots_start_in_their_order() {
    let project = Project::new("[daemon]\nmax_running = 1\n");
    let slot = |minutes: i64| hours_ago(2) + chrono::Duration::minutes(minutes);
    for (job, minutes) in [("c", 1), ("a", 3), ("b", 2)] {
        quick(&project, job, &daily(slot(minutes)), "");
        owe(&project, job, hours_ago(3));
    }
    let daemon = Daemon::start(&project);
    wait_for("all", || daemon.said().matches(": ok after").count() == 3);
    let said = daemon.stop();
    let order: Vec<&str> =
        said.lines().filter(|l| l.contains(": started") || l.contains(": ok after")).map(|l| &l[..1]).collect();
    assert_eq!(order, ["c", "c", "b", "b", "a", "a"], "{said}");
}

#[test]
fn what_comes_while_it_runs_is_skipped_or_queued() {
    let (_server, section) = mute();
    let project = Project::new(&section);
    let slot = hours_ago(1);
    // The same job by hand, for something else.
    hanging(&project, "skips", &daily(slot), "timeout = \"6s\"");
    hanging(&project, "queues", &daily(slot), "timeout = \"2s\"\noverlap = \"queue\"");
    let mut by_hand: Vec<_> = ["skips", "queues"].iter().map(|job| project.start(&["run", job])).collect();
    wait_for("both runs", || {
        project.at("state/ledger.sqlite").exists() && crate::project::names(&project.at("state/logs")).len() == 2
    });
    owe(&project, "skips", hours_ago(2));
    owe(&project, "queues", hours_ago(2));
    let daemon = Daemon::start(&project);
    wait_for("the skipped slot", || missed(&project, "skips") == [(slot, "overlapped".to_owned())]);
    wait_for("the queued slot", || outcomes(&project, "queues", slot) == ["failed"]);
    assert_eq!(missed(&project, "queues"), []);
    for child in &mut by_hand {
        child.kill().unwrap();
        child.wait().unwrap();
    }
    daemon.stop();
}

#[test]
fn idle_it_is_small() {
    let project = Project::new("");
    for i in 0..20 {
        quick(&project, &format!("job{i}"), &daily(hours_ago(1)), "");
    }
    let daemon = Daemon::start(&project);
    std::thread::sleep(Duration::from_secs(2));
    // What is its own: the pages of an unoptimised program alone are 25 MiB. The soak measures the real one.
    let resident = crate::slots::resident_kib(daemon.id(), "RssAnon:");
    assert!(resident < 10 * 1024, "{resident} KiB");
    daemon.stop();
}
