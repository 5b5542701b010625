//! A real Redis cluster of six nodes: three masters, each with a replica.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::allow_attributes,
    reason = "every test file uses its own part"
)]

use std::process::Command;

use super::server::Server;

pub struct Cluster {
    pub nodes: Vec<Server>,
}

impl Cluster {
    pub fn start() -> Self {
        let node = || {
            Server::start("redis-server", |command, _, port| {
                command.args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--cluster-enabled", "yes"]);
                command.args(["--cluster-config-file", "nodes.conf", "--save", "", "--cluster-node-timeout", "1000"]);
                command.args(["--cluster-require-full-coverage", "no"]);
            })
        };
        let nodes: Vec<Server> = (0..6).map(|_| node()).collect();
        let cluster = Self { nodes };
        let mut args: Vec<String> = vec!["--cluster".into(), "create".into()];
        args.extend(cluster.addresses());
        args.extend(["--cluster-replicas", "1", "--cluster-yes"].map(str::to_owned));
        let made = Command::new("redis-cli").args(&args).output().unwrap();
        let text = String::from_utf8_lossy(&made.stdout).into_owned();
        assert!(text.contains("All 16384 slots covered"), "{text}");
        let settled = |view: &String| {
            view.contains("cluster_state:ok") && view.matches("slave").count() == 3 && !view.contains("handshake")
        };
        cluster.wait(|views| views.iter().all(settled));
        cluster
    }

    /// `127.0.0.1:port` of each.
    pub fn addresses(&self) -> Vec<String> {
        self.nodes.iter().map(|node| format!("127.0.0.1:{}", node.port)).collect()
    }

    /// Runs a command at a node.
    pub fn cli(&self, node: usize, args: &[&str]) -> String {
        let port = self.nodes[node].port.to_string();
        let output = Command::new("redis-cli").args(["-p", &port]).args(args).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    }

    /// Waits until the living nodes' views (`CLUSTER INFO` and `NODES`) are so.
    pub fn wait(&self, is_so: impl Fn(&[String]) -> bool) {
        let begun = std::time::Instant::now();
        loop {
            let views: Vec<String> = (0..self.nodes.len())
                .map(|node| self.cli(node, &["cluster", "info"]) + &self.cli(node, &["cluster", "nodes"]))
                .filter(|view| view.contains("cluster_state"))
                .collect();
            if is_so(&views) {
                return;
            }
            assert!(begun.elapsed().as_secs() < 15, "{views:?}");
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
    }
}
