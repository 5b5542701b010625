//! `maint restore` by the real binary: databases to a second server, archives, volumes, rows of single tables.
#![expect(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests set their stage")]

use std::{
    fs,
    path::{Path, PathBuf},
    sync::OnceLock,
    time::Duration,
};

#[path = "support/docker.rs"]
mod docker;
#[path = "support/postgres.rs"]
mod postgres;
#[path = "support/project.rs"]
mod project;
use docker::Engine;
use postgres::{Cluster, without_restrict};
use project::{Project, wait_for};

/// The database of `hard_globals.sql`.
const HARD: &str = "höhe & \"tiefe\" %d";

/// A set with every hard case, a large table, globals and an archive; made once.
struct Made {
    source: Cluster,
    project: Project,
    set: PathBuf,
}

fn made() -> &'static Made {
    static MADE: OnceLock<Made> = OnceLock::new();
    MADE.get_or_init(|| {
        let source = Cluster::start();
        source.psql("postgres", include_str!("data/hard_globals.sql"));
        source.psql(HARD, include_str!("data/hard_cases.sql"));
        source.psql("postgres", "CREATE TABLE big AS SELECT i, repeat(md5(i::text), 8) AS pad FROM generate_series(1, 200000) i; CREATE INDEX ON big (pad)");
        let project = Project::new(&format!(
            "[postgres.p]\nsocket = \"{}\"\nport = {}\nuser = \"postgres\"\n",
            source.socket_dir().display(),
            source.port
        ));
        for i in 0..50 {
            project.write(&format!("tree/d{}/f{i}", i % 7), &format!("file {i}\n").repeat(i));
        }
        let databases = serde_json::to_string(&[HARD, "postgres"]).unwrap();
        project.backup_job(
            "all",
            &[
                ("db", &format!("postgres_dump = {{ server = \"p\", databases = {databases} }}")),
                ("globals", "postgres_globals = { server = \"p\" }"),
                ("tree", "files_archive = { paths = [\"tree\"] }"),
            ],
        );
        project.maint(&["run", "all"]).code(0);
        let set = project.at(format!("backups/{}", project.sets()[0]));
        Made { source, project, set }
    })
}

/// The artifact that begins so.
fn item(begins: &str) -> String {
    let names = fs::read_dir(&made().set).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap());
    let fits = |n: &String| n.starts_with(begins) && (n.ends_with(".sql.zst") || n.ends_with(".tar.zst"));
    names.into_iter().find(fits).unwrap()
}

/// `maint restore SET … --host …` from a directory without a configuration, as on another host.
fn restore(set: &Path, target: &Cluster, args: &[&str]) -> project::Ended {
    let elsewhere = Project::new("");
    fs::remove_file(elsewhere.at("maint.toml")).unwrap();
    let (set, host, port) = (set.to_str().unwrap(), target.socket_dir().to_str().unwrap(), target.port.to_string());
    let mut all = vec!["restore", set, "--host", host, "--port", &port, "--user", "postgres"];
    all.extend(args);
    elsewhere.maint(&all)
}

fn databases(cluster: &Cluster) -> String {
    cluster.psql(
        "postgres",
        "SELECT string_agg(datname, ',' ORDER BY datname) FROM pg_database WHERE datname !~ '^template'",
    )
}

#[test]
fn a_hard_database_comes_back_on_another_server() {
    let made = made();
    let target = Cluster::start();
    let dump = item("db-h%C3%B6he");
    let args = ["--item", &dump, "--into", "db:copy"];
    let refused = restore(&made.set, &target, &args).code(1);
    assert!(
        refused.stderr.contains("lacks roles that the dump names: ") && refused.stderr.contains("app"),
        "{}",
        refused.stderr
    );
    assert!(refused.stderr.contains("--with-roles"), "{}", refused.stderr);
    let plan = restore(&made.set, &target, &[args.as_slice(), &["--with-roles", "--plan"]].concat()).code(0).stdout;
    assert!(plan.contains("after making the roles") && plan.contains("nothing was done"), "{plan}");
    assert_eq!(databases(&target), "postgres");
    let said = restore(&made.set, &target, &[args.as_slice(), &["--with-roles"]].concat()).code(0).stdout;
    assert!(said.contains("roles made: ") && said.contains("as captured"), "{said}");
    // The copy of a copy by psql has the same text; pg_dump's own order of inherited columns is no loss.
    let theirs = Cluster::start();
    theirs.restore("postgres", made.source.globals().replace("CREATE ROLE postgres;\n", "").as_bytes(), &[]);
    theirs.restore("postgres", made.source.pg_dump(HARD, &["--create"]).as_bytes(), &[]);
    assert_eq!(without_restrict(&target.pg_dump("copy", &[])), without_restrict(&theirs.pg_dump(HARD, &[])));
    let taken = restore(&made.set, &target, &args).code(2);
    assert!(taken.stderr.contains("the database copy is there already") && taken.stderr.contains("--replace copy"));
}

#[test]
fn a_living_database_is_replaced_only_when_its_name_is_typed_again_and_stays_beside() {
    let target = Cluster::start();
    target.psql("postgres", "CREATE DATABASE app");
    target.psql("app", "CREATE TABLE living (x int); INSERT INTO living VALUES (42)");
    let dump = item("db-postgres");
    let args = ["--item", &dump, "--into", "db:app", "--replace"];
    let set = &made().set;
    let typed = restore(set, &target, &[args.as_slice(), &["ap"]].concat()).code(2);
    assert!(typed.stderr.contains("type its name both times"), "{}", typed.stderr);
    // Somebody who is connected, and comes back.
    let mut client = target.tool("psql", "app").args(["-Xqc", "SELECT pg_sleep(100)"]).spawn().unwrap();
    let plan = restore(set, &target, &[args.as_slice(), &["app", "--plan"]].concat()).code(0).stdout;
    assert!(plan.contains("stays beside it under another name"), "{plan}");
    let said = restore(set, &target, &[args.as_slice(), &["app"]].concat()).code(0).stdout;
    client.wait().unwrap();
    assert_eq!(target.psql("app", "SELECT count(*) FROM big"), "200000");
    let kept = said.lines().find_map(|l| l.strip_prefix("what it replaced stays as ")?.split(';').next()).unwrap();
    assert_eq!(target.psql(kept, "SELECT x FROM living"), "42");
    let back = said.lines().find(|l| l.trim_start().starts_with("BEGIN; ALTER DATABASE")).unwrap();
    target.psql("postgres", back);
    assert_eq!(target.psql("app", "SELECT x FROM living"), "42");
    let nothing = restore(set, &target, &["--item", &dump, "--into", "db:nix", "--replace", "nix"]).code(2);
    assert!(nothing.stderr.contains("no database nix to replace"), "{}", nothing.stderr);
}

#[test]
fn a_damaged_dump_leaves_nothing() {
    let copy = tempfile::tempdir().unwrap();
    let set = copy.path().join("set");
    assert!(std::process::Command::new("cp").arg("-r").arg(&made().set).arg(&set).status().unwrap().success());
    let dump = item("db-postgres");
    let path = set.join(&dump);
    let mut bytes = fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&path, bytes).unwrap();
    let target = Cluster::start();
    let refused = restore(&set, &target, &["--item", &dump, "--into", "db:copy"]).code(3);
    assert!(refused.stderr.contains(&dump), "{}", refused.stderr);
    assert_eq!(databases(&target), "postgres");
}

#[test]
fn whatever_kills_it_the_living_database_is_as_it_was() {
    let made = made();
    let target = Cluster::start();
    target.psql("postgres", "CREATE DATABASE app");
    target.psql("app", "CREATE TABLE living AS SELECT 42 AS x");
    let dump = item("db-postgres");
    let (host, port) = (target.socket_dir().to_str().unwrap(), target.port.to_string());
    let set = made.set.to_str().unwrap();
    let args =
        ["restore", set, "--item", &dump, "--into", "db:app", "--replace", "app", "--host", host, "--port", &port];
    for after in [0, 150, 400] {
        let mut child = made.project.start(&args);
        wait_for("a half-made database", || databases(&target).contains("maint_restore_"));
        std::thread::sleep(Duration::from_millis(after));
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(target.psql("app", "SELECT x FROM living"), "42");
        let plan = restore(&made.set, &target, &["--item", &dump, "--into", "db:new", "--plan"]).code(0).stdout;
        assert!(plan.contains("a killed restore left the database maint_restore_"), "{plan}");
        for left in databases(&target).split(',').filter(|name| name.starts_with("maint_restore_")) {
            target.psql("postgres", &format!("DROP DATABASE {left} WITH (FORCE)"));
        }
    }
}

#[test]
fn rows_of_one_table_come_back_without_the_rest() {
    let made = made();
    let target = Cluster::start();
    let dir = tempfile::tempdir().unwrap();
    let into = format!("dir:{}", dir.path().join("rows").display());
    let dump = item("db-postgres");
    let set = made.set.to_str().unwrap();
    let args = ["restore", set, "--item", &dump, "--into", &into, "--table"];
    let wrong = made.project.maint(&[args.as_slice(), &["public.bigg"]].concat()).code(2);
    assert!(wrong.stderr.contains("no table `public.bigg`") && wrong.stderr.contains("public.big"), "{}", wrong.stderr);
    let said = made.project.maint(&[args.as_slice(), &["public.big"]].concat()).code(0).stdout;
    assert!(said.contains("200 000 rows"), "{said}");
    target.psql("postgres", "CREATE TABLE big (i int, pad text)");
    let file = dir.path().join("rows/public.big.sql");
    target.restore("postgres", &fs::read(file).unwrap(), &[]);
    let digest = "SELECT count(*), sum(hashtext(b::text)) FROM big b";
    assert_eq!(target.psql("postgres", digest), made.source.psql("postgres", digest));
    made.project.maint(&[args.as_slice(), &["public.big"]].concat()).code(2);
}

#[test]
fn archives_and_single_paths_come_back() {
    let made = made();
    let dir = tempfile::tempdir().unwrap();
    let set = made.set.to_str().unwrap();
    let into = |name: &str| format!("dir:{}", dir.path().join(name).display());
    let plan = made.project.maint(&["restore", set, "--into", &into("all"), "--plan"]).code(0).stdout;
    assert!(plan.contains("would restore") && !dir.path().join("all").exists(), "{plan}");
    made.project.maint(&["restore", set, "--into", &into("all")]).code(0);
    let (ours, theirs) = (made.project.at("tree"), dir.path().join("all/tree"));
    assert!(std::process::Command::new("diff").arg("-r").args([ours, theirs]).status().unwrap().success());
    let picked = made.project.maint(&["restore", set, "--into", &into("one"), "--path", "tree/d3/f10"]).code(0).stdout;
    assert_eq!(fs::read_to_string(dir.path().join("one/tree/d3/f10")).unwrap(), "file 10\n".repeat(10), "{picked}");
    assert_eq!(fs::read_dir(dir.path().join("one/tree")).unwrap().count(), 1);
    let wrong = made.project.maint(&["restore", set, "--into", &into("two"), "--path", "tree/d3/f100"]).code(2);
    assert!(wrong.stderr.contains("tree/d3/f10"), "{}", wrong.stderr);
    made.project.maint(&["restore", set, "--into", &into("all")]).code(2);
}

#[test]
fn a_volume_comes_back_into_a_new_one() {
    let engine = Engine::shared();
    let project = Project::new(&format!("[docker]\nhost = \"{}\"\n", engine.host()));
    let mountpoint = engine.volume("restore-source");
    fs::create_dir_all(mountpoint.join("sub")).unwrap();
    fs::write(mountpoint.join("sub/a"), "hello\n").unwrap();
    project.backup_job("v", &[("v", "volume_archive = { volume = \"restore-source\" }")]);
    project.maint(&["run", "v"]).code(0);
    let said = project.maint(&["restore", "v", "--into", "volume:restore-copy"]).code(0).stdout;
    let copy = engine.docker(&["volume", "inspect", "-f", "{{.Mountpoint}}", "restore-copy"]);
    assert_eq!(fs::read_to_string(Path::new(copy.trim()).join("sub/a")).unwrap(), "hello\n", "{said}");
    let taken = project.maint(&["restore", "v", "--into", "volume:restore-copy"]).code(2);
    assert!(taken.stderr.contains("not an empty directory"), "{}", taken.stderr);
    engine.docker(&["volume", "rm", "restore-copy", "restore-source"]);
}
