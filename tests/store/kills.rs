//! SIGKILL in the middle of an upload: what is visible is whole, the next one goes on, nothing stands open afterwards.

use std::time::{Duration, Instant};

use super::*;
use crate::{bucket::Server, put_child};

const MIB: usize = 1 << 20;

#[test]
fn killed_in_the_middle_an_upload_goes_on() {
    let garage = Server::garage();
    let prefix = own_prefix("kills");
    let stage = Stage::new(garage.store(&prefix));
    let store = stage.open();
    let (path, digest) = stage.file("x", 100 * MIB);
    let mut random = StdRng::seed_from_u64(7);
    let mut killed = 0;
    for round in 0..5 {
        let key = format!("s/m/{round}/x");
        let mut child = put_child::command(&garage, &prefix, &stage.state(), &key, &path, &digest).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(random.random_range(100..1200)));
        child.kill().unwrap();
        killed += usize::from(child.wait().unwrap().code().is_none());
        // Visible only when whole; what stands open at the server is in a journal.
        match digest_of(&store, &key) {
            Ok(found) => assert_eq!(found.sha256, digest.sha256),
            Err(error) => assert!(matches!(error, StoreError::NotThere { .. }), "{error}"),
        }
        assert!(garage.open_uploads(&prefix).is_empty() || !stage.journals().is_empty(), "{:?}", stage.journals());
        put(&store, &key, &path, &digest).unwrap();
        assert_eq!(digest_of(&store, &key).unwrap().sha256, digest.sha256);
        assert_eq!(garage.open_uploads(&prefix), Vec::<String>::new());
        assert!(!stage.journals().iter().any(|name| name.ends_with(".jsonl")), "{:?}", stage.journals());
    }
    assert!(killed > 0, "no kill came in time");
}

#[test]
fn what_was_sent_before_a_kill_is_not_sent_again() {
    let garage = Server::garage();
    let prefix = own_prefix("resumed");
    let proxy = crate::proxy::Proxy::before(garage.port);
    let stage = Stage::new(garage.store_at(&proxy.endpoint(), &prefix));
    let (path, digest) = stage.file("x", 100 * MIB);
    let mut child = put_child::command(&garage, &prefix, &stage.state(), "x", &path, &digest).spawn().unwrap();
    // The journal's line of the whole, and some of its seven parts.
    let begun = Instant::now();
    let parts = || {
        let names = stage.journals().into_iter().filter(|name| name.ends_with(".jsonl"));
        let texts = names.filter_map(|name| fs::read_to_string(stage.state().join("uploads").join(name)).ok());
        texts.map(|text| text.lines().count().saturating_sub(1)).sum::<usize>()
    };
    while parts() < 2 && begun.elapsed() < Duration::from_secs(10) {
        std::thread::sleep(Duration::from_millis(5));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let confirmed = parts();
    assert!((2..7).contains(&confirmed), "{confirmed} parts were confirmed");
    // Another endpoint is another place: the journal has to be of the same one.
    rewrite_place(&stage, &garage.endpoint(), &proxy.endpoint());
    put(&stage.open(), "x", &path, &digest).unwrap();
    let sent = proxy.seen().iter().filter(|line| line.starts_with("PUT") && line.contains("partNumber")).count();
    assert_eq!(sent, 7 - confirmed);
    assert_eq!(digest_of(&stage.open(), "x").unwrap().sha256, digest.sha256);
    assert_eq!(garage.open_uploads(&prefix), Vec::<String>::new());
}

fn rewrite_place(stage: &Stage, from: &str, to: &str) {
    for name in stage.journals().into_iter().filter(|name| name.ends_with(".jsonl")) {
        let path = stage.state().join("uploads").join(name);
        let text = fs::read_to_string(&path).unwrap().replace(from, to);
        fs::write(&path, text).unwrap();
    }
}

#[test]
fn an_upload_whose_file_is_gone_is_swept() {
    let garage = Server::garage();
    let prefix = own_prefix("swept");
    let stage = Stage::new(garage.store(&prefix));
    let (path, digest) = stage.file("x", 100 * MIB);
    let mut child = put_child::command(&garage, &prefix, &stage.state(), "x", &path, &digest).spawn().unwrap();
    let begun = Instant::now();
    while garage.open_uploads(&prefix).is_empty() && begun.elapsed() < Duration::from_secs(10) {
        std::thread::sleep(Duration::from_millis(5));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let store = stage.open();
    assert_eq!(bucket::block_on(store.sweep()).unwrap(), Vec::<String>::new(), "it may go on");
    assert_eq!(garage.open_uploads(&prefix), [format!("{prefix}/x")]);
    fs::remove_file(&path).unwrap();
    assert_eq!(bucket::block_on(store.sweep()).unwrap(), ["x"]);
    assert_eq!(garage.open_uploads(&prefix), Vec::<String>::new());
    assert!(!stage.journals().iter().any(|name| name.ends_with(".jsonl")));
}

#[test]
fn other_content_under_the_key_of_a_broken_upload_begins_anew() {
    let garage = Server::garage();
    let prefix = own_prefix("anew");
    let stage = Stage::new(garage.store(&prefix));
    let (path, first) = stage.file("x", 60 * MIB);
    let mut child = put_child::command(&garage, &prefix, &stage.state(), "x", &path, &first).spawn().unwrap();
    let begun = Instant::now();
    while garage.open_uploads(&prefix).is_empty() && begun.elapsed() < Duration::from_secs(10) {
        std::thread::sleep(Duration::from_millis(5));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let (path, second) = stage.file("y", 61 * MIB);
    put(&stage.open(), "x", &path, &second).unwrap();
    assert_eq!(digest_of(&stage.open(), "x").unwrap().sha256, second.sha256);
    assert_eq!(garage.open_uploads(&prefix), Vec::<String>::new());
}

#[test]
fn memory_does_not_grow_with_the_file() {
    let garage = Server::garage();
    let prefix = own_prefix("memory");
    let stage = Stage::new(garage.store(&prefix));
    // Sparse: nothing is stored twice, and nothing is written here.
    let path = stage.dir.path().join("sparse");
    fs::File::create(&path).unwrap().set_len(600 << 20).unwrap();
    let mut sha = Sha256::new();
    (0..600).for_each(|_| sha.update([0; MIB]));
    let digest = FileDigest { file: "sparse".into(), bytes: 600 << 20, sha256: hex(&sha.finalize()) };
    let output = put_child::command(&garage, &prefix, &stage.state(), "x", &path, &digest).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let peak = put_child::peak(&output.stdout);
    assert!(peak < 128, "{peak} MiB");
}
