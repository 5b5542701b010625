//! The unit files: current, fit, and installed without touching anybody else's.

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

use super::project::{Ended, Project};

const REPOSITORY: &str = env!("CARGO_MANIFEST_DIR");

/// A configuration with everything that changes a unit.
fn stage() -> Project {
    let project = Project::new(
        "timezone = \"Europe/Berlin\"\n[systemd]\nbinary = \"/bin/true\"\nconfig = \"/srv/stack/maint.toml\"\n\
         writable = [\"/var/log\"]\ncredentials = [\"token\"]\ntasks_max = 300\n\
         [store.nas]\ntype = \"local\"\ndir = \"/mnt/nas\"\nmounted = true\n[sign]\nkey_credential = \"sign_key\"\n\
         [notify.ops]\ntype = \"webhook\"\nurl_env = \"OPS_URL\"\n",
    );
    let steps = "[backup]\nseries = \"SERIES\"\nperiod = \"day\"\n[[step]]\nid = \"a\"\ndo.files_archive = { paths = [\"tree\"] }\n";
    let job = |name: &str, head: &str| {
        let text = format!("description = \"50 % of\\nit\"\n{head}\n{}", steps.replace("SERIES", name));
        project.write(&format!("jobs/{name}.toml"), &text);
    };
    job("night", "schedule = \"30 2 * * *\"\ntimeout = \"30m\"\njitter = \"5m\"");
    job("days", "schedule = \"0 9 1,15 * 1-5\"\ncatch_up = \"none\"\ndst = \"skip\"\nlocks = [\"one\"]");
    job("by-hand", "timeout = \"9h\"\nlocks = [\"one\", \"two\"]");
    project
}

fn said(output: Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

#[test]
fn the_committed_units_are_those_of_the_shipped_jobs() {
    let mut check = Command::new(env!("CARGO_BIN_EXE_maint"));
    check.current_dir(REPOSITORY).args(["--config", "maint.toml", "systemd", "check", "--dir", "systemd"]);
    let output = check.output().unwrap();
    let ok = output.status.success();
    assert!(ok, "maint --config maint.toml systemd render --dir systemd\n{}", said(output));
}

#[test]
fn units_say_what_the_jobs_say() {
    let project = stage();
    project.maint(&["systemd", "render", "--dir", project.at("units").to_str().unwrap()]).code(0);
    let read = |name: &str| fs::read_to_string(project.at("units").join(name)).unwrap();
    assert!(read("maint.tell.service").contains("ExecStart=/bin/true --config /srv/stack/maint.toml notify flush\n"));
    assert!(read("maint.tell.timer").contains("OnCalendar=*:0/5\n"), "who was not told climbs without a daemon too");
    let night = read("maint-night.timer");
    for line in [
        "Description=maint: 50 %% of it",
        "Unit=maint@night.service",
        "OnCalendar=*-*-* 02:30:00 Europe/Berlin",
        "OnCalendar=Sun *-03-25..31 03:00:00 Europe/Berlin",
        "Persistent=true",
        "OnBootSec=10min",
        "AccuracySec=1s",
        "RandomizedDelaySec=300",
        "FixedRandomDelay=true",
    ] {
        assert!(night.lines().any(|l| l == line), "{line}: {night}");
    }
    let days = read("maint-days.timer");
    for line in [
        "OnCalendar=*-*-01,15 09:00:00 Europe/Berlin",
        "OnCalendar=Mon,Tue,Wed,Thu,Fri *-*-* 09:00:00 Europe/Berlin",
        "Persistent=false",
    ] {
        assert!(days.lines().any(|l| l == line), "{line}: {days}");
    }
    assert!(!days.contains("Random"), "{days}");
    assert!(!project.at("units/maint-by-hand.timer").exists(), "it has no schedule");
    assert!(read("maint@by-hand.service.d/maint.conf").contains("TimeoutStartSec=11h 10min"));
    assert!(read("maint@night.service.d/maint.conf").contains("TimeoutStartSec=40min"));
    assert!(!project.at("units/maint@days.service.d").exists(), "the template's limit is right for it");
    let service = read("maint@.service");
    for line in [
        "ExecStart=/bin/true --config /srv/stack/maint.toml run %i --due",
        "ExecStopPost=/bin/true --config /srv/stack/maint.toml recover",
        "OnFailure=maint-notify@%n.service",
        "LoadCredential=sign_key:/etc/maint/credentials/sign_key",
        "LoadCredential=token:/etc/maint/credentials/token",
        "ReadWritePaths=-/srv/stack/backups",
        "ReadWritePaths=-/srv/stack/state",
        "ReadWritePaths=-/mnt/nas",
        "ReadWritePaths=-/var/log",
        "TasksMax=300",
    ] {
        assert!(service.lines().any(|l| l == line), "{line}: {service}");
    }
    assert!(!service.lines().any(|l| l.starts_with("Restart=")), "{service}");
}

/// Lets systemd read the units of a directory: with a program that is there, and an instance of each template.
fn verified(dir: &Path) -> Vec<(String, f64)> {
    let mut names = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if path.is_file() && name.starts_with("maint") {
            let text = fs::read_to_string(&path).unwrap().replace("/usr/local/bin/maint", "/bin/true");
            fs::write(&path, text).unwrap();
            let instance = name.replace("@.", "@some.");
            if instance != name {
                fs::copy(&path, dir.join(&instance)).unwrap();
            }
            names.push(instance);
        }
    }
    let analyze = |args: &[&str], names: &[String]| {
        let mut command = Command::new("systemd-analyze");
        command.current_dir(dir).args(args).args(names.iter().map(|name| format!("./{name}")));
        command.output().expect("systemd-analyze: apt-get install systemd")
    };
    let output = analyze(&["verify"], &names);
    assert!(output.status.success() && said(output.clone()).is_empty(), "{}", said(output));
    let services: Vec<_> = names.into_iter().filter(|name| name.ends_with(".service")).collect();
    let level = |name: &String| {
        let said = said(analyze(&["security", "--offline=yes"], std::slice::from_ref(name)));
        let line = said.lines().find(|line| line.contains("Overall exposure level")).unwrap_or_default().to_owned();
        line.rsplit(": ").next().and_then(|rest| rest.split(' ').next()?.parse().ok()).expect(&said)
    };
    services.iter().map(|name| (name.clone(), level(name))).collect()
}

#[test]
fn systemd_has_nothing_to_say_about_them_and_they_are_hardened() {
    let dir = tempfile::tempdir().unwrap();
    let mut render = Command::new(env!("CARGO_BIN_EXE_maint"));
    render.args(["--config", &format!("{REPOSITORY}/maint.toml"), "systemd", "render", "--dir"]).arg(dir.path());
    assert!(render.status().unwrap().success());
    let project = stage();
    let own = project.at("units");
    project.maint(&["systemd", "render", "--dir", own.to_str().unwrap()]).code(0);
    for dir in [dir.path(), &own] {
        for (unit, level) in verified(dir) {
            // The bounds stand in docs/scheduling.md.
            let bound = match unit.as_str() {
                "maint@some.service" | "maint.service" => 4.8,
                "maint-recover.service" => 2.8,
                "maint-notify@some.service" | "maint.tell.service" => 2.1,
                other => panic!("{other} has no bound"),
            };
            assert!(level <= bound, "{unit}: {level}, and its bound is {bound}");
        }
    }
}

#[test]
fn what_differs_is_named() {
    let project = stage();
    let units = project.at("units");
    let dir = units.to_str().unwrap();
    project.maint(&["systemd", "render", "--dir", dir]).code(0);
    assert!(project.maint(&["systemd", "check", "--dir", dir]).code(0).stdout.contains("all as jobs/ say"));
    let day = fs::read_to_string(project.at("jobs/days.toml")).unwrap();
    project.write("jobs/days.toml", &day.replace("0 9 1,15", "0 10 1,15"));
    fs::remove_file(project.at("jobs/night.toml")).unwrap();
    fs::remove_file(units.join("maint.service")).unwrap();
    fs::write(units.join("maint-recover.service"), "[Unit]\n").unwrap();
    let Ended { stdout, stderr, .. } = project.maint(&["systemd", "check", "--dir", dir]).code(1);
    for line in [
        "differs UNITS/maint-days.timer",
        "left over UNITS/maint-night.timer: no job needs it",
        "left over UNITS/maint@night.service.d/maint.conf: no job needs it",
        "missing UNITS/maint.service",
        "foreign UNITS/maint-recover.service: maint did not write it",
    ] {
        assert!(stdout.replace(dir, "UNITS").lines().any(|l| l == line), "{line}: {stdout}");
    }
    assert!(stderr.contains("maint systemd render --dir"), "{stderr}");
    // Somebody else's file stops it before anything is done.
    let refused = project.maint(&["systemd", "render", "--dir", dir]).code(1);
    assert!(refused.stderr.contains("maint-recover.service is not maint's"), "{}", refused.stderr);
    assert!(units.join("maint-night.timer").exists());
    fs::remove_file(units.join("maint-recover.service")).unwrap();
    project.maint(&["systemd", "render", "--dir", dir]).code(0);
    assert!(!units.join("maint-night.timer").exists() && !units.join("maint@night.service.d").exists());
    project.maint(&["systemd", "check", "--dir", dir]).code(0);
}

#[test]
fn an_image_gets_them_and_loses_only_them() {
    let project = stage();
    let root = project.at("image");
    let etc = root.join("etc/systemd/system");
    fs::create_dir_all(etc.join("maint.service.d")).unwrap();
    fs::write(etc.join("maint.service.d/own.conf"), "[Service]\nNice=5\n").unwrap();
    fs::write(etc.join("maint-other.timer"), "[Timer]\nOnCalendar=daily\n").unwrap();
    let to = ["--root", root.to_str().unwrap()];
    let dry = project.maint(&[&["systemd", "install", "--dry-run"][..], &to].concat()).code(0).stdout;
    assert!(dry.contains("etc/systemd/system/maint-night.timer") && dry.contains("nothing was done"), "{dry}");
    assert!(!etc.join("maint-night.timer").exists());
    project.maint(&[&["systemd", "install"][..], &to].concat()).code(0);
    project.maint(&[&["systemd", "check"][..], &to].concat()).code(0);
    let wants = |name: &str| etc.join("timers.target.wants").join(name).symlink_metadata().is_ok();
    assert!(wants("maint-night.timer") && wants("maint-days.timer"));
    assert!(etc.join("multi-user.target.wants/maint-recover.service").symlink_metadata().is_ok());
    assert!(!etc.join("multi-user.target.wants/maint.service").exists(), "the daemon never runs beside timers");
    assert!(root.join("etc/tmpfiles.d/maint.conf").exists() && root.join("etc/sysusers.d/maint.conf").exists());

    // A job that is gone takes its timer along.
    fs::remove_file(project.at("jobs/night.toml")).unwrap();
    let again = project.maint(&[&["systemd", "install"][..], &to].concat()).code(0).stdout;
    assert!(again.contains("disabled: maint-night.timer"), "{again}");
    assert!(!etc.join("maint-night.timer").exists() && !wants("maint-night.timer"));

    // A name of ours with somebody else's text is left alone, and nothing is done.
    project
        .write("jobs/other.toml", &fs::read_to_string(project.at("jobs/days.toml")).unwrap().replace("days", "other"));
    let refused = project.maint(&[&["systemd", "install"][..], &to].concat()).code(1);
    assert!(refused.stderr.contains("maint-other.timer is not maint's"), "{}", refused.stderr);

    let dry = project.maint(&[&["systemd", "uninstall", "--dry-run"][..], &to].concat()).code(0).stdout;
    assert!(dry.contains("maint-days.timer") && !dry.contains("maint-other.timer"), "{dry}");
    project.maint(&[&["systemd", "uninstall"][..], &to].concat()).code(0);
    let left = Command::new("find").arg(&root).args(["(", "-type", "f", "-o", "-type", "l", ")"]).output().unwrap();
    let left = said(left).replace(root.to_str().unwrap(), "");
    let mut left: Vec<_> = left.lines().collect();
    left.sort_unstable();
    assert_eq!(left, ["/etc/systemd/system/maint-other.timer", "/etc/systemd/system/maint.service.d/own.conf"]);
    let nothing = project.maint(&[&["systemd", "uninstall"][..], &to].concat()).code(0).stdout;
    assert!(nothing.contains("nothing of maint's is installed"), "{nothing}");
}

#[test]
fn units_that_would_read_another_configuration_are_not_installed() {
    let project = stage();
    let refused = project.maint(&["systemd", "install", "--dry-run"]).code(2);
    assert!(refused.stderr.contains("the units would read /srv/stack/maint.toml, and not"), "{}", refused.stderr);
}

#[test]
fn a_time_that_the_clocks_skip_is_told_beforehand() {
    let project = stage();
    let said = project.maint(&["check"]).code(0).stderr;
    assert!(said.contains("night.toml:2:12: 02:30 does not exist in Europe/Berlin on"), "{said}");
    assert!(said.contains("it runs at 03:00 instead (dst = \"run_after_gap\")"), "{said}");
    assert!(said.contains("days.toml:2:12: it fires on the days of the month and on the weekdays"), "{said}");
    assert!(!said.contains("09:00 does not exist"), "{said}");
    project.write(
        "jobs/after.toml",
        &fs::read_to_string(project.at("jobs/night.toml")).unwrap().replace("30 2", "0 3").replace("night", "after"),
    );
    let said = project.maint(&["check"]).code(0).stderr;
    assert!(!said.contains("after.toml"), "03:00 is there: {said}");
    let night = fs::read_to_string(project.at("jobs/night.toml")).unwrap();
    project.write("jobs/night.toml", &night.replace("timeout =", "dst = \"skip\"\ntimeout ="));
    let said = project.maint(&["check"]).code(0).stderr;
    assert!(said.contains("that slot is left out (dst = \"skip\")"), "{said}");
}

#[test]
fn the_next_slots_are_shown_with_what_the_clocks_do() {
    let project = stage();
    let plan = project.maint(&["plan", "night", "--next", "370"]).code(0).stdout;
    assert_eq!(plan.matches(" UTC").count(), 370, "{plan}");
    assert_eq!(plan.matches("03:00 CEST").count(), 1, "{plan}");
    assert!(plan.contains("01:00 UTC  (clocks skip 02:30)"), "{plan}");
    assert!(plan.contains("02:30 CEST  ="), "{plan}");
    assert!(plan.contains("00:30 UTC  (the first of two)"), "{plan}");
    assert_eq!(project.maint(&["plan", "night"]).code(0).stdout.matches(" UTC").count(), 5);
}
