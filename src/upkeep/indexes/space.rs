//! Whether the disk has room for a second copy of an index.

use super::Stage;
use crate::{
    adapters::{
        docker::{self, Exec},
        files,
        postgres::{PostgresError, upkeep::Estimated},
    },
    model::{failure::chain, finding::Finding, stack::PostgresAddress, units::ByteSize},
    upkeep::UpkeepError,
};

/// What a rebuild takes for a while: the new index, and what is sorted for it.
const TENTHS: u64 = 12;

/// Why the index cannot be rebuilt, where the room is lacking or cannot be seen.
pub(super) async fn lacking(stage: &Stage<'_>, index: &Estimated) -> Result<Option<Finding>, UpkeepError> {
    if !stage.request.check_space {
        return Ok(None);
    }
    let needed = index.bytes.saturating_mul(TENTHS) / 10;
    let name = index.name.to_string();
    Ok(match free(stage, index.tablespace.as_deref()).await? {
        Ok(free) if free >= needed => None,
        Ok(free) => Some(
            Finding::critical(
                name,
                format!("not rebuilt: it needs {} of disk, and {} are free", ByteSize(needed), ByteSize(free)),
            )
            .hint("free space on the server's disk, or add some"),
        ),
        Err(why) => Some(
            Finding::unknown(name, format!("not rebuilt: nobody knows whether the disk has room: {why}"))
                .hint("set check_space = false in the step where something else watches the disk"),
        ),
    })
}

/// Bytes that are free where the index is; the inner error says why that cannot be seen.
async fn free(stage: &Stage<'_>, tablespace: Option<&str>) -> Result<Result<u64, String>, UpkeepError> {
    const WHERE: &str = "SELECT current_setting('data_directory'), \
         extract(epoch FROM pg_postmaster_start_time())::int8";
    let row = match stage.watcher.one("asking for the data directory", WHERE, &[]).await {
        Ok(row) => row,
        Err(error @ PostgresError::Denied { .. }) => {
            return Ok(Err(format!("{}; GRANT pg_read_all_settings", chain(&error))));
        }
        Err(other) => return Err(other.into()),
    };
    let (data, started): (String, i64) = (row.get(0), row.get(1));
    let dir = tablespace.unwrap_or(&data);
    let server = stage.request.server;
    let container = match &server.address {
        PostgresAddress::Container { name, .. } => Some(name),
        _ => server.tools_in.as_ref(),
    };
    if let Some(container) = container {
        let asked = async {
            let engine = docker::Docker::connect(&stage.request.docker.host).await?;
            engine.exec_output(&Exec::new(container, ["df", "-P", "-k", dir]), stage.cancel).await
        };
        let df = asked.await.map_err(|error| chain(&error));
        return Ok(df.and_then(|df| available(&df).ok_or_else(|| format!("`df` in {container} said: {df}"))));
    }
    if !is_here(&data, started) {
        return Ok(Err(format!("{data} is not a directory of this host that maint may read")));
    }
    Ok(Ok(files::free_space(dir.as_ref())?))
}

/// Whether the server's data directory is this host's directory of that name: its `postmaster.pid` tells when the server
/// began (third line).
fn is_here(data: &str, started: i64) -> bool {
    let Ok(bytes) = files::read_limited(&std::path::Path::new(data).join("postmaster.pid"), 4096) else { return false };
    let text = String::from_utf8_lossy(&bytes);
    let told = text.lines().nth(2).and_then(|line| line.trim().parse::<i64>().ok());
    told.is_some_and(|told| (told - started).abs() <= 2)
}

/// The fourth column of the last line of `df -P -k`, in bytes.
fn available(df: &str) -> Option<u64> {
    let kib: u64 = df.lines().last()?.split_whitespace().nth(3)?.parse().ok()?;
    kib.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    #[test]
    fn df_is_read() {
        let df = "Filesystem 1024-blocks Used Available Capacity Mounted on\n/dev/sda1 1000 400 600 40% /var lib\n";
        assert_eq!(super::available(df), Some(600 * 1024));
        assert_eq!(super::available("df: /x: No such file\n"), None);
    }
}
