//! Images pulled from a registry: static files behind nginx, on the engine's own localhost.

use std::{fs, path::PathBuf, process::Command};

use sha2::{Digest, Sha256};

use crate::{
    project::wait_for,
    stage::{NGINX, Stage},
};

const MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";

fn digest(bytes: &[u8]) -> String {
    let hex: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}

struct Registry<'a> {
    stage: &'a Stage,
    dir: PathBuf,
}

impl<'a> Registry<'a> {
    fn start(stage: &'a Stage) -> Self {
        let dir = stage.project.at("registry");
        for made in ["v2/app/manifests", "v2/app/blobs"] {
            fs::create_dir_all(dir.join(made)).unwrap();
        }
        let conf = format!(
            "daemon off; user root; pid /tmp/nginx.pid; error_log stderr;\nevents {{ }}\nhttp {{ access_log off;\n\
             server {{ listen 127.0.0.1:5000; root /registry; location = /v2/ {{ return 200; }}\n\
             location ~ /manifests/ {{ types {{ }} default_type {MANIFEST}; }} }} }}\n"
        );
        fs::write(dir.join("nginx.conf"), conf).unwrap();
        let mount = format!("{}:/registry:ro", dir.display());
        let start = ["run", "--detach", "--name", "registry", "--network", "host", "--volume", &mount];
        stage.engine.docker(&[&start[..], &[NGINX, "nginx", "-c", "/registry/nginx.conf"]].concat());
        let get = ["exec", "registry", "wget", "-qO-", "http://127.0.0.1:5000/v2/"];
        wait_for("the registry", || stage.engine.try_docker(&get).0);
        Self { stage, dir }
    }

    /// An image of one layer with one file.
    fn publish(&self, content: &str) {
        let layer = self.stage.project.at("layer");
        fs::create_dir_all(&layer).unwrap();
        fs::write(layer.join("file"), content).unwrap();
        let tar = |zip: &[&str]| {
            let made = Command::new("tar").arg("-C").arg(&layer).args(zip).args(["-cf", "-", "file"]).output().unwrap();
            made.stdout
        };
        let (plain, packed) = (tar(&[]), tar(&["--gzip"]));
        let config = format!(
            "{{\"architecture\":\"amd64\",\"os\":\"linux\",\"config\":{{}},\
             \"rootfs\":{{\"type\":\"layers\",\"diff_ids\":[\"{}\"]}}}}",
            digest(&plain)
        );
        for blob in [packed.as_slice(), config.as_bytes()] {
            fs::write(self.dir.join("v2/app/blobs").join(digest(blob)), blob).unwrap();
        }
        let entry = |kind: &str, bytes: &[u8]| {
            format!("{{\"mediaType\":\"{kind}\",\"size\":{},\"digest\":\"{}\"}}", bytes.len(), digest(bytes))
        };
        let manifest = format!(
            "{{\"schemaVersion\":2,\"mediaType\":\"{MANIFEST}\",\"config\":{},\"layers\":[{}]}}",
            entry("application/vnd.docker.container.image.v1+json", config.as_bytes()),
            entry("application/vnd.docker.image.rootfs.diff.tar.gzip", &packed)
        );
        for name in ["latest", &digest(manifest.as_bytes())] {
            fs::write(self.dir.join("v2/app/manifests").join(name), &manifest).unwrap();
        }
    }

    fn stop(&self) {
        self.stage.engine.docker(&["rm", "--force", "registry"]);
    }
}

#[test]
fn what_changed_what_did_not_and_what_nobody_knows() {
    let app = "  app:\n    image: localhost:5000/app:latest\n".to_owned();
    let stage = Stage::up("pulls", std::slice::from_ref(&app));
    stage.job("pull", "image_pull = {}");
    let registry = Registry::start(&stage);
    let pull = |code: i32| stage.project.maint(&["run", "pull"]).code(code).said();

    registry.publish("one");
    let said = pull(0);
    assert!(said.contains("image localhost:5000/app:latest: new: none → sha256:"), "{said}");
    let said = pull(0);
    assert!(said.contains("0 images new, 1 as before"), "{said}");
    registry.publish("two");
    let said = pull(0);
    assert!(said.contains("new: sha256:") && said.contains("1 image new"), "{said}");

    stage.files(&["  other:\n    image: localhost:5000/other:latest\n".to_owned(), app]);
    registry.publish("three");
    let said = pull(1);
    assert!(said.contains("image localhost:5000/other:latest: not to be had (other)"), "{said}");
    assert!(said.contains("1 image new"), "the others are pulled: {said}");

    registry.stop();
    let said = pull(4);
    assert!(
        said.contains("whether there is a newer one is not known (app)") && !said.contains("as before, sha256"),
        "{said}"
    );
}
