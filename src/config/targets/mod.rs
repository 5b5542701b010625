//! `[prometheus.NAME]` and the other sections of what checks look at.

mod resolve;

use std::{collections::BTreeMap, path::PathBuf};

use schemars::JsonSchema;
use serde::Deserialize;

pub(super) use resolve::resolve;

use super::shape::Span;
use crate::model::{
    bands::Bands,
    finding::Unit,
    targets::{AlertsKind, Several, StartTls},
};

/// Everything that checks look at.
#[derive(Debug, Default)]
pub(super) struct Raw {
    pub(super) prometheus: BTreeMap<String, PrometheusSection>,
    pub(super) alertmanager: BTreeMap<String, AlertmanagerSection>,
    pub(super) redis: BTreeMap<String, RedisSection>,
    pub(super) endpoint: BTreeMap<String, EndpointSection>,
    pub(super) certificate: BTreeMap<String, CertificateSection>,
    pub(super) metric: BTreeMap<String, MetricSection>,
}

/// Who maint is at a target: at most one of `token…` and `user` with `password…`.
#[derive(Debug, Default)]
pub(super) struct LoginKeys {
    user: Option<String>,
    password_file: Option<PathBuf>,
    password_env: Option<String>,
    password_credential: Option<String>,
    password: Option<String>,
    token_file: Option<PathBuf>,
    token_env: Option<String>,
    token_credential: Option<String>,
    token: Option<String>,
}

/// Makes a section of something that is reached over HTTP: its keys must be fields of its own, or a misspelt one passes.
macro_rules! web_section {
    ($(#[$meta:meta])* $name:ident { $($(#[$field_meta:meta])* $field:ident: $type:ty,)* }) => {
        $(#[$meta])*
        #[derive(Debug, Deserialize, JsonSchema)]
        #[serde(deny_unknown_fields)]
        pub struct $name {
            /// Where it is: `http://…` or `https://…`, without a user or password in it.
            pub url: String,
            /// The user, where it asks for one.
            pub user: Option<String>,
            /// A file with that user's password.
            pub password_file: Option<PathBuf>,
            /// A variable of maint's own environment with the password.
            pub password_env: Option<String>,
            /// A systemd credential with the password.
            pub password_credential: Option<String>,
            /// The password itself; better in a file.
            pub password: Option<String>,
            /// A file with a token, where it asks for one.
            pub token_file: Option<PathBuf>,
            /// A variable of maint's own environment with the token.
            pub token_env: Option<String>,
            /// A systemd credential with the token.
            pub token_credential: Option<String>,
            /// The token itself; better in a file.
            pub token: Option<String>,
            /// A file with the certificate authority of its certificate. Default: the host's own.
            pub ca_file: Option<PathBuf>,
            /// How long an answer may take. Default: `5s`.
            pub timeout: Option<Span>,
            $($(#[$field_meta])* pub $field: $type,)*
        }

        impl $name {
            /// Takes what every such section has.
            pub(super) fn web(&mut self) -> WebKeys {
                WebKeys {
                    url: std::mem::take(&mut self.url),
                    login: LoginKeys {
                        user: self.user.take(),
                        password_file: self.password_file.take(),
                        password_env: self.password_env.take(),
                        password_credential: self.password_credential.take(),
                        password: self.password.take(),
                        token_file: self.token_file.take(),
                        token_env: self.token_env.take(),
                        token_credential: self.token_credential.take(),
                        token: self.token.take(),
                    },
                    ca_file: self.ca_file.take(),
                    timeout: self.timeout.take(),
                }
            }
        }
    };
}

/// What every section of something over HTTP has.
#[derive(Debug, Default)]
pub(super) struct WebKeys {
    pub(super) url: String,
    pub(super) login: LoginKeys,
    pub(super) ca_file: Option<PathBuf>,
    pub(super) timeout: Option<Span>,
}

web_section! {
    /// `[prometheus.NAME]`: a Prometheus server.
    PrometheusSection {
        /// How old a sample may be before it says nothing of now. Default: `2m`.
        stale_after: Option<Span>,
    }
}

web_section! {
    /// `[alertmanager.NAME]`: who keeps alerts. Where it cannot be asked, that is unknown, never "no alerts".
    AlertmanagerSection {
        /// `alertmanager` or `grafana`. Default: `alertmanager`.
        kind: Option<AlertsKind>,
        /// The name of the alert that always fires, where there is one: where it is missing, alerts do not arrive.
        watchdog: Option<String>,
        /// The `[prometheus.NAME]` that is asked for its own alerts where this one cannot be.
        prometheus: Option<String>,
    }
}

web_section! {
    /// `[endpoint.NAME]`: what must answer over HTTP.
    EndpointSection {
        /// The statuses that are as they should be. Default: `[200]`.
        expect_status: Option<Vec<u16>>,
        /// What the body must contain.
        expect_body: Option<String>,
        /// How fast it should answer, in milliseconds: `{ good = "<100ms", critical = ">500ms" }`.
        bands: Option<Bands>,
    }
}

/// `[redis.NAME]`: a Redis cluster. Every node is asked for its own view.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RedisSection {
    /// Its nodes: `host:port`, or `container:NAME` with the port where it is not 6379.
    pub nodes: Vec<String>,
    /// The user. Default: Redis' own default.
    pub user: Option<String>,
    /// A file with the password.
    pub password_file: Option<PathBuf>,
    /// A variable of maint's own environment with the password.
    pub password_env: Option<String>,
    /// A systemd credential with the password.
    pub password_credential: Option<String>,
    /// The password itself; better in a file.
    pub password: Option<String>,
    /// How long a node may take to answer. Default: `2s`.
    pub timeout: Option<Span>,
}

/// `[certificate.NAME]`: a certificate as a file, as it is served, or both.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CertificateSection {
    /// The file that the server has it from: the leaf first, then those that signed it.
    pub file: Option<PathBuf>,
    /// Its private key; only whether it belongs to the certificate is looked at.
    pub key: Option<PathBuf>,
    /// Where it is served: `host:port`.
    pub live: Option<String>,
    /// What is said before TLS begins: `smtp`, `imap`, `pop3` or `postgres`. Default: nothing.
    pub starttls: Option<StartTls>,
    /// The name that it must be for. Default: the host of `live`.
    pub server_name: Option<String>,
    /// A file with the certificate authority that clients believe. Default: the host's own.
    pub ca_file: Option<PathBuf>,
    /// How long the server may take. Default: `5s`.
    pub timeout: Option<Span>,
}

/// `[metric.NAME]`: a measure of the stack, with the runbook's own query and bands.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MetricSection {
    /// The `[prometheus.NAME]` that has it. Default: the only one.
    pub prometheus: Option<String>,
    /// The query, as the runbook has it.
    pub query: String,
    /// What it is a share of: another query. The value is then the sum of the one by the sum of the other, in percent.
    pub share_of: Option<String>,
    /// What several series mean: `worst`, `sum` or `mean`. Default: `worst`.
    pub several: Option<Several>,
    /// What it is measured in.
    pub unit: Unit,
    /// How good it should be: `{ excellent = "<0.01", good = "<0.1", warning = "<1", critical = ">10" }`.
    pub bands: Option<Bands>,
    /// What to do where it is not good.
    pub hint: Option<String>,
}
