//! A drill's server in a container of an image: a real PostgreSQL of this host's files in a private engine.

#![expect(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests set their stage")]

#[path = "support/cage.rs"]
mod cage;
#[path = "support/docker.rs"]
mod docker;
#[path = "support/postgres.rs"]
mod postgres;

use std::{
    collections::BTreeSet,
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Mutex,
};

use cage::{Without, wait_for};
use docker::Engine;
use maint::{
    adapters::postgres::Session,
    backup::drill::place::{self, Need, Place, PlaceError},
    model::{
        failure::{Class, Diagnose, chain},
        stack::{Docker, DrillSettings},
    },
};
use tokio_util::sync::CancellationToken;

const IMAGE: &str = "maint-test-postgres";

/// An engine with an image of this host's PostgreSQL: its programs, what they load, busybox, and a user.
fn engine() -> std::sync::Arc<Engine> {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _one = ONE_AT_A_TIME.lock().unwrap();
    let engine = Engine::shared();
    if !engine.try_docker(&["image", "inspect", IMAGE]).0 {
        let root = tempfile::tempdir().unwrap();
        fill(root.path());
        let tar = root.path().join("image.tar");
        let bin = postgres::bin_dir();
        pack(&tar, root.path(), &bin);
        let path = format!("ENV PATH={}:/bin", bin.display());
        engine.docker(&["import", "--change", &path, tar.to_str().unwrap(), IMAGE]);
    }
    engine
}

fn fill(root: &Path) {
    for dir in ["bin", "etc", "tmp"] {
        fs::create_dir(root.join(dir)).unwrap();
    }
    fs::copy("/bin/busybox", root.join("bin/busybox")).expect("apt-get install busybox-static");
    for applet in ["sh", "id", "cat", "ls", "rm", "touch", "nc", "grep", "head", "sleep"] {
        std::os::unix::fs::symlink("busybox", root.join("bin").join(applet)).unwrap();
    }
    fs::write(root.join("etc/passwd"), "root:x:0:0::/:/bin/sh\npostgres:x:999:999::/:/bin/sh\n").unwrap();
    fs::write(root.join("etc/group"), "root:x:0:\npostgres:x:999:\n").unwrap();
}

fn pack(tar: &Path, root: &Path, bin: &Path) {
    let installation = bin.parent().unwrap();
    let share = Path::new("/usr/share/postgresql").join(installation.file_name().unwrap());
    let mut files: BTreeSet<PathBuf> = [share, "/usr/share/zoneinfo".into()].into();
    let mut programs: Vec<PathBuf> = ["initdb", "postgres", "psql"].map(|name| bin.join(name)).into();
    for name in ["plpgsql.so", "dict_snowball.so", "libpqwalreceiver.so"] {
        programs.push(installation.join("lib").join(name));
    }
    for program in &programs {
        let listed = Command::new("ldd").arg(program).output().unwrap();
        let listed = String::from_utf8(listed.stdout).unwrap();
        files.extend(listed.split_whitespace().filter(|word| word.starts_with('/')).map(PathBuf::from));
    }
    files.extend(programs);
    let conversions = fs::read_dir(installation.join("lib")).unwrap().map(|entry| entry.unwrap().path());
    files.extend(conversions.filter(|path| path.to_string_lossy().contains("utf8_and")));
    let relative = files.iter().map(|path| path.strip_prefix("/").unwrap());
    let mut command = Command::new("tar");
    command.args(["--create", "--dereference", "--ignore-failed-read", "--file"]).arg(tar);
    command.arg("-C").arg(root).args(["bin", "etc", "tmp"]).args(["-C", "/"]).args(relative);
    // A dictionary that is not installed is a link to nowhere.
    command.stderr(Stdio::null()).status().unwrap();
    assert!(fs::metadata(tar).unwrap().len() > 1 << 20);
}

fn need() -> Need {
    let said = Command::new(postgres::bin_dir().join("postgres")).arg("--version").output().unwrap().stdout;
    let said = String::from_utf8(said).unwrap();
    let number: u32 = said.split(") ").nth(1).unwrap().split(['.', ' ']).next().unwrap().parse().unwrap();
    Need { version_num: number * 10_000 + 1, image: Some(IMAGE.into()), ..Need::default() }
}

async fn prepare(settings: &DrillSettings, docker: &Docker, need: &Need) -> Result<Place, PlaceError> {
    Place::prepare(settings, docker, need, &CancellationToken::new()).await
}

async fn probe(session: &Session, script: &str) -> String {
    session.batch("making room", "CREATE TEMP TABLE IF NOT EXISTS said (line text); TRUNCATE said").await.unwrap();
    session
        .batch("running a program", &format!("COPY said FROM PROGRAM $_${script}$_$ (DELIMITER E'\\x01')"))
        .await
        .unwrap();
    let row = session.one("reading", "SELECT coalesce(string_agg(line, ' '), '') FROM said", &[]).await.unwrap();
    row.get(0)
}

fn drills(engine: &Engine) -> Vec<String> {
    let listed = engine.docker(&["ps", "--all", "--quiet", "--no-trunc", "--filter", "label=maint.drill"]);
    listed.lines().map(str::to_owned).collect()
}

#[tokio::test]
async fn a_servers_own_image_is_drilled_in_without_a_way_out() {
    let engine = engine();
    let docker = Docker { host: engine.host() };
    let dir = tempfile::tempdir().unwrap();
    let settings = DrillSettings::below(dir.path());
    let place = prepare(&settings, &docker, &need()).await.unwrap();
    assert_eq!(place.kind().to_string(), format!("container {IMAGE}"));
    assert!(place.isolation().contains("no network"), "{}", place.isolation());
    let server = place.server("postgres");
    let id = server.tools_in.clone().unwrap();
    assert!(drills(&engine).contains(&id));
    let session = Session::connect(&server, &docker, "postgres", "test").await.unwrap();

    // It does run: otherwise the rest would prove nothing.
    assert_eq!(probe(&session, "id -u").await, "999");
    let listener = TcpListener::bind("0.0.0.0:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    assert_eq!(probe(&session, "cat /proc/net/dev | grep : | grep -v lo: || echo no").await, "no");
    assert_eq!(probe(&session, &format!("nc -w 1 127.0.0.1 {port} && echo connected || echo no")).await, "no");
    assert_eq!(probe(&session, "touch /x /etc/x || echo no").await, "no");
    let status = probe(&session, "cat /proc/self/status").await;
    assert!(status.contains("CapEff:\t0000000000000000") || status.contains("CapEff: 0000000000000000"), "{status}");
    assert!(status.contains("NoNewPrivs:\t1") || status.contains("NoNewPrivs: 1"), "{status}");
    let mounts = engine.docker(&["inspect", "--format", "{{range .Mounts}}{{.Source}} {{end}}", &id]);
    assert!(mounts.trim().starts_with(&settings.scratch_dir.display().to_string()), "{mounts}");
    assert_eq!(mounts.split_whitespace().count(), 1, "{mounts}");

    // The tools of the image reach the server at the same path.
    let maint::model::stack::PostgresAddress::Socket { dir: sockets, .. } = &server.address else { unreachable!() };
    let sockets = sockets.display().to_string();
    let ask = ["exec", &id, "psql", "-XAtq", "-h", &sockets, "-U", &server.user, "-d", "postgres", "-c", "SELECT 1"];
    assert_eq!(engine.docker(&ask), "1");

    session.close().await;
    place.strike().await;
    assert!(!drills(&engine).contains(&id));
    assert_eq!(fs::read_dir(&settings.scratch_dir).unwrap().count(), 0);
}

#[tokio::test]
async fn an_image_that_is_not_there_is_never_pulled() {
    let engine = engine();
    let docker = Docker { host: engine.host() };
    let dir = tempfile::tempdir().unwrap();
    let mut settings = DrillSettings::below(dir.path());
    // The source's image is gone: this host's programs do as well.
    let place = prepare(&settings, &docker, &Need { image: Some("gone:1".into()), ..need() }).await.unwrap();
    assert_eq!(place.kind().to_string(), "local");
    place.strike().await;
    // The image was asked for by name: nothing else will do.
    settings.image = Some("postgres:15".into());
    let error = prepare(&settings, &docker, &need()).await.unwrap_err();
    assert!(matches!(error, PlaceError::NoImage { .. }), "{error}");
    assert_eq!(
        (error.class(), error.hint().unwrap().as_str()),
        (Class::Unverifiable, "have it on this host: docker pull postgres:15")
    );
    settings.image = Some(IMAGE.into());
    let error = prepare(&settings, &Docker { host: "unix:///nonexistent".into() }, &need()).await.unwrap_err();
    assert_eq!(error.class(), Class::Unverifiable);
    assert!(chain(&error).contains("cannot be reached"), "{}", chain(&error));
}

#[tokio::test]
async fn a_wrong_major_and_an_image_without_a_server_could_not_run() {
    let engine = engine();
    let docker = Docker { host: engine.host() };
    let dir = tempfile::tempdir().unwrap();
    let mut settings = DrillSettings::below(dir.path());
    let before = drills(&engine);
    let error = prepare(&settings, &docker, &Need { version_num: 120_000, ..need() }).await.unwrap_err();
    assert!(matches!(error, PlaceError::OtherMajor { wanted: 12, .. }), "{error}");
    assert_eq!(error.class(), Class::Unverifiable);
    settings.image = Some(docker::IMAGE.into());
    let error = prepare(&settings, &docker, &need()).await.unwrap_err();
    assert_eq!(error.class(), Class::Unverifiable);
    assert!(chain(&error).contains("no throwaway server could be had"), "{}", chain(&error));
    assert!(drills(&engine).iter().all(|id| before.contains(id) || other_test_has(&engine, id, dir.path())));
    assert_eq!(fs::read_dir(&settings.scratch_dir).unwrap().count(), 0);
}

#[tokio::test]
async fn a_dropped_place_leaves_no_container() {
    let engine = engine();
    let dir = tempfile::tempdir().unwrap();
    let settings = DrillSettings::below(dir.path());
    let place = prepare(&settings, &Docker { host: engine.host() }, &need()).await.unwrap();
    let id = place.server("postgres").tools_in.unwrap();
    assert!(drills(&engine).contains(&id));
    drop(place);
    assert!(!drills(&engine).contains(&id));
    assert_eq!(fs::read_dir(&settings.scratch_dir).unwrap().count(), 0);
}

/// Tests share the engine: only containers of this scratch directory are this test's.
fn other_test_has(engine: &Engine, id: &str, dir: &Path) -> bool {
    let (there, mounts) = engine.try_docker(&["inspect", "--format", "{{range .Mounts}}{{.Source}}{{end}}", id]);
    !there || !mounts.starts_with(&dir.display().to_string())
}

/// Not a test of its own: what the test below kills.
#[tokio::test]
async fn holder() {
    let (Some(dir), Some(host)) = (std::env::var_os("HOLD_IN"), std::env::var("HOLD_AT").ok()) else { return };
    let place = prepare(&DrillSettings::below(Path::new(&dir)), &Docker { host }, &need()).await.unwrap();
    fs::write(Path::new(&dir).join("up"), place.server("postgres").tools_in.unwrap()).unwrap();
    std::thread::sleep(std::time::Duration::from_secs(600));
}

#[tokio::test]
async fn a_dead_drills_container_is_swept() {
    let engine = engine();
    let docker = Docker { host: engine.host() };
    let dir = tempfile::tempdir().unwrap();
    let mut holder = Command::new(std::env::current_exe().unwrap());
    holder.args(["--exact", "holder"]).env("HOLD_IN", dir.path()).env("HOLD_AT", engine.host());
    let mut holder = holder.stdout(Stdio::null()).spawn().unwrap();
    let up = dir.path().join("up");
    wait_for("the drill", || fs::read_to_string(&up).is_ok_and(|id| !id.is_empty()));
    let id = fs::read_to_string(&up).unwrap();
    let settings = DrillSettings::below(dir.path());
    assert!(place::sweep(&settings.scratch_dir, &docker).await.unwrap().removed.is_empty(), "it lives");
    holder.kill().unwrap();
    holder.wait().unwrap();
    assert_eq!(engine.state(&id), "running", "the engine knows nothing of our death");

    fs::create_dir(dir.path().join("jobs")).unwrap();
    let config = dir.path().join("maint.toml");
    let text = format!("stack = \"t\"\nstate_dir = {:?}\n[docker]\nhost = {:?}\n", dir.path(), engine.host());
    fs::write(&config, text).unwrap();
    let done = Without::Nothing.maint(&config, &["recover"]);
    assert!(done.contains("swept: what the dead drill"), "{done}");
    assert!(!drills(&engine).contains(&id));
    assert_eq!(fs::read_dir(&settings.scratch_dir).unwrap().count(), 0);
}
