//! `maint doctor`: every check has a case in which it is not green.

#![expect(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests set their stage")]

#[path = "support/postgres.rs"]
mod postgres;

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use assert_cmd::Command;
use postgres::Cluster;
use serde_json::Value;

/// A project with one server and no job.
fn project(dir: &Path, server: &str) {
    fs::set_permissions(dir, fs::Permissions::from_mode(0o700)).unwrap();
    fs::create_dir_all(dir.join("jobs")).unwrap();
    let text = format!(
        "stack = \"t\"\ntimezone = \"Europe/Berlin\"\nstate_dir = \"state\"\n\n[postgres.production]\n{server}"
    );
    fs::write(dir.join("maint.toml"), text).unwrap();
}

fn server(cluster: &Cluster, user: &str) -> String {
    format!("socket = {:?}\nuser = {user:?}\ndbname = \"postgres\"\n", cluster.socket_dir())
}

fn doctor(dir: &Path) -> (i32, Value) {
    let output = Command::cargo_bin("maint")
        .unwrap()
        .arg("doctor")
        .arg("--json")
        .arg("--config")
        .arg(dir.join("maint.toml"))
        .output()
        .unwrap();
    let report = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(&output.stderr)));
    (output.status.code().unwrap(), report)
}

/// `outcome: reason → remedy` of one check.
fn check(report: &Value, name: &str) -> String {
    let checks = report["checks"].as_array().unwrap();
    let found = checks.iter().find(|c| c["check"] == name).unwrap_or_else(|| panic!("no {name} in {report:#}"));
    let text = |key: &str| found[key].as_str().unwrap_or("").to_owned();
    format!("{}: {}{} → {}", text("outcome"), text("reason"), text("found"), text("remedy"))
}

#[test]
fn a_healthy_stack_is_green() {
    let cluster = Cluster::start();
    let dir = tempfile::tempdir().unwrap();
    project(dir.path(), &server(&cluster, "postgres"));
    let (code, report) = doctor(dir.path());
    assert_eq!((code, report["outcome"].as_str().unwrap()), (0, "ok"), "{report:#}");
    assert!(check(&report, "connection").contains(&cluster.psql("postgres", "SHOW server_version")));
    assert!(check(&report, "tools").contains("pg_dump 15"), "{}", check(&report, "tools"));
    assert!(!dir.path().join("state").exists() && !dir.path().join("backups").exists(), "it must change nothing");
    let table =
        Command::cargo_bin("maint").unwrap().arg("doctor").arg("--config").arg(dir.path().join("maint.toml")).output();
    let table = String::from_utf8(table.unwrap().stdout).unwrap();
    assert!(table.contains("checks, all as they should be"), "{table}");
}

#[test]
fn a_server_that_is_down_fails_and_the_rest_is_unknown() {
    let mut cluster = Cluster::start();
    cluster.crash();
    let dir = tempfile::tempdir().unwrap();
    project(dir.path(), &server(&cluster, "postgres"));
    let (code, report) = doctor(dir.path());
    assert_eq!(code, 1);
    assert!(check(&report, "connection").starts_with("failed: connecting to production"), "{report:#}");
    assert!(check(&report, "permissions").starts_with("unknown: there is no connection"), "{report:#}");
}

#[test]
fn what_the_role_cannot_read_is_named() {
    let cluster = Cluster::start();
    cluster.psql("postgres", "CREATE ROLE backup LOGIN; CREATE TABLE private_thing (a int)");
    let dir = tempfile::tempdir().unwrap();
    project(dir.path(), &server(&cluster, "backup"));
    let (code, report) = doctor(dir.path());
    assert_eq!(code, 1);
    let permissions = check(&report, "permissions");
    assert!(permissions.contains("public.private_thing") && permissions.contains("GRANT"), "{permissions}");
    assert!(check(&report, "role passwords").starts_with("warning"), "{report:#}");
}

#[test]
fn missing_tools_and_a_missing_engine_are_told() {
    let cluster = Cluster::start();
    let dir = tempfile::tempdir().unwrap();
    let empty = tempfile::tempdir().unwrap();
    project(dir.path(), &format!("{}bin_dir = {:?}\n", server(&cluster, "postgres"), empty.path()));
    let (code, report) = doctor(dir.path());
    assert_eq!(code, 1);
    assert!(check(&report, "tools").contains("install postgresql-client-15"), "{report:#}");
    let docker =
        "container = \"db\"\nuser = \"postgres\"\ndbname = \"postgres\"\n\n[docker]\nhost = \"unix:///nonexistent\"\n";
    project(dir.path(), docker);
    let (code, report) = doctor(dir.path());
    assert_eq!(code, 1);
    assert!(check(&report, "docker").contains("cannot be reached"), "{report:#}");
}

#[test]
fn a_directory_that_cannot_be_written_fails() {
    let cluster = Cluster::start();
    let dir = tempfile::tempdir().unwrap();
    project(dir.path(), &server(&cluster, "postgres"));
    // Not even root writes here.
    let text = fs::read_to_string(dir.path().join("maint.toml")).unwrap().replace("\"state\"", "\"/proc/sys/state\"");
    fs::write(dir.path().join("maint.toml"), text).unwrap();
    let (code, report) = doctor(dir.path());
    assert_eq!(code, 1);
    assert!(check(&report, "state directory").starts_with("failed"), "{report:#}");
}

#[test]
fn stores_that_would_not_serve_are_told() {
    let dir = tempfile::tempdir().unwrap();
    let place = dir.path().display();
    project(
        dir.path(),
        &format!(
            "socket = \"/nowhere\"\nuser = \"u\"\n[store.good]\ntype = \"local\"\ndir = \"{place}\"\n\
             [store.unmounted]\ntype = \"local\"\ndir = \"{place}/mnt\"\n\
             [store.keyless]\ntype = \"s3\"\nbucket = \"b\"\nregion = \"eu-central-1\"\n\
             [store.silent]\ntype = \"s3\"\nbucket = \"b\"\nendpoint = \"http://127.0.0.1:9\"\naccess_key = \"a\"\n\
             secret_key_file = \"key\"\nretry_for = \"100ms\"\n"
        ),
    );
    fs::write(dir.path().join("key"), "hunter2-secret\n").unwrap();
    fs::set_permissions(dir.path().join("key"), fs::Permissions::from_mode(0o600)).unwrap();
    let mut command = Command::cargo_bin("maint").unwrap();
    command.args(["doctor", "--json", "--config"]).arg(dir.path().join("maint.toml"));
    for name in ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE", "HOME"] {
        command.env_remove(name);
    }
    let output = command.env("AWS_EC2_METADATA_DISABLED", "true").output().unwrap();
    assert!(!String::from_utf8_lossy(&output.stdout).contains("hunter2"), "the secret is shown");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let told = |store: &str| {
        let checks = report["checks"].as_array().unwrap();
        let found = checks.iter().find(|c| c["check"] == "store" && c["subject"] == store).unwrap();
        format!("{}: {}{}", found["outcome"], found["reason"], found["found"])
    };
    assert!(told("good").contains("ok") && told("good").contains("can be written"), "{}", told("good"));
    assert!(told("unmounted").starts_with("\"unknown\"") && told("unmounted").contains("No such file"), "{report:#}");
    assert!(told("keyless").starts_with("\"failed\"") && told("keyless").contains("no keys"), "{report:#}");
    assert!(told("silent").starts_with("\"unknown\"") && told("silent").contains("refused"), "{report:#}");
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
}
