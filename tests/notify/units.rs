//! Launch failures that systemd tells of: maint itself never began, or could not.

use super::{project, receiver::Receiver, webhook};

#[test]
fn a_launch_failure_is_told_and_a_run_that_failed_is_not_told_twice() {
    let receiver = Receiver::start();
    let project = project(&webhook(&receiver, "/hook", ""));
    let unit = ["notify", "unit-failed", "maint@tree.service", "--result"];
    let with = |more: &[&str]| project.maint(&[unit.as_slice(), more].concat());
    with(&["exit-code", "--status", "203"]).code(0);
    let told = receiver.take()[0].json();
    assert!(told["subject"].as_str().unwrap().contains("tree could not begin"), "{told:#}");
    let text = told["text"].as_str().unwrap();
    assert!(text.contains("the systemd unit maint@tree.service failed: exit-code (203)"), "{text}");
    assert!(text.contains("journalctl -u maint@tree.service"), "{text}");

    project.maint(&["run", "tree"]).code(1);
    assert_eq!(receiver.take().len(), 1);
    let said = with(&["exit-code", "--status", "1"]).code(0).stdout;
    assert!(said.contains("maint told of it already"), "{said}");
    with(&["exit-code", "--status", "5"]).code(0);
    assert_eq!(receiver.take().len(), 0);
    // systemd gives both in the environment.
    let mut command = project.command(&["notify", "unit-failed", "maint.service"]);
    command.env("MONITOR_SERVICE_RESULT", "oom-kill").env("MONITOR_EXIT_STATUS", "KILL");
    assert!(command.status().unwrap().success());
    let told = receiver.take()[0].json();
    assert_eq!(
        (told["what"]["about"].as_str(), told["what"]["severity"].as_str()),
        (Some("maint.service"), Some("P1"))
    );
    assert!(told["what"]["reason"].as_str().unwrap().contains("oom-kill (KILL)"), "{told:#}");
    let acknowledged = project.maint(&["ack", "maint.service"]).code(0).stdout;
    assert!(acknowledged.contains("maint.service"), "{acknowledged}");
}

#[test]
fn a_configuration_with_mistakes_is_told_too() {
    let receiver = Receiver::start();
    let project = project(&webhook(&receiver, "/hook", ""));
    let job = std::fs::read_to_string(project.at("jobs/tree.toml")).unwrap();
    project.write("jobs/tree.toml", &format!("shedule = \"0 1 * * *\"\n{job}"));
    project.maint(&["run", "tree"]).code(2);
    let ended =
        project.maint(&["notify", "unit-failed", "maint@tree.service", "--result", "exit-code", "--status", "2"]);
    let ended = ended.code(0);
    assert!(ended.stderr.contains("shedule"), "{}", ended.stderr);
    let told = receiver.take()[0].json();
    assert!(told["what"]["reason"].as_str().unwrap().contains("unknown key `shedule`"), "{told:#}");
    // Nor does a mistake of maint.toml keep it quiet.
    project.write("jobs/tree.toml", &job);
    let config = std::fs::read_to_string(project.at("maint.toml")).unwrap();
    project.write("maint.toml", &format!("timezone = \"Nowhere/Else\"\n{config}"));
    project.maint(&["notify", "unit-failed", "maint@other.service", "--result", "exit-code", "--status", "2"]).code(0);
    let told = receiver.take()[0].json();
    assert!(told["what"]["reason"].as_str().unwrap().contains("Nowhere/Else"), "{told:#}");
    assert_eq!(told["what"]["severity"], "P1", "of what cannot be read nobody knows how bad it is");
}

#[test]
fn a_ledger_that_cannot_be_used_keeps_no_launch_failure_quiet() {
    let receiver = Receiver::start();
    let project = project(&webhook(&receiver, "/hook", ""));
    project.write("state/ledger.sqlite", "this is no database, but long enough to look like one to nobody\n");
    let ended =
        project.maint(&["notify", "unit-failed", "maint@tree.service", "--result", "exit-code", "--status", "1"]);
    ended.code(0);
    assert_eq!(receiver.take().len(), 1);
}
