//! Images pulled from a registry: static files behind nginx, on the engine's own localhost.

use std::fs;

use crate::{
    project::wait_for,
    registry::Shelf,
    stage::{NGINX, Stage},
};

struct Registry<'a> {
    stage: &'a Stage,
    shelf: Shelf,
}

impl<'a> Registry<'a> {
    fn start(stage: &'a Stage) -> Self {
        let dir = stage.project.at("registry");
        fs::create_dir_all(&dir).unwrap();
        let shelf = Shelf::new(&dir);
        shelf.configure("/registry", "/tmp/nginx.pid", 5000);
        let mount = format!("{}:/registry:ro", dir.display());
        let start = ["run", "--detach", "--name", "registry", "--network", "host", "--volume", &mount];
        stage.engine.docker(&[&start[..], &[NGINX, "nginx", "-c", "/registry/nginx.conf"]].concat());
        let get = ["exec", "registry", "wget", "-qO-", "http://127.0.0.1:5000/v2/"];
        wait_for("the registry", || stage.engine.try_docker(&get).0);
        Self { stage, shelf }
    }

    /// An image of one layer with one file.
    fn publish(&self, content: &str) {
        let layer = self.stage.project.at("layer");
        fs::create_dir_all(&layer).unwrap();
        fs::write(layer.join("file"), content).unwrap();
        self.shelf.publish("app", "latest", &layer);
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
