//! The demo as a newcomer sees it, and its set restored by typing what its RESTORE.md says.
#![expect(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests set their stage")]

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

#[path = "support/postgres.rs"]
mod postgres;
#[path = "support/project.rs"]
mod project;
use postgres::Cluster;
use project::{Ended, names};

fn demo(dir: &Path) -> Ended {
    let mut command = Command::new(env!("CARGO_BIN_EXE_maint"));
    command.arg("demo").arg("--dir").arg(dir).env("NO_COLOR", "1").env_remove("MAINT_CONFIG");
    Ended::from(command.output().unwrap()).code(0)
}

/// What stands between the fences of RESTORE.md, block by block.
fn blocks(restore: &str) -> Vec<String> {
    restore.split("```\n").skip(1).step_by(2).map(str::to_owned).collect()
}

fn shell(dir: &Path, script: &str) -> Ended {
    Ended::from(Command::new("sh").args(["-euc", script]).current_dir(dir).output().unwrap()).code(0)
}

#[test]
fn the_demo_works_twice_and_its_set_restores_as_restore_md_says() {
    let dir = tempfile::tempdir().unwrap();
    let servers = || names(&std::env::temp_dir()).into_iter().filter(|n| n.starts_with("maint-demo-0")).count();
    let before = servers();
    let first = demo(dir.path());
    for what in ["What to try next", "verified:", "structure", "$ maint --config"] {
        assert!(first.stdout.contains(what), "{what}: {}", first.stdout);
    }
    demo(dir.path());
    assert_eq!(servers(), before, "a throwaway server's directory is left");
    let series = dir.path().join("backups/monthly");
    let sets = names(&series);
    assert_eq!(sets.len(), 2, "{sets:?}");
    let artifact = |set: &str, begins: &str| -> PathBuf {
        let set = series.join(set);
        let name = names(&set).into_iter().find(|n| n.starts_with(begins) && n.ends_with(".sql.zst"));
        set.join(name.unwrap())
    };
    restores(&series.join(&sets[0]));
    // The same sample twice: the large objects' numbers and all else is the same, so is the dump.
    let digest = |set: &str| fs::read(artifact(set, "db-")).unwrap().len();
    assert!(digest(&sets[0]).abs_diff(digest(&sets[1])) < 1000);
}

/// Types every block of the set's RESTORE.md against an empty server.
fn restores(set: &Path) {
    let restore = fs::read_to_string(set.join("RESTORE.md")).unwrap();
    let cluster = Cluster::start();
    let scratch = tempfile::tempdir().unwrap();
    let here = format!(
        "export PGHOST={} PGPORT={} PGUSER=postgres PGOPTIONS='-c client_min_messages=warning'\nPATH={}:$PATH\n",
        cluster.socket_dir().display(),
        cluster.port,
        postgres::bin_dir().display()
    );
    let blocks = blocks(&restore);
    assert!(blocks.len() >= 5, "{restore}");
    for block in blocks.iter().filter(|b| !b.starts_with("export ")) {
        let block = block.replace("/var/tmp/", &format!("{}/", scratch.path().display()));
        shell(set, &format!("{here}{block}"));
    }
    let database = "leanvibe_production";
    assert_eq!(cluster.psql(database, "SELECT count(*) FROM agents.task"), "40000");
    assert_eq!(cluster.psql(database, "SELECT count(*) FROM billing.only_presence"), "3");
    assert_eq!(cluster.psql(database, "SELECT count(*) FROM pg_largeobject_metadata"), "3");
    assert_eq!(cluster.psql(database, "SHOW search_path"), "agents, public");
    let owner = "SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = 'leanvibe_production'";
    assert_eq!(cluster.psql(database, owner), "leanvibe");
    let restored = names(scratch.path());
    assert_eq!(restored.len(), 1, "{restored:?}");
    let file = "deploy/production/config/Größe mit Leerzeichen.ini";
    assert_eq!(fs::read_to_string(scratch.path().join(&restored[0]).join(file)).unwrap(), "[a]\nb = c\n");
}
