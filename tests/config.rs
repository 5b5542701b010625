//! Configuration: every mistake is shown at its place, and nobody else may write it.
#![expect(clippy::disallowed_methods, reason = "tests set their stage")]

use std::{fs, os::unix::fs::PermissionsExt};

use proptest::prelude::*;

#[path = "support/project.rs"]
mod project;
use project::{Ended, Project};

const SERVER: &str = "[postgres.production]\nsocket = \"/run/pg\"\nuser = \"u\"\n";

/// What `maint check` says, with the project's directory taken out.
fn check(project: &Project) -> (i32, String) {
    let Ended { code, stdout, stderr } = project.maint(&["check"]);
    // Lists of step kinds grow with every kind; that they are shown is enough.
    let kinds = maint::steps::Step::NAMES;
    let quoted: Vec<_> = kinds.iter().map(|kind| format!("`{kind}`")).collect();
    let said = (stderr + &stdout).replace(&project.path().display().to_string(), "DIR");
    (code, said.replace(&quoted.join(", "), "KINDS").replace(&kinds.join(", "), "KINDS"))
}

#[test]
fn every_mistake_is_shown_at_its_place() {
    let project = Project::new(
        "timezone = \"Europe/Berln\"\nbackupdir = \"x\"\n[postgres.production]\nsocket = \"/run/pg\"\nhost = \"db\"\nuser = 5\nsslmode = \"always\"\n[notify.ops]\ntype = \"slack\"\n",
    );
    insta::assert_snapshot!(check(&project).1);
    assert_eq!(check(&project).0, 2);
}

#[test]
fn mistakes_about_the_drill_are_shown_at_their_place() {
    let project = Project::new(&format!(
        "[drill]\nimage = \"postgres:15\"\nserver = \"scrach\"\njobs = 0\nnice = 20\n[postgres.scratch]\n{}",
        SERVER.split_once('\n').unwrap_or_default().1
    ));
    let (code, said) = check(&project);
    assert_eq!(code, 2, "{said}");
    for part in [
        "maint.toml:5:10: only one of `image` and `server`",
        "maint.toml:5:10: there is no `[postgres.scrach]`",
        "did you mean `scratch`?",
        "maint.toml:6:8: nothing is loaded by 0 jobs",
        "maint.toml:7:8: `20`: expected 0 to 19",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
}

#[test]
fn mistakes_about_stores_are_shown_at_their_place() {
    let project = Project::new(
        "[store.a]\ntype = \"local\"\nbucket = \"x\"\nprefix = \"a/../b\"\nencrypt_to = [\"ssh-ed25519 x\"]\n\
         [store.B]\ntype = \"s3\"\ndir = \"/x\"\nendpoint = \"s3.example.com\"\naccess_key = \"k\"\nparts_in_flight = 0\n\
         object_lock = { mode = \"compliance\", days = 0 }\nencryption = \"AES\"\n\
         [store.c]\ntype = \"s3\"\nbucket = \"x\"\nendpoint = \"http://nas:9000\"\naccess_key = \"k\"\nsecret_key = \"hunter2-secret\"\n\
         secret_key_env = \"K\"\nencryption = \"AES256\"\nkms_key = \"k\"\nprofile = \"p\"\n",
    );
    let (code, said) = check(&project);
    assert_eq!(code, 2, "{said}");
    for part in [
        "maint.toml:3:1: where is this store?",
        "maint.toml:5:10: `bucket` belongs to stores of type \"s3\"",
        "maint.toml:6:10: `a/../b` cannot be a prefix",
        "maint.toml:7:14: `ssh-ed25519 x` is not an age recipient",
        "`B` is not a name",
        "which bucket is it?",
        "maint.toml:10:7: `dir` belongs to stores of type \"local\"",
        "maint.toml:11:12: `s3.example.com`: expected `https://host`",
        "maint.toml:12:14: an access key without its secret key",
        "maint.toml:13:19: `0`: expected 1 to 16",
        "maint.toml:14:15: nothing is kept by 0 days",
        "maint.toml:15:14: `AES`: expected \"AES256\" or \"aws:kms\"",
        "maint.toml:19:12: what is sent there can be read and changed by everybody on the way",
        "the secret key is given twice; keep one",
        "maint.toml:24:11: a key is used only with `encryption = \"aws:kms\"`",
        "maint.toml:25:11: only one of `profile` and `access_key`",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
}

#[test]
fn a_store_without_mistakes_is_valid() {
    let project = Project::new(
        "[store.a]\ntype = \"local\"\ndir = \"offsite\"\n[store.b]\ntype = \"s3\"\nbucket = \"x\"\nregion = \"eu-central-1\"\n\
         object_lock = { mode = \"governance\", days = 30 }\n",
    );
    let (code, said) = check(&project);
    assert_eq!(code, 0, "{said}");
}

#[test]
fn every_mistake_of_a_job_is_shown_at_its_place() {
    let project = Project::new(SERVER);
    project.write(
        "jobs/nightly.toml",
        "descripton = \"x\"\nschedule = \"0 25 * * *\"\ntimeout = \"4 parsecs\"\nseverity = \"P7\"\n\
         [backup]\nseries = \"a/b\"\nperiod = \"fortnight\"\nverify = \"drill\"\nencrypt_to = [\"age1x\"]\nkeep = { monthy = 12 }\n\
         [[step]]\nid = \"db\"\ndo.postgres_dmup = { server = \"production\" }\n\
         [[step]]\nid = \"db2\"\ndo.postgres_dump = { sever = \"production\", compression = \"lz4\" }\n",
    );
    let (code, said) = check(&project);
    insta::assert_snapshot!(said);
    assert_eq!(code, 2);
}

#[test]
fn what_only_makes_sense_together_is_checked_too() {
    let project = Project::new(SERVER);
    project.write("jobs/Bad Name.toml", "description = \"x\"\n");
    project.write("jobs/empty.toml", "description = \"x\"\n");
    project.write(
        "jobs/a.toml",
        "description = \"x\"\nschedule = \"61 * * * *\"\n[[step]]\nid = \"db\"\ndo.postgres_dump = { server = \"prodution\" }\n\
         [[step]]\nid = \"db\"\ndo.postgres_dump = { server = \"production\", compression = { codec = \"zstd\", level = 99 } }\n",
    );
    project.backup_job("one", &[("db", "postgres_dump = { server = \"production\" }")]);
    let twin = fs::read_to_string(project.at("jobs/one.toml")).unwrap();
    project.write("jobs/two.toml", &twin);
    let (code, said) = check(&project);
    insta::assert_snapshot!(said);
    assert_eq!(code, 2);
}

#[test]
fn steps_go_on_after_a_failure_only_where_that_makes_sense() {
    let project = Project::new(SERVER);
    let step = "[[step]]\nid = \"x\"\non_failure = \"continue\"\ndo.vacuum = { server = \"production\" }\n";
    project.write("jobs/a.toml", &format!("description = \"x\"\n{step}"));
    assert_eq!(check(&project).0, 0);
    project.write("jobs/b.toml", &format!("description = \"x\"\nmode = \"checklist\"\n{step}"));
    let backup = "[backup]\nseries = \"c\"\nperiod = \"month\"\n";
    let dump = "[[step]]\nid = \"db\"\ndo.postgres_dump = { server = \"production\" }\n";
    project.write("jobs/c.toml", &format!("description = \"x\"\n{backup}{step}{dump}"));
    let (code, said) = check(&project);
    assert_eq!(code, 2, "{said}");
    for part in [
        "b.toml:5:14: the steps of a checklist do not wait for each other",
        "c.toml:7:14: a backup job ends with the first step that fails",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
}

#[test]
fn broken_toml_is_shown_where_it_breaks() {
    let project = Project::new("");
    project.write("jobs/a.toml", "description = \"x\n[[step]]\nid = \n");
    let (code, said) = check(&project);
    insta::assert_snapshot!(said);
    assert_eq!(code, 2);
}

#[test]
fn a_configuration_that_others_may_write_is_refused() {
    for (name, mode) in
        [("maint.toml", 0o666), ("maint.toml", 0o664), ("jobs", 0o777), ("jobs/a.toml", 0o646), ("", 0o777)]
    {
        let project = Project::new(SERVER);
        project.backup_job("a", &[("db", "postgres_dump = { server = \"production\" }")]);
        assert_eq!(check(&project).0, 0, "{}", check(&project).1);
        fs::set_permissions(project.at(name), fs::Permissions::from_mode(mode)).unwrap();
        for command in [&["check"][..], &["run", "a"], &["jobs"]] {
            let ended = project.maint(command).code(2);
            assert!(ended.stderr.contains("chmod go-w"), "{name}: {}", ended.stderr);
        }
    }
}

#[test]
fn a_configuration_of_somebody_else_is_refused() {
    let project = Project::new("");
    std::os::unix::fs::chown(project.at("maint.toml"), Some(65534), None).unwrap();
    let ended = project.maint(&["check"]).code(2);
    assert!(ended.stderr.contains("belongs to user 65534"), "{}", ended.stderr);
}

#[test]
fn a_password_in_the_configuration_is_warned_of_and_never_shown() {
    let project = Project::new(&format!("{SERVER}password = \"hunter2-secret\"\n"));
    let (code, said) = check(&project);
    assert_eq!(code, 0);
    assert!(said.contains("password_file"), "{said}");
    let source_line_apart = said.lines().filter(|l| !l.contains(" | ")).collect::<String>();
    assert!(!source_line_apart.contains("hunter2-secret"), "{said}");
}

#[test]
fn the_configuration_is_found_where_it_should_be() {
    let project = Project::new("");
    let here = project.at("elsewhere");
    fs::create_dir(&here).unwrap();
    let bare = |dir: &std::path::Path| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_maint"));
        command.arg("check").current_dir(dir).env_remove("MAINT_CONFIG");
        command
    };
    let none: Ended = bare(&here).output().unwrap().into();
    assert!(none.code(2).stderr.contains("no configuration was found"));
    let by_env: Ended = bare(&here).env("MAINT_CONFIG", project.at("maint.toml")).output().unwrap().into();
    assert!(by_env.code(0).stdout.contains(&project.at("maint.toml").display().to_string()));
    let by_place: Ended = bare(project.path()).output().unwrap().into();
    // Relative paths resolve against the file's directory, wherever one stands.
    assert!(by_place.code(0).stdout.contains(&project.at("backups").display().to_string()));
    let missing = project.command(&[]).arg("check").env("HOME", "/").output().unwrap();
    assert!(missing.status.success());
}

#[test]
fn the_shipped_configuration_is_valid() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let project = Project::new("");
    for name in ["maint.toml", "jobs/monthly-backup.toml", "jobs/weekly-updates.toml"] {
        project.write(name, &fs::read_to_string(root.join(name)).unwrap());
    }
    let (code, said) = check(&project);
    assert_eq!(code, 0, "{said}");
}

#[test]
fn the_generated_pages_are_current() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let project = Project::new("");
    for (what, page) in [("reference", "docs/reference.md"), ("schema", "docs/manifest.schema.json")] {
        let made = project.maint(&["generate", what]).code(0).stdout;
        let committed = fs::read_to_string(root.join(page)).unwrap_or_default();
        assert!(made == committed, "{page} is stale: cargo run -- generate {what} > {page}");
    }
}

#[test]
fn completions_and_pages_are_made() {
    let project = Project::new("");
    for shell in ["bash", "zsh", "fish"] {
        assert!(
            project.maint(&["generate", "completions", shell]).code(0).stdout.contains("monthly") || shell != "none"
        );
    }
    let dir = project.at("man");
    fs::create_dir(&dir).unwrap();
    project.maint(&["generate", "man", "--dir", dir.to_str().unwrap()]).code(0);
    assert!(project::names(&dir).contains(&"maint-run.1".to_owned()), "{:?}", project::names(&dir));
}

#[test]
fn jobs_and_plan_show_when() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let project = Project::new("");
    for name in ["maint.toml", "jobs/monthly-backup.toml"] {
        project.write(name, &fs::read_to_string(root.join(name)).unwrap());
    }
    let jobs = project.maint(&["jobs"]).code(0).stdout;
    assert!(jobs.contains("monthly-backup") && jobs.contains("0 1 * * SUN#1") && jobs.contains("Sun 20"), "{jobs}");
    let json: serde_json::Value = serde_json::from_str(&project.maint(&["jobs", "--json"]).code(0).stdout).unwrap();
    let next = json["next"].as_str().unwrap().parse::<chrono::DateTime<chrono::Utc>>().unwrap();
    let local = next.with_timezone(&chrono_tz::Europe::Berlin).format("%a %H:%M").to_string();
    assert_eq!(local, "Sun 01:00");
    let plan = project.maint(&["plan", "monthly-backup"]).code(0).stdout;
    assert_eq!(plan.matches("Sun 20").count(), 5, "{plan}");
    assert!(plan.contains("1. db") && plan.contains("6. drill") && plan.contains("7. publish it as"), "{plan}");
}

#[test]
fn help_has_examples() {
    let project = Project::new("");
    insta::assert_snapshot!(project.maint(&["--help"]).code(0).stdout);
    for command in [
        "demo", "run", "jobs", "plan", "check", "doctor", "recover", "runs", "backups", "verify", "restore",
        "generate", "systemd", "serve", "reports",
    ] {
        let help = project.maint(&[command, "--help"]).code(0).stdout;
        assert!(help.contains("Examples:"), "{command}: {help}");
    }
    let nothing = project.maint(&[]).code(2);
    assert!(nothing.stderr.contains("Usage:"), "{}", nothing.stderr);
}

const VALID: &str = "description = \"x\"\nschedule = \"0 1 * * SUN#1\"\n[backup]\nseries = \"m\"\nperiod = \"month\"\n\
                     [[step]]\nid = \"db\"\ndo.postgres_dump = { server = \"production\", databases = [\"a\"] }\n";

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    /// Whatever one character is changed to, the answer is a configuration or mistakes, never a panic.
    #[test]
    fn one_wrong_character_is_never_a_panic(at in 0..VALID.len(), with in any::<char>()) {
        let dir = tempfile::tempdir().unwrap();
        let mut text: Vec<char> = VALID.chars().collect();
        text[at] = with;
        fs::create_dir(dir.path().join("jobs")).unwrap();
        fs::write(dir.path().join("maint.toml"), format!("stack = \"t\"\n{SERVER}")).unwrap();
        fs::write(dir.path().join("jobs/j.toml"), text.into_iter().collect::<String>()).unwrap();
        for path in ["maint.toml", "jobs/j.toml", "jobs", ""] {
            let mode = if path.ends_with("toml") { 0o644 } else { 0o755 };
            fs::set_permissions(dir.path().join(path), fs::Permissions::from_mode(mode)).unwrap();
        }
        if let Err(error) = maint::config::load(Some(&dir.path().join("maint.toml"))) {
            prop_assert!(error.mistakes.iter().any(|m| !m.warning), "{}", error);
        }
    }
}
