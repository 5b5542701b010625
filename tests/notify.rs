//! Who is told what: by the real binary, to real receivers; nothing twice, nothing lost, no secret anywhere.
#![expect(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests set their stage")]

#[path = "support/authority.rs"]
mod authority;
#[path = "notify/channels.rs"]
mod channels;
#[path = "notify/climb.rs"]
mod climb;
#[path = "notify/config.rs"]
mod config;
#[path = "notify/daemon.rs"]
mod daemon;
#[path = "notify/faults.rs"]
mod faults;
#[path = "notify/heartbeat.rs"]
mod heartbeat;
#[path = "notify/mail.rs"]
mod mail;
#[path = "support/project.rs"]
mod project;
#[path = "support/receiver.rs"]
mod receiver;
#[path = "notify/runs.rs"]
mod runs;
#[path = "support/slots.rs"]
mod slots;
#[path = "support/smtp.rs"]
mod smtp;
#[path = "notify/units.rs"]
mod units;

use std::{fs, path::Path};

use project::Project;
use receiver::Receiver;

/// A project with one job, `tree`, that fails as long as `tree/` is not there.
fn project(more: &str) -> Project {
    let project = Project::new(more);
    project.backup_job("tree", &[("files", "files_archive = { paths = [\"tree\"] }")]);
    project
}

/// `[notify.hook]`, a webhook that answers soon or not at all.
fn webhook(receiver: &Receiver, path: &str, more: &str) -> String {
    let name = path.trim_matches('/');
    format!("[notify.{name}]\ntype = \"webhook\"\nurl = \"{}\"\nanswer_within = \"1s\"\n{more}\n", receiver.url(path))
}

fn mend(project: &Project) {
    project.write("tree/a.txt", "hello\n");
}

fn breaks(project: &Project) {
    fs::remove_dir_all(project.at("tree")).unwrap();
}

/// The ledger, to look behind maint's back and to set times back.
fn ledger(project: &Project) -> rusqlite::Connection {
    rusqlite::Connection::open(project.at("state/ledger.sqlite")).unwrap()
}

/// The one row and column that a query gives.
fn asked(project: &Project, query: &str) -> String {
    ledger(project).query_row(query, [], |row| row.get::<_, Option<String>>(0)).unwrap().unwrap_or_default()
}

/// Sets every moment of the ledger's incidents back.
fn set_back(project: &Project, minutes: i64) {
    let done = ledger(project).execute_batch(&format!(
        "UPDATE incident SET since = strftime('%Y-%m-%dT%H:%M:%fZ', since, '-{minutes} minutes'), \
                             told = strftime('%Y-%m-%dT%H:%M:%fZ', told, '-{minutes} minutes'), \
                             last = strftime('%Y-%m-%dT%H:%M:%fZ', last, '-{minutes} minutes')"
    ));
    done.unwrap();
}

/// Lets every message be due.
fn let_due(project: &Project) {
    ledger(project).execute_batch("UPDATE delivery SET next_try = '2020-01-01T00:00:00.000Z'").unwrap();
}

/// Asserts that none of the texts stands in any file below a directory.
#[track_caller]
fn nowhere_in(dir: &Path, secrets: &[&str]) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            nowhere_in(&path, secrets);
            continue;
        }
        let bytes = fs::read(&path).unwrap();
        for secret in secrets {
            let found = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
            assert!(!found, "{secret} stands in {}", path.display());
        }
    }
}
