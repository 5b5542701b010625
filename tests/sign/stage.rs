//! A project that signs what it captures, with keys of the real ssh-keygen.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use sha2::{Digest, Sha256};

use crate::project::{Ended, Project};

pub struct Stage {
    pub project: Project,
}

impl Stage {
    /// One job that captures a small tree, signed by `key`, with `trusted` believed.
    pub fn new() -> Self {
        let project = Project::new("[sign]\nkey_file = \"key\"\ntrust = \"trusted\"\n");
        project.write("tree/a", "1\n");
        project.backup_job("all", &[("tree", "files_archive = { paths = [\"tree\"] }")]);
        let this = Self { project };
        this.keygen("key", &["-t", "ed25519", "-N", ""]);
        this.project.write("trusted", &format!("ops@test {}", this.public("key")));
        this
    }

    /// Makes a key pair.
    pub fn keygen(&self, name: &str, options: &[&str]) {
        let path = self.project.at(name);
        let ended = run(Command::new("ssh-keygen").args(["-q", "-C", "test", "-f"]).arg(path).args(options));
        ended.code(0);
    }

    pub fn public(&self, name: &str) -> String {
        fs::read_to_string(self.project.at(format!("{name}.pub"))).unwrap()
    }

    /// Runs the job and gives the set's directory.
    pub fn captured(&self) -> PathBuf {
        let before = self.project.sets();
        self.project.maint(&["run", "all"]).code(0);
        let new = self.project.sets().into_iter().find(|set| !before.contains(set) && !set.contains("/."));
        self.project.at("backups").join(new.unwrap())
    }

    pub fn verify(&self, set: &Path, more: &[&str]) -> Ended {
        self.project.maint(&[&["verify", set.to_str().unwrap()], more].concat())
    }

    /// Signs a file with a key of the real ssh-keygen; `FILE.sig` is what it made.
    pub fn sign(&self, key: &str, namespace: &str, file: &Path) {
        let signature = PathBuf::from(format!("{}.sig", file.display()));
        let _ = fs::remove_file(&signature);
        run(Command::new("ssh-keygen")
            .args(["-q", "-Y", "sign", "-n", namespace, "-f"])
            .arg(self.project.at(key))
            .arg(file))
        .code(0);
    }

    /// What the real ssh-keygen says of a signature.
    pub fn checked(&self, namespace: &str, file: &Path) -> Ended {
        let mut command = Command::new("ssh-keygen");
        command.args(["-Y", "verify", "-I", "ops@test", "-n", namespace, "-f"]).arg(self.project.at("trusted"));
        command.arg("-s").arg(format!("{}.sig", file.display()));
        run(command.stdin(Stdio::from(fs::File::open(file).unwrap())))
    }
}

pub fn run(command: &mut Command) -> Ended {
    command.output().unwrap().into()
}

pub fn sha256(path: &Path) -> String {
    maint::model::contents::hex(&Sha256::digest(fs::read(path).unwrap()))
}

/// Makes SHA256SUMS agree with manifest and signature as they are now: a forger's work.
pub fn agree(set: &Path) {
    let path = set.join("SHA256SUMS");
    let text = fs::read_to_string(&path).unwrap();
    let mut lines: Vec<String> = text.lines().filter(|l| !l.contains("  manifest.json")).map(str::to_owned).collect();
    for name in ["manifest.json", "manifest.json.sig"] {
        if set.join(name).exists() {
            lines.push(format!("{}  {name}", sha256(&set.join(name))));
        }
    }
    fs::write(&path, lines.join("\n") + "\n").unwrap();
}

/// Replaces text in a set's manifest; it must be there.
pub fn edit(set: &Path, old: &str, new: &str) {
    let path = set.join("manifest.json");
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.contains(old), "{text}");
    fs::write(&path, text.replacen(old, new, 1)).unwrap();
}

pub fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}
