//! The daemon and its service manager: what it tells, and how it ends.

use std::{os::unix::net::UnixDatagram, process::Command, time::Duration};

use rustix::process::Signal;

use crate::{
    project::{Project, wait_for},
    slots::{Daemon, daily, hanging, hours_ago, mute, outcomes, owe},
};

/// Everything that was told until nothing more comes for a moment.
fn told(socket: &UnixDatagram) -> String {
    let (mut all, mut buffer) = (String::new(), [0; 4096]);
    while let Ok(read) = socket.recv(&mut buffer) {
        all += std::str::from_utf8(&buffer[..read]).unwrap();
    }
    all
}

#[test]
fn the_service_manager_is_told() {
    let project = Project::new("");
    let path = project.at("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(1500))).unwrap();
    // WATCHDOG_PID must be the daemon's own: the shell becomes it.
    let mut command = Command::new("sh");
    let serve = project.command(&["serve", "--host-root", project.path().to_str().unwrap()]);
    command.args(["-c", "export WATCHDOG_PID=$$; exec \"$@\"", "sh"]).arg(serve.get_program()).args(serve.get_args());
    command.env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", "1000000").env_remove("MAINT_CONFIG");
    let mut daemon = Daemon::spawn(command);
    daemon.wait_for_line("ready: ");
    let mut first = String::new();
    wait_for("a sign of life", || {
        let mut buffer = [0; 4096];
        let read = socket.recv(&mut buffer).unwrap();
        first += std::str::from_utf8(&buffer[..read]).unwrap();
        first.matches("WATCHDOG=1").count() >= 2
    });
    assert!(first.contains("READY=1") && first.contains("STATUS=0 running, 0 waiting"), "{first}");
    daemon.reload();
    daemon.signal(Signal::TERM);
    assert_eq!(daemon.end().code(), Some(0));
    let rest = told(&socket);
    let at = |what: &str| rest.find(what).unwrap_or_else(|| panic!("no {what} in {rest}"));
    assert!(at("RELOADING=1") < at("READY=1") && at("READY=1") < at("STOPPING=1"), "{rest}");
    assert!(rest.contains("MONOTONIC_USEC="), "{rest}");
}

#[test]
fn a_run_may_end_before_the_daemon_does() {
    let (server, section) = mute();
    let project = Project::new(&section);
    let slot = hours_ago(1);
    hanging(&project, "job", &daily(slot), "");
    owe(&project, "job", hours_ago(2));
    let mut daemon = Daemon::start(&project);
    let connection = server.accept().unwrap();
    daemon.signal(Signal::TERM);
    daemon.wait_for_line("stopping: 1 run may go on for up to 10 min");
    assert_eq!(outcomes(&project, "job", slot), ["running"]);
    // The server goes away, and with it what the run waited for.
    drop((connection, server));
    assert_eq!(daemon.end().code(), Some(0), "{}", daemon.said());
    assert_eq!(outcomes(&project, "job", slot), ["failed"]);
}

#[test]
fn a_second_signal_and_the_end_of_the_drain_cancel() {
    let (server, section) = mute();
    for (drain, second) in [("10m", true), ("1s", false)] {
        let project = Project::new(&format!("{section}[daemon]\ndrain = \"{drain}\"\n"));
        let slot = hours_ago(1);
        hanging(&project, "job", &daily(slot), "");
        owe(&project, "job", hours_ago(2));
        let mut daemon = Daemon::start(&project);
        let _connection = server.accept().unwrap();
        daemon.signal(Signal::TERM);
        daemon.wait_for_line("stopping: 1 run");
        if second {
            daemon.signal(Signal::TERM);
        }
        assert_eq!(daemon.end().code(), Some(130), "{}", daemon.said());
        assert!(daemon.said().contains("stopped; 1 run interrupted"), "{}", daemon.said());
        assert_eq!(outcomes(&project, "job", slot), ["interrupted"]);
        // The next start tries it again.
        let again = Daemon::start(&project);
        wait_for("the second attempt", || outcomes(&project, "job", slot) == ["interrupted", "running"]);
        drop(again);
    }
}
