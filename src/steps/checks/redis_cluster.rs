//! `redis_cluster`: does the cluster serve every slot, and do its nodes agree?

use std::collections::{BTreeMap, BTreeSet};

use futures_util::future::join_all;
use schemars::JsonSchema;
use serde::Deserialize;

use super::{listed, unasked, unknown_name};
use crate::{
    adapters::redis::{self, Member, RedisNodeError, SLOTS, View},
    model::{
        failure::chain,
        finding::{Finding, Unit},
        stack::Stack,
        units::count,
    },
    steps::{Problem, StepContext, StepError, StepKind, StepReport},
};

const SOURCE: &str = "CLUSTER INFO and CLUSTER NODES of every node";

/// A Redis cluster, as each of its nodes sees it: state, nodes that are down, slots that nobody has, masters without a
/// replica, views that differ.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RedisCluster {
    /// The `[redis.NAME]`.
    cluster: String,
}

impl StepKind for RedisCluster {
    const SUMMARY: &'static str = "Asks every node of a Redis cluster for its state, its nodes and its slots";
    const CAPTURES: bool = false;

    fn problems(&self, stack: &Stack) -> Vec<Problem> {
        unknown_name("cluster", "redis", &self.cluster, &stack.targets.redis).into_iter().collect()
    }

    fn plan(&self, stack: &Stack) -> Vec<String> {
        let nodes = stack.targets.redis.get(&self.cluster).map(|cluster| cluster.nodes.as_slice()).unwrap_or_default();
        vec![format!("ask {} for their view of the cluster", listed(nodes.iter().map(|node| node.label())))]
    }

    async fn run(&self, context: &StepContext) -> Result<StepReport, StepError> {
        let Some(cluster) = context.stack.targets.redis.get(&self.cluster) else {
            return Ok(StepReport::found("", vec![Finding::unknown(&self.cluster, "it is not configured")]));
        };
        let views = join_all(
            cluster
                .nodes
                .iter()
                .map(|node| async { (node.label(), redis::view(cluster, node, &context.stack.docker).await) }),
        );
        let findings: Vec<Finding> =
            judge(&self.cluster, &views.await).into_iter().map(|finding| finding.source(SOURCE)).collect();
        let bad = findings.iter().filter(|finding| !finding.band.is_fine()).count();
        let nodes = count(cluster.nodes.len() as u64, "node");
        let summary = match bad {
            0 => format!("{nodes}, all {SLOTS} slots served"),
            bad => format!("{nodes}, {} to look at", count(bad as u64, "thing")),
        };
        Ok(StepReport::found(summary, findings))
    }
}

type Asked = (String, Result<View, RedisNodeError>);

fn judge(name: &str, asked: &[Asked]) -> Vec<Finding> {
    let views: Vec<(&String, &View)> =
        asked.iter().filter_map(|(node, view)| Some((node, view.as_ref().ok()?))).collect();
    let mut findings: Vec<Finding> = Vec::new();
    let Some((_, best)) = views.iter().max_by_key(|(_, view)| (view.serves, view.nodes.len())) else {
        // Not one view: whether it serves is not known, for maint may be what is cut off.
        let why: BTreeSet<String> = asked.iter().filter_map(|(_, view)| Some(chain(view.as_ref().err()?))).collect();
        let seen = format!("no node answers: {}", listed(why));
        return vec![Finding::unknown(name, seen).hint("look at them: docker ps --all")];
    };
    findings.push(slots(name, best));
    for (node, view) in asked {
        match view {
            Err(error) => findings.push(silent(node, error, &views)),
            Ok(view) if !view.serves => {
                let seen = "says that the cluster is down (cluster_state:fail)";
                findings.push(
                    Finding::critical(node, seen).hint(format!("see why: redis-cli -u redis://{node} cluster nodes")),
                );
            }
            Ok(_) => findings.push(Finding::good(node, "answers, and the cluster serves")),
        }
    }
    findings.extend(members(best, &views));
    findings.extend(disagreement(name, &views));
    findings
}

fn slots(name: &str, view: &View) -> Finding {
    let uncovered = view.uncovered();
    if uncovered.is_empty() {
        return Finding::good(name, format!("all {SLOTS} slots served")).value(f64::from(SLOTS), Unit::Count);
    }
    let missing: usize = uncovered.iter().map(ExactSizeIterator::len).sum();
    let ranges = listed(uncovered.iter().take(5).map(|range| match (range.start(), range.end()) {
        (from, to) if from == to => from.to_string(),
        (from, to) => format!("{from}-{to}"),
    }));
    Finding::critical(name, format!("{} that nobody serves: {ranges}", count(missing as u64, "slot")))
        .value((usize::from(SLOTS) - missing) as f64, Unit::Count)
        .hint("bring their master or a replica of it back; then: redis-cli --cluster check")
}

/// A node that said nothing: down where the others say so too, else not known.
fn silent(node: &str, error: &RedisNodeError, views: &[(&String, &View)]) -> Finding {
    let up = views.iter().flat_map(|(_, view)| view.nodes.values());
    let doubted = up.filter(|member| member.address == node).any(|member| member.failed || member.doubted);
    match error.is_silence() {
        true if doubted || !knows(views, node) => Finding::critical(node, format!("is down: {}", chain(error)))
            .hint("start it; see why it ended: docker logs"),
        _ => unasked(node, error),
    }
}

/// Whether nodes are known by that address: behind a container's published port they are not.
fn knows(views: &[(&String, &View)], node: &str) -> bool {
    views.iter().any(|(_, view)| view.nodes.values().any(|member| member.address == node))
}

/// Nodes that the cluster gave up, and masters that nobody would stand in for.
fn members(best: &View, views: &[(&String, &View)]) -> Vec<Finding> {
    let mut findings = Vec::new();
    let failed: BTreeSet<&str> = views
        .iter()
        .flat_map(|(_, view)| view.nodes.values())
        .filter(|member| member.failed)
        .map(|member| member.address.as_str())
        .collect();
    for address in failed {
        let seen = "the cluster gave it up (fail)";
        findings.push(
            Finding::critical(format!("node {address}"), seen)
                .hint("start it, or forget it: redis-cli --cluster del-node"),
        );
    }
    let copies = |id: &str| {
        best.nodes.values().any(|member: &Member| member.replica_of.as_deref() == Some(id) && !member.failed)
    };
    let alone = best.nodes.iter().filter(|(id, m)| m.master && !m.failed && !m.slots.is_empty() && !copies(id));
    findings.extend(alone.map(|(_, member)| {
        Finding::warning(format!("node {}", member.address), "has no living replica: its slots go with it")
            .hint("bring its replica back, or add one: redis-cli --cluster add-node … --cluster-slave")
    }));
    findings
}

fn disagreement(name: &str, views: &[(&String, &View)]) -> Option<Finding> {
    let mut kinds: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for (node, view) in views {
        kinds.entry(format!("{:?}", view.owners())).or_default().push(node);
    }
    if kinds.len() < 2 {
        return None;
    }
    let sides = kinds.values().map(|nodes| nodes.join(" and ")).collect::<Vec<_>>().join("; against ");
    let seen = format!("its nodes do not agree who has which slots: {sides}");
    Some(Finding::critical(name, seen).hint("see both views: redis-cli cluster nodes; then: redis-cli --cluster fix"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::finding::Band;

    fn view(owner: &str) -> View {
        let member = |address: &str, master: bool| Member {
            address: address.into(),
            myself: false,
            master,
            replica_of: (!master).then(|| owner.to_owned()),
            failed: false,
            doubted: false,
            slots: if master { vec![0..=SLOTS - 1] } else { Vec::new() },
        };
        let nodes = [(owner.to_owned(), member("h:1", true)), ("r".into(), member("h:2", false))];
        View { serves: true, nodes: nodes.into() }
    }

    #[test]
    fn views_that_differ_are_seen() {
        let same = [("h:1".to_owned(), Ok(view("a"))), ("h:2".to_owned(), Ok(view("a")))];
        assert!(judge("c", &same).iter().all(|f| f.band == Band::Good));
        let other = [("h:1".to_owned(), Ok(view("a"))), ("h:2".to_owned(), Ok(view("b")))];
        let findings = judge("c", &other);
        assert!(findings.iter().any(|f| f.band == Band::Critical && f.seen.contains("do not agree")), "{findings:?}");
    }

    #[test]
    fn one_that_only_we_cannot_reach_is_not_known() {
        let silence = || RedisNodeError::Late { within: std::time::Duration::from_secs(1) };
        let asked = [("h:1".to_owned(), Ok(view("a"))), ("h:2".to_owned(), Err(silence()))];
        let findings = judge("c", &asked);
        let band = |subject: &str| findings.iter().find(|f| f.subject == subject).map(|f| f.band);
        assert_eq!(band("h:2"), Some(Band::Unknown), "the others see it: {findings:?}");
        let none = [("h:1".to_owned(), Err(silence()))];
        assert!(judge("c", &none).iter().all(|f| f.band == Band::Unknown));
    }
}
