//! A server in a container of an image that this host has: without a network, without capabilities, and with nothing
//! of the host but a directory of its own.

use std::{path::PathBuf, time::Duration};

use tokio_util::sync::CancellationToken;

use super::{PORT, START_TIMEOUT, answers, as_stack_server, refuse, socket_fits};
use crate::{
    adapters::{
        clock,
        docker::{Docker, DockerError, DrillContainer, DrillLabel, State},
        files,
        postgres::PostgresError,
        process::ProcessError,
    },
    model::{failure::chain, stack::PostgresServer},
};

/// Makes the cluster and becomes the server. `initdb` and `postgres` are on the PATH of every image that serves.
const SCRIPT: &str = "data=$1; name=$2; shift 2; \
    initdb --pgdata=\"$data\" --username=\"$name\" --auth=trust --no-sync --encoding=UTF8 --locale=C; \
    exec postgres -D \"$data\" \"$@\"";
/// The user of PostgreSQL in its images.
const USER: &str = "postgres";

/// What to start.
#[derive(Debug, Clone)]
pub struct Image {
    /// A directory of the server's own, which nobody but maint can reach.
    pub dir: PathBuf,
    /// The image; it is never pulled.
    pub image: String,
    /// By what a sweep finds the container.
    pub label: DrillLabel,
    /// The superuser's name.
    pub superuser: String,
    /// Settings as `postgres -c` takes them.
    pub settings: Vec<(String, String)>,
    /// As in nice(1).
    pub nice: u8,
}

/// A running server in a container; removed when dropped.
#[derive(Debug)]
pub struct Contained {
    docker: Docker,
    id: Option<String>,
    socket_dir: PathBuf,
    data: PathBuf,
    superuser: String,
}

impl Contained {
    /// Makes a container with a cluster below the directory and starts it.
    ///
    /// # Errors
    /// When the engine refuses, or the server does not answer in a minute; nothing is left in the engine then.
    pub async fn start(docker: &Docker, image: &Image, cancel: &CancellationToken) -> Result<Self, PostgresError> {
        let (shared, socket_dir) = (image.dir.join("c"), image.dir.join("c/s"));
        socket_fits(&socket_dir)?;
        // The image's user has an id that only the image knows; the way here is closed to everybody else.
        for dir in [&shared, &socket_dir] {
            files::create_private_dir(dir)?;
            files::set_mode(dir, 0o777)?;
        }
        let data = shared.join("data");
        let mut argv = vec!["sh".into(), "-ec".into(), SCRIPT.into(), "sh".into()];
        argv.extend([data.display().to_string(), image.superuser.clone()]);
        let options = [("listen_addresses", String::new()), ("port", PORT.to_string())].into_iter();
        let options = options.chain([("unix_socket_directories", socket_dir.display().to_string())]);
        let settings = options.map(|(key, value)| (key.to_owned(), value)).chain(image.settings.iter().cloned());
        argv.extend(settings.flat_map(|(key, value)| ["-c".to_owned(), format!("{key}={value}")]));
        let order = DrillContainer {
            image: image.image.clone(),
            user: USER.into(),
            argv,
            dir: shared,
            label: image.label.clone(),
            nice: image.nice,
        };
        let id = docker.create_drill(&order).await?;
        let superuser = image.superuser.clone();
        let this = Self { docker: docker.clone(), id: Some(id.clone()), socket_dir, data, superuser };
        let started = async {
            docker.start(&id).await?;
            this.wait_until_ready(&id, cancel).await
        };
        match started.await {
            Ok(()) => Ok(this),
            Err(error) => {
                // The first error says what is wrong; what stays is swept by its label.
                let _ = this.stop().await;
                Err(error)
            }
        }
    }

    async fn wait_until_ready(&self, id: &str, cancel: &CancellationToken) -> Result<(), PostgresError> {
        let begun = clock::monotonic();
        let server = self.server("drill", "postgres");
        loop {
            let Err(error) = answers(&server).await else { return Ok(()) };
            if self.docker.container(id).await?.container.state != State::Running {
                return Err(refuse(self.docker.said_by(id).await));
            }
            if begun.elapsed() > START_TIMEOUT {
                let said = self.docker.said_by(id).await;
                return Err(refuse(format!("it did not answer in a minute: {}; it says: {said}", chain(&error))));
            }
            tokio::select! {
                () = tokio::time::sleep(Duration::from_millis(100)) => {}
                () = cancel.cancelled() => {
                    return Err(ProcessError::Cancelled { program: "postgres".into() }.into());
                }
            }
        }
    }

    /// The server as a stack names it; its client tools are in the container, where its socket has the same path.
    pub fn server(&self, name: &str, dbname: &str) -> PostgresServer {
        PostgresServer { tools_in: self.id.clone(), ..as_stack_server(name, &self.socket_dir, &self.superuser, dbname) }
    }

    /// The container's id.
    pub fn id(&self) -> &str {
        self.id.as_deref().unwrap_or_default()
    }

    /// The last lines that it wrote to its log.
    pub async fn said(&self) -> String {
        self.docker.said_by(self.id()).await
    }

    /// Removes it; its directory is the caller's to remove.
    ///
    /// # Errors
    /// When the engine keeps it: then the directory must stay too, for a sweep to find it.
    pub async fn stop(mut self) -> Result<(), DockerError> {
        let Some(id) = self.id.take() else { return Ok(()) };
        self.docker.remove_drill_content(&id, &self.data).await;
        self.docker.remove_drill(&id).await
    }
}

impl Drop for Contained {
    fn drop(&mut self) {
        let Some(id) = self.id.take() else { return };
        let (host, data) = (self.docker.host().to_owned(), self.data.clone());
        // The runtime that this is dropped in may be ending: the removal has one of its own, on a thread of its own.
        let removal = std::thread::spawn(move || {
            let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else { return };
            runtime.block_on(async {
                if let Ok(docker) = Docker::connect(&host).await {
                    docker.remove_drill_content(&id, &data).await;
                    let _ = docker.remove_drill(&id).await;
                }
            });
        });
        let _ = removal.join();
    }
}
