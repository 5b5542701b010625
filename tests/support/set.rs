//! A real published set with a dump, globals and a tree; made once, copied for each test that damages it.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::allow_attributes,
    reason = "every test file uses its own part"
)]

use std::{fs, path::PathBuf, process::Command, sync::OnceLock};

use super::{
    postgres::Cluster,
    project::{Project, names},
};

/// A few tables, rows that look like SQL, a large object.
const SQL: &str = r"
CREATE TABLE a (id int PRIMARY KEY, note text);
INSERT INTO a SELECT i, 'row ' || i || E' with \\. and \t tab' FROM generate_series(1, 5000) i;
CREATE TABLE b (x float8);
INSERT INTO b SELECT random() FROM generate_series(1, 100);
CREATE TABLE empty (x int);
SELECT lo_from_bytea(4711, convert_to(repeat('large ', 1000), 'UTF8'));
";

/// The made set: `backups/all/<period>`, in a directory that lives as long as the tests.
fn made() -> &'static PathBuf {
    static MADE: OnceLock<PathBuf> = OnceLock::new();
    MADE.get_or_init(|| {
        let cluster = Cluster::start();
        cluster.psql("postgres", SQL);
        let project = Project::new(&format!(
            "[postgres.p]\nsocket = \"{}\"\nport = {}\nuser = \"postgres\"\n",
            cluster.socket_dir().display(),
            cluster.port
        ));
        for i in 0..300 {
            project.write(&format!("tree/d{}/f{i}", i % 7), &format!("file {i}\n").repeat(i));
        }
        project.backup_job(
            "all",
            &[
                ("db", "postgres_dump = { server = \"p\" }"),
                ("globals", "postgres_globals = { server = \"p\" }"),
                ("tree", "files_archive = { paths = [\"tree\"] }"),
                ("packed", "files_archive = { paths = [\"tree\"], compression = \"gzip\" }"),
            ],
        );
        project.maint(&["run", "all"]).code(0);
        // Outlives its project: statics are never dropped, so the copy lies in the target directory.
        let kept = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("set-{}", std::process::id()));
        copy(&project.at(format!("backups/{}", project.sets()[0])), &kept);
        kept
    })
}

fn copy(from: &std::path::Path, to: &std::path::Path) {
    let _ = fs::remove_dir_all(to);
    assert!(Command::new("cp").arg("-r").arg(from).arg(to).status().unwrap().success());
}

/// A copy of the set that a test may damage.
pub struct Set {
    dir: tempfile::TempDir,
}

impl Set {
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        copy(made(), &dir.path().join("set"));
        Self { dir }
    }

    pub fn dir(&self) -> PathBuf {
        self.dir.path().join("set")
    }

    pub fn files(&self) -> Vec<String> {
        names(&self.dir())
    }

    /// The file that begins and ends so.
    pub fn file(&self, begins: &str, ends: &str) -> PathBuf {
        let found = self.files().into_iter().find(|n| n.starts_with(begins) && n.ends_with(ends));
        self.dir().join(found.unwrap_or_else(|| panic!("no {begins}…{ends} in {:?}", self.files())))
    }

    /// Rewrites manifest and SHA256SUMS so that they agree with the files as they are now: a forger's work.
    pub fn forge(&self) {
        use sha2::{Digest, Sha256};
        let path = self.dir().join("manifest.json");
        let mut manifest: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        let hash = |bytes: &[u8]| maint::model::contents::hex(&Sha256::digest(bytes));
        let mut sums = String::new();
        for file in manifest["files"].as_array().unwrap().clone() {
            let name = file["file"].as_str().unwrap();
            let bytes = fs::read(self.dir().join(name)).unwrap();
            restate(&mut manifest, name, bytes.len(), &hash(&bytes));
            sums += &format!("{}  {name}\n", hash(&bytes));
        }
        let text = serde_json::to_string_pretty(&manifest).unwrap();
        fs::write(&path, &text).unwrap();
        sums += &format!("{}  manifest.json\n", hash(text.as_bytes()));
        fs::write(self.dir().join("SHA256SUMS"), sums).unwrap();
    }
}

/// Says the new length and digest of a file wherever the manifest has it: two files may be of one length, so not as text.
fn restate(value: &mut serde_json::Value, name: &str, bytes: usize, sha256: &str) {
    match value {
        serde_json::Value::Object(fields) => {
            if fields.get("file").is_some_and(|file| file == name) && fields.contains_key("sha256") {
                fields.insert("bytes".into(), bytes.into());
                fields.insert("sha256".into(), sha256.into());
            }
            fields.values_mut().for_each(|below| restate(below, name, bytes, sha256));
        }
        serde_json::Value::Array(items) => items.iter_mut().for_each(|below| restate(below, name, bytes, sha256)),
        _ => {}
    }
}
