//! A whole set by one command.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use sha2::{Digest, Sha256};

use crate::{docker::Engine, postgres::Cluster, project::Project};

/// A name that psql would take for a connection string.
const ODD: &str = "user=o'clock";

/// Two databases, roles, files, and a volume.
struct Made {
    engine: std::sync::Arc<Engine>,
    source: Cluster,
    target: Cluster,
    project: Project,
}

fn make() -> Made {
    let engine = Engine::shared();
    let (source, target) = (Cluster::start(), Cluster::start());
    source.psql("postgres", "CREATE ROLE app");
    source.psql("postgres", &format!("CREATE DATABASE \"{ODD}\" OWNER app"));
    source.psql(ODD, "CREATE TABLE t AS SELECT i FROM generate_series(1, 1000) i; ALTER TABLE t OWNER TO app");
    source.psql("postgres", "CREATE TABLE u AS SELECT 1 AS one");
    let server = |name: &str, cluster: &Cluster| {
        let (socket, port) = (cluster.socket_dir().display(), cluster.port);
        format!("[postgres.{name}]\nsocket = \"{socket}\"\nport = {port}\nuser = \"postgres\"\n")
    };
    let docker = format!("[docker]\nhost = \"{}\"\n", engine.host());
    let project = Project::new(&[docker, server("p", &source), server("q", &target)].concat());
    for i in 0..20 {
        project.write(&format!("tree/f{i}"), &format!("file {i}\n").repeat(100));
    }
    let mountpoint = engine.volume("whole");
    fs::write(mountpoint.join("a"), "in a volume\n").unwrap();
    let databases = serde_json::to_string(&["postgres", ODD]).unwrap();
    project.backup_job(
        "all",
        &[
            ("db", &format!("postgres_dump = {{ server = \"p\", databases = {databases} }}")),
            ("globals", "postgres_globals = { server = \"p\" }"),
            ("tree", "files_archive = { paths = [\"tree\"] }"),
            ("volume", "volume_archive = { volume = \"whole\" }"),
        ],
    );
    project.maint(&["run", "all"]).code(0);
    Made { engine, source, target, project }
}

fn set(made: &Made) -> PathBuf {
    made.project.at("backups").join(&made.project.sets()[0])
}

/// One after the other: they share servers, and an engine that has to end.
#[test]
fn whole_sets() {
    let made = make();
    what_no_target_takes_is_named_before_anything_is_done(&made);
    a_whole_set_comes_back_by_one_command(&made);
    when_a_later_item_fails_what_stands_and_how_to_go_on_is_said(&made);
    restore_md_restores_a_database_whose_name_looks_like_a_connection_string(&made);
}

fn into(dir: &Path) -> String {
    format!("dir:{}", dir.display())
}

fn json(text: &str) -> serde_json::Value {
    serde_json::from_str(text).unwrap_or_else(|e| panic!("{e}: {text}"))
}

fn a_whole_set_comes_back_by_one_command(made: &Made) {
    let Made { engine, source, target, project } = made;
    let dir = tempfile::tempdir().unwrap();
    let back = dir.path().join("back");
    let to_dir = into(&back);
    let args = ["restore", "all", "--server", "q", "--into", "db:{}_copy", "--into", &to_dir, "--into", "volume:{}_2"];
    let with = |more: &[&str]| project.maint(&[args.as_slice(), more].concat());
    let refused = with(&[]).code(1);
    assert!(refused.stderr.contains("lacks roles that the dump names: app"), "{}", refused.stderr);
    let plan = with(&["--with-roles", "--plan"]).code(0).stdout;
    for said in ["postgres_copy", "user=o'clock_copy", "whole_2", "back/tree", "all of it: 4 items", "nothing was done"]
    {
        assert!(plan.contains(said), "{said}: {plan}");
    }
    assert!(plan.contains("no drill has measured how long all of it takes"), "{plan}");
    assert_eq!((crate::databases(target).as_str(), back.exists()), ("postgres", false));
    let report = json(&with(&["--with-roles", "--json"]).code(0).stdout);
    let items = report["items"].as_array().unwrap();
    let places: Vec<_> = items.iter().map(|item| item["into"].as_str().unwrap()).collect();
    let tree = into(&back.join("tree"));
    assert_eq!(places, ["db:postgres_copy", "db:user=o'clock_copy", &tree, "volume:whole_2"]);
    assert!(items.iter().all(|item| item["bytes"].as_u64() > Some(0) && item["millis"].is_u64()), "{report}");
    assert!(items.iter().all(|item| !item["compared"].as_array().unwrap().is_empty()), "{report}");
    assert_eq!((report["planned"].as_bool(), items[0]["roles_made"][0].as_str()), (Some(false), Some("app")));
    let copy = format!("{ODD}_copy");
    assert_eq!(
        target.psql(&copy, "SELECT count(*), sum(i) FROM t"),
        source.psql(ODD, "SELECT count(*), sum(i) FROM t")
    );
    assert_eq!(target.psql("postgres_copy", "SELECT one FROM u"), "1");
    let same = Command::new("diff").arg("-r").args([project.at("tree"), back.join("tree/tree")]).status().unwrap();
    assert!(same.success());
    let volume = engine.docker(&["volume", "inspect", "-f", "{{.Mountpoint}}", "whole_2"]);
    assert_eq!(fs::read_to_string(Path::new(volume.trim()).join("a")).unwrap(), "in a volume\n");
    // Everything is looked at before anything is done.
    let taken = with(&["--with-roles"]).code(2);
    assert!(taken.stderr.contains("the database postgres_copy is there already"), "{}", taken.stderr);
    engine.docker(&["volume", "rm", "whole_2"]);
}

fn what_no_target_takes_is_named_before_anything_is_done(made: &Made) {
    let Made { target, project, .. } = made;
    let dir = tempfile::tempdir().unwrap();
    let to_dir = into(&dir.path().join("back"));
    let refused = |args: &[&str], said: &[&str]| {
        let all = [&["restore", "all", "--server", "q", "--with-roles"], args].concat();
        let ended = project.maint(&all).code(2);
        assert!(said.iter().all(|said| ended.stderr.contains(said)), "{said:?}: {}", ended.stderr);
    };
    refused(&["--into", "db:{}_x", "--into", "volume:{}_x"], &["no --into takes", "tree-", "--into dir:PATH"]);
    refused(&["--into", "db:one", "--into", &to_dir], &["one name for several items: db-", "db:{}_copy"]);
    refused(&["--into", "db:one"], &["the set has several: db-", "--item", "db:{}_one"]);
    refused(&["--into", "db:a", "--into", "db:b"], &["the second of its kind"]);
    refused(&["--into", "db:{}_x", "--into", &to_dir, "--item", "tree"], &["give one --into"]);
    refused(&["--into", "db:{}_x", "--into", &to_dir, "--replace", "postgres_x", "--no-dump"], &["each with --item"]);
    assert!(!dir.path().join("back").exists() && !crate::databases(target).contains("_x"));
}

/// A set with a record of a drill, by hand.
fn record(set: &Path) {
    let bytes = fs::read(set.join("manifest.json")).unwrap();
    let manifest = json(std::str::from_utf8(&bytes).unwrap());
    let restored = manifest["artifacts"].as_array().unwrap().iter().map(|artifact| {
        serde_json::json!({ "file": artifact["file"], "restore_millis": 60_000, "compare_millis": 1_000,
            "checks": ["1 row"], "not_compared": [] })
    });
    let drill = serde_json::json!({ "servers": [], "restored": restored.collect::<Vec<_>>(), "millis": 1, "recovery_millis": 1 });
    let body = serde_json::json!({ "kind": "drill", "level": "drill", "finished": "2026-08-01T00:00:00Z", "millis": 1,
        "evidence": [], "drill": drill });
    let record = serde_json::json!({ "format": "maint-record", "version": 1, "series": manifest["series"],
        "set": set.file_name().unwrap().to_str(), "host": manifest["host"], "made": "2026-08-01T00:00:00Z",
        "manifest_sha256": maint::model::contents::hex(&Sha256::digest(&bytes)), "body": body });
    let dir = set.parent().unwrap().join(".records").join(set.file_name().unwrap());
    fs::create_dir_all(&dir).unwrap();
    fs::write(dir.join("drill-1.json"), record.to_string()).unwrap();
}

fn when_a_later_item_fails_what_stands_and_how_to_go_on_is_said(made: &Made) {
    let Made { target, project, .. } = made;
    let dir = tempfile::tempdir().unwrap();
    let series = dir.path().join("all");
    let damaged = series.join("202608");
    fs::create_dir(&series).unwrap();
    assert!(Command::new("cp").arg("-r").arg(set(made)).arg(&damaged).status().unwrap().success());
    record(&damaged);
    let tar = fs::read_dir(&damaged).unwrap().map(|e| e.unwrap().path());
    let tar = tar.into_iter().find(|p| {
        p.file_name().unwrap().to_str().unwrap().starts_with("tree-") && p.to_str().unwrap().ends_with(".tar.zst")
    });
    let tar = tar.unwrap();
    let mut bytes = fs::read(&tar).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&tar, bytes).unwrap();
    let (set, to_dir) = (damaged.to_str().unwrap(), into(&dir.path().join("back")));
    let args = ["restore", set, "--server", "q", "--with-roles", "--into", "db:{}_later", "--into", &to_dir];
    let plan = project.maint(&[args.as_slice(), &["--plan"]].concat()).code(0).stdout;
    assert!(plan.contains("a drill took 4 min 04 s for it"), "{plan}");
    let ended = project.maint(&args).code(3);
    for said in
        ["postgres_later", "stands in db:user=o'clock_later", "was not restored to", "was not begun", "to go on"]
    {
        assert!(ended.stdout.contains(said), "{said}: {}", ended.stdout);
    }
    assert!(ended.stdout.contains("--item volume-") && ended.stderr.contains("tree-"), "{}", ended.stdout);
    assert_eq!(target.psql(&format!("{ODD}_later"), "SELECT count(*) FROM t"), "1000");
    let args = ["restore", set, "--server", "q", "--json", "--into", "db:{}_again", "--into", &to_dir, "--with-roles"];
    let report = json(&project.maint(&args).code(3).stdout);
    assert_eq!((report["items"].as_array().unwrap().len(), report["not_begun"].as_array().unwrap().len()), (2, 1));
    assert!(report["failed"]["error"].as_str().unwrap().contains("tree-"), "{report}");
    let command = report["not_begun"][0]["command"].as_str().unwrap();
    assert!(command.starts_with("maint restore ") && command.contains("--item volume-"), "{command}");
}

fn restore_md_restores_a_database_whose_name_looks_like_a_connection_string(made: &Made) {
    let Made { target, .. } = made;
    let text = fs::read_to_string(set(made).join("RESTORE.md")).unwrap();
    let section = text.split("\n## ").find(|section| section.contains(ODD) && section.contains("createdb")).unwrap();
    let commands = section.split("```").nth(1).unwrap();
    let ended = Command::new("sh")
        .args(["-e", "-c", commands])
        .current_dir(set(made))
        .env("PGHOST", target.socket_dir())
        .env("PGPORT", target.port.to_string())
        .env("PGUSER", "postgres")
        .output()
        .unwrap();
    assert!(ended.status.success(), "{commands}\n{}", String::from_utf8_lossy(&ended.stderr));
    assert_eq!(target.psql(ODD, "SELECT count(*) FROM t"), "1000");
}
