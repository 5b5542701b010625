//! Copies of sets in stores: sent only when verified, encrypted so that age alone opens them, gone on with after a death,
//! brought back, and every way in which they can be wrong.
#![expect(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests set their stage")]

#[path = "copy/age.rs"]
mod age;
#[path = "copy/back.rs"]
mod back;
#[path = "support/bucket.rs"]
mod bucket;
#[path = "copy/bucket.rs"]
mod in_bucket;
#[path = "support/postgres.rs"]
mod postgres;
#[path = "support/project.rs"]
mod project;
#[path = "copy/send.rs"]
mod send;
#[path = "copy/tail.rs"]
mod tail;

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

use project::{Ended, Project, names};

/// A key pair of age's own.
struct KeyPair {
    dir: tempfile::TempDir,
    recipient: String,
}

impl KeyPair {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        run("age-keygen", &["-o", dir.path().join("key.txt").to_str().unwrap()], dir.path());
        let recipient = run("age-keygen", &["-y", dir.path().join("key.txt").to_str().unwrap()], dir.path());
        Self { dir, recipient: recipient.stdout.trim().to_owned() }
    }

    fn shared() -> &'static Self {
        static SHARED: OnceLock<KeyPair> = OnceLock::new();
        SHARED.get_or_init(Self::new)
    }

    fn file(&self) -> PathBuf {
        self.dir.path().join("key.txt")
    }
}

/// Runs another program, which must succeed.
#[track_caller]
fn run(program: &str, args: &[&str], dir: &Path) -> Ended {
    let output = Command::new(program).args(args).current_dir(dir).output();
    let output = output.unwrap_or_else(|e| panic!("{program}: {e}; scripts/install-deps test installs it"));
    Ended::from(output).code(0)
}

fn edit(path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(path).unwrap();
    change(&mut bytes);
    fs::write(path, bytes).unwrap();
}

fn flip(path: &Path) {
    edit(path, |bytes| {
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
    });
}

/// A project with the series `all` of one small tree, and a store below `store/`.
struct Stage {
    project: Project,
}

/// Says where copies go.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Plain,
    Encrypted,
}

impl Stage {
    fn new(kind: Kind) -> Self {
        let encrypt = match kind {
            Kind::Plain => String::new(),
            Kind::Encrypted => format!("encrypt_to = [\"{}\"]\n", KeyPair::shared().recipient),
        };
        let project = Project::new(&format!("[store.offsite]\ntype = \"local\"\ndir = \"store\"\n{encrypt}"));
        fs::create_dir(project.at("store")).unwrap();
        for i in 0..20 {
            project.write(&format!("tree/f{i}"), &format!("file {i}\n").repeat(i * 50));
        }
        project.write("etc/app.conf", "answer = 42\n");
        let this = Self { project };
        this.job(&[]);
        this
    }

    /// The job with these stores.
    fn job(&self, stores: &[&str]) {
        let stores = stores.iter().map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(", ");
        let text = format!(
            "description = \"test\"\n[backup]\nseries = \"all\"\nperiod = \"month\"\nstores = [{stores}]\n\
             [[step]]\nid = \"tree\"\ndo.files_archive = {{ paths = [\"tree\"] }}\n\
             [[step]]\nid = \"etc\"\ndo.files_archive = {{ paths = [\"etc\"] }}\n"
        );
        self.project.write("jobs/all.toml", &text);
    }

    fn run(&self) -> Ended {
        self.project.maint(&["run", "all"])
    }

    /// The newest set as `all/202608`.
    fn set(&self) -> String {
        self.project.sets().pop().unwrap()
    }

    fn set_dir(&self) -> PathBuf {
        self.project.at("backups").join(self.set())
    }

    /// The newest set's copy.
    fn copy_dir(&self) -> PathBuf {
        self.project.at("store/test").join(self.set())
    }

    fn copy_file(&self, begins: &str, ends: &str) -> PathBuf {
        let all = names(&self.copy_dir());
        let found = all.iter().find(|n| n.starts_with(begins) && n.ends_with(ends));
        self.copy_dir().join(found.unwrap_or_else(|| panic!("no {begins}…{ends} in {all:?}")))
    }

    fn upload(&self) -> Ended {
        self.project.maint(&["upload", &self.set()])
    }

    fn verify(&self, more: &[&str]) -> Ended {
        self.project.maint(&[&["verify", &self.set(), "--store", "offsite"], more].concat())
    }

    /// With the key that opens the copies.
    fn verify_open(&self) -> Ended {
        self.verify(&["--identity", KeyPair::shared().file().to_str().unwrap()])
    }
}

/// Every file below a directory with its bytes.
fn contents(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    for name in names(dir) {
        let path = dir.join(&name);
        if path.is_dir() {
            found.extend(contents(&path).into_iter().map(|(below, bytes)| (format!("{name}/{below}"), bytes)));
        } else {
            found.insert(name, fs::read(path).unwrap());
        }
    }
    found
}
