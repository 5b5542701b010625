//! The Docker adapter and the capture of volumes, against a real engine.

#![expect(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests set their stage")]

#[path = "support/docker.rs"]
mod docker;

use std::{io::Read, os::unix::fs::PermissionsExt, process::Command, time::Duration};

use docker::Engine;
use maint::{
    adapters::{
        docker::{Docker, DockerError, Exec, State},
        process::ProcessEnd,
    },
    model::failure::{Class, Diagnose},
};
use tokio_util::sync::CancellationToken;

async fn connect(engine: &Engine) -> Docker {
    Docker::connect(&engine.host()).await.unwrap()
}

fn shell(container: &str, script: &str) -> Exec {
    Exec::new(container, ["sh", "-c", script])
}

async fn whole(docker: &Docker, exec: Exec) -> (Vec<u8>, ProcessEnd, String) {
    let (mut running, stdout) = docker.exec_stream(&exec).await.unwrap();
    let read = tokio::task::spawn_blocking(move || {
        let mut bytes = Vec::new();
        std::fs::File::from(stdout).read_to_end(&mut bytes).unwrap();
        bytes
    });
    let end = running.wait(&CancellationToken::new()).await.unwrap();
    (read.await.unwrap(), end, running.stderr())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_in_a_container_streams_and_tells_its_end() {
    let engine = Engine::shared();
    engine.run("exec", &[]);
    let docker = connect(&engine).await;
    let (bytes, end, _) = whole(&docker, shell("exec", "head -c 30000000 /dev/zero | tr '\\0' 'x'")).await;
    assert_eq!((bytes.len(), end), (30_000_000, ProcessEnd::Exit(0)));
    assert!(bytes.iter().all(|byte| *byte == b'x'));

    let secret =
        shell("exec", "read word; echo got $word; cat; echo sorry >&2; exit 3").stdin(b"s3cret\nrest".to_vec());
    let (bytes, end, stderr) = whole(&docker, secret).await;
    assert_eq!((bytes.as_slice(), end), (b"got s3cret\nrest".as_slice(), ProcessEnd::Exit(3)));
    assert_eq!(stderr, "sorry\n");

    let said = docker.exec_output(&shell("exec", "echo $WORD").env("WORD", "hello"), &CancellationToken::new()).await;
    assert_eq!(said.unwrap(), "hello\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_is_not_there_is_a_failure() {
    let engine = Engine::shared();
    engine.run("noprogram", &[]);
    engine.docker(&["create", "--name", "created", "--network", "none", docker::IMAGE, "sleep", "1"]);
    let docker = connect(&engine).await;
    let cancel = CancellationToken::new();
    let error = docker.exec_output(&Exec::new("noprogram", ["pg_dump", "--version"]), &cancel).await.unwrap_err();
    println!("{error:?}");
    assert!(error.to_string().contains("pg_dump"), "{error}");
    let error = docker.exec_output(&Exec::new("nowhere", ["true"]), &cancel).await.unwrap_err();
    assert_eq!(error.to_string(), "there is no container `nowhere`");
    let error = docker.exec_output(&Exec::new("created", ["true"]), &cancel).await.unwrap_err();
    assert_eq!(error.to_string(), "the container `created` is not running");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_program_is_ended_also_when_it_ignores_term() {
    let engine = Engine::shared();
    engine.run("cancel", &[]);
    let docker = connect(&engine).await;
    for script in ["exec sleep 4711", "trap '' TERM; while :; do sleep 0.1; done; : 4711"] {
        let cancel = CancellationToken::new();
        let (mut running, _stdout) = docker.exec_stream(&shell("cancel", script)).await.unwrap();
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert!(engine.docker(&["exec", "cancel", "ps"]).contains("4711"));
        cancel.cancel();
        let error = running.wait(&cancel).await.unwrap_err();
        assert_eq!(error.class(), Class::Interrupted, "{error:?}");
        assert!(!engine.docker(&["exec", "cancel", "ps"]).contains("4711"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_whose_reader_is_gone_is_ended() {
    let engine = Engine::shared();
    engine.run("reader", &[]);
    let docker = connect(&engine).await;
    let (mut running, stdout) = docker.exec_stream(&shell("reader", "exec yes")).await.unwrap();
    drop(stdout);
    running.wait(&CancellationToken::new()).await.unwrap_err();
    let (running, _stdout) = docker.exec_stream(&shell("reader", "exec yes")).await.unwrap();
    drop(running);
    for _ in 0..100 {
        if !engine.docker(&["exec", "reader", "ps"]).contains("yes") {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("`yes` still runs");
}

#[tokio::test(flavor = "multi_thread")]
async fn containers_and_volumes_are_described() {
    let engine = Engine::shared();
    let mountpoint = engine.volume("described");
    engine.docker(&["volume", "create", "--opt", "type=tmpfs", "--opt", "device=tmpfs", "optioned"]);
    engine.run("writer", &["--volume", "described:/data", "--label", "a=b"]);
    engine.run("reads", &["--volume", "described:/data:ro"]);
    engine.run("other", &["--volume", "optioned:/described"]);
    engine.docker(&["pause", "reads"]);
    let docker = connect(&engine).await;
    let volume = docker.volume("described").await.unwrap();
    assert_eq!(volume.mountpoint, mountpoint.to_str().unwrap());
    assert!(volume.is_plain_directory() && !docker.volume("optioned").await.unwrap().is_plain_directory());
    let mut uses = docker.containers_using("described").await.unwrap();
    uses.sort_by(|a, b| a.container.name.cmp(&b.container.name));
    let seen: Vec<_> = uses.iter().map(|u| (u.container.name.as_str(), u.container.state, u.writable)).collect();
    assert_eq!(seen, [("reads", State::Paused, false), ("writer", State::Running, true)]);
    assert_eq!(docker.containers_with_label("a=b").await.unwrap()[0].name, "writer");
    assert!(matches!(docker.volume("nothing").await, Err(DockerError::NoSuchVolume { .. })));
    engine.docker(&["unpause", "reads"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_is_one_that_this_host_reaches() {
    let engine = Engine::shared();
    engine.run("isolated", &[]);
    engine.docker(&["run", "-d", "--name", "onhost", "--network", "host", docker::IMAGE, "sleep", "1000"]);
    let docker = connect(&engine).await;
    assert_eq!(docker.container_address("onhost", 5432).await.unwrap(), ("127.0.0.1".into(), 5432));
    let error = docker.container_address("isolated", 5432).await.unwrap_err();
    assert!(matches!(error, DockerError::NoAddress { .. }) && error.hint().unwrap().contains("5432"), "{error}");
}

#[tokio::test]
async fn an_engine_that_is_not_there_says_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let nobody = dir.path().join("docker.sock");
    let error = Docker::connect(&format!("unix://{}", nobody.display())).await.unwrap_err();
    assert_eq!(error.class(), Class::Retryable);
    assert!(error.hint().unwrap().contains("systemctl start docker"), "{error:?}");
    drop(std::os::unix::net::UnixListener::bind(&nobody).unwrap());
    let refused = Docker::connect(&format!("unix://{}", nobody.display())).await.unwrap_err();
    assert!(matches!(refused, DockerError::Unreachable { .. }), "{refused:?}");
    assert_eq!(Docker::connect("tcp://127.0.0.1:2375").await.unwrap_err().class(), Class::Usage);
}

/// Set in a child of this test that runs as nobody: the engine's address.
const AS_NOBODY: &str = "MAINT_TEST_ENGINE_AS_NOBODY";

/// Runs one of these tests as nobody, from a copy of this program that nobody may read.
fn as_nobody(test: &str, host: &str) {
    let dir = tempfile::tempdir().unwrap();
    let open = |path: &std::path::Path| std::fs::set_permissions(path, PermissionsExt::from_mode(0o755)).unwrap();
    let program = dir.path().join("tests");
    std::fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    open(dir.path());
    open(&program);
    let output = Command::new("setpriv")
        .args(["--reuid", "65534", "--regid", "65534", "--clear-groups"])
        .arg(&program)
        .args(["--exact", test, "--nocapture"])
        .env(AS_NOBODY, host)
        .current_dir("/")
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_who_may_not_signal_a_program_ends_it_from_within() {
    if let Ok(host) = std::env::var(AS_NOBODY) {
        let docker = Docker::connect(&host).await.unwrap();
        let cancel = CancellationToken::new();
        let (mut running, _stdout) = docker.exec_stream(&shell("within", "exec sleep 4712")).await.unwrap();
        cancel.cancel();
        let error = running.wait(&cancel).await.unwrap_err();
        assert_eq!(error.class(), Class::Interrupted, "{error:?}");
        return;
    }
    let engine = Engine::shared();
    engine.run("within", &[]);
    let socket = engine.socket();
    let dir = socket.parent().unwrap();
    std::fs::set_permissions(dir, PermissionsExt::from_mode(0o711)).unwrap();
    std::fs::set_permissions(&socket, PermissionsExt::from_mode(0o666)).unwrap();
    as_nobody("a_user_who_may_not_signal_a_program_ends_it_from_within", &engine.host());
    assert!(!engine.docker(&["exec", "within", "ps"]).contains("4712"));
}

#[tokio::test]
async fn a_user_without_permission_is_told_how_to_get_it() {
    if let Ok(host) = std::env::var(AS_NOBODY) {
        let error = Docker::connect(&host).await.unwrap_err();
        assert!(matches!(error, DockerError::Denied { .. }), "{error:?}");
        assert!(error.hint().unwrap().contains("usermod -aG docker"));
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    std::fs::set_permissions(dir.path(), PermissionsExt::from_mode(0o755)).unwrap();
    let socket = dir.path().join("docker.sock");
    let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    std::fs::set_permissions(&socket, PermissionsExt::from_mode(0o600)).unwrap();
    as_nobody("a_user_without_permission_is_told_how_to_get_it", &format!("unix://{}", socket.display()));
}
