//! What `maint.toml` and the job files may say. The generated reference is made from these types.

use std::{collections::BTreeMap, path::PathBuf};

use schemars::JsonSchema;
use serde::Deserialize;

pub use super::systemd::SystemdSection;
use super::{
    compose::ComposeSection,
    coverage::{AuditSection, CoverageSection},
    daemon::DaemonSection,
    job::{IfUnverifiable, Mode, OnFailure, Overlap},
    monitoring::{MetricsSection, WebSection},
    notify::{EscalationSection, NotifySection},
    reports::CapacitySection,
    targets::{
        AlertmanagerSection, CertificateSection, EndpointSection, MetricSection, PrometheusSection, RedisSection,
    },
};
pub use crate::model::span::Span;
use crate::{
    model::{
        due::CatchUp,
        ids::{SeriesName, StepId},
        manifest::Level,
        period::PeriodKind,
        schedule::Dst,
        severity::Severity,
        stack::SslMode,
        store::ObjectLock,
    },
    steps::Step,
};

/// `maint.toml`: what this host has.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HostFile {
    /// The stack's name, as manifests show it.
    pub stack: String,
    /// Where relative paths resolve; itself relative to this file's directory. Default: that directory.
    pub root: Option<PathBuf>,
    /// The zone of schedules and periods, e.g. `Europe/Berlin`. Default: `UTC`.
    pub timezone: Option<String>,
    /// Where the job files are. Default: `jobs`.
    pub jobs_dir: Option<PathBuf>,
    /// Where sets are published. Default: `backups`.
    pub backup_dir: Option<PathBuf>,
    /// Where reports are written. Default: `reports`.
    pub reports_dir: Option<PathBuf>,
    /// Ledger, locks, journals and host secret; one per host, never per user. Default: `/var/lib/maint`.
    pub state_dir: Option<PathBuf>,
    /// PostgreSQL servers by name.
    #[serde(default)]
    pub postgres: BTreeMap<String, PostgresSection>,
    /// The Docker engine.
    pub docker: Option<DockerSection>,
    /// The compose project that this host runs.
    pub compose: Option<ComposeSection>,
    /// Where and how sets are restored to try them.
    pub drill: Option<DrillSection>,
    /// What an audit goes by.
    pub audit: Option<AuditSection>,
    /// What no job needs to back up.
    pub coverage: Option<CoverageSection>,
    /// Where copies of sets lie, by name.
    #[serde(default)]
    pub store: BTreeMap<String, StoreSection>,
    /// Who signs sets and records, and who is believed.
    pub sign: Option<SignSection>,
    /// How the units name things.
    pub systemd: Option<SystemdSection>,
    /// Prometheus servers, by name.
    #[serde(default)]
    pub prometheus: BTreeMap<String, PrometheusSection>,
    /// Who keeps alerts, by name.
    #[serde(default)]
    pub alertmanager: BTreeMap<String, AlertmanagerSection>,
    /// Redis clusters, by name.
    #[serde(default)]
    pub redis: BTreeMap<String, RedisSection>,
    /// What must answer over HTTP, by name.
    #[serde(default)]
    pub endpoint: BTreeMap<String, EndpointSection>,
    /// Certificates, by name.
    #[serde(default)]
    pub certificate: BTreeMap<String, CertificateSection>,
    /// Measures of the stack, by name.
    #[serde(default)]
    pub metric: BTreeMap<String, MetricSection>,
    /// What a forecast looks at.
    pub capacity: Option<CapacitySection>,
    /// How `maint serve` behaves.
    pub daemon: Option<DaemonSection>,
    /// What Prometheus is told.
    pub metrics: Option<MetricsSection>,
    /// The status page of `maint serve`.
    pub web: Option<WebSection>,
    /// Who is told what goes wrong, by name.
    #[serde(default)]
    pub notify: BTreeMap<String, NotifySection>,
    /// What becomes of a failure that nobody acknowledges.
    pub escalation: Option<EscalationSection>,
}

/// `[postgres.NAME]`: one server. One of `socket`, `host` and `container` says where it is.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PostgresSection {
    /// The directory of its unix socket.
    pub socket: Option<PathBuf>,
    /// Its TCP host name or address.
    pub host: Option<String>,
    /// The container it runs in; the dump tools run inside it.
    pub container: Option<String>,
    /// Its port. Default: 5432.
    pub port: Option<u16>,
    /// The role that maint connects as.
    pub user: String,
    /// The database that is dumped unless a step names others. Default: the role's name.
    pub dbname: Option<String>,
    /// A file with the role's password.
    pub password_file: Option<PathBuf>,
    /// A variable of maint's own environment with the password.
    pub password_env: Option<String>,
    /// A systemd credential with the password.
    pub password_credential: Option<String>,
    /// The password itself; better in a file.
    pub password: Option<String>,
    /// TLS of TCP connections. Default: `prefer`.
    pub sslmode: Option<SslMode>,
    /// The certificate authority for `verify-full`. Default: the host's own.
    pub sslrootcert: Option<PathBuf>,
    /// Where `pg_dump` and `pg_dumpall` are. Default: found on the host.
    pub bin_dir: Option<PathBuf>,
    /// How long a dump waits for a lock, and how long anyone may wait for the dump's. Default: `10s`.
    pub lock_timeout: Option<Span>,
}

/// `[docker]`: the engine.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DockerSection {
    /// Its socket. Default: `unix:///var/run/docker.sock`.
    pub host: Option<String>,
}

/// `[drill]`: where and how a set is restored to try it. A dump is a program, so that the throwaway server runs in a cage
/// (bubblewrap) or in a container without a network; at most one of `image` and `server` names another place.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DrillSection {
    /// Where throwaway servers have their data. Default: `drill` in `state_dir`.
    pub scratch_dir: Option<PathBuf>,
    /// Run it without a cage where none can be had, instead of refusing; only for dumps that you would run as they are.
    /// Default: `false`.
    pub allow_unisolated: Option<bool>,
    /// How long a drill may take. Default: `4h`.
    pub timeout: Option<Span>,
    /// Run it in a container of this image, which must be on the host. Default: the image of the source's own container.
    pub image: Option<String>,
    /// Restore into this server instead, a `[postgres.NAME]` other than the source; it must keep the restored databases
    /// away from others by itself.
    pub server: Option<String>,
    /// Where `initdb` and `postgres` are. Default: found on the host, of the source's major version.
    pub bin_dir: Option<PathBuf>,
    /// How many tables are loaded at once. Default: one per core.
    pub jobs: Option<u32>,
    /// Its priority for processor and disk, 0 to 19, as in nice(1). Default: 10.
    pub nice: Option<u8>,
}

/// What a store is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum StoreType {
    /// Another directory or mount of this host.
    Local,
    /// A bucket of Amazon S3, or of a server that speaks the same.
    S3,
}

/// `[store.NAME]`: where copies of sets lie. Keys in it are `<prefix>/<stack>/<series>/<period>/<file>`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StoreSection {
    /// `local` or `s3`.
    #[serde(rename = "type")]
    pub kind: StoreType,
    /// What every key begins with. Default: nothing.
    pub prefix: Option<String>,
    /// age recipients (`age1…`) whom the copies are encrypted to. Default: they are not encrypted.
    #[serde(default)]
    pub encrypt_to: Vec<String>,
    /// Which copies of each series are kept there; the others are pruned after a run that went well. Default: all.
    pub keep: Option<KeepSection>,
    /// `local`: the directory, which must be there.
    pub dir: Option<PathBuf>,
    /// `local`: refuse to write where nothing is mounted at `dir`. Default: `false`.
    pub mounted: Option<bool>,
    /// `s3`: the bucket.
    pub bucket: Option<String>,
    /// `s3`: its region. Default: that of the environment or profile; with an `endpoint` `us-east-1`.
    pub region: Option<String>,
    /// `s3`: the server's URL. Default: Amazon's of the region.
    pub endpoint: Option<String>,
    /// `s3`: the bucket stands in the path, not in the host name. Default: `true` with an `endpoint`.
    pub path_style: Option<bool>,
    /// `s3`: a file with the certificate authority of the endpoint. Default: the host's own.
    pub ca_file: Option<PathBuf>,
    /// `s3`: the id of the access key. Default: keys as the AWS tools find them: environment, profile, instance role.
    pub access_key: Option<String>,
    /// `s3`: a file with the secret key.
    pub secret_key_file: Option<PathBuf>,
    /// `s3`: a variable of maint's own environment with the secret key.
    pub secret_key_env: Option<String>,
    /// `s3`: a systemd credential with the secret key.
    pub secret_key_credential: Option<String>,
    /// `s3`: the secret key itself; better in a file.
    pub secret_key: Option<String>,
    /// `s3`: the profile of the shared AWS files. Default: `default`.
    pub profile: Option<String>,
    /// `s3`: `{ mode = "governance" | "compliance", days = N }`: what is sent cannot be deleted for so long. The bucket must
    /// have been made with Object Lock.
    pub object_lock: Option<ObjectLock>,
    /// `s3`: the storage class, e.g. `STANDARD_IA`. Default: the bucket's.
    pub storage_class: Option<String>,
    /// `s3`: `AES256` or `aws:kms`. Default: what the bucket does by itself.
    pub encryption: Option<String>,
    /// `s3`: the key of `aws:kms`. Default: the bucket's.
    pub kms_key: Option<String>,
    /// `s3`: how many parts are sent at once, 1 to 16. Default: 4.
    pub parts_in_flight: Option<u8>,
    /// `s3`: how long the server may be silent in the middle of a request. Default: `60s`.
    pub answer_within: Option<Span>,
    /// `s3`: how long a request that fails for a reason that may pass is tried again. Default: `2m`.
    pub retry_for: Option<Span>,
}

/// `[sign]`: who signs sets and records, and who is believed. A key proves nothing against whoever has it: keep the trust
/// anchor, and the newest set's digest, where this host cannot write too.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SignSection {
    /// The private key that signs, of `ssh-keygen -t ed25519 -N ''`; mode 0600.
    pub key_file: Option<PathBuf>,
    /// A systemd credential with that key.
    pub key_credential: Option<String>,
    /// The keys that are believed: a file in the format of ssh-keygen's `allowed_signers`. With it, what is not signed, or by
    /// another key, is a finding of `maint verify`.
    pub trust: Option<PathBuf>,
}

/// `jobs/NAME.toml`: one job.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct JobFile {
    /// What it is for, in one line.
    pub description: String,
    /// The runbook's procedure that it carries out.
    pub runbook: Option<String>,
    /// Five cron fields, e.g. `0 1 * * SUN#1`. Default: by hand only.
    pub schedule: Option<String>,
    /// The zone of schedule and period. Default: that of `maint.toml`.
    pub timezone: Option<String>,
    /// What becomes of a slot in the spring gap. Default: `run_after_gap`.
    pub dst: Option<Dst>,
    /// How long the whole run may take. Default: `4h`.
    pub timeout: Option<Span>,
    /// What happens when it is started while it runs. Default: `skip`.
    pub overlap: Option<Overlap>,
    /// Locks across jobs.
    #[serde(default)]
    pub locks: Vec<String>,
    /// How long to wait for a lock. Default: `1h`.
    pub lock_wait: Option<Span>,
    /// A `[postgres.NAME]` that all ops hosts reach directly: by a lock there, one of them runs a slot, and no two at once.
    /// Default: only this host is minded.
    pub across_hosts: Option<String>,
    /// `sequence`: one step after the other, and the first that fails ends the run, but for its `on_failure`. `checklist`: all
    /// at once, for checks. Default: `sequence`.
    pub mode: Option<Mode>,
    /// How bad a failure is, `P0` to `P3`: who hears of it. Default: `P2`.
    pub severity: Option<Severity>,
    /// What becomes of slots that passed without a run: `"none"`, `"once"` (the newest runs as soon as it can) or
    /// `{ within = "24h" }` (as `once`, where it is not older). Default: `once`.
    pub catch_up: Option<CatchUpValue>,
    /// Up to how much later than its slot it starts; for a host and a job always the same. Default: not at all.
    pub jitter: Option<Span>,
    /// Makes it a backup job.
    pub backup: Option<BackupSection>,
    /// Its steps, in order.
    #[serde(default)]
    pub step: Vec<StepSection>,
}

/// `"none"`, `"once"` or `{ within = "24h" }`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CatchUpValue {
    /// They are recorded as missed.
    None,
    /// The newest runs as soon as it can.
    Once,
    /// As `once`, where the newest is not older than this.
    Within(Span),
}

impl From<CatchUpValue> for CatchUp {
    fn from(value: CatchUpValue) -> Self {
        match value {
            CatchUpValue::None => Self::None,
            CatchUpValue::Once => Self::Once,
            CatchUpValue::Within(span) => Self::Within(span.0),
        }
    }
}

/// `[backup]`: what becomes of what the steps capture.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BackupSection {
    /// The row of sets: `backups/<series>/<period>/`. One job owns it.
    pub series: SeriesName,
    /// `month`, `week`, `day` or `instant`.
    pub period: PeriodKind,
    /// How far a set is verified before it is published. Default: `structure`.
    pub verify: Option<Level>,
    /// What becomes of a set whose drill could not run. Default: `"fail"`.
    pub if_unverifiable: Option<IfUnverifiable>,
    /// The stores that get a copy of every set, each a `[store.NAME]` of `maint.toml`. Earlier sets of the series that lack
    /// one get theirs too.
    #[serde(default)]
    pub stores: Vec<String>,
    /// Which sets of the series are kept in `backup_dir`; the others are pruned after a run that went well. Default: all.
    pub keep: Option<KeepSection>,
}

/// `keep = { monthly = 12, yearly = 3 }`: which sets are kept. A set that any of these keeps stays, as do pinned sets and
/// always the newest one. Days, weeks, months and years are the job's, by a set's slot or else its start; only those that
/// have a verified set are counted, and of each the newest set stays.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct KeepSection {
    /// The newest so many sets.
    pub last: Option<u32>,
    /// One set of each of the newest so many days.
    pub daily: Option<u32>,
    /// One set of each of the newest so many ISO weeks.
    pub weekly: Option<u32>,
    /// One set of each of the newest so many months.
    pub monthly: Option<u32>,
    /// One set of each of the newest so many years.
    pub yearly: Option<u32>,
    /// Every set that is younger than the newest one by no more than this, e.g. `30d`.
    pub within: Option<Span>,
}

/// `[[step]]`: one step.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StepSection {
    /// Its name, unique in the job; artifact names begin with it.
    pub id: StepId,
    /// How long one attempt may take. Default: as long as the job.
    pub timeout: Option<Span>,
    /// How often a failure that may pass is tried again. Default: 2.
    pub retries: Option<u32>,
    /// What becomes of the steps after it when it fails: `stop` begins none of them, `continue` tries them all the same, for
    /// steps that do not need it. The job ends as its worst step did. Not in a backup job. Default: `"stop"`.
    pub on_failure: Option<OnFailure>,
    /// What it does: `do.<kind> = { … }`.
    #[serde(rename = "do")]
    pub step: Step,
}
