//! Base images from a registry of the test's own: what is new, who still runs the old one, and what nobody knows.

use std::{fs, process::Command};

use crate::{docker::Engine, project::Project, registry::Shelf, server::Server};

/// A registry, and an image of busybox in it.
pub struct Registry {
    server: Server,
    shelf: Shelf,
    tree: std::path::PathBuf,
}

impl Registry {
    pub fn start(engine: &Engine) -> Self {
        let server = Server::start("nginx", |command, dir, port| {
            let conf =
                Shelf::new(dir).configure(&dir.display().to_string(), &dir.join("pid").display().to_string(), port);
            command.arg("-c").arg(conf);
        });
        let tree = server.dir.path().join("tree");
        assert!(Command::new("cp").arg("-a").arg(engine.busybox_tree()).arg(&tree).status().unwrap().success());
        let shelf = Shelf::new(server.dir.path());
        Self { server, shelf, tree }
    }

    pub fn publish(&self, name: &str, content: &str) -> String {
        fs::write(self.tree.join("content"), content).unwrap();
        self.shelf.publish(name, "1", &self.tree)
    }

    pub fn name(&self, image: &str) -> String {
        format!("localhost:{}/{image}:1", self.server.port)
    }

    pub fn stop(&mut self) {
        self.server.kill();
    }
}

fn job(project: &Project, images: &[String]) {
    let step = format!("do.image_pull = {{ images = {images:?} }}");
    project.write("jobs/pull.toml", &format!("description = \"x\"\n[[step]]\nid = \"pull\"\nretries = 0\n{step}\n"));
}

#[test]
fn what_is_new_is_told_with_who_still_runs_the_old_one_and_nothing_is_restarted() {
    let engine = Engine::shared();
    let mut registry = Registry::start(&engine);
    let project = Project::new(&format!("[docker]\nhost = \"{}\"\n", engine.host()));
    let (base, other) = (registry.name("base"), registry.name("other"));
    job(&project, &[base.clone(), other.clone()]);
    let pull = |code: i32| project.maint(&["run", "pull"]).code(code).said();

    let first = registry.publish("base", "one");
    registry.publish("other", "other");
    let said = pull(0);
    assert!(said.contains(&format!("image {base}: new: none → {}", &first[..19])), "{said}");
    assert!(said.contains("2 images new, 0 as before"), "{said}");
    let labels = ["--label", "com.docker.compose.project=p", "--label", "com.docker.compose.service=db"];
    let run = [
        &["run", "--detach", "--name", "on-base", "--network", "none"][..],
        &labels,
        &[&base, "/bin/sleep", "1000000"],
    ];
    engine.docker(&run.concat());
    let (id, started) = (engine.docker(&["inspect", "--format", "{{.Image}}", "on-base"]), engine.started("on-base"));
    assert!(pull(0).contains("0 images new, 2 as before"));

    let second = registry.publish("base", "two");
    let said = pull(0);
    assert!(said.contains(&format!("new: {} → {}", &first[..19], &second[..19])), "{said}");
    assert!(said.contains("still on an old one: on-base (service db)"), "{said}");
    assert!(said.contains("docker compose up --detach --no-deps db"), "{said}");
    // It is told until it is done.
    let said = pull(0);
    assert!(
        said.contains("as before") && said.contains("0 images new, 2 as before; 1 container on an old one"),
        "{said}"
    );
    assert_eq!(
        (id, started),
        (engine.docker(&["inspect", "--format", "{{.Image}}", "on-base"]), engine.started("on-base"))
    );
    engine.docker(&["rm", "--force", "on-base"]);
    assert!(!pull(0).contains("old one"));

    let missing = registry.name("missing");
    job(&project, &[missing.clone(), base.clone()]);
    let said = pull(1);
    assert!(said.contains(&format!("image {missing}: not to be had")) && said.contains("1 as before"), "{said}");
    registry.stop();
    let said = pull(4);
    assert!(said.contains("whether there is a newer one is not known") && !said.contains("as before, sha"), "{said}");
    assert!(said.contains(&format!("image {base}")), "{said}");
}

#[test]
fn names_that_are_none_are_refused() {
    let project = Project::new("");
    for (images, services, expected) in [
        ("\"--all-tags\"", "", "expected names as `docker pull` takes them"),
        ("\"redis:7\"", ", services = [\"a\"]", "name services or images"),
    ] {
        let step = format!("do.image_pull = {{ images = [{images}]{services} }}");
        project.write("jobs/pull.toml", &format!("description = \"x\"\n[[step]]\nid = \"pull\"\n{step}\n"));
        let said = project.maint(&["check"]).code(2);
        assert!((said.stdout + &said.stderr).contains(expected));
    }
}
