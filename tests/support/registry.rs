//! A registry of images: static files, which nginx serves.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::allow_attributes,
    reason = "every test file uses its own part"
)]

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use sha2::{Digest, Sha256};

const MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";

/// The files of a registry.
pub struct Shelf {
    dir: PathBuf,
}

fn digest(bytes: &[u8]) -> String {
    let hex: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}

impl Shelf {
    pub fn new(dir: &Path) -> Self {
        Self { dir: dir.to_owned() }
    }

    /// Writes the configuration of an nginx that serves these files, which are at `root` for it.
    pub fn configure(&self, root: &str, pid: &str, port: u16) -> PathBuf {
        let conf = format!(
            "daemon off; master_process off; user root; pid {pid}; error_log stderr;\nevents {{ }}\nhttp {{ access_log off;\n\
             server {{ listen 127.0.0.1:{port}; root {root}; location = /v2/ {{ return 200; }}\n\
             location ~ /manifests/ {{ types {{ }} default_type {MANIFEST}; }} }} }}\n"
        );
        let path = self.dir.join("nginx.conf");
        fs::write(&path, conf).unwrap();
        path
    }

    /// An image of one layer: what is in `tree`. Gives the digest that the registry has it as.
    pub fn publish(&self, name: &str, tag: &str, tree: &Path) -> String {
        let at = |kind: &str| self.dir.join("v2").join(name).join(kind);
        for kind in ["manifests", "blobs"] {
            fs::create_dir_all(at(kind)).unwrap();
        }
        let tar = |zip: &[&str]| {
            let made = Command::new("tar").arg("-C").arg(tree).args(zip).args(["-cf", "-", "."]).output().unwrap();
            assert!(made.status.success());
            made.stdout
        };
        let (plain, packed) = (tar(&[]), tar(&["--gzip"]));
        let config = format!(
            "{{\"architecture\":\"amd64\",\"os\":\"linux\",\"config\":{{}},\
             \"rootfs\":{{\"type\":\"layers\",\"diff_ids\":[\"{}\"]}}}}",
            digest(&plain)
        );
        for blob in [packed.as_slice(), config.as_bytes()] {
            fs::write(at("blobs").join(digest(blob)), blob).unwrap();
        }
        let entry = |kind: &str, bytes: &[u8]| {
            format!("{{\"mediaType\":\"{kind}\",\"size\":{},\"digest\":\"{}\"}}", bytes.len(), digest(bytes))
        };
        let manifest = format!(
            "{{\"schemaVersion\":2,\"mediaType\":\"{MANIFEST}\",\"config\":{},\"layers\":[{}]}}",
            entry("application/vnd.docker.container.image.v1+json", config.as_bytes()),
            entry("application/vnd.docker.image.rootfs.diff.tar.gzip", &packed)
        );
        let known = digest(manifest.as_bytes());
        for name in [tag, &known] {
            fs::write(at("manifests").join(name), &manifest).unwrap();
        }
        known
    }
}
