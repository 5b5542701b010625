//! What containers use, computed as `docker stats` does it.
//!
//! An engine without cgroup data answers with zeros and gaps: that is no measurement, and is never shown as one.

use bollard::{models::ContainerStatsResponse, query_parameters::StatsOptions};
use futures_util::{StreamExt, future::join_all};

use super::{Docker, DockerError};

/// What a container uses.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Usage {
    /// Processor time, in hundredths of one core; `None`: the engine does not tell.
    pub cpu: Option<f64>,
    /// Memory in bytes, without what the kernel can drop at once; `None`: the engine does not tell.
    pub memory: Option<u64>,
    /// The most memory that it may use; where no limit is set, the host's.
    pub limit: Option<u64>,
}

impl Docker {
    /// What each of these containers uses, all asked at once: each answer takes the engine a second or two.
    pub async fn usage(&self, ids: &[String]) -> Vec<Result<Usage, DockerError>> {
        join_all(ids.iter().map(|id| self.usage_of(id))).await
    }

    async fn usage_of(&self, id: &str) -> Result<Usage, DockerError> {
        // Not `one-shot`: the numbers of the second before are needed.
        let options = StatsOptions { stream: false, one_shot: false };
        let mut answers = std::pin::pin!(self.api.stats(id, Some(options)));
        match answers.next().await {
            Some(Ok(answer)) => Ok(usage(&answer)),
            Some(Err(error)) => Err(self.about_container("asking for the usage of", id, error)),
            None => Err(DockerError::Incomplete { subject: format!("the container `{id}`"), what: "its usage" }),
        }
    }
}

/// The formulas of `docker stats` (docker/cli, `cli/command/container/stats_helpers.go`).
pub fn usage(answer: &ContainerStatsResponse) -> Usage {
    let memory = answer.memory_stats.as_ref();
    let used = memory.and_then(|memory| {
        let usage = memory.usage.filter(|usage| *usage > 0)?;
        let stats = memory.stats.as_ref();
        // The first is cgroup v1's word, the second v2's.
        let inactive = ["total_inactive_file", "inactive_file"].iter().find_map(|key| stats?.get(*key).copied());
        Some(inactive.filter(|inactive| *inactive < usage).map_or(usage, |inactive| usage - inactive))
    });
    Usage { cpu: cpu(answer), memory: used, limit: memory.and_then(|m| m.limit).filter(|limit| *limit > 0) }
}

fn cpu(answer: &ContainerStatsResponse) -> Option<f64> {
    let (now, before) = (answer.cpu_stats.as_ref()?, answer.precpu_stats.as_ref()?);
    let (now_usage, before_usage) = (now.cpu_usage.as_ref()?, before.cpu_usage.as_ref()?);
    let cores = match now.online_cpus.filter(|cores| *cores > 0) {
        Some(cores) => f64::from(cores),
        None => now_usage.percpu_usage.as_ref().map(Vec::len).filter(|cores| *cores > 0)? as f64,
    };
    let used = now_usage.total_usage?.checked_sub(before_usage.total_usage?)?;
    // No time passed between the two: nothing was measured.
    let passed = now.system_cpu_usage?.checked_sub(before.system_cpu_usage?).filter(|passed| *passed > 0)?;
    Some(used as f64 / passed as f64 * cores * 100.0)
}
