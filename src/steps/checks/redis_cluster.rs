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
        targets::Node,
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
                .map(|node| async { (node.clone(), redis::view(cluster, node, &context.stack.docker).await) }),
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

type Asked = (Node, Result<View, RedisNodeError>);

fn judge(name: &str, asked: &[Asked]) -> Vec<Finding> {
    let views: Vec<(&Node, &View)> =
        asked.iter().filter_map(|(node, view)| Some((node, view.as_ref().ok()?))).collect();
    let mut findings: Vec<Finding> = Vec::new();
    let Some((speaker, best)) = views.iter().max_by_key(|(_, view)| (view.serves, view.nodes.len())) else {
        // Not one view: whether it serves is not known, for maint may be what is cut off.
        let why: BTreeSet<String> = asked.iter().filter_map(|(_, view)| Some(chain(view.as_ref().err()?))).collect();
        let seen = format!("no node answers: {}", listed(why));
        return vec![Finding::unknown(name, seen).hint("look at them: docker ps --all")];
    };
    findings.push(slots(name, speaker, best));
    for (node, view) in asked {
        match view {
            Err(error) => findings.push(silent(node, error, &views)),
            Ok(view) if !view.serves => {
                let seen = "says that the cluster is down (cluster_state:fail)";
                let hint = format!("see why: {}", node.cli("cluster nodes"));
                findings.push(Finding::critical(node.label(), seen).hint(hint));
            }
            Ok(_) => findings.push(Finding::good(node.label(), "answers, and the cluster serves")),
        }
    }
    let told: Vec<String> = asked.iter().filter(|(_, view)| view.is_err()).map(|(node, _)| node.label()).collect();
    findings.extend(members(speaker, best, &views, &told));
    findings.extend(disagreement(name, &views));
    findings
}

fn slots(name: &str, speaker: &Node, view: &View) -> Finding {
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
        .hint(format!("bring their master or a replica of it back; then: {}", speaker.cluster_cli("check", "")))
}

/// A node that said nothing: down where the others say so too, else not known.
fn silent(node: &Node, error: &RedisNodeError, views: &[(&Node, &View)]) -> Finding {
    let label = node.label();
    let hint = match node {
        Node::Host { .. } => "see in its log why it ended, and start it".to_owned(),
        Node::Container { name, .. } => {
            format!("see why it ended: docker logs --tail 50 {name}; start it: docker start {name}")
        }
    };
    let up = views.iter().flat_map(|(_, view)| view.nodes.values());
    let doubted = up.filter(|member| member.address == label).any(|member| member.failed || member.doubted);
    match error.is_silence() {
        true if doubted || !knows(views, &label) => {
            Finding::critical(label, format!("is down: {}", chain(error))).hint(hint)
        }
        _ => unasked(label, error),
    }
}

/// Whether nodes are known by that address: behind a container's published port they are not.
fn knows(views: &[(&Node, &View)], node: &str) -> bool {
    views.iter().any(|(_, view)| view.nodes.values().any(|member| member.address == node))
}

/// Nodes that the cluster gave up, where nobody has told of them yet, and masters that nobody would stand in for.
fn members(speaker: &Node, best: &View, views: &[(&Node, &View)], told: &[String]) -> Vec<Finding> {
    let mut findings = Vec::new();
    let failed: BTreeMap<&str, &String> = views
        .iter()
        .flat_map(|(_, view)| &view.nodes)
        .filter(|(_, member)| member.failed && !told.contains(&member.address))
        .map(|(id, member)| (member.address.as_str(), id))
        .collect();
    for (address, id) in failed {
        let seen = "the cluster gave it up (fail)";
        let forget = speaker.cluster_cli("del-node", id);
        let hint = format!("start it; or forget it, if it is gone for good: {forget}");
        findings.push(Finding::critical(format!("node {address}"), seen).hint(hint));
    }
    let copies = |id: &str| {
        best.nodes.values().any(|member: &Member| member.replica_of.as_deref() == Some(id) && !member.failed)
    };
    let alone = best.nodes.iter().filter(|(id, m)| m.master && !m.failed && !m.slots.is_empty() && !copies(id));
    findings.extend(alone.map(|(id, member)| {
        let add = speaker.cluster_cli("add-node NEW:PORT", &format!("--cluster-slave --cluster-master-id {id}"));
        Finding::warning(format!("node {}", member.address), "has no living replica: its slots go with it")
            .hint(format!("bring its replica back; or add one: {add}"))
    }));
    findings
}

fn disagreement(name: &str, views: &[(&Node, &View)]) -> Option<Finding> {
    let mut kinds: BTreeMap<String, Vec<&Node>> = BTreeMap::new();
    for (node, view) in views {
        kinds.entry(format!("{:?}", view.owners())).or_default().push(node);
    }
    if kinds.len() < 2 {
        return None;
    }
    let labels = |nodes: &Vec<&Node>| nodes.iter().map(|node| node.label()).collect::<Vec<_>>().join(" and ");
    let sides = kinds.values().map(labels).collect::<Vec<_>>().join("; against ");
    let seen = format!("its nodes do not agree who has which slots: {sides}");
    let looks = kinds.values().filter_map(|nodes| Some(format!("see: {}", nodes.first()?.cli("cluster nodes"))));
    let mend = views.first().map(|(node, _)| format!("then: {}", node.cluster_cli("fix", "")));
    Some(Finding::critical(name, seen).hint(looks.chain(mend).collect::<Vec<_>>().join("; ")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::finding::Band;

    fn node(port: u16) -> Node {
        Node::Host { host: "h".into(), port }
    }

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
        let same = [(node(1), Ok(view("a"))), (node(2), Ok(view("a")))];
        assert!(judge("c", &same).iter().all(|f| f.band == Band::Good));
        let other = [(node(1), Ok(view("a"))), (node(2), Ok(view("b")))];
        let findings = judge("c", &other);
        assert!(findings.iter().any(|f| f.band == Band::Critical && f.seen.contains("do not agree")), "{findings:?}");
    }

    #[test]
    fn one_that_only_we_cannot_reach_is_not_known() {
        let silence = || RedisNodeError::Late { within: std::time::Duration::from_secs(1) };
        let asked = [(node(1), Ok(view("a"))), (node(2), Err(silence()))];
        let findings = judge("c", &asked);
        let band = |subject: &str| findings.iter().find(|f| f.subject == subject).map(|f| f.band);
        assert_eq!(band("h:2"), Some(Band::Unknown), "the others see it: {findings:?}");
        let none = [(node(1), Err(silence()))];
        assert!(judge("c", &none).iter().all(|f| f.band == Band::Unknown));
    }
}
