//! A tree of everything that is hard to archive, and a walker of its own to compare two trees.

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    fs::{self, File, Permissions},
    io::{Read, Seek, SeekFrom, Write},
    os::unix::{
        ffi::OsStrExt,
        fs::{FileTypeExt, MetadataExt, PermissionsExt, chown, lchown, symlink},
    },
    path::Path,
    process::Command,
};

use rustix::fs::{AtFlags, CWD, FileType, Mode, Timespec, Timestamps, mknodat, utimensat};
use sha2::{Digest, Sha256};

/// One file as stat(2), its attributes and its content have it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    pub mode: u32,
    pub owner: (u32, u32),
    pub mtime: (i64, i64),
    pub size: u64,
    pub device: u64,
    /// The first path of its inode.
    pub link_of: Vec<u8>,
    pub target: Option<Vec<u8>>,
    pub sha256: Option<Vec<u8>>,
    /// Offsets where data and holes begin, in turns.
    pub layout: Vec<u64>,
    /// POSIX ACLs in the kernel's form among them.
    pub xattrs: Vec<(Vec<u8>, Vec<u8>)>,
}

/// Every node below `root`, itself included, by its path; sockets left out.
pub fn snapshot(root: &Path) -> BTreeMap<Vec<u8>, Node> {
    let mut nodes = BTreeMap::new();
    let mut inodes = BTreeMap::new();
    let mut paths = vec![root.to_owned()];
    while let Some(path) = paths.pop() {
        let meta = fs::symlink_metadata(&path).unwrap();
        if meta.is_dir() {
            paths.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        }
        if meta.file_type().is_socket() {
            continue;
        }
        let name = path.strip_prefix(root).unwrap().as_os_str().as_bytes().to_vec();
        let known: &mut Vec<Vec<u8>> = inodes.entry((meta.dev(), meta.ino())).or_default();
        known.push(name.clone());
        nodes.insert(name, node(&path, &meta));
    }
    for mut names in inodes.into_values() {
        names.sort();
        for name in &names {
            nodes.get_mut(name).unwrap().link_of.clone_from(&names[0]);
        }
    }
    nodes
}

fn node(path: &Path, meta: &fs::Metadata) -> Node {
    let mut xattrs: Vec<_> = xattr::list(path)
        .unwrap()
        .map(|name| (name.as_bytes().to_vec(), xattr::get(path, &name).unwrap().unwrap_or_default()))
        .collect();
    xattrs.sort();
    Node {
        mode: meta.mode(),
        owner: (meta.uid(), meta.gid()),
        mtime: (meta.mtime(), meta.mtime_nsec()),
        size: if meta.is_dir() { 0 } else { meta.size() },
        device: meta.rdev(),
        link_of: Vec::new(),
        target: meta.is_symlink().then(|| fs::read_link(path).unwrap().as_os_str().as_bytes().to_vec()),
        sha256: meta.is_file().then(|| digest(path)),
        layout: if meta.is_file() { layout(path, meta.size()) } else { Vec::new() },
        xattrs,
    }
}

fn digest(path: &Path) -> Vec<u8> {
    let mut file = File::open(path).unwrap();
    let mut sha = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        match file.read(&mut buffer).unwrap() {
            0 => return sha.finalize().to_vec(),
            length => sha.update(&buffer[..length]),
        }
    }
}

fn layout(path: &Path, size: u64) -> Vec<u64> {
    let file = File::open(path).unwrap();
    let mut edges = Vec::new();
    let mut at = 0;
    while at < size {
        let Ok(data) = rustix::fs::seek(&file, rustix::fs::SeekFrom::Data(at)) else { break };
        at = rustix::fs::seek(&file, rustix::fs::SeekFrom::Hole(data)).unwrap();
        edges.extend([data, at]);
    }
    edges
}

/// Where two trees differ, in words; empty where they are equal.
pub fn differences(left: &BTreeMap<Vec<u8>, Node>, right: &BTreeMap<Vec<u8>, Node>) -> Vec<String> {
    let names: std::collections::BTreeSet<_> = left.keys().chain(right.keys()).collect();
    let show = |name: &[u8]| String::from_utf8_lossy(name).chars().take(80).collect::<String>();
    names
        .into_iter()
        .filter(|name| left.get(*name) != right.get(*name))
        .map(|name| format!("{}:\n  {:?}\n  {:?}", show(name), left.get(name), right.get(name)))
        .collect()
}

fn file(path: &Path, content: &[u8]) {
    fs::write(path, content).unwrap();
}

fn set_mtime(path: &Path, seconds: i64, ns: i64) {
    let time = Timespec { tv_sec: seconds, tv_nsec: ns };
    let times = Timestamps { last_access: time, last_modification: time };
    utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW).unwrap();
}

fn run(program: &str, args: &[&OsStr]) {
    let output = Command::new(program).args(args).output().unwrap_or_else(|e| panic!("{program} is needed: {e}"));
    assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Plants the tree in an existing directory. Needs root.
pub fn plant(root: &Path) {
    assert!(rustix::process::geteuid().is_root(), "this test needs root: devices, owners, trusted attributes");
    names(root);
    links(root);
    holes(root);
    attributes(root);
    specials(root);
    owners_modes_times(root);
}

fn names(root: &Path) {
    let mut deep = root.join("deep");
    for _ in 0..6 {
        deep.push("d".repeat(60));
    }
    fs::create_dir_all(&deep).unwrap();
    file(&deep.join("a long path"), b"deep");
    symlink("t".repeat(300), deep.join("a long target")).unwrap();
    file(&root.join("n".repeat(255)), b"long");
    file(&root.join("with\nnewline"), b"newline");
    file(&root.join("  blanks and 'quotes' \"\\* "), b"odd");
    file(&root.join("größe-日本"), b"utf-8");
    file(&root.join("-rf"), b"dash");
    file(&root.join(OsStr::from_bytes(b"not-utf8-\xff\xfe")), b"bytes");
    let long_bytes = [&b"x".repeat(120)[..], b"\xff"].concat();
    file(&root.join(OsStr::from_bytes(&long_bytes)), b"long bytes");
    fs::create_dir(root.join("empty")).unwrap();
    file(&root.join("zero"), b"");
    file(&root.join("block"), &[1; 512]);
    file(&root.join("large"), &(0..9_000_000u32).map(|i| (i % 251).to_le_bytes()[0]).collect::<Vec<_>>());
}

fn links(root: &Path) {
    fs::create_dir_all(root.join("a/one")).unwrap();
    fs::create_dir_all(root.join("b")).unwrap();
    file(&root.join("b/first"), b"linked");
    fs::hard_link(root.join("b/first"), root.join("a/one/second")).unwrap();
    fs::hard_link(root.join("b/first"), root.join("l".repeat(140))).unwrap();
    symlink("nowhere/at all", root.join("dangling")).unwrap();
    symlink("/etc/passwd", root.join("absolute")).unwrap();
    symlink("../../..", root.join("a/one/up")).unwrap();
    symlink("one", root.join("a/to-directory")).unwrap();
    rustix::fs::linkat(CWD, root.join("dangling"), CWD, root.join("a/dangling-twin"), AtFlags::empty()).unwrap();
}

fn holes(root: &Path) {
    let hole = |name: &str, size: u64, pieces: &[(u64, &[u8])]| {
        let mut file = File::create(root.join(name)).unwrap();
        file.set_len(size).unwrap();
        for (offset, bytes) in pieces {
            file.seek(SeekFrom::Start(*offset)).unwrap();
            file.write_all(bytes).unwrap();
        }
    };
    hole("sparse-gigabyte", 1 << 30, &[(0, b"head"), (512 << 20, &[5; 8192]), ((1 << 30) - 1, b"t")]);
    hole("only-a-hole", 300_000, &[]);
    hole("hole-at-the-end", 200_000, &[(8192, b"x")]);
    hole(&"s".repeat(150), 200_000, &[(65536, b"long name")]);
    hole("many-holes", 8 << 20, &[]);
    let mut file = File::options().write(true).open(root.join("many-holes")).unwrap();
    for piece in 0..256 {
        file.seek(SeekFrom::Start(piece * 32768)).unwrap();
        file.write_all(&[7; 4096]).unwrap();
    }
}

fn attributes(root: &Path) {
    let path = root.join("attributes");
    file(&path, b"x");
    for (name, value) in [
        ("user.text", &b"value"[..]),
        ("user.empty", b""),
        ("user.bytes", b"\0\n=\xff"),
        ("user.a=b%c", b"odd name"),
        ("user.large", &[9; 3000]),
        ("trusted.t", b"root alone"),
        ("security.own", b"s"),
    ] {
        xattr::set(&path, name, value).unwrap();
    }
    file(&root.join("capable"), b"#!");
    xattr::set(root.join("capable"), "security.capability", b"\x01\0\0\x02\0\x20\0\0\0\0\0\0\0\0\0\0\0\0\0\0").unwrap();
    symlink("x", root.join("link-with-attribute")).unwrap();
    xattr::set(root.join("link-with-attribute"), "trusted.l", b"on the link").unwrap();
    file(&root.join("acl"), b"acl");
    run("setfacl", &[OsStr::new("-m"), OsStr::new("u:3000001:rw,g:12:r,m::rw"), root.join("acl").as_os_str()]);
    fs::create_dir(root.join("acl-directory")).unwrap();
    let default = [OsStr::new("-m"), OsStr::new("u:77:rx,d:u:78:rwx,d:g:79:-"), root.join("acl-directory").as_os_str()]
        .map(<_>::to_owned);
    run("setfacl", &default.each_ref().map(|arg| arg.as_os_str()));
    fs::create_dir(root.join("acl-directory/inherits")).unwrap();
    xattr::set(root.join("acl-directory"), "user.dir", b"on a directory").unwrap();
}

fn specials(root: &Path) {
    let node = |name: &str, kind, device| {
        mknodat(CWD, root.join(name), kind, Mode::from(0o660), device).unwrap();
    };
    node("fifo", FileType::Fifo, 0);
    node("char-device", FileType::CharacterDevice, rustix::fs::makedev(1, 3));
    node("block-device", FileType::BlockDevice, rustix::fs::makedev(259, 70_000));
    drop(std::os::unix::net::UnixListener::bind(root.join("socket")).unwrap());
    fs::hard_link(root.join("fifo"), root.join("fifo-twin")).unwrap();
}

fn owners_modes_times(root: &Path) {
    for (name, mode) in [("secret", 0o000), ("setuid", 0o4755), ("setgid", 0o2711), ("world", 0o666)] {
        file(&root.join(name), name.as_bytes());
        chown(root.join(name), Some(3_000_000), Some(4_000_000)).unwrap();
        fs::set_permissions(root.join(name), Permissions::from_mode(mode)).unwrap();
    }
    fs::create_dir(root.join("sticky")).unwrap();
    fs::set_permissions(root.join("sticky"), Permissions::from_mode(0o1777)).unwrap();
    fs::create_dir(root.join("read-only")).unwrap();
    file(&root.join("read-only/inside"), b"x");
    lchown(root.join("absolute"), Some(12), Some(34)).unwrap();
    for (name, seconds, ns) in [
        ("secret", 1_700_000_000, 123_456_789),
        ("world", -1_000_000, 500_000_000),
        ("zero", 0, 0),
        ("setuid", 1_600_000_000, 0),
        ("absolute", 1_234_567_890, 1),
        ("read-only/inside", -1, 999_999_999),
        ("fifo", 8_589_934_592, 7),
        ("empty", 946_684_800, 987_654_321),
    ] {
        set_mtime(&root.join(name), seconds, ns);
    }
    fs::set_permissions(root.join("read-only"), Permissions::from_mode(0o555)).unwrap();
    set_mtime(root, 1_111_111_111, 222_222_222);
}
