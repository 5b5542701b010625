//! SIGKILL at random moments of uploads to a bucket.

use std::{
    fs,
    time::{Duration, Instant},
};

use maint::{
    adapters::store::{Store, StoreError},
    model::{contents::hex, manifest::FileDigest},
};
use rand::RngExt;
use sha2::{Digest, Sha256};
use tokio_util::sync::CancellationToken;

use crate::{
    bucket::{Server, block_on},
    from_env, kill, put_child, random,
};

const BYTES: usize = 150 << 20;

#[test]
#[ignore = "belongs to scripts/soak"]
fn uploads_killed_at_any_moment_go_on() {
    let garage = Server::garage();
    let (dir, rounds) = (tempfile::tempdir().unwrap(), from_env("MAINT_SOAK_UPLOADS", 50));
    let (state, path) = (dir.path().join("state"), dir.path().join("x"));
    let mut content = vec![0; BYTES];
    let mut random = random(5);
    random.fill(content.as_mut_slice());
    fs::write(&path, &content).unwrap();
    let digest = FileDigest { file: "x".into(), bytes: BYTES as u64, sha256: hex(&Sha256::digest(&content)) };
    let store = block_on(Store::open(&garage.store("soak"), &state)).unwrap();
    let cancel = CancellationToken::new();
    let (mut killed, mut whole, mut resumed) = (0, 0, 0);
    // How long one takes that nobody kills.
    let begun = Instant::now();
    let all = put_child::command(&garage, "soak", &state, "all", &path, &digest).output().unwrap();
    assert!(all.status.success());
    let longest = u64::try_from(begun.elapsed().as_millis()).unwrap();
    for round in 0..rounds {
        let key = format!("s/m/{round}/x");
        // Some are killed more than once before somebody lets them end.
        for _ in 0..random.random_range(1..4) {
            // Equal blocks are stored once: from the second round on it is faster, and more kills come too late.
            let child = put_child::command(&garage, "soak", &state, &key, &path, &digest).spawn().unwrap();
            std::thread::sleep(Duration::from_millis(random.random_range(0..longest)));
            killed += u64::from(kill(child).is_none());
            match block_on(store.digest(&key, &cancel, &|_| ())) {
                Ok(found) => {
                    assert_eq!(found.sha256, digest.sha256);
                    whole += 1;
                }
                Err(error) => assert!(matches!(error, StoreError::NotThere { .. }), "{error:?}"),
            }
        }
        let journals =
            || fs::read_dir(state.join("uploads")).unwrap().filter(|e| is_journal(e.as_ref().unwrap())).count();
        assert!(garage.open_uploads("soak").len() <= journals(), "an upload is open that no journal knows");
        resumed += journals();
        block_on(store.put(&key, &path, &digest, true, &cancel, &|_| ())).unwrap();
        assert_eq!(block_on(store.digest(&key, &cancel, &|_| ())).unwrap().sha256, digest.sha256);
        assert_eq!(garage.open_uploads("soak"), Vec::<String>::new());
        assert_eq!(journals(), 0);
        block_on(store.delete(&key)).unwrap();
    }
    println!(
        "uploads: {rounds} rounds, {killed} kills, {whole} were whole by then, {resumed} went on; nothing left open"
    );
}

fn is_journal(entry: &fs::DirEntry) -> bool {
    entry.path().extension().is_some_and(|extension| extension == "jsonl")
}
