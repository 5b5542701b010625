//! Where a drill runs: a server whose dump cannot get out, that dies with maint, and that says why it could not be had.

#![expect(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests set their stage")]

#[path = "support/cage.rs"]
mod cage;
#[path = "support/disk.rs"]
mod disk;
#[path = "support/postgres.rs"]
mod postgres;

use std::{
    fs,
    io::{BufRead, BufReader, Read},
    net::TcpListener,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, Stdio},
    time::{Duration, Instant},
};

use cage::{alive_with_uid, wait_for, without_bubblewrap};
use disk::Disk;
use maint::{
    adapters::postgres::Session,
    backup::drill::place::{self, FLOOR, Need, Place, PlaceError},
    model::{
        failure::{Class, Diagnose, chain},
        stack::{DrillSettings, PostgresServer},
    },
};
use postgres::{Cluster, bin_dir, docker};
use tokio_util::sync::CancellationToken;

/// The version that the tests' programs have.
fn need() -> Need {
    let said = Command::new(bin_dir().join("postgres")).arg("--version").output().unwrap().stdout;
    let said = String::from_utf8(said).unwrap();
    let number = said.split(") ").nth(1).unwrap().split(['.', ' ']).next().unwrap();
    Need { version_num: number.parse::<u32>().unwrap() * 10_000 + 1, ..Need::default() }
}

/// A scratch directory below one that only root can enter, as a state directory is.
fn scratch() -> (tempfile::TempDir, DrillSettings) {
    let dir = tempfile::tempdir().unwrap();
    let settings = DrillSettings::below(dir.path());
    (dir, settings)
}

async fn prepare(settings: &DrillSettings, need: &Need) -> Result<Place, PlaceError> {
    Place::prepare(settings, &docker(), need, &CancellationToken::new()).await
}

async fn connect(server: &PostgresServer) -> Session {
    Session::connect(server, &docker(), &server.dbname, "test").await.unwrap()
}

/// What a hostile dump would do: a program of the server's host. Its script says `no` where it could not.
async fn probe(session: &Session, script: &str) -> String {
    session.batch("making room", "CREATE TEMP TABLE IF NOT EXISTS said (line text); TRUNCATE said").await.unwrap();
    session
        .batch("running a program", &format!("COPY said FROM PROGRAM $_${script}$_$ (DELIMITER E'\\x01')"))
        .await
        .unwrap();
    let row = session.one("reading", "SELECT coalesce(string_agg(line, ' '), '') FROM said", &[]).await.unwrap();
    row.get(0)
}

fn uid_of(place: &Place) -> u32 {
    place.isolation().split("uid ").nth(1).unwrap().split(',').next().unwrap().parse().unwrap()
}

#[tokio::test]
async fn a_superusers_program_reaches_nothing() {
    let (dir, settings) = scratch();
    let secret = dir.path().join("secret");
    fs::write(&secret, "a secret").unwrap();
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o644)).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let place = prepare(&settings, &need()).await.unwrap();
    assert_eq!(place.kind().to_string(), "local");
    let uid = uid_of(&place);
    let session = connect(&place.server("postgres")).await;

    // It does run: otherwise the rest would prove nothing.
    assert_eq!(probe(&session, "id -u").await, uid.to_string());
    assert_eq!(probe(&session, "nice").await, "10");
    for script in [
        "cat /etc/shadow || echo no".to_owned(),
        format!("cat {} || echo no", secret.display()),
        format!("bash -c 'echo > /dev/tcp/127.0.0.1/{port}' && echo connected || echo no"),
        "ls /run /root /home || echo no".to_owned(),
        "touch /usr/x || echo no".to_owned(),
    ] {
        let said = probe(&session, &script).await;
        assert_eq!(said, "no", "{script}");
    }
    let others = probe(&session, "ls -d /proc/[0-9]* | wc -l").await.parse::<u32>().unwrap();
    assert!(others < 20, "it sees {others} processes");

    let row =
        session.one("asking", "SELECT current_setting('fsync'), current_setting('autovacuum'), current_user", &[]);
    let row = row.await.unwrap();
    assert_eq!((row.get::<_, &str>(0), row.get::<_, &str>(1)), ("off", "off"));
    assert!(row.get::<_, String>(2).starts_with("maint_drill_"));
    session.batch("globals", "CREATE ROLE postgres SUPERUSER LOGIN").await.unwrap();

    session.close().await;
    assert!(alive_with_uid(uid) > 0);
    place.strike().await;
    assert_eq!(alive_with_uid(uid), 0);
    assert_eq!(fs::read_dir(&settings.scratch_dir).unwrap().count(), 0);
}

#[tokio::test]
async fn a_dropped_place_leaves_nothing() {
    let (_dir, settings) = scratch();
    let place = prepare(&settings, &need()).await.unwrap();
    let uid = uid_of(&place);
    // A program that left the server's process group and ignores what it can ignore.
    let session = connect(&place.server("postgres")).await;
    probe(&session, "trap '' TERM QUIT INT; setsid sleep 1000 > /dev/null 2>&1 & echo ok").await;
    drop(place);
    assert_eq!(alive_with_uid(uid), 0);
    assert_eq!(fs::read_dir(&settings.scratch_dir).unwrap().count(), 0);
}

/// Not a test of its own: what [`Holder`] runs, to be killed or to run on another host than this one.
#[tokio::test]
async fn holder() {
    let Some(dir) = std::env::var_os("HOLD_IN") else { return };
    let mut settings = DrillSettings::below(Path::new(&dir));
    settings.allow_unisolated = std::env::var_os("HOLD_UNISOLATED").is_some();
    match prepare(&settings, &need()).await {
        Ok(place) => {
            let server = place.server("postgres");
            println!("\nplace|{}|{:?}|{}", place.isolation(), server.address, server.user);
            std::thread::sleep(Duration::from_secs(600));
        }
        Err(error) => println!("\nerror|{:?}|{}|{}", error.class(), chain(&error), error.hint().unwrap_or_default()),
    }
}

/// Another process that prepares a place and holds it.
struct Holder {
    child: Child,
    _stdout: BufReader<ChildStdout>,
    /// Its line, cut at the bars.
    said: Vec<String>,
}

impl Holder {
    fn start(dir: &Path, settle: impl FnOnce(&mut Command)) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "holder", "--nocapture"]).env("HOLD_IN", dir).stdout(Stdio::piped());
        settle(&mut command);
        let mut child = command.spawn().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut lines = stdout.by_ref().lines().map(Result::unwrap);
        let line = lines.find(|line| line.starts_with("place|") || line.starts_with("error|")).unwrap();
        Self { child, _stdout: stdout, said: line.split('|').map(str::to_owned).collect() }
    }

    fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn postgres_in(dir: &Path) -> usize {
    let needle = dir.display().to_string();
    let lines = fs::read_dir("/proc").unwrap().flatten().filter_map(|e| fs::read(e.path().join("cmdline")).ok());
    lines.filter(|line| String::from_utf8_lossy(line).contains(&format!("-D\0{needle}"))).count()
}

#[tokio::test]
async fn a_kill_leaves_no_process_and_the_next_run_sweeps_the_rest() {
    let dir = tempfile::tempdir().unwrap();
    let settings = DrillSettings::below(dir.path());
    let mut holder = Holder::start(dir.path(), |_| {});
    assert_eq!(holder.said[0], "place", "{:?}", holder.said);
    let uid = holder.said[1].split("uid ").nth(1).unwrap().split(',').next().unwrap().parse().unwrap();
    assert!(alive_with_uid(uid) > 3);
    assert!(place::dead(&settings.scratch_dir).unwrap().is_empty(), "it lives");
    assert!(place::sweep(&settings.scratch_dir, &docker()).await.unwrap().removed.is_empty());
    holder.kill();
    wait_for("the end of the server", || alive_with_uid(uid) == 0);
    assert_eq!(postgres_in(&settings.scratch_dir), 0);
    assert_eq!(place::dead(&settings.scratch_dir).unwrap().len(), 1);

    // The command sees it, and puts it right.
    fs::create_dir(dir.path().join("jobs")).unwrap();
    let config = dir.path().join("maint.toml");
    fs::write(&config, format!("stack = \"t\"\nstate_dir = {:?}\n", dir.path())).unwrap();
    let look = cage::Without::Nothing.maint(&config, &["recover", "--dry-run"]);
    assert!(look.contains("would sweep: what the dead drill"), "{look}");
    let done = cage::Without::Nothing.maint(&config, &["recover"]);
    assert!(done.contains("swept: what the dead drill"), "{done}");
    assert_eq!(fs::read_dir(&settings.scratch_dir).unwrap().count(), 0);
}

#[tokio::test]
async fn what_outlives_its_cage_is_swept_by_its_user() {
    let dir = tempfile::tempdir().unwrap();
    let uid = 0x7123_4567;
    let left = dir.path().join("left");
    fs::create_dir(&left).unwrap();
    fs::write(dir.path().join("left.lock"), "").unwrap();
    std::os::unix::fs::chown(&left, Some(0), Some(uid)).unwrap();
    let uid_text = uid.to_string();
    let mut stray = Command::new("setpriv")
        .args(["--reuid", &uid_text, "--regid", &uid_text, "--clear-groups", "sleep", "1000"])
        .spawn()
        .unwrap();
    wait_for("the stray", || alive_with_uid(uid) == 1);
    let swept = place::sweep(dir.path(), &docker()).await.unwrap();
    assert_eq!(swept.removed, ["left"]);
    assert_eq!(alive_with_uid(uid), 0);
    assert!(!stray.wait().unwrap().success());
}

#[test]
fn without_bubblewrap_it_could_not_run_unless_that_is_allowed() {
    let tools = tempfile::tempdir().unwrap();
    without_bubblewrap(tools.path());
    let dir = tempfile::tempdir().unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let mut refused = Holder::start(dir.path(), |c| {
        c.env("PATH", tools.path());
    });
    assert_eq!((refused.said[0].as_str(), refused.said[1].as_str()), ("error", "Unverifiable"), "{:?}", refused.said);
    assert!(refused.said[2].contains("the drill could not run") && refused.said[2].contains("`bwrap`"));
    assert!(refused.said[3].contains("apt-get install bubblewrap"), "{:?}", refused.said);
    refused.child.wait().unwrap();

    let mut open = Holder::start(dir.path(), |c| {
        c.env("PATH", tools.path()).env("HOLD_UNISOLATED", "1");
    });
    assert_eq!((open.said[0].as_str(), open.said[1].as_str()), ("place", "none (allow_unisolated)"), "{:?}", open.said);
    // The probes of the caged server do work here: that they fail there is the cage's doing.
    let sockets = PathBuf::from(open.said[2].split('"').nth(1).unwrap());
    let ask = |script: &str| {
        let sql = format!("CREATE TEMP TABLE said (line text); COPY said FROM PROGRAM $_${script}$_$; TABLE said");
        let mut psql = Command::new(bin_dir().join("psql"));
        psql.args(["-XAtq", "-U", &open.said[3], "-d", "postgres", "-c", &sql, "-h"]).arg(&sockets);
        String::from_utf8(psql.output().unwrap().stdout).unwrap().trim().to_owned()
    };
    let secret = dir.path().join("secret");
    fs::write(&secret, "a secret").unwrap();
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o644)).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    assert_eq!(ask(&format!("cat {} || echo no", secret.display())), "a secret");
    assert_eq!(ask(&format!("bash -c 'echo > /dev/tcp/127.0.0.1/{port}' && echo connected || echo no")), "connected");
    assert_ne!(ask("ls -d /run || echo no"), "no");
    assert!(ask("ls -d /proc/[0-9]* | wc -l").parse::<u32>().unwrap() >= 20);
    assert_eq!(ask("nice"), "10");
    // It is not caged, and yet it ends with maint.
    let scratch = DrillSettings::below(dir.path()).scratch_dir;
    assert!(postgres_in(&scratch) > 0);
    open.kill();
    wait_for("the end of the server", || postgres_in(&scratch) == 0);
}

#[tokio::test]
async fn a_version_that_is_not_there_is_named() {
    let (_dir, settings) = scratch();
    let error = prepare(&settings, &Need { version_num: 990_001, ..need() }).await.unwrap_err();
    assert!(matches!(&error, PlaceError::NoMajor { wanted: 99, found, .. } if !found.is_empty()), "{error}");
    let error = prepare(&settings, &Need { version_num: 120_001, ..need() }).await.unwrap_err();
    assert_eq!(error.class(), Class::Unverifiable);
    assert!(error.to_string().contains("PostgreSQL 12 is needed"), "{error}");
    assert!(error.hint().unwrap().contains("install postgresql-12"), "{:?}", error.hint());
    assert!(!settings.scratch_dir.exists() || fs::read_dir(&settings.scratch_dir).unwrap().count() == 0);
}

#[tokio::test]
async fn a_library_that_is_not_there_is_no_verdict_on_the_set() {
    let (_dir, settings) = scratch();
    let error = prepare(&settings, &Need { preload: vec!["no_such_library".into()], ..need() }).await.unwrap_err();
    assert_eq!(error.class(), Class::Unverifiable);
    assert!(chain(&error).contains("no_such_library"), "{}", chain(&error));
    assert_eq!(fs::read_dir(&settings.scratch_dir).unwrap().count(), 0);
}

#[tokio::test]
async fn too_little_space_is_told_with_numbers() {
    let disk = Disk::new(700);
    let settings = DrillSettings::below(disk.path());
    let error = prepare(&settings, &Need { bytes: 1 << 30, ..need() }).await.unwrap_err();
    assert_eq!(error.class(), Class::Unverifiable);
    let said = error.to_string();
    assert!(said.contains("734.0 MB are free") && said.contains("it needs 1.5 GB"), "{said}");
    assert!(error.hint().unwrap().contains("scratch_dir"));

    let place = prepare(&settings, &need()).await.unwrap();
    let shortage = place.shortage();
    tokio::pin!(shortage);
    let early = tokio::time::timeout(Duration::from_millis(1500), &mut shortage).await;
    assert!(early.is_err(), "there is space: {early:?}");
    // As a load would: through the server, into its data.
    let session = connect(&place.server("postgres")).await;
    assert_eq!(probe(&session, "head -c 460000000 /dev/zero > filling && echo filled").await, "filled");
    let begun = Instant::now();
    let error = tokio::time::timeout(Duration::from_secs(10), shortage).await.unwrap();
    assert!(matches!(error, PlaceError::Shortage { floor: FLOOR, free, .. } if free < FLOOR), "{error}");
    assert!(error.to_string().contains("268.4 MB are not for drills"), "{error}");
    assert!(begun.elapsed() < Duration::from_secs(3));
    drop(session);
    place.strike().await;
    assert_eq!(fs::read_dir(&settings.scratch_dir).unwrap().count(), 0);
}

#[tokio::test]
async fn a_named_server_is_used_unless_it_is_the_source() {
    let cluster = Cluster::start();
    let (_dir, mut settings) = scratch();
    settings.server = Some(PostgresServer { name: "scratch".into(), ..cluster.server("postgres") });
    let identifier = cluster.psql("postgres", "SELECT system_identifier FROM pg_control_system()");
    let error = prepare(&settings, &Need { system_identifier: identifier, ..need() }).await.unwrap_err();
    assert!(matches!(error, PlaceError::SameServer { .. }), "{error}");
    assert_eq!(error.class(), Class::Unverifiable);
    let place = prepare(&settings, &Need { system_identifier: "1".into(), ..need() }).await.unwrap();
    assert_eq!(place.kind().to_string(), "server scratch");
    assert!(place.isolation().contains("the operator's"), "{}", place.isolation());
    assert_eq!(place.server("other").dbname, "other");
    place.strike().await;
    assert_eq!(cluster.psql("postgres", "SELECT 1"), "1", "it is not stopped");
    let error = prepare(&settings, &Need { version_num: 990_000, ..need() }).await.unwrap_err();
    assert!(matches!(error, PlaceError::OtherMajor { wanted: 99, .. }), "{error}");
}
