//! A living database replaced: dumped first, beside under another name, and never touched by a restore that died.

use std::{fs, path::Path, time::Duration};

use crate::{
    databases, item, made,
    postgres::Cluster,
    project::{Project, names, wait_for},
    restore, restore_as,
};

fn living(rows: u32) -> Cluster {
    let target = Cluster::start();
    target.psql("postgres", "CREATE DATABASE app");
    target.psql("app", &format!("CREATE TABLE living AS SELECT 42 AS x FROM generate_series(1, {rows})"));
    target
}

#[test]
fn a_living_database_is_replaced_only_when_its_name_is_typed_again_and_stays_beside() {
    let made = made();
    let target = living(1);
    let dump = item(&made, "db-postgres");
    let args = ["--item", &dump, "--into", "db:app", "--replace"];
    let set = &made.set;
    let typed = restore(set, &target, &[args.as_slice(), &["ap"]].concat()).code(2);
    assert!(typed.stderr.contains("type its name both times"), "{}", typed.stderr);
    let nowhere = restore(set, &target, &[args.as_slice(), &["app"]].concat()).code(2);
    assert!(nowhere.stderr.contains("--dump-to DIR") && nowhere.stderr.contains("--no-dump"), "{}", nowhere.stderr);
    // Somebody who is connected, and comes back.
    let mut client = target.tool("psql", "app").args(["-Xqc", "SELECT pg_sleep(100)"]).spawn().unwrap();
    let plan = restore(set, &target, &[args.as_slice(), &["app", "--no-dump", "--plan"]].concat()).code(0).stdout;
    assert!(plan.contains("stays beside it under another name") && !plan.contains("dumped"), "{plan}");
    let said = restore(set, &target, &[args.as_slice(), &["app", "--no-dump"]].concat()).code(0).stdout;
    client.wait().unwrap();
    assert_eq!(target.psql("app", "SELECT count(*) FROM big"), "200000");
    let kept = said.lines().find_map(|l| l.strip_prefix("what it replaced stays as ")?.split(';').next()).unwrap();
    assert_eq!(target.psql(kept, "SELECT x FROM living"), "42");
    let back = said.lines().find(|l| l.trim_start().starts_with("BEGIN; ALTER DATABASE")).unwrap();
    target.psql("postgres", back);
    assert_eq!(target.psql("app", "SELECT x FROM living"), "42");
    let nothing =
        restore(set, &target, &["--item", &dump, "--into", "db:nix", "--replace", "nix", "--no-dump"]).code(2);
    assert!(nothing.stderr.contains("no database nix to replace"), "{}", nothing.stderr);
}

/// A project whose server is the target, with the backups of its own.
fn project(target: &Cluster) -> Project {
    let (socket, port) = (target.socket_dir().display(), target.port);
    Project::new(&format!("[postgres.p]\nsocket = \"{socket}\"\nport = {port}\nuser = \"postgres\"\n"))
}

#[test]
fn what_is_replaced_is_dumped_and_verified_before() {
    let made = made();
    let target = living(3);
    let project = project(&target);
    let (set, dump) = (made.set.to_str().unwrap(), item(&made, "db-postgres"));
    let args = ["restore", set, "--item", &dump, "--into", "db:app", "--replace", "app"];
    let with = |more: &[&str]| project.maint(&[args.as_slice(), more].concat());
    let plan = with(&["--plan"]).code(0).stdout;
    assert!(plan.contains("is dumped into ") && plan.contains("/backups/.replaced first"), "{plan}");
    assert!(!project.at("backups/.replaced").exists());
    let said = with(&["--json"]).code(0).stdout;
    let report: serde_json::Value = serde_json::from_str(&said).unwrap();
    let replaced = &report["items"][0]["replaced"];
    let before = Path::new(replaced["dump"].as_str().unwrap());
    assert!(before.starts_with(fs::canonicalize(project.at("backups/.replaced")).unwrap()), "{said}");
    assert!(before.join("RESTORE.md").exists() && project.staging().is_empty());
    project.maint(&["verify", before.to_str().unwrap()]).code(0);
    assert!(!project.maint(&["backups"]).code(0).stdout.contains("replaced"));
    // The dump is a way back of its own.
    project.maint(&["restore", before.to_str().unwrap(), "--into", "db:from_dump"]).code(0);
    assert_eq!(target.psql("from_dump", "SELECT count(*), sum(x) FROM living"), "3|126");
    assert_eq!(target.psql(replaced["kept_as"].as_str().unwrap(), "SELECT count(*) FROM living"), "3");
    target.psql("postgres", replaced["way_back"].as_str().unwrap());
    assert_eq!(target.psql("app", "SELECT count(*) FROM living"), "3");
}

#[test]
fn where_it_cannot_be_dumped_nothing_is_changed() {
    let made = made();
    let target = living(1);
    let (set, dump) = (&made.set, item(&made, "db-postgres"));
    let dir = tempfile::tempdir().unwrap();
    let taken = dir.path().join("file");
    fs::write(&taken, "").unwrap();
    let into = ["--item", &dump, "--into", "db:app", "--replace", "app", "--dump-to"];
    let refused = restore(set, &target, &[into.as_slice(), &[taken.to_str().unwrap()]].concat()).code(1);
    assert!(refused.stderr.contains("app was to be dumped before it is replaced"), "{}", refused.stderr);
    assert!(refused.stderr.contains("nothing was changed"), "{}", refused.stderr);
    assert_eq!(databases(&target), "app,postgres");
    // A role that may make databases, but not read all of this one.
    target.psql("postgres", "CREATE ROLE maker LOGIN CREATEDB; GRANT pg_monitor TO maker");
    target.psql("app", "REVOKE ALL ON living FROM PUBLIC");
    let place = dir.path().join("dumps");
    let refused = restore_as("maker", set, &target, &[into.as_slice(), &[place.to_str().unwrap()]].concat()).code(1);
    assert!(refused.stderr.contains("was to be dumped before it is replaced"), "{}", refused.stderr);
    assert_eq!((databases(&target), place.exists()), ("app,postgres".into(), false));
    assert_eq!(target.psql("app", "SELECT x FROM living"), "42");
}

#[test]
fn whatever_kills_it_the_living_database_is_as_it_was() {
    let made = made();
    let target = living(100_000);
    let project = project(&target);
    let dump = item(&made, "db-postgres");
    let args = ["restore", made.set.to_str().unwrap(), "--item", &dump, "--into", "db:app", "--replace", "app"];
    let half_made = || databases(&target).contains("maint_restore_");
    let dumping = || !project.staging().is_empty();
    let dumped = || !names(&project.at("backups/.replaced")).is_empty();
    let moments: [(&str, &dyn Fn() -> bool, u64); 5] = [
        ("a dump that begins", &dumping, 0),
        ("a finished dump", &dumped, 0),
        ("a half-made database", &half_made, 0),
        ("a database with rows", &half_made, 150),
        ("a database with indexes", &half_made, 400),
    ];
    for (what, is_so, after) in moments {
        let mut child = project.start(&args);
        wait_for(what, is_so);
        std::thread::sleep(Duration::from_millis(after));
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(target.psql("app", "SELECT count(*), sum(x) FROM living"), "100000|4200000", "{what}");
        for left in databases(&target).split(',').filter(|name| name.starts_with("maint_restore_")) {
            let plan = restore(&made.set, &target, &["--item", &dump, "--into", "db:new", "--plan"]).code(0).stdout;
            assert!(plan.contains("a killed restore left the database maint_restore_"), "{plan}");
            target.psql("postgres", &format!("DROP DATABASE {left} WITH (FORCE)"));
        }
        let _ = fs::remove_dir_all(project.at("backups/.replaced"));
    }
    // What the first one left half dumped is swept by the next.
    project.maint(&args).code(0);
    assert!(project.staging().is_empty());
    assert_eq!(target.psql("app", "SELECT count(*) FROM big"), "200000");
}
