//! Buckets of real servers for tests: Garage and moto, each started once per test binary, gone afterwards.

#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::allow_attributes,
    reason = "every test file uses its own part"
)]

use std::{
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex, Weak, mpsc},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use aws_sdk_s3::{Client, config};
use maint::model::{
    secret::{Secret, SecretSource},
    store::{Place, S3Keys, S3Settings, StoreConfig},
};
use tempfile::TempDir;

const ACCESS: &str = "GK0123456789abcdef01234567";
const SECRET: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
/// The bucket that every server has.
pub const BUCKET: &str = "maint-test";

/// Where `scripts/install-deps test` puts what no package manager has.
pub fn cache() -> PathBuf {
    let home = || PathBuf::from(std::env::var_os("HOME").unwrap_or_else(|| "/root".into())).join(".cache/maint-tests");
    std::env::var_os("MAINT_TEST_CACHE").map_or_else(home, PathBuf::from)
}

/// A port that nobody listens on.
fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A running server. The last test that holds it stops it.
pub struct Server {
    dir: TempDir,
    pub port: u16,
    stop: Option<mpsc::Sender<()>>,
    keeper: Option<JoinHandle<()>>,
}

impl Server {
    /// Garage: keeps SHA-256 checksums, ignores `If-None-Match`, has no Object Lock.
    pub fn garage() -> Arc<Self> {
        static SHARED: Mutex<Weak<Server>> = Mutex::new(Weak::new());
        shared(&SHARED, || {
            let server = Self::start("garage", |dir, port| {
                std::fs::write(dir.join("garage.toml"), garage_config(dir, port)).unwrap();
                let mut command = Command::new("setpriv");
                command.args(["--pdeathsig", "KILL"]).arg(cache().join("garage/bin/garage"));
                command.arg("-c").arg(dir.join("garage.toml")).args(["server", "--single-node", "--default-bucket"]);
                command.env("GARAGE_DEFAULT_ACCESS_KEY", ACCESS).env("GARAGE_DEFAULT_SECRET_KEY", SECRET);
                command.env("GARAGE_DEFAULT_BUCKET", BUCKET).env("RUST_LOG", "garage=warn");
                command
            });
            server.wait_for_bucket();
            server
        })
    }

    /// moto: honours `If-None-Match`, has versions and Object Lock; keeps all in memory.
    pub fn moto() -> Arc<Self> {
        static SHARED: Mutex<Weak<Server>> = Mutex::new(Weak::new());
        shared(&SHARED, || {
            let server = Self::start("moto", |_, port| {
                let mut command = Command::new("setpriv");
                command.args(["--pdeathsig", "KILL"]).arg(cache().join("python/bin/python"));
                command.arg(cache().join("python/bin/moto_server"));
                command.args(["-H", "127.0.0.1", "-p", &port.to_string()]);
                command
            });
            block_on(async {
                server.client().create_bucket().bucket(BUCKET).send().await.unwrap();
                let locked = server.client().create_bucket().bucket("locked").object_lock_enabled_for_bucket(true);
                locked.send().await.unwrap();
            });
            server
        })
    }

    fn start(name: &str, command: impl FnOnce(&Path, u16) -> Command) -> Self {
        let dir = tempfile::Builder::new().prefix(&format!("maint-{name}-")).tempdir().unwrap();
        let port = free_port();
        let mut command = command(dir.path(), port);
        let log = std::fs::File::create(dir.path().join("log")).unwrap();
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        let (stop, stopped) = mpsc::channel();
        let (up, is_up) = mpsc::channel();
        // The kernel ends the server when this thread ends (PR_SET_PDEATHSIG is about threads).
        let keeper = std::thread::spawn(move || {
            let mut child: Child = command.spawn().expect("setpriv of util-linux");
            up.send(()).unwrap();
            let _ = stopped.recv();
            let _ = child.kill();
            let _ = child.wait();
        });
        is_up.recv().unwrap();
        let server = Self { dir, port, stop: Some(stop), keeper: Some(keeper) };
        let begun = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(begun.elapsed() < Duration::from_secs(40), "{name} did not come up; {}", server.log());
            std::thread::sleep(Duration::from_millis(50));
        }
        server
    }

    fn log(&self) -> String {
        let log = std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default();
        format!("scripts/install-deps test installs it:\n{log}")
    }

    fn wait_for_bucket(&self) {
        let begun = Instant::now();
        while block_on(self.client().list_objects_v2().bucket(BUCKET).send()).is_err() {
            assert!(begun.elapsed() < Duration::from_secs(40), "no bucket; {}", self.log());
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// The URL of the server.
    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// A client of the SDK's own, for looking behind maint's back.
    pub fn client(&self) -> Client {
        let config = config::Builder::new()
            .behavior_version(config::BehaviorVersion::latest())
            .credentials_provider(config::Credentials::new(ACCESS, SECRET, None, None, "test"))
            .region(config::Region::new("us-east-1"))
            .endpoint_url(self.endpoint())
            .force_path_style(true)
            .http_client(aws_smithy_http_client::Builder::new().build_http())
            .request_checksum_calculation(config::RequestChecksumCalculation::WhenRequired)
            .build();
        Client::from_conf(config)
    }

    /// A store in the server's bucket, below a prefix.
    pub fn store(&self, prefix: &str) -> StoreConfig {
        self.store_at(&self.endpoint(), prefix)
    }

    /// The same through a proxy; impatient, for tests.
    pub fn store_at(&self, endpoint: &str, prefix: &str) -> StoreConfig {
        Self::store_of(endpoint, BUCKET, prefix)
    }

    /// The same without a server at hand.
    pub fn store_of(endpoint: &str, bucket: &str, prefix: &str) -> StoreConfig {
        StoreConfig {
            name: "offsite".into(),
            place: Place::S3(Box::new(S3Settings {
                bucket: bucket.into(),
                region: Some("us-east-1".into()),
                endpoint: Some(endpoint.into()),
                path_style: true,
                ca_file: None,
                keys: Some(S3Keys {
                    access_key: ACCESS.into(),
                    secret_key: SecretSource::Inline(Secret::new(SECRET.into())),
                }),
                profile: None,
                object_lock: None,
                storage_class: None,
                encryption: None,
                parts_in_flight: 4,
                answer_within: Duration::from_secs(4),
                retry_for: Duration::from_secs(3),
            })),
            prefix: prefix.into(),
            encrypt_to: Vec::new(),
            keep: None,
        }
    }

    /// The keys of uploads that stand open below a prefix.
    pub fn open_uploads(&self, prefix: &str) -> Vec<String> {
        let listed = block_on(self.client().list_multipart_uploads().bucket(BUCKET).prefix(prefix).send()).unwrap();
        listed.uploads().iter().filter_map(|upload| upload.key().map(str::to_owned)).collect()
    }

    /// The keys that are visible below a prefix.
    pub fn keys(&self, prefix: &str) -> Vec<String> {
        let listed = block_on(self.client().list_objects_v2().bucket(BUCKET).prefix(prefix).send()).unwrap();
        listed.contents().iter().filter_map(|object| object.key().map(str::to_owned)).collect()
    }

    /// The environment of other clients: aws, rclone.
    pub fn environment(&self) -> [(&'static str, String); 5] {
        [
            ("AWS_ACCESS_KEY_ID", ACCESS.into()),
            ("AWS_SECRET_ACCESS_KEY", SECRET.into()),
            ("AWS_DEFAULT_REGION", "us-east-1".into()),
            ("AWS_REGION", "us-east-1".into()),
            ("AWS_EC2_METADATA_DISABLED", "true".into()),
        ]
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(keeper) = self.keeper.take() {
            let _ = keeper.join();
        }
    }
}

fn shared(slot: &Mutex<Weak<Server>>, start: impl FnOnce() -> Server) -> Arc<Server> {
    let mut slot = slot.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if let Some(server) = slot.upgrade() {
        return server;
    }
    let server = Arc::new(start());
    *slot = Arc::downgrade(&server);
    server
}

fn garage_config(dir: &Path, port: u16) -> String {
    let (rpc, admin) = (free_port(), free_port());
    format!(
        "metadata_dir = \"{0}/meta\"\ndata_dir = \"{0}/data\"\ndb_engine = \"sqlite\"\nreplication_factor = 1\n\
         rpc_bind_addr = \"127.0.0.1:{rpc}\"\nrpc_public_addr = \"127.0.0.1:{rpc}\"\nrpc_secret = \"{SECRET}\"\n\
         [s3_api]\ns3_region = \"us-east-1\"\napi_bind_addr = \"127.0.0.1:{port}\"\n\
         [admin]\napi_bind_addr = \"127.0.0.1:{admin}\"\n",
        dir.display()
    )
}

/// Runs something asynchronous to its end.
pub fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap().block_on(future)
}
