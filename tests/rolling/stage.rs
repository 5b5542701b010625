//! A compose project of busybox web servers behind nginx, and a client that asks without end.

use std::{
    fs,
    io::{Read, Write},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use crate::{
    docker::Engine,
    project::{Ended, Project, wait_for},
};

/// The image with nginx of the tests.
pub const NGINX: &str = "maint-test-nginx:1";
pub const APP: &str = "universal-orchestrator";

/// A project of its own on the shared engine, gone with its owner.
pub struct Stage {
    pub engine: Arc<Engine>,
    pub project: Project,
    pub name: &'static str,
    version: Version,
}

/// Which compose program there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// `docker-compose` of version 1.
    One,
    /// `docker compose` of version 2.
    Two,
}

/// A web server as a service, healthy when it has a page.
pub fn service(name: &str, image: &str, more: &str) -> String {
    format!(
        "  {name}:\n    image: {image}\n    command: [httpd, -f, -p, '80', -h, /www]\n    stop_grace_period: 1s\n    \
         healthcheck: {{test: [CMD, wget, -qO-, 'http://127.0.0.1/'], interval: 200ms, timeout: 2s, retries: 3}}\n{more}"
    )
}

/// nginx in front of [`APP`], on a socket in the project's directory.
pub fn front(conf: &str) -> String {
    format!(
        "  nginx:\n    image: {NGINX}\n    command: [nginx]\n    depends_on: [{APP}]\n    \
         volumes: ['./{conf}:/etc/nginx/nginx.conf:ro', './sock:/sock']\n"
    )
}

impl Stage {
    /// Starts the project `name` with these services of a compose file; `more` is for `maint.toml`.
    pub fn up(name: &'static str, services: &[String]) -> Self {
        Self::up_by(Version::One, name, services)
    }

    /// The same, by this compose program.
    pub fn up_by(version: Version, name: &'static str, services: &[String]) -> Self {
        let engine = Engine::shared_with_networks();
        import_nginx(&engine);
        let more = format!(
            "[docker]\nhost = \"{}\"\n[compose]\nproject = \"{name}\"\nfiles = [\"compose.yml\"]\n",
            engine.host()
        );
        let mut stage = Self { engine, project: Project::new(&more), name, version };
        if version == Version::Two {
            let home = stage.project.at("home");
            crate::docker::give_plugins(&home);
            stage.project.set_home(home);
        }
        stage.files(services);
        fs::create_dir(stage.project.at("sock")).unwrap();
        stage.project.write("nginx.conf", &nginx_conf("server universal-orchestrator:80;"));
        stage
    }

    /// Writes the compose file.
    pub fn files(&self, services: &[String]) {
        let text = format!("version: '3.8'\nservices:\n{}volumes: {{data: {{}}}}\n", services.concat());
        self.project.write("compose.yml", &text);
    }

    /// Runs the compose program itself.
    pub fn compose(&self, args: &[&str]) {
        let mut command = match self.version {
            Version::One => Command::new("docker-compose"),
            Version::Two => Command::new("docker"),
        };
        if self.version == Version::Two {
            command.env("HOME", self.project.at("home")).arg("compose");
        }
        command.env("DOCKER_HOST", self.engine.host()).args(["-p", self.name, "-f"]);
        let ended: Ended = command.arg(self.project.at("compose.yml")).args(args).output().unwrap().into();
        ended.code(0);
    }

    /// Everything up, and what has a health check healthy.
    pub fn compose_up(&self) {
        self.compose(&["up", "-d"]);
        wait_for("health", || !self.containers("").iter().any(|container| container.contains("starting")));
    }

    /// A job of one step.
    pub fn job(&self, name: &str, step: &str) {
        let text = format!("description = \"test\"\n[[step]]\nid = \"update\"\nretries = 0\ndo.{step}\n");
        self.project.write(&format!("jobs/{name}.toml"), &text);
    }

    /// A version of the application: an image whose web server says `page`. Without a page it is never healthy.
    pub fn image(&self, name: &str, page: Option<&str>) -> String {
        let root = self.project.at(format!("root-{}", page.unwrap_or("broken")));
        copy_tree(&self.engine.busybox_tree(), &root);
        fs::create_dir_all(root.join("www")).unwrap();
        if let Some(page) = page {
            fs::write(root.join("www/index.html"), page).unwrap();
        }
        self.engine.import(&root, name);
        self.image_id(name)
    }

    pub fn image_id(&self, name: &str) -> String {
        self.engine.docker(&["image", "inspect", "--format", "{{.Id}}", name])
    }

    /// `name id image-id health` of a service's containers, or of all.
    pub fn containers(&self, service: &str) -> Vec<String> {
        let project = format!("label=com.docker.compose.project={}", self.name);
        let of = format!("label=com.docker.compose.service={service}");
        let mut args = vec!["ps", "--all", "--quiet", "--no-trunc", "--filter", &project];
        if !service.is_empty() {
            args.extend(["--filter", &of]);
        }
        let ids = self.engine.docker(&args);
        let format = "{{.Name}} {{.Id}} {{.Image}} {{.State.Status}} {{with .State.Health}}{{.Status}}{{end}}";
        // One may be removed between the two questions.
        let mut seen: Vec<String> =
            ids.lines().map(|id| self.engine.try_docker(&["inspect", "--format", format, id]).1).collect();
        seen.sort();
        seen
    }

    /// The image ids of a service's containers.
    pub fn serves_from(&self, service: &str) -> Vec<String> {
        self.containers(service).iter().map(|c| c.split(' ').nth(2).unwrap().to_owned()).collect()
    }

    pub fn client(&self) -> Client {
        Client::start(self.project.at("sock/nginx.sock"))
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        let project = format!("label=com.docker.compose.project={}", self.name);
        for container in self.engine.try_docker(&["ps", "--all", "--quiet", "--filter", &project]).1.lines() {
            self.engine.try_docker(&["rm", "--force", container]);
        }
        self.engine.try_docker(&["network", "rm", &format!("{}_default", self.name)]);
    }
}

pub fn nginx_conf(server: &str) -> String {
    format!(
        "daemon off; user root; worker_processes 2; pid /tmp/nginx.pid; error_log stderr;\nevents {{ }}\nhttp {{\n  \
         access_log off; proxy_connect_timeout 1s;\n  upstream app {{ {server} }}\n  server {{ listen unix:/sock/nginx.sock; \
         location / {{ proxy_pass http://app; }} }}\n}}\n"
    )
}

fn copy_tree(from: &Path, to: &Path) {
    assert!(Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap().success());
}

/// nginx of this host with the libraries that it names, as an image; once an engine.
fn import_nginx(engine: &Engine) {
    static ONE_AT_A_TIME: std::sync::Mutex<()> = std::sync::Mutex::new(());
    let _one = ONE_AT_A_TIME.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if engine.try_docker(&["image", "inspect", NGINX]).0 {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("root");
    copy_tree(&engine.busybox_tree(), &root);
    let nginx = Path::new("/usr/sbin/nginx");
    assert!(nginx.exists(), "apt-get install nginx-light");
    let libraries = Command::new("ldd").arg(nginx).output().unwrap().stdout;
    let libraries = String::from_utf8(libraries).unwrap();
    let paths = libraries.split_whitespace().filter(|word| word.starts_with('/')).map(PathBuf::from);
    for path in paths.chain([nginx.to_owned()]) {
        let at = root.join(path.strip_prefix("/").unwrap());
        fs::create_dir_all(at.parent().unwrap()).unwrap();
        fs::copy(path, at).unwrap();
    }
    for made in ["etc/nginx", "var/log/nginx", "var/lib/nginx", "usr/share/nginx"] {
        fs::create_dir_all(root.join(made)).unwrap();
    }
    fs::copy(root.join("usr/sbin/nginx"), root.join("bin/nginx")).unwrap();
    fs::write(root.join("etc/passwd"), "root:x:0:0::/:/bin/sh\n").unwrap();
    fs::write(root.join("etc/group"), "root:x:0:\n").unwrap();
    engine.import(&root, NGINX);
}

/// Asks nginx again and again, from two threads.
pub struct Client {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<Asked>>,
}

/// What a client has seen.
#[derive(Debug, Default)]
pub struct Asked {
    pub answers: Vec<String>,
    pub failures: Vec<String>,
    pub slowest: Duration,
}

impl Client {
    fn start(socket: PathBuf) -> Self {
        wait_for("nginx", || ask(&socket).is_ok());
        let stop = Arc::new(AtomicBool::new(false));
        let run = || {
            let (stop, socket) = (Arc::clone(&stop), socket.clone());
            std::thread::spawn(move || {
                let mut asked = Asked::default();
                while !stop.load(Ordering::Relaxed) {
                    let begun = Instant::now();
                    match ask(&socket) {
                        Ok(page) => asked.answers.push(page),
                        Err(why) => asked.failures.push(why),
                    }
                    asked.slowest = asked.slowest.max(begun.elapsed());
                    std::thread::sleep(Duration::from_millis(2));
                }
                asked
            })
        };
        Self { threads: vec![run(), run()], stop }
    }

    /// Stops asking; gives all that was seen.
    pub fn end(self) -> Asked {
        self.stop.store(true, Ordering::Relaxed);
        let mut all = Asked::default();
        for thread in self.threads {
            let one = thread.join().unwrap();
            all.answers.extend(one.answers);
            all.failures.extend(one.failures);
            all.slowest = all.slowest.max(one.slowest);
        }
        println!("{} answers, {} failures, slowest {:?}", all.answers.len(), all.failures.len(), all.slowest);
        all
    }
}

/// One request; the page, or why there is none.
pub fn ask(socket: &Path) -> Result<String, String> {
    let talk = || -> std::io::Result<String> {
        let mut stream = UnixStream::connect(socket)?;
        stream.set_read_timeout(Some(Duration::from_secs(20)))?;
        stream.write_all(b"GET / HTTP/1.0\r\nHost: app\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    };
    let answer = talk().map_err(|error| error.to_string())?;
    let (head, page) = answer.split_once("\r\n\r\n").ok_or_else(|| format!("cut: {answer:?}"))?;
    if head.starts_with("HTTP/1.1 200") {
        Ok(page.to_owned())
    } else {
        Err(head.lines().next().unwrap_or_default().to_owned())
    }
}
