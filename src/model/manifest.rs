//! `manifest.json`: a set's table of contents with its verification evidence. Written last: the commit record.
//!
//! Small even with a million files: what is inside an artifact stands in its contents list. Readers ignore fields
//! that they do not know and refuse a higher `version`.

use std::{collections::BTreeMap, fmt};

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    anomaly::Anomaly,
    contents::{Codec, ContentsKind},
    drill::Drill,
    ids::{JobName, RunId, SeriesName, StepId},
};

/// What `format` says.
pub const MANIFEST_FORMAT: &str = "maint-set";
/// The format's version; a reader refuses a higher one.
pub const MANIFEST_VERSION: u32 = 1;
/// The manifest's file name in every set.
pub const MANIFEST_FILE: &str = "manifest.json";
/// The checksum list's file name in every set: every file but itself, as `sha256sum -c` reads it.
pub const SUMS_FILE: &str = "SHA256SUMS";
/// The restore instructions' file name in every set.
pub const RESTORE_FILE: &str = "RESTORE.md";
/// The file name of the manifest's signature, in a set that is signed.
pub const MANIFEST_SIGNATURE_FILE: &str = "manifest.json.sig";

/// A set's table of contents.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Manifest {
    /// Always `maint-set`.
    pub format: String,
    /// The format's version.
    pub version: u32,
    /// The stack that was backed up.
    pub stack: String,
    /// The series the set belongs to.
    pub series: SeriesName,
    /// The period that the set stands for, e.g. `202608`. File names carry it.
    pub period: String,
    /// The job that made it.
    pub job: JobName,
    /// The run that made it.
    pub run: RunFacts,
    /// The set before it in its series: what makes the series a chain. The first of a series has none, and a partial set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<Previous>,
    /// Where it was made.
    pub host: HostFacts,
    /// Programs that took part, with their versions.
    pub tools: BTreeMap<String, String>,
    /// What was captured.
    pub artifacts: Vec<Artifact>,
    /// Every file of the set but this one, its signature and the checksum list.
    pub files: Vec<FileDigest>,
    /// How far the set was verified before it was published.
    pub verification: Verification,
    /// What was unusual beside the last sets of its series. While one of them stands that nobody acknowledged, no set of
    /// the series is pruned.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub anomalies: Vec<Anomaly>,
}

/// The run that made a set.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RunFacts {
    /// The run's id.
    pub id: RunId,
    /// What started it.
    pub trigger: Trigger,
    /// The scheduled instant it stands for, where there is one.
    pub slot: Option<DateTime<Utc>>,
    /// Which try at that slot, from 1.
    pub attempt: u32,
    /// When it started.
    pub started: DateTime<Utc>,
    /// When the set was sealed.
    pub sealed: DateTime<Utc>,
    /// How long steps and verification took, in milliseconds, without the waiting for locks.
    #[serde(default)]
    pub millis: u64,
    /// The zone in which the period was computed.
    pub timezone: String,
}

/// What started a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Trigger {
    /// Somebody typed it.
    Manual,
    /// A timer of systemd.
    Timer,
    /// maint's own daemon.
    Daemon,
}

impl fmt::Display for Trigger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Manual => f.pad("manual"),
            Self::Timer => f.pad("timer"),
            Self::Daemon => f.pad("daemon"),
        }
    }
}

/// The set before one in its series.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Previous {
    /// Its name in the series, e.g. `202607`.
    pub set: String,
    /// SHA-256 of its manifest.
    pub manifest_sha256: String,
}

/// Where a set was made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct HostFacts {
    /// The host's name.
    pub name: String,
    /// maint's version.
    pub maint: String,
}

/// One file of a set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FileDigest {
    /// Its name in the set's directory.
    pub file: String,
    /// Its length.
    pub bytes: u64,
    /// Its SHA-256, as `sha256sum` prints it.
    pub sha256: String,
}

/// One captured file, with what was captured and how.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Artifact {
    /// The step that captured it.
    pub step: StepId,
    /// What kind of stream it holds.
    pub kind: ContentsKind,
    /// Name, length and digest of the packed file.
    #[serde(flatten)]
    pub packed: FileDigest,
    /// How it is packed.
    pub codec: Codec,
    /// The codec's level.
    pub codec_level: i32,
    /// Length of the plain stream.
    pub plain_bytes: u64,
    /// Its contents list.
    pub contents: FileDigest,
    /// Further files that belong to it, e.g. the database's properties.
    #[serde(default)]
    pub companions: Vec<FileDigest>,
    /// Where it came from.
    pub source: Source,
    /// How much is in it.
    pub counts: Counts,
    /// How it was captured, in words, e.g. "pg_dump 15.18 in one snapshot".
    pub method: String,
    /// What this way of capturing cannot keep.
    #[serde(default)]
    pub not_kept: Vec<String>,
    /// What was noticed and did not fail the capture.
    #[serde(default)]
    pub warnings: Vec<String>,
}

/// Where an artifact came from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Source {
    /// One database.
    PostgresDatabase(PostgresFacts),
    /// A server's roles and tablespaces.
    PostgresServer(ServerFacts),
    /// Paths of this host.
    Files {
        /// The paths as they stand in the archive.
        paths: Vec<String>,
        /// The directory that they are relative to.
        root: String,
    },
    /// A Docker volume.
    Volume {
        /// Its name.
        name: String,
        /// Its mount point where it was read directly.
        mountpoint: Option<String>,
        /// Containers that were stopped or paused meanwhile.
        quiesced: Vec<String>,
    },
}

/// A PostgreSQL server as it was during the capture.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ServerFacts {
    /// The server's name in `maint.toml`.
    pub server: String,
    /// `server_version`, e.g. `15.18 (Debian 15.18-0+deb12u1)`.
    pub version: String,
    /// `system_identifier` of `pg_control_system()`.
    pub system_identifier: String,
    /// The bootstrap superuser (oid 10): the one role that an empty server already has.
    pub bootstrap_superuser: String,
    /// `shared_preload_libraries`, where the role may see it: some extensions restore only with theirs.
    #[serde(default)]
    pub preload: Vec<String>,
}

/// A database as it was in the dump's snapshot.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PostgresFacts {
    /// Its server.
    #[serde(flatten)]
    pub server: ServerFacts,
    /// `pg_database.datname`.
    pub database: String,
    /// The exported snapshot.
    pub snapshot: String,
    /// WAL position when the snapshot was taken.
    pub lsn: String,
    /// `pg_encoding_to_char(encoding)`.
    pub encoding: String,
    /// The dump's own client encoding.
    pub dump_encoding: String,
    /// Options that `createdb` needs for an equal database, e.g. `--lc-collate=C`.
    pub createdb_options: Vec<String>,
    /// `pg_database_size`: about what a copy needs.
    #[serde(default)]
    pub database_bytes: u64,
    /// Settings of the dump's session that decide how values are written, and that the dump itself does not say.
    #[serde(default)]
    pub session_settings: BTreeMap<String, String>,
}

/// How much an artifact holds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Counts {
    /// Tables with a COPY block.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tables: Option<u64>,
    /// Rows in them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows: Option<u64>,
    /// Tables whose rows the server counted too, in the dump's snapshot and independently of the dump.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub counted_at_source: Option<u64>,
    /// Large objects.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub large_objects: Option<u64>,
    /// Entries of a tree, of every kind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entries: Option<u64>,
    /// Regular files among them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub files: Option<u64>,
    /// Roles.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub roles: Option<u64>,
}

/// How far a set was verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// Read back from the disk; every digest as captured.
    Checksum,
    /// Decoded to the end; every frame, table and entry as the contents list says.
    Structure,
    /// Restored into a throwaway server, and the copy compared with what was captured.
    Drill,
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Checksum => "checksum",
            Self::Structure => "structure",
            Self::Drill => "drill",
        })
    }
}

/// The evidence of a verification.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Verification {
    /// The level that every artifact reached.
    pub level: Level,
    /// When it ended.
    pub finished: DateTime<Utc>,
    /// How long it took.
    pub millis: u64,
    /// What was compared, artifact by artifact.
    pub evidence: Vec<Evidence>,
    /// How it was restored; only with the level `drill`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drill: Option<Drill>,
    /// Why the level that the job asks for was not reached, where `if_unverifiable = "keep"` let the set pass.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shortfall: Option<String>,
}

/// What was compared for one artifact.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Evidence {
    /// The artifact's file.
    pub file: String,
    /// What was compared, in words, each with its count.
    pub checks: Vec<String>,
}
