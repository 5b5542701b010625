//! The cage: what a program inside can reach, against what the same program reaches outside.

#![expect(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests set their stage")]

#[path = "support/cage.rs"]
mod support;

use std::{
    fs,
    net::TcpListener,
    os::unix::{
        fs::{MetadataExt, PermissionsExt, symlink},
        net::UnixListener,
    },
    path::{Path, PathBuf},
    process::Command,
};

use maint::adapters::{
    cage::{self, Cage, CageError, UIDS},
    process::{self, Invocation},
};
use support::{Without, alive_with_uid, wait_for};
use tokio_util::sync::CancellationToken;

/// A directory whose way everybody may go, as a state directory's is not.
struct Stage {
    dir: tempfile::TempDir,
    scratch: PathBuf,
    writable: PathBuf,
    cage: Cage,
}

async fn stage() -> Stage {
    let dir = tempfile::tempdir().unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let scratch = dir.path().join("scratch");
    let writable = scratch.join("data");
    fs::create_dir_all(&writable).unwrap();
    let cage = Cage::prepare(&scratch, &[], 10, &CancellationToken::new()).await.unwrap();
    cage.give(&writable).unwrap();
    Stage { dir, scratch, writable, cage }
}

/// A probe: it prints what it could do, and `no` where it could not.
fn probe(script: &str) -> Invocation {
    Invocation::new("sh").args(["-c", script])
}

async fn run(program: &Invocation) -> String {
    match process::output(program, &CancellationToken::new()).await {
        Ok(said) => said.trim().to_owned(),
        Err(error) => format!("no: {error}"),
    }
}

/// Asserts that a probe is refused inside and works outside, as root.
#[track_caller]
fn differs(inside: &str, outside: &str, what: &str) {
    assert!(inside.starts_with("no"), "{what} inside: {inside}");
    assert!(!outside.starts_with("no") && !outside.is_empty(), "{what} outside: {outside}");
}

async fn both(stage: &Stage, script: &str) -> (String, String) {
    (run(&stage.cage.confine(probe(script))).await, run(&probe(script)).await)
}

#[tokio::test]
async fn files_outside_cannot_be_read() {
    let stage = stage().await;
    let secret = stage.dir.path().join("secret");
    fs::write(&secret, "a secret").unwrap();
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o644)).unwrap();
    for script in [
        "cat /etc/shadow || echo no".to_owned(),
        "ls -d /root || echo no".to_owned(),
        "ls -d /home || echo no".to_owned(),
        "ls -d /run || echo no".to_owned(),
        "ls -d /var/run || echo no".to_owned(),
        "ls /var/lib/dpkg || echo no".to_owned(),
        format!("cat {} || echo no", secret.display()),
    ] {
        let (inside, outside) = both(&stage, &script).await;
        differs(&inside, &outside, &script);
    }
}

#[tokio::test]
async fn nothing_but_what_was_given_can_be_written() {
    let stage = stage().await;
    let own = stage.writable.join("own");
    let (inside, _) = both(&stage, &format!("echo x > {} && echo wrote", own.display())).await;
    assert_eq!(inside, "wrote");
    assert_eq!(fs::metadata(&own).unwrap().uid(), stage.cage.uid());
    let usr = "/usr/local/maint-cage-probe";
    for path in [usr.to_owned(), stage.scratch.join("x").display().to_string(), "/dev/x".into(), "/x".into()] {
        let script = format!("if echo x > {path}; then echo wrote; rm {path}; else echo no; fi");
        let (inside, outside) = both(&stage, &script).await;
        differs(&inside, &outside, &script);
    }
    // What programs inside take for the list of users cannot be made a link to somebody's secret.
    let swap = format!("rm -f {0} && ln -s /etc/shadow {0} && echo swapped", stage.scratch.join("passwd").display());
    assert!(run(&stage.cage.confine(probe(&swap))).await.starts_with("no"));
    assert!(fs::symlink_metadata(stage.scratch.join("passwd")).unwrap().is_file());
}

#[tokio::test]
async fn no_network_and_no_socket_of_the_host() {
    let stage = stage().await;
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let socket = stage.dir.path().join("docker.sock");
    let _docker = UnixListener::bind(&socket).unwrap();
    fs::set_permissions(&socket, fs::Permissions::from_mode(0o666)).unwrap();
    let tcp = format!("bash -c 'echo > /dev/tcp/127.0.0.1/{port}' && echo connected || echo no");
    let (inside, outside) = both(&stage, &tcp).await;
    differs(&inside, &outside, "TCP on loopback");
    let unix = format!("test -S {} && echo there || echo no", socket.display());
    let (inside, outside) = both(&stage, &unix).await;
    differs(&inside, &outside, "the engine's socket");
    // A link into the directory does not lead out of it either.
    symlink(&socket, stage.writable.join("link")).unwrap();
    let link = format!("test -S {} && echo there || echo no", stage.writable.join("link").display());
    let (inside, outside) = both(&stage, &link).await;
    differs(&inside, &outside, "a link to the engine's socket");
}

#[tokio::test]
async fn other_processes_cannot_be_seen_or_signalled() {
    let stage = stage().await;
    let mut marked = Command::new("sleep").arg("1000").env("X", "y").spawn().unwrap();
    let seen = format!("grep -l sleep /proc/{0}/comm || echo no", marked.id());
    let (inside, outside) = both(&stage, &seen).await;
    differs(&inside, &outside, "another process");
    let (inside, outside) = both(&stage, &format!("kill -0 {} && echo can || echo no", marked.id())).await;
    differs(&inside, &outside, "a signal");
    marked.kill().unwrap();
    marked.wait().unwrap();
}

#[tokio::test]
async fn privileges_are_gone_for_good() {
    let stage = stage().await;
    let (inside, outside) = both(&stage, "id -u; grep -E 'CapEff|NoNewPrivs' /proc/self/status").await;
    assert!(UIDS.contains(&inside.lines().next().unwrap().parse().unwrap()), "{inside}");
    assert!(inside.contains("CapEff:\t0000000000000000") && inside.contains("NoNewPrivs:\t1"), "{inside}");
    assert!(outside.starts_with("0\n") && !outside.contains("CapEff:\t0000000000000000"), "{outside}");
    for script in [
        "setpriv --reuid 0 true && echo can || echo no",
        "mknod /tmp/null-probe c 1 3 && rm /tmp/null-probe && echo can || echo no",
        // A user namespace would give it the kernel's whole interface for administrators.
        "unshare --user --map-root-user true && echo can || echo no",
        "unshare --mount true && echo can || echo no",
    ] {
        let (inside, outside) = both(&stage, script).await;
        differs(&inside, &outside, script);
    }
    let setuid = stage.writable.join("su");
    fs::copy("/usr/bin/id", &setuid).unwrap();
    fs::set_permissions(&setuid, fs::Permissions::from_mode(0o4755)).unwrap();
    let (inside, _) = both(&stage, &format!("{} -u", setuid.display())).await;
    assert_eq!(inside, stage.cage.uid().to_string(), "a setuid program gives nothing");
}

#[tokio::test]
async fn it_runs_at_a_low_priority() {
    let stage = stage().await;
    let (inside, outside) = both(&stage, "nice; ionice -p $$").await;
    assert!(inside.starts_with("10\n") && inside.contains("best-effort: prio 7"), "{inside}");
    assert!(outside.starts_with("0\n"), "{outside}");
}

#[tokio::test]
async fn what_forks_away_is_ended_with_it() {
    let stage = stage().await;
    let uid = stage.cage.uid();
    let away = probe("setsid sleep 1000 & setsid sleep 1000 & echo up; sleep 1000");
    let (running, stdout) = process::stream(&stage.cage.confine(away)).unwrap();
    wait_for("three processes", || alive_with_uid(uid) >= 3);
    drop((running, stdout));
    cage::reap(uid).unwrap();
    assert_eq!(alive_with_uid(uid), 0);
    assert_eq!(cage::reap(0).unwrap(), 0, "nobody else is touched");
}

#[tokio::test]
async fn a_thread_that_ends_takes_no_cage_with_it() {
    let stage = stage().await;
    let sleeping = stage.cage.confine(Invocation::new("sleep").arg("1000"));
    let runtime = tokio::runtime::Handle::current();
    // The kernel's leash is to a thread: here is one that ends at once.
    let started = std::thread::spawn(move || {
        let _entered = runtime.enter();
        process::stream(&sleeping).unwrap()
    });
    let (mut running, _stdout) = started.join().unwrap();
    wait_for("the program", || alive_with_uid(stage.cage.uid()) > 0);
    std::thread::sleep(std::time::Duration::from_millis(300));
    assert!(alive_with_uid(stage.cage.uid()) > 0);
    running.stop().await;
}

#[tokio::test]
async fn where_none_can_be_had_the_reason_is_told() {
    let dir = tempfile::tempdir().unwrap();
    assert!(Cage::available(dir.path(), &CancellationToken::new()).await.unwrap().starts_with("bubblewrap: uid "));
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0, "it leaves nothing");
    let cancelled = CancellationToken::new();
    cancelled.cancel();
    let error = Cage::available(dir.path(), &cancelled).await.unwrap_err();
    assert!(matches!(error, CageError::Refused { .. }), "{error}");
}

#[test]
fn the_doctor_says_what_is_missing() {
    for (without, says) in [
        (
            Without::Bubblewrap,
            "the program `bwrap`, which is not on this host → install it: apt-get install bubblewrap",
        ),
        (Without::Root, "a cage needs root"),
        (Without::Namespaces, "bubblewrap cannot make a cage on this host"),
    ] {
        let project = Project::new();
        let said = without.maint(&project.config, &["doctor", "--json"]);
        let row = said.split("\"check\": \"drill\"").nth(1).unwrap_or_else(|| panic!("{said}"));
        let row = row.split('}').next().unwrap();
        for part in says.split(" → ") {
            assert!(row.contains(part), "{without:?}: {row}");
        }
        assert!(row.contains("warning"), "{row}");
    }
    let project = Project::new();
    let said = Without::Nothing.maint(&project.config, &["doctor", "--json"]);
    assert!(said.contains("bubblewrap: uid "), "{said}");
}

struct Project {
    _dir: tempfile::TempDir,
    config: PathBuf,
}

impl Project {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("jobs")).unwrap();
        let config = dir.path().join("maint.toml");
        fs::write(&config, "stack = \"t\"\nstate_dir = \"state\"\n").unwrap();
        for path in [dir.path(), &dir.path().join("jobs")] {
            fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
        }
        fs::set_permissions(Path::new(&config), fs::Permissions::from_mode(0o644)).unwrap();
        Self { _dir: dir, config }
    }
}
