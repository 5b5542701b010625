//! What a cage shows, and how its programs lose their privileges.

use std::path::{Path, PathBuf};

use crate::adapters::process::Invocation;

/// The file of the cage's directory that programs inside see as /etc/passwd: PostgreSQL wants a name for its user.
pub(super) const PASSWD: &str = "passwd";
/// Bytes for temporary files.
const TMP_BYTES: u64 = 256 << 20;
/// Bytes for shared memory: what parallel workers exchange.
const SHM_BYTES: u64 = 1 << 30;
/// Beside /usr, in the root: links into it on merged systems, directories on others.
const ROOTS: &[&str] = &["/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32"];
/// What the loader, the C library, OpenSSL and PostgreSQL read elsewhere; none of it is a secret.
const SYSTEM: &[&str] = &[
    "/etc/ld.so.cache",
    "/etc/ld.so.conf",
    "/etc/ld.so.conf.d",
    "/etc/localtime",
    "/etc/timezone",
    "/etc/locale.alias",
    "/etc/locale.conf",
    "/etc/ssl/openssl.cnf",
    "/etc/pki/tls/openssl.cnf",
    "/etc/alternatives",
    "/var/cache/postgresql/dicts",
];

pub(super) fn passwd(uid: u32) -> String {
    format!("maint_drill:x:{uid}:{uid}:maint drill:/:/usr/sbin/nologin\n")
}

/// bubblewrap with everything that the kernel can keep away. It starts as root, so that no user namespace is needed, and
/// keeps just what setpriv needs to give up the rest.
pub(super) fn cage(bwrap: &Path, dir: &Path, read_only: &[PathBuf]) -> Invocation {
    let mut outer = Invocation::new(bwrap)
        .args(["--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try"])
        .args(["--die-with-parent", "--new-session", "--hostname", "drill"])
        .args(["--cap-drop", "ALL"])
        .args(["--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID", "--cap-add", "CAP_SETPCAP"])
        .args(["--ro-bind", "/usr", "/usr"]);
    for root in ROOTS {
        outer = match std::fs::read_link(root) {
            Ok(target) => outer.arg("--symlink").arg(target).arg(root),
            Err(_) => outer.args(["--ro-bind-try", root, root]),
        };
    }
    outer = outer.args(["--proc", "/proc", "--dev", "/dev"]);
    for (path, bytes) in [("/tmp", TMP_BYTES), ("/dev/shm", SHM_BYTES)] {
        outer = outer.args(["--perms", "1777", "--size", &bytes.to_string(), "--tmpfs", path]);
    }
    for path in SYSTEM {
        outer = with_parents(outer, Path::new(path)).args(["--ro-bind-try", path, path]);
    }
    outer = outer.arg("--ro-bind").arg(dir.join(PASSWD)).arg("/etc/passwd");
    for path in read_only {
        outer = with_parents(outer, path).arg("--ro-bind-try").arg(path).arg(path);
    }
    with_parents(outer, dir)
        .arg("--bind")
        .arg(dir)
        .arg(dir)
        .args(["--remount-ro", "/", "--clearenv"])
        .args(["--setenv", "PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"])
        .args(["--setenv", "LANG", "C", "--setenv", "HOME", "/tmp"])
        .arg("--chdir")
        .arg(dir)
        .arg("--")
}

/// bubblewrap makes missing directories by itself, but for its own user only.
fn with_parents(mut outer: Invocation, path: &Path) -> Invocation {
    let mut parents: Vec<_> = path.ancestors().skip(1).filter(|p| p.parent().is_some()).collect();
    parents.reverse();
    for parent in
        parents.into_iter().filter(|p| !["/tmp", "/dev", "/dev/shm", "/usr"].iter().any(|own| p == &Path::new(own)))
    {
        outer = outer.args(["--perms", "0755", "--dir"]).arg(parent);
    }
    outer
}

/// Another user, no groups, no capabilities, and no way to get any.
pub(super) fn unprivileged(setpriv: &Path, uid: u32) -> Invocation {
    let uid = uid.to_string();
    Invocation::new(setpriv).args(["--reuid", &uid, "--regid", &uid, "--clear-groups", "--no-new-privs"]).args([
        "--inh-caps=-all",
        "--ambient-caps=-all",
        "--bounding-set=-all",
        "--",
    ])
}

/// A user namespace in which no further one can be made: with one of its own, a program has the kernel's whole interface
/// for administrators to look for mistakes in.
pub(super) fn lock(bwrap: &Path) -> Invocation {
    Invocation::new(bwrap).args([
        "--unshare-user",
        "--disable-userns",
        "--die-with-parent",
        "--dev-bind",
        "/",
        "/",
        "--",
    ])
}

/// What is wrong with a cage, by /proc/self/status and /proc/net/dev of a program inside.
pub(super) fn leak(said: &str, uid: u32) -> Option<String> {
    let field = |name: &str| said.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    let ids = |text: &str| text.split_whitespace().all(|id| id == uid.to_string());
    for name in ["Uid:", "Gid:"] {
        if !field(name).is_some_and(ids) {
            return Some(format!("{name} {}", field(name).unwrap_or("unknown")));
        }
    }
    for name in ["CapInh:", "CapPrm:", "CapEff:", "CapBnd:", "CapAmb:"] {
        if field(name).is_none_or(|mask| u64::from_str_radix(mask, 16) != Ok(0)) {
            return Some(format!("{name} {}", field(name).unwrap_or("unknown")));
        }
    }
    if field("Groups:").is_none_or(|groups| !groups.is_empty()) {
        return Some(format!("Groups: {}", field("Groups:").unwrap_or("unknown")));
    }
    if field("NoNewPrivs:") != Some("1") {
        return Some("it may get new privileges".into());
    }
    let interfaces =
        said.lines().filter_map(|line| line.split_once(": ").filter(|(_, rest)| rest.split_whitespace().count() == 16));
    let names: Vec<&str> = interfaces.map(|(name, _)| name.trim()).collect();
    if names == ["lo"] { None } else { Some(format!("network interfaces: {}", names.join(", "))) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "Name:\tcat\nUid:\t7\t7\t7\t7\nGid:\t7\t7\t7\t7\nGroups:\t \nCapInh:\t0000000000000000\n\
        CapPrm:\t0000000000000000\nCapEff:\t0000000000000000\nCapBnd:\t0000000000000000\nCapAmb:\t0000000000000000\n\
        NoNewPrivs:\t1\nInter-|   Receive   |  Transmit\n face |bytes    packets\n    lo:       0       0    0    0    0     \
        0          0         0        0       0    0    0    0     0       0          0\n";

    #[test]
    fn every_leak_is_seen() {
        assert_eq!(leak(GOOD, 7), None);
        for (good, bad) in [
            ("Uid:\t7\t7", "Uid:\t7\t0"),
            ("Gid:\t7", "Gid:\t0"),
            ("Groups:\t ", "Groups:\t999"),
            ("CapEff:\t0000", "CapEff:\t0001"),
            ("CapBnd:\t", "Other:\t"),
            ("NoNewPrivs:\t1", "NoNewPrivs:\t0"),
            ("    lo:", "  eth0:"),
        ] {
            assert!(leak(&GOOD.replace(good, bad), 7).is_some(), "{bad}");
        }
    }
}
