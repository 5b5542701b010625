//! `maint restore` by the real binary: databases to a second server, archives, volumes, rows of single tables.
#![expect(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests set their stage")]

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, Weak},
};

#[path = "support/docker.rs"]
mod docker;
#[path = "support/postgres.rs"]
mod postgres;
#[path = "support/project.rs"]
mod project;
#[path = "restore/replace.rs"]
mod replace;
#[path = "restore/tables.rs"]
mod tables;
#[path = "restore/volumes.rs"]
mod volumes;
#[path = "restore/whole.rs"]
mod whole;
use postgres::{Cluster, without_restrict};
use project::Project;

/// The database of `hard_globals.sql`.
const HARD: &str = "höhe & \"tiefe\" %d";

/// A set with every hard case, a large table, globals and an archive; made once.
struct Made {
    source: Cluster,
    project: Project,
    set: PathBuf,
}

fn make() -> Made {
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
}

/// That of this test binary; the last test that holds it ends its server.
fn made() -> Arc<Made> {
    static MADE: Mutex<Weak<Made>> = Mutex::new(Weak::new());
    let mut shared = MADE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if let Some(made) = shared.upgrade() {
        return made;
    }
    let made = Arc::new(make());
    *shared = Arc::downgrade(&made);
    made
}

/// The artifact that begins so.
fn item(made: &Made, begins: &str) -> String {
    let names = fs::read_dir(&made.set).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap());
    let fits = |n: &String| n.starts_with(begins) && (n.ends_with(".sql.zst") || n.ends_with(".tar.zst"));
    names.into_iter().find(fits).unwrap()
}

/// `maint restore SET … --host …` from a directory without a configuration, as on another host.
fn restore(set: &Path, target: &Cluster, args: &[&str]) -> project::Ended {
    restore_as("postgres", set, target, args)
}

fn restore_as(user: &str, set: &Path, target: &Cluster, args: &[&str]) -> project::Ended {
    let elsewhere = tempfile::tempdir().unwrap();
    let port = target.port.to_string();
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_maint"));
    command.arg("restore").arg(set).arg("--host").arg(target.socket_dir()).args(["--port", &port, "--user", user]);
    command.args(args).current_dir(elsewhere.path()).env_remove("MAINT_CONFIG").env("NO_COLOR", "1");
    command.output().unwrap().into()
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
    let dump = item(&made, "db-h%C3%B6he");
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
fn a_damaged_dump_leaves_nothing() {
    let made = made();
    let copy = tempfile::tempdir().unwrap();
    let set = copy.path().join("set");
    assert!(std::process::Command::new("cp").arg("-r").arg(&made.set).arg(&set).status().unwrap().success());
    let dump = item(&made, "db-postgres");
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
fn rows_of_one_table_come_back_without_the_rest() {
    let made = made();
    let target = Cluster::start();
    let dir = tempfile::tempdir().unwrap();
    let into = format!("dir:{}", dir.path().join("rows").display());
    let dump = item(&made, "db-postgres");
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
