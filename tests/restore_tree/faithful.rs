//! What was captured comes back.

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::Path,
    process::Command,
};

use maint::{
    backup::restore::{
        compare::compare_tree,
        tree::{TreeFiles, TreeOptions, plan},
    },
    capture::archive::TreeRequest,
};
use tokio_util::sync::CancellationToken;

use crate::{
    archive::{Stage, capture, request, stage},
    hand::{all, archive, dir, file, hard, link, message, named, restore},
    tree::{differences, plant, snapshot},
};

pub fn at_the_top(source: &Path) -> TreeRequest {
    let mut request = request(source);
    request.roots[0].name = ".".into();
    request
}

/// The hard tree, captured with its entries at the top.
pub fn hard_tree() -> (Stage, TreeFiles) {
    let stage = stage();
    plant(&stage.source);
    let captured = capture(&at_the_top(&stage.source), &stage.out).unwrap();
    let files = named(&stage.out, &captured.packed);
    (stage, files)
}

fn output(program: &str, args: &[&str], dir: &Path) -> String {
    let output = Command::new(program).args(args).current_dir(dir).env("LC_ALL", "C").output().unwrap();
    assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
    let mut lines: Vec<_> = output.stdout.split(|b| *b == b'\n').map(|l| l.escape_ascii().to_string()).collect();
    lines.sort();
    lines.join("\n")
}

/// What find(1), getfattr(1), getfacl(1) and sha256sum(1) tell of a tree.
fn as_others_see_it(dir: &Path) -> Vec<String> {
    let find = "%y %m %U %G %s %T@ %l %n %p\\n";
    let kinds = ["(", "-type", "d", "-printf", "%y %m %U %G %T@ %p\\n", ")", "-o", "!", "-type", "s", "-printf", find];
    vec![
        output("find", &[&["."], &kinds[..]].concat(), dir),
        output("getfattr", &["--recursive", "--physical", "--no-dereference", "--dump", "--match=-", "."], dir),
        output("getfacl", &["--recursive", "--physical", "--numeric", "--absolute-names", "."], dir),
        output("find", &[".", "-type", "f", "-exec", "sha256sum", "{}", "+"], dir),
    ]
}

fn compared(files: &TreeFiles, dir: &Path) -> Vec<String> {
    let compared = compare_tree(dir, &files.contents, &CancellationToken::new()).unwrap();
    assert_eq!(compared.not_compared, Vec::<String>::new());
    compared.differences
}

#[test]
fn the_hard_tree_comes_back_exactly() {
    let (stage, files) = hard_tree();
    let planned = plan(&files, &stage.restored, &all(), &CancellationToken::new()).unwrap();
    assert!(!stage.restored.exists());
    let restored = restore(&files, &stage.restored, &all()).unwrap();
    assert_eq!(restored.skipped, Vec::<String>::new());
    let differences = differences(&snapshot(&stage.source), &snapshot(&stage.restored));
    assert!(differences.is_empty(), "{}", differences.join("\n"));
    for (source, restored) in as_others_see_it(&stage.source).iter().zip(as_others_see_it(&stage.restored)) {
        assert!(source.len() > 200);
        similar(source, &restored);
    }
    assert_eq!(compared(&files, &stage.restored), Vec::<String>::new());
    assert_eq!(
        (planned.entries, planned.files, planned.bytes, planned.devices),
        (restored.entries, restored.files, restored.bytes, 2)
    );
    // Gigabytes of holes are not needed on the disk.
    assert!(planned.needed < 20 << 20 && restored.bytes > 1 << 30, "{planned:?}");
    assert_eq!(fs::read_dir(stage.restored.parent().unwrap()).unwrap().count(), 3, "something else was left");
}

fn similar(source: &str, restored: &str) {
    // A socket is not restored, and getfacl(1) cannot leave it out.
    let left: Vec<_> = source.lines().filter(|line| !line.contains("socket")).collect();
    let right: Vec<_> = restored.lines().collect();
    let odd: Vec<_> =
        left.iter().filter(|l| !right.contains(l)).chain(right.iter().filter(|l| !left.contains(l))).collect();
    assert!(odd.is_empty(), "{odd:#?}");
}

#[test]
fn an_empty_directory_keeps_its_inode() {
    let (stage, files) = hard_tree();
    fs::create_dir(&stage.restored).unwrap();
    let before = fs::metadata(&stage.restored).unwrap().ino();
    restore(&files, &stage.restored, &all()).unwrap();
    assert_eq!(fs::metadata(&stage.restored).unwrap().ino(), before);
    let differences = differences(&snapshot(&stage.source), &snapshot(&stage.restored));
    assert!(differences.is_empty(), "{}", differences.join("\n"));
    assert_eq!(compared(&files, &stage.restored), Vec::<String>::new());
}

#[test]
fn devices_are_made_only_on_request_and_named_otherwise() {
    let (stage, files) = hard_tree();
    let restored = restore(&files, &stage.restored, &TreeOptions::default()).unwrap();
    let skipped = restored.skipped.join("\n");
    assert!(skipped.contains("char-device: a device") && skipped.contains("block-device: a device"), "{skipped}");
    assert_eq!(restored.skipped.len(), 2);
    let missing = compared(&files, &stage.restored);
    assert_eq!(missing, ["block-device: is missing", "char-device: is missing"]);
}

#[test]
fn without_root_everything_comes_back_but_owners() {
    let (stage, files) = hard_tree();
    let top = stage.out.parent().unwrap().to_owned();
    for path in [&top, &stage.out] {
        fs::set_permissions(path, PermissionsExt::from_mode(0o777)).unwrap();
    }
    for path in [&files.packed, &files.contents] {
        fs::set_permissions(path, PermissionsExt::from_mode(0o644)).unwrap();
    }
    let into = stage.restored.clone();
    let as_nobody = std::thread::spawn(move || {
        // Linux keeps a user id for each thread.
        let nobody = rustix::process::Uid::from_raw(65534);
        let group = rustix::process::Gid::from_raw(65534);
        rustix::thread::set_thread_groups(&[]).unwrap();
        rustix::thread::set_thread_res_gid(group, group, group).unwrap();
        rustix::thread::set_thread_res_uid(nobody, nobody, nobody).unwrap();
        let restored = restore(&files, &into, &TreeOptions::default()).map_err(|e| message(&e)).unwrap();
        // Its own file is unreadable for its owner too; root can look.
        fs::set_permissions(into.join("secret"), PermissionsExt::from_mode(0o400)).unwrap();
        (restored, compare_tree(&into, &files.contents, &CancellationToken::new()).unwrap())
    });
    let (restored, compared) = as_nobody.join().unwrap();
    let skipped = restored.skipped.join("\n");
    for refused in ["trusted.t", "security.own", "security.capability", "trusted.l", "char-device: a device"] {
        assert!(skipped.contains(refused), "{refused}: {skipped}");
    }
    let told = compared.differences.join("\n");
    let lines: Vec<_> = compared.differences.iter().filter(|line| !line.contains("-device: is missing")).collect();
    assert_eq!(lines, ["secret: its mode is 400 instead of 0"], "{told}");
    let not_compared = compared.not_compared.join("\n");
    assert!(not_compared.contains("owners") && not_compared.contains("attributes of 3 files"), "{not_compared}");
    let setuid = fs::metadata(stage.restored.join("setuid")).unwrap();
    assert_eq!((setuid.mode() & 0o7777, setuid.uid()), (0o755, 65534), "no setuid bit for another owner");
}

#[test]
fn parents_that_no_entry_has_are_made() {
    let stage = stage();
    let entries = [file("a/b/c", b"x"), dir("a"), file("a/d", b"y"), link("z/l", "/etc"), dir("a/b"), file("e", b"")];
    let files = archive(&stage.out, &entries);
    restore(&files, &stage.restored, &all()).unwrap();
    assert_eq!(compared(&files, &stage.restored), Vec::<String>::new());
    let mode = |path: &str| fs::metadata(stage.restored.join(path)).unwrap().mode() & 0o777;
    assert_eq!((mode("z"), mode("a"), mode("a/b")), (0o755, 0o750, 0o750));
}

#[test]
fn a_directory_that_is_entered_again_keeps_mode_and_time() {
    let stage = stage();
    let mut closed = dir("a");
    closed.0.mode = 0o500;
    let entries = [closed, file("a/one", b"1"), dir("b"), file("a/two", b"2"), file("b/x", b""), file("a/three", b"3")];
    let files = archive(&stage.out, &entries);
    restore(&files, &stage.restored, &all()).unwrap();
    assert_eq!(compared(&files, &stage.restored), Vec::<String>::new());
}

#[test]
fn acls_that_a_parent_passes_on_are_not_taken() {
    let stage = stage();
    let entries = [dir("a"), file("a/x", b"1"), file("y", b"")];
    let files = archive(&stage.out, &entries);
    let parent = stage.restored.parent().unwrap();
    output("setfacl", &["-m", "d:u:77:rwx", "."], parent);
    restore(&files, &stage.restored, &all()).unwrap();
    assert_eq!(compared(&files, &stage.restored), Vec::<String>::new());
    output("setfacl", &["-b", "."], parent);
}

#[test]
fn paths_longer_than_the_kernels_limit_come_back() {
    let stage = stage();
    let mut path = "d".repeat(200);
    let mut entries = vec![dir(&path)];
    for _ in 0..30 {
        path.push('/');
        path.push_str(&"e".repeat(200));
        entries.push(dir(&path));
    }
    entries.push(file(&format!("{path}/deep"), b"deep"));
    entries.push(hard("twin", &format!("{path}/deep")));
    let files = archive(&stage.out, &entries);
    restore(&files, &stage.restored, &all()).unwrap();
    assert_eq!(compared(&files, &stage.restored), Vec::<String>::new());
    assert_eq!(fs::read(stage.restored.join("twin")).unwrap(), b"deep");
    maint::adapters::plant::uproot(&stage.restored).unwrap();
}

#[test]
fn owners_can_be_left_to_who_restores() {
    let stage = stage();
    let mut run_by_all = file("su", b"#!");
    run_by_all.0.mode = 0o6755;
    run_by_all.0.uid = 12;
    let mut closed = dir(".");
    closed.0.mode = 0o3700;
    closed.0.gid = 13;
    let files = archive(&stage.out, &[closed, run_by_all]);
    let options = TreeOptions { owners: false, ..all() };
    restore(&files, &stage.restored, &options).unwrap();
    let facts = |path: &Path| fs::metadata(path).map(|m| (m.uid(), m.gid(), m.mode() & 0o7777)).unwrap();
    assert_eq!(facts(&stage.restored.join("su")), (0, 0, 0o755));
    assert_eq!(facts(&stage.restored), (0, 0, 0o1700));
    maint::adapters::plant::uproot(&stage.restored).unwrap();
    restore(&files, &stage.restored, &all()).unwrap();
    assert_eq!(facts(&stage.restored.join("su")), (12, 0, 0o6755));
    assert_eq!(facts(&stage.restored), (0, 13, 0o3700));
}

#[test]
fn links_to_links_and_many_of_them_are_one_file() {
    let stage = stage();
    let links = [hard("b", "a"), hard("c", "a"), hard("d", "b"), hard("e", "c"), hard("f", "a"), hard("g", "d")];
    let files = archive(&stage.out, &[&[file("a", b"one")], &links[..]].concat());
    restore(&files, &stage.restored, &all()).unwrap();
    let of = |name: &str| fs::metadata(stage.restored.join(name)).map(|m| (m.ino(), m.nlink())).unwrap();
    for name in ["b", "c", "d", "e", "f", "g"] {
        assert_eq!(of(name), (of("a").0, 7));
    }
}
