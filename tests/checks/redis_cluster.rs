//! `redis_cluster`: a real cluster of six nodes, and what goes wrong with one.

use super::stage::looked;
use crate::redis::Cluster;

fn section(cluster: &Cluster) -> String {
    format!("[redis.main]\nnodes = {:?}\ntimeout = \"2s\"\n", cluster.addresses())
}

const STEP: &str = "redis_cluster = { cluster = \"main\" }";

#[test]
fn a_node_that_is_down_and_a_slot_that_nobody_has_are_critical() {
    let mut cluster = Cluster::start();
    let found = looked(&section(&cluster), STEP);
    found.code(0).is("main", "good", "all 16384 slots served");
    assert!(found.all_good() && found.subjects().len() == 7, "{found:?}");

    // A slot taken from its master.
    let owner = (0..6)
        .find(|node| {
            cluster.cli(*node, &["cluster", "nodes"]).contains("myself,master")
                && cluster.cli(*node, &["cluster", "delslots", "0"]).contains("OK")
        })
        .unwrap();
    for node in (0..6).filter(|node| *node != owner) {
        cluster.cli(node, &["cluster", "delslots", "0"]);
    }
    let found = looked(&section(&cluster), STEP);
    found.code(1).is("main", "critical", "1 slot that nobody serves: 0");
    cluster.cli(owner, &["cluster", "addslots", "0"]);
    cluster.wait(|views| views.iter().all(|view| view.contains("cluster_slots_assigned:16384")));

    // A replica: every slot is served on, but its master stands alone.
    let replica = (0..6).find(|node| cluster.cli(*node, &["cluster", "nodes"]).contains("myself,slave")).unwrap();
    cluster.nodes[replica].kill();
    let address = cluster.addresses()[replica].clone();
    cluster.wait(|views| views.len() == 5 && views.iter().all(|view| view.contains("slave,fail ")));
    let found = looked(&section(&cluster), STEP);
    found.code(1).is(&address, "critical", "is down").is("main", "good", "all 16384 slots served");
    let alone = found.subjects().into_iter().filter(|s| s.starts_with("node ")).filter(|s| found.of(s).0 == "warning");
    assert_eq!(alone.count(), 1, "{found:?}");
}

#[test]
fn a_cluster_that_maint_cannot_reach_is_unknown() {
    let found =
        looked("[redis.main]\nnodes = [\"127.0.0.1:1\", \"container:none\"]\n[docker]\nhost = \"unix:///x\"\n", STEP);
    found.code(4).is("main", "unknown", "no node answers").is("main", "unknown", "Docker engine");
}
