//! A process that puts one file into Garage's bucket, to be killed or measured: this very test binary, started again.

#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::allow_attributes,
    reason = "every test file uses its own part"
)]

use std::{
    path::Path,
    process::{Command, Stdio},
};

use maint::{
    adapters::store::Store,
    model::{
        manifest::FileDigest,
        store::{Place, StoreConfig},
    },
};
use tokio_util::sync::CancellationToken;

use crate::bucket::{BUCKET, Server, block_on};

const ASKED: &str = "MAINT_TEST_PUT";

/// The command of a process that puts `file` under `key`, and prints its peak memory in KiB.
pub fn command(server: &Server, prefix: &str, state: &Path, key: &str, file: &Path, digest: &FileDigest) -> Command {
    let asked = serde_json::json!({
        "endpoint": server.endpoint(), "prefix": prefix, "state": state, "key": key, "file": file,
        "bytes": digest.bytes, "sha256": digest.sha256,
    });
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "put_child::a_process_of_its_own_puts_an_object", "--nocapture"]);
    command.env(ASKED, asked.to_string()).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// The peak memory that such a process told of, in MiB.
pub fn peak(stdout: &[u8]) -> u64 {
    let text = String::from_utf8_lossy(stdout);
    let line = text.lines().find_map(|line| line.strip_prefix("peak ")).unwrap_or_else(|| panic!("{text}"));
    line.parse::<u64>().unwrap() / 1024
}

/// What the process does; among the other tests it puts a few bytes into a directory.
#[test]
fn a_process_of_its_own_puts_an_object() {
    let dir = tempfile::tempdir().unwrap();
    let asked = std::env::var(ASKED).unwrap_or_else(|_| {
        std::fs::write(dir.path().join("x"), "").unwrap();
        let nothing = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        serde_json::json!({ "key": "k", "file": dir.path().join("x"), "state": dir.path(), "bytes": 0, "sha256": nothing })
            .to_string()
    });
    let asked: serde_json::Value = serde_json::from_str(&asked).unwrap();
    let text = |key: &str| asked[key].as_str().unwrap_or_default().to_owned();
    let config = match asked["endpoint"].as_str() {
        Some(endpoint) => Server::store_of(endpoint, asked["bucket"].as_str().unwrap_or(BUCKET), &text("prefix")),
        None => StoreConfig {
            name: "offsite".into(),
            place: Place::Local { dir: dir.path().to_owned(), mounted: false },
            prefix: "below".into(),
            encrypt_to: Vec::new(),
            keep: None,
        },
    };
    let digest = FileDigest { file: text("key"), bytes: asked["bytes"].as_u64().unwrap(), sha256: text("sha256") };
    let stored = block_on(async {
        let store = Store::open(&config, text("state").as_ref()).await.unwrap();
        let (key, file) = (text("key"), text("file"));
        store.put(&key, file.as_ref(), &digest, true, &CancellationToken::new(), &|_| ()).await
    });
    stored.unwrap();
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    println!("peak {}", peak.trim().trim_end_matches(" kB"));
}
