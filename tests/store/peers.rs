//! Other clients see what maint has stored, with the right checksums.

use std::process::Command;

use super::*;
use crate::bucket::{BUCKET, Server, cache};

/// Runs a client to its end and gives what it printed.
fn said(server: &Server, command: &mut Command) -> String {
    let output = command.envs(server.environment()).output().expect("scripts/install-deps test");
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn the_aws_client_and_rclone_see_what_was_stored() {
    for (server, name) in [(Server::garage(), "garage"), (Server::moto(), "moto")] {
        let prefix = own_prefix("peers");
        let stage = Stage::new(server.store(&prefix));
        let store = stage.open();
        let (small, parts) = (stage.file("small", 100_000), stage.file("parts", 20 << 20));
        for (path, digest) in [&small, &parts] {
            put(&store, &digest.file, path, digest).unwrap();
        }
        aws(&server, &prefix, &stage, &small.1, &parts.1);
        rclone(&server, &prefix, &[&small.1, &parts.1], name);
    }
}

/// `aws` downloads with its own checks on, and its `head-object` tells the checksums.
fn aws(server: &Server, prefix: &str, stage: &Stage, small: &FileDigest, parts: &FileDigest) {
    let client = || {
        let mut command = Command::new(cache().join("python/bin/aws"));
        command.args(["--endpoint-url", &server.endpoint()]);
        command
    };
    let key = |digest: &FileDigest| format!("{prefix}/{}", digest.file);
    let head = |digest: &FileDigest| -> serde_json::Value {
        let mut command = client();
        command.args(["s3api", "head-object", "--bucket", BUCKET, "--key", &key(digest), "--checksum-mode", "ENABLED"]);
        serde_json::from_str(&said(server, command.args(["--output", "json"]))).unwrap()
    };
    let whole = base64(&maint::model::contents::unhex(&small.sha256).unwrap());
    assert_eq!(head(small)["ChecksumSHA256"].as_str(), Some(whole.as_str()), "{}", head(small));
    let content = fs::read(stage.dir.path().join("parts")).unwrap();
    let mut composite = Sha256::new();
    content.chunks(16 << 20).for_each(|part| composite.update(Sha256::digest(part)));
    let composite = base64(&composite.finalize());
    let told = head(parts)["ChecksumSHA256"].as_str().unwrap_or_default().to_owned();
    assert_eq!(told.split('-').next(), Some(composite.as_str()), "{told}");
    let target = stage.dir.path().join("by-aws");
    let mut command = client();
    said(server, command.args(["s3", "cp", "--quiet", &format!("s3://{BUCKET}/{}", key(parts))]).arg(&target));
    assert!(fs::read(&target).unwrap() == content);
}

fn rclone(server: &Server, prefix: &str, digests: &[&FileDigest], name: &str) {
    let remote = format!(
        ":s3,provider=Other,env_auth=true,region=us-east-1,force_path_style=true,endpoint='{}':{BUCKET}/{prefix}",
        server.endpoint()
    );
    let sums = said(server, Command::new("rclone").args(["hashsum", "sha256", "--download", &remote]));
    for digest in digests {
        let line = format!("{}  {}", digest.sha256, digest.file);
        assert!(sums.lines().any(|l| l == line), "{name}: {line} is not in {sums}");
    }
}

fn base64(bytes: &[u8]) -> String {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}
