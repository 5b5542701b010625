//! A Redis cluster as each of its nodes sees it.
//!
//! `CLUSTER INFO` and `CLUSTER NODES`: <https://redis.io/docs/latest/commands/cluster-nodes/>. A node that is cut off from
//! the others has a view of its own, so that every node is asked.

use std::{collections::BTreeMap, ops::RangeInclusive, time::Duration};

use ::redis::{AsyncConnectionConfig, Client, ConnectionAddr, IntoConnectionInfo, RedisConnectionInfo, RedisError};

use super::{
    docker::{Docker, DockerError},
    secret::{self, SecretError},
};
use crate::model::{
    failure::{Class, Diagnose},
    secret::Secret,
    stack,
    targets::{Node, RedisCluster},
};

/// How many slots a cluster has.
pub const SLOTS: u16 = 16384;

/// Why a node said nothing.
#[derive(Debug, thiserror::Error)]
pub enum RedisNodeError {
    #[error(transparent)]
    Secret(#[from] SecretError),
    #[error(transparent)]
    Docker(#[from] DockerError),
    #[error("no answer within {} s", within.as_secs_f64())]
    Late { within: Duration },
    #[error("no answer: {0}")]
    NoAnswer(RedisError),
    #[error("it refused: {0}")]
    Refused(RedisError),
    #[error("its answer cannot be read: {0}")]
    Unreadable(String),
}

impl Diagnose for RedisNodeError {
    fn class(&self) -> Class {
        Class::Unverifiable
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Secret(e) => e.hint(),
            Self::Docker(e) => e.hint(),
            Self::Refused(_) => Some("look at user and password of the cluster in maint.toml".into()),
            Self::Late { .. } | Self::NoAnswer(_) | Self::Unreadable(_) => None,
        }
    }
}

impl RedisNodeError {
    /// Whether nobody answers there, as opposed to somebody who refuses.
    pub fn is_silence(&self) -> bool {
        matches!(self, Self::Late { .. } | Self::NoAnswer(_) | Self::Docker(DockerError::NotRunning { .. }))
    }
}

/// The cluster as one node sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct View {
    /// `cluster_state`: whether it serves.
    pub serves: bool,
    /// Every node that it knows, by id.
    pub nodes: BTreeMap<String, Member>,
}

/// A node as another, or it itself, sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// `ip:port`
    pub address: String,
    /// Whether it is the node that was asked.
    pub myself: bool,
    /// Whether it has slots to serve, or could have.
    pub master: bool,
    /// The master that it copies.
    pub replica_of: Option<String>,
    /// Whether the cluster agreed that it is down (`fail`).
    pub failed: bool,
    /// Whether this node alone thinks so (`fail?`), or has no link to it.
    pub doubted: bool,
    /// The slots that it has.
    pub slots: Vec<RangeInclusive<u16>>,
}

impl View {
    /// The slots that no living master has.
    pub fn uncovered(&self) -> Vec<RangeInclusive<u16>> {
        let mut covered = vec![false; usize::from(SLOTS)];
        let living = self.nodes.values().filter(|node| node.master && !node.failed);
        for slot in living.flat_map(|node| node.slots.iter().cloned()).flatten() {
            if let Some(place) = covered.get_mut(usize::from(slot)) {
                *place = true;
            }
        }
        let mut gaps: Vec<RangeInclusive<u16>> = Vec::new();
        for slot in (0..SLOTS).filter(|slot| !covered[usize::from(*slot)]) {
            match gaps.last_mut() {
                Some(gap) if *gap.end() + 1 == slot => *gap = *gap.start()..=slot,
                _ => gaps.push(slot..=slot),
            }
        }
        gaps
    }

    /// Who has which slots: what all nodes must agree upon.
    pub fn owners(&self) -> BTreeMap<&str, &[RangeInclusive<u16>]> {
        let with_slots = self.nodes.iter().filter(|(_, node)| !node.slots.is_empty());
        with_slots.map(|(id, node)| (id.as_str(), node.slots.as_slice())).collect()
    }
}

/// Asks one node.
///
/// # Errors
/// When it does not answer in time, or refuses.
pub async fn view(cluster: &RedisCluster, node: &Node, docker: &stack::Docker) -> Result<View, RedisNodeError> {
    let within = cluster.timeout;
    let asked = tokio::time::timeout(within, ask(cluster, node, docker)).await;
    asked.unwrap_or(Err(RedisNodeError::Late { within }))
}

async fn ask(cluster: &RedisCluster, node: &Node, docker: &stack::Docker) -> Result<View, RedisNodeError> {
    let password = cluster.password.as_ref().map(secret::read).transpose()?;
    let (host, port) = match node {
        Node::Host { host, port } => (host.clone(), *port),
        Node::Container { name, port } => Docker::connect(&docker.host).await?.container_address(name, *port).await?,
    };
    let login = login(cluster.user.as_deref(), password.as_ref());
    let info = ConnectionAddr::Tcp(host, port).into_connection_info().map_err(RedisNodeError::NoAnswer)?;
    let client = Client::open(info.set_redis_settings(login)).map_err(RedisNodeError::NoAnswer)?;
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(cluster.timeout))
        .set_response_timeout(Some(cluster.timeout));
    let sort = |error: RedisError| match error.is_io_error() || error.is_timeout() || error.is_connection_refusal() {
        true => RedisNodeError::NoAnswer(error),
        false => RedisNodeError::Refused(error),
    };
    let mut connection = client.get_multiplexed_async_connection_with_config(&config).await.map_err(sort)?;
    let command = |word: &str| {
        let mut command = ::redis::cmd("CLUSTER");
        command.arg(word);
        command
    };
    let info: String = command("INFO").query_async(&mut connection).await.map_err(sort)?;
    let nodes: String = command("NODES").query_async(&mut connection).await.map_err(sort)?;
    read(&info, &nodes)
}

fn login(user: Option<&str>, password: Option<&Secret>) -> RedisConnectionInfo {
    let mut login = RedisConnectionInfo::default();
    if let Some(user) = user {
        login = login.set_username(user);
    }
    match password {
        Some(password) => login.set_password(password.reveal()),
        None => login,
    }
}

fn read(info: &str, nodes: &str) -> Result<View, RedisNodeError> {
    let state = info.lines().find_map(|line| line.trim().strip_prefix("cluster_state:"));
    let state = state.ok_or_else(|| RedisNodeError::Unreadable("it does not tell cluster_state".into()))?;
    let nodes = nodes.lines().filter(|line| !line.trim().is_empty()).map(member).collect::<Result<_, _>>()?;
    Ok(View { serves: state == "ok", nodes })
}

/// `<id> <ip:port@cport[,hostname]> <flags> <master> <ping-sent> <pong-recv> <epoch> <link-state> <slot> …`
fn member(line: &str) -> Result<(String, Member), RedisNodeError> {
    let odd = || RedisNodeError::Unreadable(format!("a line of CLUSTER NODES: {line}"));
    let words: Vec<&str> = line.split_whitespace().collect();
    let [id, address, flags, master, _, _, _, link, slots @ ..] = words.as_slice() else { return Err(odd()) };
    let flags: Vec<&str> = flags.split(',').collect();
    let has = |flag: &str| flags.contains(&flag);
    let range = |text: &&str| {
        let (from, to) = text.split_once('-').unwrap_or((text, text));
        Some(from.parse().ok()?..=to.parse().ok()?)
    };
    // `[93-<-…]` is a slot on its way, which its owner is still listed with.
    let slots = slots.iter().filter(|text| !text.starts_with('[')).map(|text| range(text).ok_or_else(odd));
    let member = Member {
        address: address.split(['@', ',']).next().unwrap_or_default().to_owned(),
        myself: has("myself"),
        master: has("master"),
        replica_of: (*master != "-").then(|| (*master).to_owned()),
        failed: has("fail"),
        doubted: has("fail?") || has("noaddr") || has("handshake") || (*link != "connected" && !has("myself")),
        slots: slots.collect::<Result<_, _>>()?,
    };
    Ok(((*id).to_owned(), member))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NODES: &str = "\
a1 127.0.0.1:7000@17000 myself,master - 0 0 1 connected 0-5460 [5461->-b2]
b2 127.0.0.1:7001@17001,host-b master - 0 0 2 connected 5461-10921 10923
c3 127.0.0.1:7002@17002 master,fail - 0 0 3 disconnected 10924-16383
d4 127.0.0.1:7003@17003 slave,fail? a1 0 0 1 connected
";

    #[test]
    fn a_view_is_read() {
        let view = read("cluster_state:fail\r\ncluster_slots_assigned:16383\r\n", NODES).unwrap();
        assert!(!view.serves);
        assert_eq!(view.uncovered(), [10922..=10922, 10924..=16383], "a failed master covers nothing");
        assert_eq!(view.owners().len(), 3);
        let d = &view.nodes["d4"];
        assert!(!d.master && !d.failed && d.doubted && d.replica_of.as_deref() == Some("a1"));
        assert_eq!(view.nodes["b2"].address, "127.0.0.1:7001");
        for odd in ["a1 x", "a1 h:1@2 master - 0 0 1 connected x-y"] {
            assert!(read("cluster_state:ok", odd).is_err(), "{odd}");
        }
        assert!(read("", NODES).is_err());
    }
}
