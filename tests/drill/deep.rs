//! Trees that are deeper than a process may have files open.

use std::{fs, path::Path, process::Command};

use rustix::fs::{CWD, Mode, OFlags, mkdirat, openat};

use super::{
    manifest,
    project::{Ended, Project, names},
};

const DEPTH: u32 = 700;
/// As many files as maint may have open.
const OPEN: u32 = 128;

/// Directories in directories; in each a name that is stored on the way back up, and at the bottom a file. Their path is
/// longer than the kernel takes at once.
fn dig(top: &Path) {
    fs::create_dir(top).unwrap();
    let flags = OFlags::DIRECTORY | OFlags::CLOEXEC;
    let mut here = openat(CWD, top, flags, Mode::empty()).unwrap();
    for level in 0..DEPTH {
        let name = format!("level-{level:04}");
        mkdirat(&here, &name, Mode::RWXU).unwrap();
        let file = openat(&here, "what comes after", OFlags::CREATE | OFlags::WRONLY | OFlags::CLOEXEC, Mode::RUSR);
        rustix::io::write(file.unwrap(), name.as_bytes()).unwrap();
        here = openat(&here, &name, flags, Mode::empty()).unwrap();
    }
}

/// Gone before its project, whose own way to remove it would need as many open files.
struct Dug<'a>(&'a Path);

impl Drop for Dug<'_> {
    fn drop(&mut self) {
        let _ = Command::new("rm").arg("-rf").arg(self.0.join("tree")).arg(self.0.join("back")).status();
    }
}

fn with_few_files(project: &Project, args: &[&str]) -> Ended {
    let limited = format!("ulimit -n {OPEN}; exec \"$0\" --config \"$@\"");
    let mut maint = Command::new("sh");
    maint.args(["-c", &limited, env!("CARGO_BIN_EXE_maint")]).arg(project.at("maint.toml")).args(args);
    maint.env_remove("MAINT_CONFIG").env("NO_COLOR", "1").output().unwrap().into()
}

/// What GNU tar makes of a tree.
fn seen_by_tar(tree: &Path) -> String {
    let mut tar = Command::new("sh");
    tar.args([
        "-c",
        "tar --sort=name --format=posix --pax-option=delete=atime,delete=ctime -cf - -C \"$0\" . | sha256sum",
    ]);
    String::from_utf8(tar.arg(tree).output().unwrap().stdout).unwrap()
}

#[test]
fn a_tree_may_be_deeper_than_files_may_be_open() {
    let project = Project::new("");
    let _dug = Dug(project.path());
    dig(&project.at("tree"));
    super::job(&project, &[("tree", "files_archive = { paths = [\"tree\"] }")], "");
    with_few_files(&project, &["run", "all"]).code(0);
    let set = project.at("backups").join(&project.sets()[0]);
    let drill = manifest(&set)["verification"]["drill"]["restored"].to_string();
    assert!(drill.contains("extracted 1 401 entries") && drill.contains("content of 700 files read back"), "{drill}");
    assert_eq!(names(&project.at("state/drill")), Vec::<String>::new(), "nothing of the drill stays");
    let into = format!("dir:{}", project.at("back").display());
    with_few_files(&project, &["restore", set.to_str().unwrap(), "--into", &into]).code(0);
    assert_eq!(seen_by_tar(&project.at("back/tree")), seen_by_tar(&project.at("tree")));
}
