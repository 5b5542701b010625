//! What the host has, resolved from `maint.toml`: every path absolute, every default filled in.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Duration,
};

use super::{
    compose::ComposeProject,
    coverage::Exclusion,
    daemon::DaemonSettings,
    monitoring::{MetricsSettings, WebSettings},
    notify::Notify,
    reports::ReportSettings,
    secret::SecretSource,
    shell::{database, word},
    store::Stores,
    systemd::SystemdSettings,
    targets::Targets,
};

/// The host's stack, named once in `maint.toml`.
#[derive(Debug, Clone)]
pub struct Stack {
    /// The stack's name, as manifests and reports show it.
    pub name: String,
    /// Where relative paths of the configuration resolve.
    pub root: PathBuf,
    /// The zone of schedules and periods unless a job names its own.
    pub timezone: chrono_tz::Tz,
    /// Where the job files are.
    pub jobs_dir: PathBuf,
    /// Where sets are published.
    pub backup_dir: PathBuf,
    /// Ledger, locks, journals, host secret; one per host.
    pub state_dir: PathBuf,
    /// PostgreSQL servers by name.
    pub postgres: BTreeMap<String, PostgresServer>,
    /// The Docker engine.
    pub docker: Docker,
    /// The compose project.
    pub compose: Option<ComposeProject>,
    /// Where and how sets are restored to try them.
    pub drill: DrillSettings,
    /// Where copies of sets lie, by name.
    pub stores: Stores,
    /// Who signs sets and records, and who is believed.
    pub sign: SignSettings,
    /// What an audit goes by.
    pub audit: AuditSettings,
    /// How the units name things.
    pub systemd: SystemdSettings,
    /// What checks look at.
    pub targets: Targets,
    /// Where reports go, and what they look at.
    pub reports: ReportSettings,
    /// How the daemon behaves.
    pub daemon: DaemonSettings,
    /// What Prometheus is told.
    pub metrics: MetricsSettings,
    /// The status page of the daemon; `None`: there is none.
    pub web: Option<WebSettings>,
    /// Who is told what goes wrong.
    pub notify: Notify,
}

impl Stack {
    /// A stack that has nothing yet, with its directories below `root`.
    pub fn empty(name: &str, root: &Path) -> Self {
        Self {
            name: name.to_owned(),
            root: root.to_owned(),
            timezone: chrono_tz::UTC,
            jobs_dir: root.join("jobs"),
            backup_dir: root.join("backups"),
            state_dir: root.join("state"),
            postgres: BTreeMap::new(),
            docker: Docker::default(),
            compose: None,
            drill: DrillSettings::below(&root.join("state")),
            stores: Stores::default(),
            sign: SignSettings::default(),
            audit: AuditSettings::default(),
            systemd: SystemdSettings::default(),
            targets: Targets::default(),
            reports: ReportSettings::default(),
            daemon: DaemonSettings::default(),
            metrics: MetricsSettings::default(),
            web: None,
            notify: Notify::default(),
        }
    }
}

/// Who signs sets and records, and who is believed.
#[derive(Debug, Clone, Default)]
pub struct SignSettings {
    /// The private key; `None`: nothing is signed.
    pub key: Option<SecretSource>,
    /// The keys that are believed, in the format of ssh-keygen's `allowed_signers`; `None`: whose key it was is not checked.
    pub trust: Option<PathBuf>,
}

/// Where and how a set is restored to try it, before it counts.
#[derive(Debug, Clone)]
pub struct DrillSettings {
    /// Where throwaway servers have their data; one per host, as the state directory.
    pub scratch_dir: PathBuf,
    /// Whether a server may run without a cage where none can be had.
    pub allow_unisolated: bool,
    /// How long a drill may take.
    pub timeout: Duration,
    /// The image of the throwaway server; `None`: that of the source's container, else this host's programs.
    pub image: Option<String>,
    /// A server to restore into, instead of a throwaway one.
    pub server: Option<PostgresServer>,
    /// Where `initdb` and `postgres` are; `None`: found on the host.
    pub bin_dir: Option<PathBuf>,
    /// How many tables are loaded at once; `None`: by the host's cores.
    pub jobs: Option<u32>,
    /// The drill's priority, as in nice(1).
    pub nice: u8,
}

impl DrillSettings {
    /// What holds where `[drill]` says nothing.
    pub fn below(state_dir: &Path) -> Self {
        Self {
            scratch_dir: state_dir.join("drill"),
            allow_unisolated: false,
            timeout: Duration::from_secs(4 * 3600),
            image: None,
            server: None,
            bin_dir: None,
            jobs: None,
            nice: 10,
        }
    }
}

/// One PostgreSQL server.
#[derive(Debug, Clone)]
pub struct PostgresServer {
    /// Its name in `maint.toml`.
    pub name: String,
    /// How maint's own connection reaches it.
    pub address: PostgresAddress,
    /// A container in which the client tools run; `None`: on this host.
    pub tools_in: Option<String>,
    /// The role.
    pub user: String,
    /// The default database.
    pub dbname: String,
    /// The role's password, where the server asks for one.
    pub password: Option<SecretSource>,
    /// TLS of TCP connections, in libpq's words.
    pub sslmode: SslMode,
    /// The certificate authority for `verify-full`; `None`: the host's own.
    pub sslrootcert: Option<PathBuf>,
    /// Where `pg_dump` and `pg_dumpall` are; `None`: found on the host.
    pub bin_dir: Option<PathBuf>,
    /// How long a dump waits for a lock, and how long anyone may wait for the dump's.
    pub lock_timeout: Duration,
}

impl PostgresServer {
    /// What somebody types in a shell to have statements run there, each in a transaction of its own.
    pub fn psql(&self, dbname: &str, statements: &[&str]) -> String {
        let mut command = match &self.address {
            PostgresAddress::Socket { dir, port } => format!("psql -h {} -p {port}", word(&dir.to_string_lossy())),
            PostgresAddress::Host { host, port } => format!("psql -h {} -p {port}", word(host)),
            PostgresAddress::Container { name, .. } => format!("docker exec {} psql", word(name)),
        };
        command += &format!(" -U {} -d {}", word(&self.user), database(dbname));
        statements.iter().fold(command, |command, sql| format!("{command} -c {}", word(sql)))
    }
}

/// How to reach a PostgreSQL server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PostgresAddress {
    /// The directory of a unix socket.
    Socket { dir: PathBuf, port: u16 },
    /// TCP.
    Host { host: String, port: u16 },
    /// The published or bridge address of a container, asked from Docker when it is used.
    Container { name: String, port: u16 },
}

/// TLS of a TCP connection (libpq's `sslmode`, manual §34.19).
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SslMode {
    /// Never.
    Disable,
    /// Where the server offers it; the certificate is not checked.
    Prefer,
    /// Always; the certificate is not checked.
    Require,
    /// Always, and certificate and host name must be right.
    VerifyFull,
}

/// The Docker engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Docker {
    /// `unix:///path`.
    pub host: String,
}

impl Default for Docker {
    /// Where every host has it.
    fn default() -> Self {
        Self { host: "unix:///var/run/docker.sock".into() }
    }
}

/// What an audit goes by.
#[derive(Debug, Clone)]
pub struct AuditSettings {
    /// How old the newest drill of a series may be.
    pub drill_within: Duration,
    /// What no job needs to back up.
    pub excluded: Vec<Exclusion>,
}

impl Default for AuditSettings {
    /// A quarter of a year, and nothing is left out.
    fn default() -> Self {
        Self { drill_within: Duration::from_secs(92 * 24 * 3600), excluded: Vec::new() }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A server in a container.
    pub(crate) fn example() -> PostgresServer {
        PostgresServer {
            name: "p".into(),
            address: PostgresAddress::Container { name: "pg-1".into(), port: 5432 },
            tools_in: None,
            user: "app".into(),
            dbname: "app".into(),
            password: None,
            sslmode: SslMode::Prefer,
            sslrootcert: None,
            bin_dir: None,
            lock_timeout: Duration::from_secs(5),
        }
    }

    #[test]
    fn statements_are_typed_as_the_shell_needs_them() {
        let mut server = example();
        assert_eq!(server.psql("a b", &["SELECT 1"]), "docker exec pg-1 psql -U app -d 'a b' -c 'SELECT 1'");
        server.address = PostgresAddress::Socket { dir: "/run/pg".into(), port: 5433 };
        let typed = server.psql("app", &["DROP INDEX \"a'b\"", "SELECT 2"]);
        assert_eq!(typed, r#"psql -h /run/pg -p 5433 -U app -d app -c 'DROP INDEX "a'\''b"' -c 'SELECT 2'"#);
    }
}
