//! What nearly every host has, by the series of the exporters that nearly every host runs.

use super::{Limit, Resource};
use crate::model::{finding::Unit, targets::Targets};

/// What the runbook's capacity planning is about.
pub const NAMES: &[&str] = &["disk", "inodes", "database", "wal", "volumes", "memory", "connections", "throughput"];
/// What the metric of the runbook's baseline table is called.
const THROUGHPUT: [&str; 3] = ["throughput", "message_throughput", "message-throughput"];
/// File systems that hold what somebody stored.
const REAL: &str =
    "fstype!~\"tmpfs|ramfs|overlay|squashfs|iso9660|rootfs|nsfs|proc|sysfs|cgroup.*|fuse.lxcfs|devtmpfs\"";

/// A usual resource; `None` where only the host's owner knows its series.
pub fn resource(name: &str, targets: &Targets) -> Option<Resource> {
    let (query, limit, unit, load, hint) = match name {
        // What root alone may use is no room: size less avail, of what everybody may use.
        "disk" => (
            format!("node_filesystem_size_bytes{{{REAL}}} - node_filesystem_free_bytes{{{REAL}}}"),
            Limit::Query(format!(
                "node_filesystem_size_bytes{{{REAL}}} - node_filesystem_free_bytes{{{REAL}}} + \
                 node_filesystem_avail_bytes{{{REAL}}}"
            )),
            Unit::Bytes,
            false,
            "see what grew: du -xh --max-depth=2 MOUNTPOINT | sort -h | tail; then enlarge it, or prune",
        ),
        "inodes" => (
            format!("node_filesystem_files{{{REAL}}} - node_filesystem_files_free{{{REAL}}}"),
            Limit::Query(format!("node_filesystem_files{{{REAL}}} > 0")),
            Unit::Count,
            false,
            "see where the files are: du --inodes -x --max-depth=2 MOUNTPOINT | sort -h | tail",
        ),
        "memory" => (
            "node_memory_MemTotal_bytes - node_memory_MemAvailable_bytes".to_owned(),
            Limit::Query("node_memory_MemTotal_bytes".into()),
            Unit::Bytes,
            true,
            "see who has it: docker stats --no-stream; then set limits, or add memory",
        ),
        "connections" => (
            "sum by (instance) (pg_stat_database_numbackends)".to_owned(),
            Limit::Query("sum by (instance) (pg_settings_max_connections)".into()),
            Unit::Count,
            true,
            "put a pooler before the server, or raise max_connections: ALTER SYSTEM SET max_connections = …; and restart it",
        ),
        "database" => (
            "pg_database_size_bytes{datname!~\"template.*|postgres\"}".to_owned(),
            Limit::None,
            Unit::Bytes,
            false,
            "see its largest tables: \\dt+ in psql",
        ),
        "wal" => (
            "pg_wal_size_bytes".to_owned(),
            Limit::None,
            Unit::Bytes,
            false,
            "see what holds it back: SELECT * FROM pg_replication_slots; and archive_command in pg_stat_archiver",
        ),
        "throughput" => {
            let metric = THROUGHPUT.iter().find_map(|name| targets.metric.get(*name))?;
            let (query, unit) = (metric.whole(), metric.unit);
            return Some(Resource { name: name.into(), query, limit: Limit::None, unit, load: true, hint: None });
        }
        _ => return None,
    };
    Some(Resource { name: name.into(), query, limit, unit, load, hint: Some(hint.into()) })
}
