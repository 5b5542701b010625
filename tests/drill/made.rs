//! A real set of everything that is hard, drilled when it was made; made once.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

use crate::{
    postgres::Cluster,
    project::{Ended, Project},
    tree,
};

/// The database of `hard_globals.sql`.
pub const HARD: &str = "höhe & \"tiefe\" %d";

/// A project whose `[postgres.p]` is this cluster.
pub fn project(cluster: &Cluster, dbname: &str, more: &str) -> Project {
    Project::new(&format!(
        "[postgres.p]\nsocket = \"{}\"\nport = {}\nuser = \"postgres\"\ndbname = '{dbname}'\n{more}",
        cluster.socket_dir().display(),
        cluster.port
    ))
}

/// A backup job that drills.
pub fn drilling_job(project: &Project, name: &str, more: &str, steps: &[(&str, &str)]) {
    let mut text = format!(
        "description = \"test\"\n[backup]\nseries = \"{name}\"\nperiod = \"month\"\nverify = \"drill\"\n{more}\n"
    );
    for (id, step) in steps {
        text += &format!("[[step]]\nid = \"{id}\"\nretries = 0\ndo.{step}\n");
    }
    project.write(&format!("jobs/{name}.toml"), &text);
}

/// The made set's directory, which lives as long as the tests.
pub fn hard() -> &'static Path {
    static MADE: OnceLock<PathBuf> = OnceLock::new();
    MADE.get_or_init(|| {
        let cluster = Cluster::start();
        cluster.psql("postgres", include_str!("../data/hard_globals.sql"));
        cluster.psql(HARD, include_str!("../data/hard_cases.sql"));
        let project = project(&cluster, HARD, "");
        tree::plant(&project.at("tree"));
        drilling_job(
            &project,
            "all",
            "",
            &[
                ("db", "postgres_dump = { server = \"p\" }"),
                ("globals", "postgres_globals = { server = \"p\" }"),
                ("tree", "files_archive = { paths = [\"tree\"] }"),
            ],
        );
        project.maint(&["run", "all"]).code(0);
        assert_eq!(scratch(&project), Vec::<String>::new());
        keep(&project, "hard")
    })
}

/// A small set; what is changed in it is found in no time.
pub fn small() -> &'static Path {
    static MADE: OnceLock<PathBuf> = OnceLock::new();
    MADE.get_or_init(|| {
        let cluster = Cluster::start();
        cluster.psql(
            "postgres",
            "CREATE TABLE t (id int PRIMARY KEY, note text);
             INSERT INTO t SELECT i, 'row ' || i FROM generate_series(1, 100) i;
             CREATE TABLE u (x float8); INSERT INTO u VALUES (0.1), (0.2);
             SELECT lo_from_bytea(4711, 'content'), lo_from_bytea(4712, 'more')",
        );
        let project = project(&cluster, "postgres", "");
        project.backup_job("small", &[("db", "postgres_dump = { server = \"p\" }")]);
        project.maint(&["run", "small"]).code(0);
        keep(&project, "small")
    })
}

/// Moves a project's only set to where it outlives the project: statics are never dropped.
fn keep(project: &Project, name: &str) -> PathBuf {
    let kept = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("drill-{name}-{}", std::process::id()));
    let _ = fs::remove_dir_all(&kept);
    let set = project.at(format!("backups/{}", project.sets()[0]));
    assert!(Command::new("cp").arg("-r").arg(set).arg(&kept).status().unwrap().success());
    kept
}

/// What drills have in a project's scratch directory.
pub fn scratch(project: &Project) -> Vec<String> {
    let found = ["state/drill", "scratch"].map(|name| crate::project::names(&project.at(name)));
    found.into_iter().flatten().collect()
}

/// `maint verify --level drill` on a directory, without a configuration.
pub fn verify(dir: &Path) -> Ended {
    verify_command(dir).output().unwrap().into()
}

/// The same as a command.
pub fn verify_command(dir: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_maint"));
    command.args(["verify", "--level", "drill"]).arg(dir);
    command.env_remove("MAINT_CONFIG").env("NO_COLOR", "1").current_dir("/");
    command
}
