//! The step kinds: one file each, one row each in the table below.
//!
//! The row makes the variant, its name in TOML (`do.<name> = { … }`), the dispatch and the generated reference.
//! docs/adding-a-step.md walks through it.

pub mod capture;
pub mod checks;
pub mod context;
mod error;
pub mod maintenance;
mod parameters;
pub mod reports;

pub use context::{StepContext, StepReport};
pub use error::StepError;

use crate::model::{coverage::Captures, stack::Stack};

/// What a step kind must be able to do.
///
/// Its parameters are the struct's own fields (`Deserialize` with `deny_unknown_fields`, `JsonSchema` with a comment on
/// each field: the reference is made from them).
pub trait StepKind {
    /// What it does, in one line.
    const SUMMARY: &'static str;

    /// Whether it captures artifacts: such a step belongs into a job with a `[backup]` section, and only there.
    const CAPTURES: bool;

    /// Whether it tells of the steps before it: such a step stands at the end of a checklist, which runs it last.
    const LOOKS_BACK: bool = false;

    /// What is wrong with the parameters as far as the configuration alone tells: unknown servers, odd paths. No I/O.
    fn problems(&self, stack: &Stack) -> Vec<Problem>;

    /// What the step would do, one line for each thing it touches. No I/O: this is the dry run.
    fn plan(&self, stack: &Stack) -> Vec<String>;

    /// What a backup job has of the host by this step; nothing where it captures nothing that a host could lose. No I/O.
    fn captured(&self, _stack: &Stack) -> Vec<Captures> {
        Vec::new()
    }

    /// Does it. May be called again after an error whose class is `Retryable`; must leave nothing behind on error.
    fn run(&self, context: &StepContext) -> impl Future<Output = Result<StepReport, StepError>> + Send;
}

/// A mistake in a step's parameters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The parameter it is about, so that the message can point at its line and column.
    pub key: &'static str,
    /// What is wrong and what was expected.
    pub message: String,
}

/// How the generated reference describes a step kind.
pub struct Description {
    /// The name in TOML.
    pub name: &'static str,
    /// What it does.
    pub summary: &'static str,
    /// The JSON Schema of its parameters.
    pub schema: schemars::Schema,
}

macro_rules! step_kinds {
    ($($name:literal $variant:ident => $kind:path,)+) => {
        /// One step's kind and parameters.
        #[derive(Debug, Clone, serde::Deserialize, schemars::JsonSchema)]
        pub enum Step {
            $(#[serde(rename = $name)] $variant(Box<$kind>),)+
        }

        impl Step {
            /// Every kind's name in TOML, in the table's order.
            pub const NAMES: &'static [&'static str] = &[$($name),+];

            /// Every kind, for the generated reference.
            pub fn descriptions() -> Vec<Description> {
                vec![$(Description {
                    name: $name,
                    summary: <$kind as StepKind>::SUMMARY,
                    schema: schemars::schema_for!($kind),
                }),+]
            }

            /// The kind's name in TOML.
            pub fn name(&self) -> &'static str {
                match self { $(Self::$variant(_) => $name,)+ }
            }

            /// See [`StepKind::SUMMARY`].
            pub fn summary(&self) -> &'static str {
                match self { $(Self::$variant(_) => <$kind as StepKind>::SUMMARY,)+ }
            }

            /// See [`StepKind::CAPTURES`].
            pub fn captures(&self) -> bool {
                match self { $(Self::$variant(_) => <$kind as StepKind>::CAPTURES,)+ }
            }

            /// See [`StepKind::LOOKS_BACK`].
            pub fn looks_back(&self) -> bool {
                match self { $(Self::$variant(_) => <$kind as StepKind>::LOOKS_BACK,)+ }
            }

            /// See [`StepKind::problems`].
            pub fn problems(&self, stack: &Stack) -> Vec<Problem> {
                match self { $(Self::$variant(kind) => kind.problems(stack),)+ }
            }

            /// See [`StepKind::plan`].
            pub fn plan(&self, stack: &Stack) -> Vec<String> {
                match self { $(Self::$variant(kind) => kind.plan(stack),)+ }
            }

            /// See [`StepKind::captured`].
            pub fn captured(&self, stack: &Stack) -> Vec<Captures> {
                match self { $(Self::$variant(kind) => kind.captured(stack),)+ }
            }

            /// See [`StepKind::run`].
            ///
            /// # Errors
            /// The kind's own.
            pub async fn run(&self, context: &StepContext) -> Result<StepReport, StepError> {
                match self { $(Self::$variant(kind) => kind.run(context).await,)+ }
            }
        }
    };
}

step_kinds! {
    "postgres_dump" PostgresDump => capture::postgres_dump::PostgresDump,
    "postgres_globals" PostgresGlobals => capture::postgres_globals::PostgresGlobals,
    "files_archive" FilesArchive => capture::files_archive::FilesArchive,
    "volume_archive" VolumeArchive => capture::volume_archive::VolumeArchive,
    "containers" Containers => checks::containers::Containers,
    "resources" Resources => checks::resources::Resources,
    "endpoint" Endpoint => checks::endpoint::Endpoint,
    "alerts" Alerts => checks::alerts::Alerts,
    "metric" Metric => checks::metric::Metric,
    "postgres_health" PostgresHealth => checks::postgres_health::PostgresHealth,
    "redis_cluster" RedisCluster => checks::redis_cluster::RedisCluster,
    "disk" Disk => checks::disk::Disk,
    "certificate" Certificate => checks::certificate::Certificate,
    "backup_freshness" BackupFreshness => checks::backup_freshness::BackupFreshness,
    "log_rotation" LogRotation => checks::log_rotation::LogRotation,
    "traffic" Traffic => checks::traffic::Traffic,
    "utilisation" Utilisation => checks::utilisation::Utilisation,
    "image_pull" ImagePull => maintenance::image_pull::ImagePull,
    "rolling_restart" RollingRestart => maintenance::rolling_restart::RollingRestart,
    "performance" Performance => reports::performance::Performance,
    "capacity" Capacity => reports::capacity::Capacity,
    "recommendations" Recommendations => reports::recommendations::Recommendations,
    "security_report" SecurityReport => reports::security_report::SecurityReport,
    "image_scan" ImageScan => checks::image_scan::ImageScan,
    "cert_renew" CertRenew => checks::cert_renew::CertRenew,
    "vacuum" Vacuum => maintenance::vacuum::Vacuum,
    "reindex" Reindex => maintenance::reindex::Reindex,
    "analyze" Analyze => maintenance::analyze::Analyze,
    "bloat" Bloat => maintenance::bloat::BloatReport,
    "log_rotate" LogRotate => maintenance::log_rotate::LogRotate,
    "docker_prune" DockerPrune => maintenance::docker_prune::DockerPrune,
}
