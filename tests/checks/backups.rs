//! `backup_freshness` and `log_rotation`: what was due and is not there.

use std::{fs, time::Duration};

use super::stage::{job, look};
use crate::project::Project;

#[test]
fn a_missed_backup_a_damaged_one_and_a_missing_copy_are_critical() {
    let project = Project::new("[store.nas]\ntype = \"local\"\ndir = \"nas\"\n");
    fs::create_dir(project.at("nas")).unwrap();
    fs::create_dir(project.at("data")).unwrap();
    project.write("data/file", "content");
    let backup = "description = \"x\"\nschedule = \"0 0 * * *\"\ntimeout = \"1h\"\n[backup]\nseries = \"daily\"\nperiod = \"day\"\n\
                  [[step]]\nid = \"files\"\ndo.files_archive = { paths = [\"data\"] }\n";
    project.write("jobs/nightly.toml", backup);
    job(&project, &["backup_freshness = {}"]);
    look(&project).code(1).is("series daily", "critical", "has no set at all");

    // A set for the slot of three days ago, and none since: those of yesterday and today are missing.
    let day = |ago: i64| {
        (maint::adapters::clock::now() - chrono::TimeDelta::days(ago)).format("%Y-%m-%dT00:00:00Z").to_string()
    };
    project.maint(&["run", "nightly", "--slot", &day(3)]).code(0);
    let found = look(&project);
    found.code(1).is("series daily", "critical", "no set for the slot");
    assert!(found.field("series daily", "hint").contains("maint run nightly"));

    for ago in [2, 1, 0] {
        project.maint(&["run", "nightly", "--slot", &day(ago)]).code(0);
    }
    look(&project).code(0).is("series daily", "good", "verified to \"structure\"");

    project.write("jobs/nightly.toml", &backup.replace("period = \"day\"\n", "period = \"day\"\nstores = [\"nas\"]\n"));
    let set = project.sets().pop().unwrap();
    let copy = format!("{set} in nas");
    look(&project).code(1).is(&copy, "critical", "no whole copy");
    project.maint(&["upload", &set, "--store", "nas"]).code(0);
    look(&project).code(0).is(&copy, "good", "there");

    let archive = fs::read_dir(project.at("backups").join(&set)).unwrap().flatten().map(|e| e.path());
    let archive = archive.into_iter().find(|path| path.to_string_lossy().ends_with(".tar.zst")).unwrap();
    fs::OpenOptions::new().write(true).open(&archive).unwrap().set_len(3).unwrap();
    look(&project).code(1).is("series daily", "critical", "has 3 bytes instead of");
}

#[test]
fn logs_that_nobody_rotates_are_a_warning() {
    let project = Project::new("");
    for name in ["logs/application.log", "logs/nginx/access.log", "logs/old.log", "logs/older.log.gz"] {
        project.write(name, "line\n");
    }
    job(&project, &["log_rotation = { paths = [\"logs\"] }"]);
    let dir = project.at("logs").display().to_string();
    look(&project).code(0).is(&format!("{dir}, old logs"), "good", "3 files, none overdue");
    let set_age = |name: &str, days: u64| {
        let file = fs::File::options().write(true).open(project.at(name)).unwrap();
        file.set_modified(std::time::SystemTime::now() - Duration::from_secs(days * 86_400)).unwrap();
    };
    set_age("logs/old.log", 9);
    set_age("logs/older.log.gz", 40);
    let found = look(&project);
    found.code(0).is(&format!("{dir}, old logs"), "warning", "1 of 3 files overdue and not compressed");
    found.is(&format!("{dir}, compressed logs"), "warning", "not deleted");
    job(&project, &["log_rotation = { paths = [\"nowhere\"] }"]);
    look(&project).code(4).is(&project.at("nowhere").display().to_string(), "unknown", "nowhere");
}
