//! Drills of whole runs that do not come to their end: stopped, killed, too slow, out of space, without programs. None of
//! them counts, and nothing of them stays.

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::Path,
    process::{Child, Command},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};

use super::{
    GLOBALS,
    cage::{alive_with_uid, wait_for},
    disk::Disk,
    job, manifest,
    postgres::{Cluster, bin_dir},
    project,
    project::{Ended, Project, names},
};

const DUMP: (&str, &str) = ("db", "postgres_dump = { server = \"p\" }");

/// Takes minutes where it is restored, and nowhere else: the superuser of a drill has a name of its own.
const HELD: &str = "CREATE FUNCTION held() RETURNS int LANGUAGE plpgsql AS $$ BEGIN
        IF session_user LIKE 'maint_drill%' THEN PERFORM pg_catalog.pg_sleep(600); END IF; RETURN 1; END $$;
    CREATE MATERIALIZED VIEW slow AS SELECT public.held();";

/// Needs a hundred times as much where it is restored; a megabyte takes a moment, as it does on a disk.
const SWELLING: &str = "CREATE FUNCTION swelling() RETURNS SETOF text LANGUAGE plpgsql AS $$ BEGIN
        IF session_user NOT LIKE 'maint_drill%' THEN RETURN NEXT 'small'; RETURN; END IF;
        FOR i IN 1..2000 LOOP
            RETURN NEXT (SELECT string_agg(md5(g::text || i), '') FROM generate_series(1, 30000) g);
            PERFORM pg_catalog.pg_sleep(0.01);
        END LOOP; END $$;
    CREATE MATERIALIZED VIEW large AS SELECT w FROM (SELECT 1) one, LATERAL public.swelling() w;";

fn source(sql: &str) -> Cluster {
    let source = Cluster::start();
    source.psql("postgres", "CREATE TABLE t AS SELECT g FROM generate_series(1, 1000) g");
    source.psql("postgres", sql);
    source
}

fn drill_dirs(project: &Project) -> Vec<String> {
    names(&project.at("state/drill")).into_iter().filter(|name| !name.ends_with(".lock")).collect()
}

/// The user of the drill under way, which nobody else has.
fn user(project: &Project) -> Option<u32> {
    let dirs = drill_dirs(project);
    let gid = fs::metadata(project.at("state/drill").join(dirs.first()?)).ok()?.gid();
    (gid != 0).then_some(gid)
}

/// Where in a drill.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Moment {
    /// The throwaway server is being made.
    Start,
    /// The dump is being restored.
    Load,
}

impl Moment {
    /// Waits until it is so; gives the drill's user.
    fn reach(self, project: &Project) -> u32 {
        wait_for("the drill", || {
            user(project).is_some_and(|user| match self {
                Self::Start => alive_with_uid(user) > 0,
                Self::Load => is_loading(user),
            })
        });
        user(project).unwrap()
    }
}

/// Whether a server of this user does what takes minutes.
fn is_loading(user: u32) -> bool {
    let mut processes = fs::read_dir("/proc").unwrap().flatten();
    processes.any(|entry| {
        entry.metadata().is_ok_and(|facts| facts.uid() == user)
            && fs::read(entry.path().join("cmdline"))
                .is_ok_and(|line| String::from_utf8_lossy(&line).contains("REFRESH"))
    })
}

fn interrupt(child: Child) -> Ended {
    kill_process(Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap(), Signal::INT).unwrap();
    child.wait_with_output().unwrap().into()
}

fn kill(mut child: Child, user: u32) {
    child.kill().unwrap();
    child.wait().unwrap();
    wait_for("the end of the server", || alive_with_uid(user) == 0);
}

#[track_caller]
fn nothing_is_left(project: &Project) {
    let left = (project.staging(), names(&project.at("state/drill")));
    assert_eq!(left, (vec![], vec![]), "of staging and of the drill");
}

#[test]
fn a_run_that_is_interrupted_in_its_drill_leaves_nothing() {
    let source = source(HELD);
    let project = project(&source, "");
    job(&project, &[DUMP, GLOBALS], "if_unverifiable = \"keep\"\n");
    for moment in [Moment::Start, Moment::Load] {
        let child = project.start(&["run", "all"]);
        let user = moment.reach(&project);
        let begun = Instant::now();
        let ended = interrupt(child).code(130);
        assert!(begun.elapsed() < Duration::from_secs(10), "{moment:?}: {:?}", begun.elapsed());
        assert_eq!(alive_with_uid(user), 0, "{moment:?}");
        assert_eq!(project.sets(), Vec::<String>::new(), "{moment:?}: {}", ended.stdout);
        nothing_is_left(&project);
    }
}

#[test]
fn what_a_run_leaves_that_is_killed_in_its_drill_is_swept() {
    let source = source(HELD);
    let project = project(&source, "");
    job(&project, &[DUMP, GLOBALS], "");
    for moment in [Moment::Start, Moment::Load] {
        let child = project.start(&["run", "all"]);
        let user = moment.reach(&project);
        kill(child, user);
        assert_eq!((project.sets().len(), drill_dirs(&project).len()), (0, 1));
        assert!(!project.staging().is_empty());
        if moment == Moment::Start {
            let said = project.maint(&["recover"]).code(0).stdout;
            assert!(said.contains("swept: what the dead drill"), "{said}");
            nothing_is_left(&project);
        }
    }
    source.psql("postgres", "DROP MATERIALIZED VIEW slow");
    let said = project.maint(&["run", "all"]).code(0).stdout;
    assert!(said.contains("swept what the dead drill") && said.contains("verified to \"drill\""), "{said}");
    assert_eq!(project.sets().len(), 1);
    nothing_is_left(&project);
}

#[test]
fn a_drill_by_hand_that_does_not_end_proves_nothing_and_leaves_nothing() {
    let source = source(HELD);
    let project = project(&source, "[drill]\ntimeout = \"3s\"\n");
    project.backup_job("all", &[DUMP, GLOBALS]);
    project.maint(&["run", "all"]).code(0);
    let set = project.at("backups").join(&project.sets()[0]);
    let verify = ["verify", "--level", "drill", set.to_str().unwrap()];
    let late = project.maint(&verify).code(4).stdout;
    assert!(late.contains("it took longer than 3.0 s") && late.contains("hint: raise `timeout` in [drill]"), "{late}");
    nothing_is_left(&project);

    let text = fs::read_to_string(project.at("maint.toml")).unwrap();
    project.write("maint.toml", &text.replace("3s", "1h"));
    let child = project.start(&verify);
    let user = Moment::Load.reach(&project);
    interrupt(child).code(130);
    assert_eq!(alive_with_uid(user), 0);
    nothing_is_left(&project);

    let child = project.start(&verify);
    let user = Moment::Load.reach(&project);
    kill(child, user);
    assert_eq!(drill_dirs(&project).len(), 1);
    project.maint(&["recover"]).code(0);
    nothing_is_left(&project);
    assert!(!project.at("backups/all/.records").exists(), "none of them is a proof");
}

#[test]
fn a_run_whose_drill_takes_too_long_is_not_ok() {
    let source = source(HELD);
    let project = project(&source, "[drill]\ntimeout = \"3s\"\n");
    job(&project, &[DUMP, GLOBALS], "");
    let late = project.maint(&["run", "all"]).code(4).stdout;
    assert!(late.contains("the drill could not be ended: it took longer than 3.0 s"), "{late}");
    assert!(late.contains("hint: raise `timeout` in [drill]"), "{late}");
    assert_eq!(project.sets(), Vec::<String>::new());
    nothing_is_left(&project);
    job(&project, &[DUMP, GLOBALS], "if_unverifiable = \"keep\"\n");
    project.maint(&["run", "all"]).code(4);
    assert_eq!(shortfall(&project).0, "structure");
    nothing_is_left(&project);
}

/// The one set's level, and why it has no higher one.
fn shortfall(project: &Project) -> (String, String) {
    let sets = project.sets();
    assert_eq!(sets.len(), 1, "{sets:?}");
    let verification = manifest(&project.at("backups").join(&sets[0]))["verification"].clone();
    let text = |key: &str| verification[key].as_str().unwrap_or_default().to_owned();
    (text("level"), text("shortfall"))
}

fn in_scratch(source: &Cluster, disk: &Disk) -> Project {
    project(source, &format!("[drill]\nscratch_dir = \"{}\"\n", disk.path().join("drill").display()))
}

#[test]
fn a_scratch_disk_that_is_too_small_is_told_with_numbers() {
    let source = source("");
    let disk = Disk::new(100);
    let project = in_scratch(&source, &disk);
    job(&project, &[DUMP, GLOBALS], "");
    let said = project.maint(&["run", "all"]).code(4).stdout;
    assert!(said.contains("104.9 MB are free in") && said.contains("and it needs 41"), "{said}");
    assert!(said.contains("hint: free some, see: df -h"), "{said}");
    assert_eq!(project.sets(), Vec::<String>::new());
    job(&project, &[DUMP, GLOBALS], "if_unverifiable = \"keep\"\n");
    project.maint(&["run", "all"]).code(4);
    let (level, why) = shortfall(&project);
    assert!(level == "structure" && why.contains("104.9 MB are free"), "{level}: {why}");
    assert_eq!((project.staging(), names(&disk.path().join("drill"))), (vec![], vec![]));
}

#[test]
fn a_scratch_disk_that_fills_up_ends_the_drill_with_numbers() {
    let source = source(SWELLING);
    let disk = Disk::new(440);
    let project = in_scratch(&source, &disk);
    job(&project, &[DUMP, GLOBALS], "if_unverifiable = \"keep\"\n");
    let said = project.maint(&["run", "all"]).code(4).stdout;
    assert!(said.contains("the drill was stopped: only ") && said.contains("268.4 MB are not for drills"), "{said}");
    let (level, why) = shortfall(&project);
    assert!(level == "structure" && why.contains("268.4 MB"), "{level}: {why}");
    assert_eq!((project.staging(), names(&disk.path().join("drill"))), (vec![], vec![]));
}

/// Programs that tell the version that is wanted, and do no more.
fn broken_programs(dir: &Path) {
    fs::create_dir(dir).unwrap();
    let said = Command::new(bin_dir().join("initdb")).arg("--version").output().unwrap().stdout;
    let version = String::from_utf8(said).unwrap().trim().to_owned();
    for name in ["initdb", "postgres"] {
        let script =
            format!("#!/bin/sh\n[ \"$1\" = --version ] && {{ echo '{version}'; exit 0; }}\necho broken >&2\nexit 1\n");
        fs::write(dir.join(name), script).unwrap();
        fs::set_permissions(dir.join(name), fs::Permissions::from_mode(0o755)).unwrap();
    }
}

#[test]
fn what_could_not_be_tried_is_not_ok() {
    let source = source("");
    // A directory without server programs.
    let project = project(&source, "[drill]\nbin_dir = \"empty\"\n");
    fs::create_dir(project.at("empty")).unwrap();
    job(&project, &[DUMP, GLOBALS], "");
    let refused = project.maint(&["run", "all"]).code(4).stdout;
    assert!(refused.contains("the drill could not run") && refused.contains("hint: install postgresql-"), "{refused}");
    assert_eq!(project.sets(), Vec::<String>::new());

    fs::remove_dir(project.at("empty")).unwrap();
    broken_programs(&project.at("empty"));
    let refused = project.maint(&["run", "all"]).code(4).stdout;
    assert!(refused.contains("no throwaway server could be had") && refused.contains("broken"), "{refused}");
    nothing_is_left(&project);

    job(&project, &[DUMP, GLOBALS], "if_unverifiable = \"keep\"\n");
    let kept = project.maint(&["run", "all"]).code(4);
    assert!(kept.stdout.contains("verified to \"structure\""), "{}", kept.stdout);
    let (level, why) = shortfall(&project);
    assert!(level == "structure" && why.contains("could not run"), "{level}: {why}");
    assert!(project.maint(&["backups"]).code(0).stdout.contains("the drill could not run"));
    let runs = project.maint(&["runs"]).code(0).stdout;
    assert!(runs.contains("unknown"), "{runs}");
    let set = project.at("backups").join(&project.sets()[0]);
    let again = project.maint(&["verify", "--level", "drill", set.to_str().unwrap()]).code(4);
    assert!(again.stdout.contains("not verified"), "{}", again.stdout);
}
