//! What checks look at, as `maint.toml` names it.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use schemars::JsonSchema;
use serde::Deserialize;

use super::{bands::Bands, finding::Unit, secret::SecretSource, shell::word};

/// Everything that checks look at, by name.
#[derive(Debug, Clone, Default)]
pub struct Targets {
    /// Prometheus servers.
    pub prometheus: BTreeMap<String, Prometheus>,
    /// Who keeps alerts: Alertmanager or Grafana.
    pub alertmanager: BTreeMap<String, Alertmanager>,
    /// Redis clusters.
    pub redis: BTreeMap<String, RedisCluster>,
    /// What must answer over HTTP.
    pub endpoint: BTreeMap<String, Endpoint>,
    /// Certificates, as files and as they are served.
    pub certificate: BTreeMap<String, Certificate>,
    /// Measures of the stack.
    pub metric: BTreeMap<String, Metric>,
}

impl Targets {
    /// The secrets that targets ask for.
    pub fn secrets(&self) -> impl Iterator<Item = &SecretSource> {
        let webs = self.prometheus.values().map(|target| &target.web);
        let webs = webs.chain(self.alertmanager.values().map(|target| &target.web));
        let webs = webs.chain(self.endpoint.values().map(|target| &target.web));
        let logins = webs.filter_map(|web| match web.login.as_ref()? {
            Login::Token(secret) | Login::User { password: secret, .. } => Some(secret),
        });
        logins.chain(self.redis.values().filter_map(|cluster| cluster.password.as_ref()))
    }
}

/// How to reach something over HTTP.
#[derive(Debug, Clone)]
pub struct Web {
    /// Its URL, without a secret in it and without a slash at its end.
    pub url: String,
    /// Who maint is there.
    pub login: Option<Login>,
    /// The certificate authority of its certificate; `None`: the host's own.
    pub ca_file: Option<PathBuf>,
    /// How long an answer may take.
    pub timeout: Duration,
}

/// Who maint is at a target.
#[derive(Debug, Clone)]
pub enum Login {
    /// `Authorization: Bearer`
    Token(SecretSource),
    /// `Authorization: Basic`
    User {
        /// The user.
        user: String,
        /// Its password.
        password: SecretSource,
    },
}

/// A Prometheus server.
#[derive(Debug, Clone)]
pub struct Prometheus {
    /// Where it is.
    pub web: Web,
    /// How old a sample may be before it says nothing of now.
    pub stale_after: Duration,
}

/// Who keeps alerts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum AlertsKind {
    /// Prometheus' Alertmanager.
    #[default]
    Alertmanager,
    /// Grafana's own.
    Grafana,
}

/// A keeper of alerts.
#[derive(Debug, Clone)]
pub struct Alertmanager {
    /// Where it is.
    pub web: Web,
    /// What it is.
    pub kind: AlertsKind,
    /// The alert that always fires, where there is one: without it nothing is known.
    pub watchdog: Option<String>,
    /// The Prometheus server that is asked for its alerts where this one cannot be.
    pub prometheus: Option<String>,
}

/// A Redis cluster.
#[derive(Debug, Clone)]
pub struct RedisCluster {
    /// Its nodes.
    pub nodes: Vec<Node>,
    /// The user; `None`: the default one.
    pub user: Option<String>,
    /// Its password.
    pub password: Option<SecretSource>,
    /// How long a node may take to answer.
    pub timeout: Duration,
}

/// Where a node of a cluster is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Node {
    /// TCP.
    Host { host: String, port: u16 },
    /// The published or bridge address of a container, asked from Docker when it is used.
    Container { name: String, port: u16 },
}

impl Node {
    /// As `maint.toml` has it.
    pub fn label(&self) -> String {
        match self {
            Self::Host { host, port } if host.contains(':') => format!("[{host}]:{port}"),
            Self::Host { host, port } => format!("{host}:{port}"),
            Self::Container { name, .. } => name.clone(),
        }
    }

    /// What somebody types in a shell to ask it.
    pub fn cli(&self, command: &str) -> String {
        match self {
            Self::Host { host, port } => format!("redis-cli -h {} -p {port} {command}", word(host)),
            Self::Container { name, port } => format!("docker exec {} redis-cli -p {port} {command}", word(name)),
        }
    }

    /// The same for what is about the whole cluster, through this node.
    pub fn cluster_cli(&self, command: &str, more: &str) -> String {
        let (prefix, address) = match self {
            Self::Host { .. } => (String::new(), word(&self.label())),
            Self::Container { name, port } => (format!("docker exec {} ", word(name)), format!("127.0.0.1:{port}")),
        };
        format!("{prefix}redis-cli --cluster {command} {address} {more}").trim_end().to_owned()
    }
}

/// What must answer over HTTP.
#[derive(Debug, Clone)]
pub struct Endpoint {
    /// Where it is; the URL is asked as it is.
    pub web: Web,
    /// The statuses that are as they should be.
    pub statuses: Vec<u16>,
    /// What the body must contain.
    pub body: Option<String>,
    /// How fast it should be, in milliseconds.
    pub bands: Option<Bands>,
}

/// A certificate.
#[derive(Debug, Clone)]
pub struct Certificate {
    /// The file that the server has it from: the leaf first.
    pub file: Option<PathBuf>,
    /// Its private key.
    pub key: Option<PathBuf>,
    /// Where it is served.
    pub live: Option<Live>,
    /// The name that it must be for.
    pub server_name: Option<String>,
    /// The certificate authority that clients believe; `None`: the host's own.
    pub ca_file: Option<PathBuf>,
    /// How long the server may take.
    pub timeout: Duration,
}

/// Where a certificate is served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Live {
    /// The server.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// What is said before TLS begins.
    pub starttls: Option<StartTls>,
}

/// Protocols that begin without TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum StartTls {
    /// RFC 3207
    Smtp,
    /// RFC 3501
    Imap,
    /// RFC 2595
    Pop3,
    /// PostgreSQL's `SSLRequest`
    Postgres,
}

/// What becomes of several series of a query.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Several {
    /// The worst of them counts.
    #[default]
    Worst,
    /// They are added.
    Sum,
    /// Their mean counts.
    Mean,
}

/// A measure of the stack.
#[derive(Debug, Clone)]
pub struct Metric {
    /// The Prometheus server.
    pub prometheus: String,
    /// The query, as the runbook has it.
    pub query: String,
    /// What it is a share of: another query; sum by sum, in hundredths.
    pub share_of: Option<String>,
    /// What several series mean.
    pub several: Several,
    /// What it is measured in.
    pub unit: Unit,
    /// How good it should be; `None`: it is shown, and only judged by whether it can be had.
    pub bands: Option<Bands>,
    /// What to do where it is not good.
    pub hint: Option<String>,
}

impl Metric {
    /// The whole measure as one query; series of which the worst counts stay apart.
    pub fn whole(&self) -> String {
        match (&self.share_of, self.several) {
            (Some(of), _) => format!("100 * sum({}) / sum({of})", self.query),
            (None, Several::Worst) => self.query.clone(),
            (None, Several::Sum) => format!("sum({})", self.query),
            (None, Several::Mean) => format!("avg({})", self.query),
        }
    }
}
