//! Audits through the real binary: each way in which a backup can be less than it seems is found, and named.
#![expect(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests set their stage")]

use std::{
    fs,
    path::{Path, PathBuf},
};

use chrono::{DateTime, Datelike, Months, NaiveDate, Utc};
use serde_json::Value;

#[path = "audit/chain.rs"]
mod chain;
#[path = "audit/copies.rs"]
mod copies;
#[path = "audit/coverage.rs"]
mod coverage;
#[path = "support/docker.rs"]
mod docker;
#[path = "support/postgres.rs"]
mod postgres;
#[path = "support/project.rs"]
mod project;
use project::{Ended, Project};

/// Where no engine ever was: what Docker has is another test's business.
const NO_DOCKER: &str = "[docker]\nhost = \"unix:///nonexistent/docker.sock\"\n";

/// The first of a month, so many months ago.
fn slot(months_ago: u32) -> DateTime<Utc> {
    let today = Utc::now();
    let first = NaiveDate::from_ymd_opt(today.year(), today.month(), 1).unwrap();
    (first - Months::new(months_ago)).and_hms_opt(0, 0, 0).unwrap().and_utc()
}

fn period(months_ago: u32) -> String {
    slot(months_ago).format("%Y%m").to_string()
}

/// A monthly job over a tree, restored and compared each time, with these months' sets.
fn stage(months_ago: &[u32], more: &str) -> Project {
    let project = Project::new(&format!("{NO_DOCKER}{more}"));
    project.write("tree/a", "a");
    project.write("tree/b", &"b".repeat(10_000));
    job(&project, "verify = \"drill\"");
    for months in months_ago {
        run(&project, *months);
    }
    project
}

fn job(project: &Project, more: &str) {
    project.write(
        "jobs/tree.toml",
        &format!(
            "description = \"x\"\nschedule = \"0 0 1 * *\"\n[backup]\nseries = \"tree\"\nperiod = \"month\"\n{more}\n[[step]]\n\
             id = \"tree\"\ndo.files_archive = {{ paths = [\"tree\"] }}\n"
        ),
    );
}

fn run(project: &Project, months_ago: u32) {
    // No two sets are alike.
    project.write("tree/when", &slot(months_ago).to_rfc3339());
    project.maint(&["run", "tree", "--slot", &slot(months_ago).to_rfc3339()]).code(0);
}

fn set(project: &Project, months_ago: u32) -> PathBuf {
    project.at(format!("backups/tree/{}", period(months_ago)))
}

/// Audits, and gives the findings as `severity area subject: problem → remedy`.
#[track_caller]
fn audit(project: &Project, code: i32) -> Vec<String> {
    let report = report(project, code);
    let text = |f: &Value, key: &str| f[key].as_str().unwrap().to_owned();
    let findings = report["findings"].as_array().unwrap().iter();
    findings
        // Said where nothing is signed; tests of signatures look at it.
        .filter(|f| f["subject"] != "trust anchor")
        .map(|f| {
            let [severity, area, subject] = ["severity", "area", "subject"].map(|key| text(f, key));
            format!("{severity} {area} {subject}: {} → {}", text(f, "problem"), text(f, "remedy"))
        })
        .collect()
}

#[track_caller]
fn report(project: &Project, code: i32) -> Value {
    serde_json::from_str(&project.maint(&["audit", "--json"]).code(code).stdout).unwrap()
}

#[track_caller]
fn assert_found(findings: &[String], parts: &[&str]) {
    assert!(findings.iter().any(|f| parts.iter().all(|p| f.contains(p))), "{parts:?} is not in {findings:#?}");
}

fn edit(path: &Path, old: &str, new: &str) {
    let text = fs::read_to_string(path).unwrap();
    assert!(text.contains(old), "{text}");
    fs::write(path, text.replace(old, new)).unwrap();
}

#[test]
fn where_all_is_well_it_says_how_far_it_looked() {
    let project = stage(&[2, 1, 0], "");
    let report = report(&project, 0);
    // All that is to be known is that nothing is signed.
    assert_eq!((&report["worst"], report["findings"].as_array().unwrap().len()), (&"note".into(), 1), "{report:#}");
    let series = &report["series"][0];
    assert_eq!(
        (&series["sets"][2]["facts"]["level"], &series["sets"][0]["read"].is_string()),
        (&"drill".into(), &true)
    );
    let states: Vec<_> = series["slots"].as_array().unwrap().iter().map(|s| s["state"].as_str().unwrap()).collect();
    assert_eq!(states, ["set"; 3]);
    assert_eq!(report["scope"]["sampled"].as_array().unwrap().len(), 1);
    assert!(report["scope"]["bytes_read"].as_u64().unwrap() > 0);
    let mut here = project.command(&["audit", "--sample", "2", "--seed", "7", "--html", "a.html"]);
    let said = Ended::from(here.current_dir(project.path()).output().unwrap()).code(0).stdout;
    assert!(project.at("a.html").exists());
    assert!(
        said.contains("all is whole; who made it was not checked: 3 sets") && said.contains("--sample 2 --seed 7"),
        "{said}"
    );
    let again = project.maint(&["audit", "--sample", "2", "--seed", "7"]).code(0).stdout;
    let sample = |said: &str| said.lines().find(|l| l.contains("decoded to the end")).unwrap().to_owned();
    assert_eq!(sample(&said), sample(&again));
}

#[test]
fn a_missed_month_is_a_gap_and_the_ledger_says_why() {
    let project = stage(&[4, 3, 0], "");
    let broken = project.at("elsewhere");
    fs::rename(project.at("tree"), &broken).unwrap();
    project.maint(&["run", "tree", "--slot", &slot(1).to_rfc3339()]).code(1);
    fs::rename(&broken, project.at("tree")).unwrap();
    let findings = audit(&project, 1);
    assert_eq!(findings.len(), 1, "{findings:#?}");
    let (from, to) = (slot(2).format("%Y-%m-%d").to_string(), slot(1).format("%Y-%m-%d").to_string());
    assert_found(&findings, &["policy schedule", "2 slots from", &from, &to, "failed", "maint runs show"]);
    let said = project.maint(&["audit"]).code(1).stdout;
    assert!(said.contains("nothing is damaged") && said.contains("1 gap to close"), "{said}");
}

#[test]
fn a_job_that_never_ran_is_a_gap() {
    let project = stage(&[], "");
    assert_found(&audit(&project, 1), &["policy schedule series tree", "no set at all", "maint run tree"]);
}

#[test]
fn a_set_that_was_never_drilled_is_found_until_it_is() {
    let project = stage(&[1], "");
    job(&project, "verify = \"structure\"");
    run(&project, 0);
    job(&project, "verify = \"drill\"");
    let never = format!("tree/{}", period(0));
    assert_found(&audit(&project, 1), &["policy drill", &never, "never drilled", "maint verify --level drill"]);
    project.maint(&["verify", "--level", "drill", &never]).code(0);
    assert_eq!(audit(&project, 0), [""; 0]);
    // A series whose job asks for less must be restored now and then all the same.
    let project = stage(&[], "[audit]\ndrill_within = \"1s\"\n");
    job(&project, "verify = \"structure\"");
    run(&project, 0);
    assert_found(&audit(&project, 1), &["policy drill series tree", "no set of it was ever restored"]);
    project.maint(&["verify", "--level", "drill", "tree"]).code(0);
    std::thread::sleep(std::time::Duration::from_millis(1100));
    assert_found(&audit(&project, 1), &["policy drill series tree", "newest drill is"]);
}

#[test]
fn what_was_tampered_with_is_named() {
    let project = stage(&[2, 1, 0], "");
    let artifact = |months| set(&project, months).join(format!("tree-{}.tar.zst", period(months)));
    // A swapped artifact.
    fs::copy(artifact(1), artifact(0)).unwrap();
    // A file that is gone, and one that was slipped in.
    fs::remove_file(set(&project, 1).join("RESTORE.md")).unwrap();
    fs::write(set(&project, 1).join("extra"), "x").unwrap();
    // A set under another month's name.
    fs::rename(set(&project, 2), set(&project, 3)).unwrap();
    let findings = audit(&project, 3);
    let of = |months: u32| format!("tampered content tree/{}", period(months));
    assert_found(&findings, &[&of(0), "tar.zst"]);
    assert_found(&findings, &[&of(1), "RESTORE.md: is missing"]);
    assert_found(&findings, &[&of(1), "extra: does not belong"]);
    assert_found(&findings, &[&of(3), &format!("is a set of the period {}", period(2)), "do not restore"]);
    let report = report(&project, 3);
    assert_eq!(report["series"][0]["sets"][2]["worst"], "tampered");
    let said = project.maint(&["audit"]).code(3).stdout;
    assert!(said.ends_with("sets looked at\n") || said.ends_with("3 sets looked at\n"), "{said}");
}

#[test]
fn a_set_of_another_place_is_no_set_here() {
    let project = stage(&[0], "");
    edit(&project.at("maint.toml"), "stack = \"test\"", "stack = \"other\"");
    assert_found(&audit(&project, 3), &["tampered", "is a set of the stack test"]);
    edit(&project.at("maint.toml"), "stack = \"other\"", "stack = \"test\"");
    fs::rename(project.at("backups/tree"), project.at("backups/moved")).unwrap();
    let findings = audit(&project, 3);
    assert_found(&findings, &["tampered", "is a set of the series tree"]);
    assert_found(&findings, &["note", "series moved", "no job of this configuration"]);
    fs::remove_file(project.at(format!("backups/moved/{}/manifest.json", period(0)))).unwrap();
    assert_found(&audit(&project, 3), &["tampered content moved/", "manifest.json is missing"]);
}

#[test]
fn what_cannot_be_read_is_not_ok() {
    let project = stage(&[0], "[postgres.down]\nsocket = \"/nonexistent\"\nuser = \"u\"\n");
    assert_found(&audit(&project, 4), &["unchecked coverage server down", "could not be asked"]);
    edit(&set(&project, 0).join("manifest.json"), "\"version\": 1,", "\"version\": 99,");
    assert_found(&audit(&project, 4), &["unchecked content", "format version is 99"]);
    // An engine that a job needs, and that is not there.
    project.backup_job("volume", &[("data", "volume_archive = { volume = \"data\" }")]);
    assert_found(&audit(&project, 4), &["unchecked coverage Docker", "cannot be reached"]);
}

#[test]
fn the_page_tells_it_all_and_believes_nobody() {
    let project = stage(&[3, 0], "[audit]\ndrill_within = \"1d\"\n");
    edit(&project.at("maint.toml"), "stack = \"test\"", "stack = \"<script>alert(1)</script>\"");
    fs::write(set(&project, 0).join("<img src=x>"), "x").unwrap();
    project.maint(&["audit", "--html", &project.at("audit.html").display().to_string()]).code(3);
    let page = fs::read_to_string(project.at("audit.html")).unwrap();
    assert!(!page.contains("<script") && !page.contains("<img"), "{page}");
    for part in [
        "Damaged, tampered with or missing",
        "&lt;script&gt;alert(1)&lt;/script&gt;",
        "&lt;img src=x&gt;: does not belong to the set",
        "do not restore from it before you know why",
        "2 slots from",
        "sha256sum -c SHA256SUMS",
        "cell missing",
        "cell tampered",
        "<svg",
        "default-src 'none'",
    ] {
        assert!(page.contains(part), "{part} is not in the page");
    }
    assert!(!page.contains("http://www.w3.org") || !page.contains("src=\""), "nothing is loaded");
}
