//! Drills through the real binary: a set is restored and compared before it counts; what a dump lost is named, and what
//! could not be tried is not ok.
#![expect(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests set their stage")]

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

#[path = "drill/altered.rs"]
mod altered;
#[path = "support/cage.rs"]
mod cage;
#[path = "drill/deep.rs"]
mod deep;
#[path = "support/disk.rs"]
mod disk;
#[path = "drill/ends.rs"]
mod ends;
#[path = "support/forge.rs"]
mod forge;
#[path = "support/postgres.rs"]
mod postgres;
#[path = "support/project.rs"]
mod project;
use forge::Forged;
use postgres::Cluster;
use project::{Project, names};

/// The database of `hard_globals.sql`.
const HARD: &str = "höhe & \"tiefe\" %d";

fn project(cluster: &Cluster, more: &str) -> Project {
    Project::new(&format!(
        "[postgres.p]\nsocket = \"{}\"\nport = {}\nuser = \"postgres\"\n{more}",
        cluster.socket_dir().display(),
        cluster.port
    ))
}

/// A backup job that asks for a drill.
fn job(project: &Project, steps: &[(&str, &str)], more: &str) {
    project.backup_job("all", steps);
    let path = project.at("jobs/all.toml");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replace("[backup]\n", &format!("[backup]\nverify = \"drill\"\n{more}"))).unwrap();
}

fn manifest(set: &Path) -> serde_json::Value {
    serde_json::from_str(&fs::read_to_string(set.join("manifest.json")).unwrap()).unwrap()
}

/// `maint verify` of a bare directory, from where there is no configuration.
fn verify(set: &Path, level: &str) -> project::Ended {
    let elsewhere = tempfile::tempdir().unwrap();
    let mut maint = Command::new(env!("CARGO_BIN_EXE_maint"));
    maint.current_dir(elsewhere.path()).env_remove("MAINT_CONFIG").env("NO_COLOR", "1");
    maint.args(["verify", "--level", level]).arg(set).output().unwrap().into()
}

fn drill(set: &Path) -> project::Ended {
    verify(set, "drill")
}

const GLOBALS: (&str, &str) = ("globals", "postgres_globals = { server = \"p\" }");

#[test]
fn every_hard_case_is_proven_before_it_counts_and_again_from_a_bare_directory() {
    let source = Cluster::start();
    source.psql("postgres", include_str!("data/hard_globals.sql"));
    source.psql(HARD, include_str!("data/hard_cases.sql"));
    source.psql(
        "postgres",
        "ALTER DATABASE postgres SET TimeZone = 'Asia/Tokyo'; CREATE DATABASE latin ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0;
         CREATE DATABASE bytes ENCODING 'SQL_ASCII' LOCALE 'C' TEMPLATE template0; CREATE DATABASE void CONNECTION LIMIT 0",
    );
    source.psql(
        "postgres",
        "CREATE TABLE t (at timestamptz DEFAULT now(), b bytea); INSERT INTO t VALUES (now(), '\\x00ff')",
    );
    source.psql("latin", "CREATE TABLE t AS SELECT 'Größe' AS name");
    source.psql(
        "bytes",
        "SET client_encoding = 'SQL_ASCII'; CREATE TABLE t AS SELECT convert_from('\\xff', 'SQL_ASCII') AS raw",
    );
    let project = project(&source, "");
    for i in 0..100 {
        project.write(&format!("tree/d{}/f{i}", i % 7), &format!("file {i}\n").repeat(i));
    }
    let dump = "postgres_dump = { server = \"p\", databases = [\"*\"], compression = \"gzip\" }";
    job(&project, &[("db", dump), GLOBALS, ("tree", "files_archive = { paths = [\"tree\"] }")], "");
    let said = project.maint(&["run", "all"]).code(0).stdout;
    assert!(said.contains("verified to \"drill\""), "{said}");
    let set = project.at(format!("backups/{}", project.sets()[0]));
    let evidence = manifest(&set)["verification"].clone();
    assert_eq!(evidence["level"], "drill");
    assert!(evidence["drill"]["servers"][0]["isolation"].as_str().unwrap().contains("bubblewrap"), "{evidence}");
    assert_eq!(evidence["drill"]["restored"].as_array().unwrap().len(), 7, "{evidence}");
    assert!(evidence["drill"]["recovery_millis"].as_u64().unwrap() > 0);
    assert!(fs::read_to_string(set.join("RESTORE.md")).unwrap().contains("it was restored and compared"));
    assert_eq!(names(&project.at("state/drill")), Vec::<String>::new(), "nothing of the drill stays");
    let said = drill(&set).code(0).stdout;
    assert!(said.contains("recorded: ") && said.contains("restoring it takes"), "{said}");
    let listed = project.maint(&["backups", "--json"]).code(0).stdout;
    let listed: serde_json::Value = serde_json::from_str(listed.lines().next().unwrap()).unwrap();
    assert_eq!(listed["records"][0]["record"]["body"]["level"], "drill");
}

#[test]
fn a_dump_without_its_roles_and_an_empty_one_are_proven_too() {
    let source = Cluster::start();
    source
        .psql("postgres", "CREATE ROLE app; CREATE TABLE t (x int); ALTER TABLE t OWNER TO app; CREATE DATABASE void");
    let project = project(&source, "");
    job(
        &project,
        &[("db", "postgres_dump = { server = \"p\", databases = [\"postgres\", \"void\"], count_rows = false }")],
        "",
    );
    project.maint(&["run", "all"]).code(0);
    let set = project.at(format!("backups/{}", project.sets()[0]));
    let not = manifest(&set)["verification"]["drill"]["restored"][0]["not_compared"].to_string();
    assert!(not.contains("count_rows = false"), "{not}");
}

/// A set of one of everything, made once.
fn made() -> &'static PathBuf {
    static MADE: OnceLock<PathBuf> = OnceLock::new();
    MADE.get_or_init(|| {
        let source = Cluster::start();
        source.psql("postgres", include_str!("data/inventory.sql"));
        source.psql(
            "postgres",
            "INSERT INTO s.t (name, n) SELECT 'row', g FROM generate_series(1, 100) g; SELECT nextval('s.counter');
             INSERT INTO s.parted VALUES (3, 'three'), (4, 'four'); SELECT lo_from_bytea(4712, 'y');
             ALTER ROLE inv_reader SET work_mem = '5MB'; GRANT inv_owner TO inv_reader; ALTER DATABASE postgres SET work_mem = '6MB'",
        );
        let project = project(&source, "");
        job(&project, &[("db", "postgres_dump = { server = \"p\" }"), GLOBALS], "");
        project.maint(&["run", "all"]).code(0);
        let kept = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("drill-{}", std::process::id()));
        let _ = fs::remove_dir_all(&kept);
        let set = project.at(format!("backups/{}", project.sets()[0]));
        assert!(Command::new("cp").arg("-r").arg(set).arg(&kept).status().unwrap().success());
        kept
    })
}

#[test]
fn a_property_of_the_database_that_is_lost_is_named() {
    let forged = Forged::of(made());
    forged.companion("db", "SET \"work_mem\" TO '6MB'", "SET \"work_mem\" TO '7MB'");
    let ended = drill(&forged.set).code(3);
    assert!(ended.stdout.contains("setting of PUBLIC work_mem: value: 7MB instead of 6MB"), "{}", ended.stdout);
}

/// A dump is a program: what it runs sees nothing of this host.
#[test]
fn a_hostile_dump_reaches_nothing() {
    let outside = tempfile::tempdir().unwrap();
    fs::set_permissions(outside.path(), std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
    let loot = outside.path().join("loot");
    let forged = Forged::of(made());
    let theft = format!(
        "COMMENT ON TABLE s.t IS 'a table';\nDO $$ BEGIN EXECUTE 'COPY (SELECT 1) TO PROGRAM ''id > {}; cat /etc/shadow >> {} || true'''; \
         EXCEPTION WHEN others THEN NULL; END $$;",
        loot.display(),
        loot.display()
    );
    forged.replace("db", "COMMENT ON TABLE s.t IS 'a table';", &theft);
    drill(&forged.set);
    assert!(!loot.exists(), "{}", fs::read_to_string(&loot).unwrap_or_default());
}
