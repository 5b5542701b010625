//! Volumes: into new ones, and through the engine where the mount point cannot be reached.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{docker::Engine, project::Project};

fn project(engine: &Engine) -> Project {
    Project::new(&format!("[docker]\nhost = \"{}\"\n", engine.host()))
}

#[test]
fn a_volume_comes_back_into_a_new_one() {
    let engine = Engine::shared();
    let project = project(&engine);
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

/// A tree of hard cases.
fn plant(dir: &Path) {
    let script = "mkdir -p sub/empty deep/er && printf hello > a && ln a hard && ln a sub/zhard && ln -s ../a sub/link \
        && ln -s /etc/passwd absolute && ln -s ../../outside deep/out && ln -s ../out top && mkfifo fifo \
        && head -c 3000000 /dev/urandom > sub/b && truncate -s 5M sparse && printf x >> sparse \
        && printf s > setuid && chown 1234:2345 setuid sub && chmod 4755 setuid && chmod 1770 sub/empty \
        && touch -d '2001-02-03 04:05:06.789' sub/b sub/empty && touch -d '1960-01-01' old && setfattr -n user.note -v x a \
        && printf x > acl && setfacl -m u:1234:r acl; \
        mknod null c 1 3; chown 77:78 . && chmod 2750 . && touch -d '2002-02-02 02:02:02' .";
    assert!(Command::new("sh").args(["-c", script]).current_dir(dir).status().unwrap().success());
}

/// Path, type, mode, owner, links, target, size and, for all but the oldest, time in seconds; and every content.
fn listing(dir: &Path) -> String {
    let script = "find . ! -name old ! -name acl ! -type c ! -name out ! -name top -printf '%P %y %m %U:%G %n %l %Ts\\n' | LC_ALL=C sort; \
        find . -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum";
    let output = Command::new("sh").args(["-c", script]).current_dir(dir).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

/// A volume that is mounted only while a container uses it; gives the directory behind it.
fn elsewhere(engine: &Engine, name: &str) -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let behind = dir.path().join("behind");
    fs::create_dir(&behind).unwrap();
    fs::set_permissions(&behind, fs::Permissions::from_mode(0o755)).unwrap();
    let device = format!("device={}", behind.display());
    engine.docker(&["volume", "create", "--opt", "type=none", "--opt", "o=bind", "--opt", &device, name]);
    (dir, behind)
}

#[test]
fn a_volume_that_is_elsewhere_is_filled_through_the_engine_and_read_back() {
    let engine = Engine::shared();
    let project = project(&engine);
    let mountpoint = engine.volume("hard-source");
    plant(&mountpoint);
    project.backup_job("hard", &[("v", "volume_archive = { volume = \"hard-source\" }")]);
    project.maint(&["run", "hard"]).code(0);
    let (_dir, behind) = elsewhere(&engine, "hard-copy");
    let args = ["restore", "hard", "--into", "volume:hard-copy"];
    let with = |more: &[&str]| project.maint(&[args.as_slice(), more].concat());
    let plan = with(&["--plan"]).code(0).stdout;
    assert!(
        plan.contains("through the engine: it has mount options") && plan.contains("not kept: POSIX ACLs"),
        "{plan}"
    );
    assert!(fs::read_dir(&behind).unwrap().next().is_none());
    with(&["--path", "a"]).code(2);
    let said = with(&["--json"]).code(0).stdout;
    assert_eq!(listing(&behind), listing(&mountpoint), "{said}");
    what_the_engine_loses_is_what_is_said(&behind);
    let report: serde_json::Value = serde_json::from_str(&said).unwrap();
    let item = &report["items"][0];
    let texts = |key: &str| item[key].to_string();
    for left_out in ["deep/out: a link that leads out", "top: a link that leads out", "null: a device"] {
        assert!(texts("not_restored").contains(left_out), "{said}");
    }
    assert!(
        texts("not_compared").contains("extended attributes") && texts("warnings").contains("before 1970"),
        "{said}"
    );
    let taken = with(&[]).code(2);
    assert!(taken.stderr.contains("the volume hard-copy is not empty"), "{}", taken.stderr);
    assert_eq!(listing(&behind), listing(&mountpoint));
    let left = engine.docker(&["ps", "--all", "--filter", "label=maint.helper", "--quiet"]);
    let images = engine.docker(&["images", "--filter", "label=maint.helper", "--quiet"]);
    assert_eq!((left.as_str(), images.as_str()), ("", ""));
    engine.docker(&["volume", "rm", "hard-copy", "hard-source"]);
}

/// The list of what this way cannot keep is neither shorter nor longer than it must be.
fn what_the_engine_loses_is_what_is_said(behind: &Path) {
    let script = "getfacl -cn acl | grep -c 1234; stat -c %Y old; stat -c %b sparse | grep -cvx 16; \
        getfattr --only-values -n user.note a; stat -c ' %.9Y' sub/b";
    let output = Command::new("sh").args(["-c", script]).current_dir(behind).output().unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "0\n0\n1\nx 981173106.789000000\n");
}

#[test]
fn a_damaged_archive_never_reaches_the_engine() {
    let engine = Engine::shared();
    let project = project(&engine);
    let mountpoint = engine.volume("damaged-source");
    fs::write(mountpoint.join("a"), vec![7; 300_000]).unwrap();
    project.backup_job("damaged", &[("v", "volume_archive = { volume = \"damaged-source\" }")]);
    project.maint(&["run", "damaged"]).code(0);
    let set = project.at("backups").join(&project.sets()[0]);
    let packed =
        fs::read_dir(&set).unwrap().map(|e| e.unwrap().path()).find(|p| p.to_string_lossy().ends_with(".tar.zst"));
    let packed = packed.unwrap();
    let mut bytes = fs::read(&packed).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&packed, bytes).unwrap();
    let (_dir, behind) = elsewhere(&engine, "damaged-copy");
    project.maint(&["restore", "damaged", "--into", "volume:damaged-copy"]).code(3);
    assert!(fs::read_dir(&behind).unwrap().next().is_none());
    engine.docker(&["volume", "rm", "damaged-copy", "damaged-source"]);
}
