//! What a service is: whether it keeps data, so that no update touches it, and whether two of it can be at once.

use crate::adapters::{
    compose::Service,
    docker::{Replica, State},
};

/// Programs that keep data, as their images are called.
const STORES: &[&str] = &[
    "postgres",
    "postgis",
    "timescale",
    "pgvector",
    "mysql",
    "mariadb",
    "percona",
    "mongo",
    "redis",
    "valkey",
    "keydb",
    "cassandra",
    "scylla",
    "elasticsearch",
    "opensearch",
    "clickhouse",
    "influxdb",
    "etcd",
    "rabbitmq",
    "kafka",
    "zookeeper",
    "minio",
    "neo4j",
    "couchdb",
    "couchbase",
    "cockroach",
    "mssql",
    "oracle",
];
/// Names of services that say the same.
const NAMES: &[&str] = &["db", "database"];
/// Where such programs keep it.
const PLACES: &[&str] = &[
    "/var/lib/postgresql",
    "/var/lib/mysql",
    "/data/db",
    "/var/lib/mongodb",
    "/var/lib/redis",
    "/var/lib/cassandra",
    "/usr/share/elasticsearch/data",
    "/usr/share/opensearch/data",
    "/var/lib/clickhouse",
    "/var/lib/influxdb",
    "/var/lib/rabbitmq",
    "/var/lib/kafka",
    "/bitnami/postgresql",
    "/bitnami/redis",
    "/bitnami/mysql",
];
/// What exporters and the like have behind such a name.
const BESIDE: &[&str] = &["exporter", "admin", "commander", "insight", "backup", "proxy", "pgbouncer", "ui"];

/// Whether it stands beside a store, as an exporter or a console does.
fn is_beside(name: &str) -> bool {
    let is_one = |word: &str, beside: &str| word == beside || (beside.len() > 3 && word.ends_with(beside));
    let mut words = name.split(|c: char| !c.is_ascii_alphanumeric());
    words.any(|word| BESIDE.iter().any(|beside| is_one(word, beside)))
}

/// Whether a name says that there is data.
fn names_a_store(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    STORES.iter().any(|store| name.contains(store)) && !is_beside(&name)
}

/// Whether a service's own name says that it keeps data: known before anything is asked.
pub fn is_named_as_store(service: &str) -> bool {
    let mut words = service.split(['-', '_']);
    names_a_store(service) || words.any(|word| NAMES.contains(&word)) && !is_beside(service)
}

/// Why a service is taken for one that keeps data, by its name, image or volumes.
pub fn keeps_data(name: &str, service: &Service, replicas: &[Replica]) -> Option<String> {
    if is_named_as_store(name) {
        return Some("is named as a database".to_owned());
    }
    let images = service.image.iter().chain(replicas.iter().map(|replica| &replica.image));
    for image in images {
        let last = image.rsplit('/').next().unwrap_or(image);
        if names_a_store(last.split([':', '@']).next().unwrap_or(last)) {
            return Some(format!("has the image {image}"));
        }
    }
    let of_file = service.writes_to.iter().map(|volume| (&volume.source, &volume.target));
    let of_replicas = replicas.iter().flat_map(|replica| &replica.volumes).map(|(source, target)| (source, target));
    for (source, target) in of_file.chain(of_replicas) {
        let says_so = !source.contains('/') && (names_a_store(source) || source.contains("pgdata"));
        if says_so || PLACES.iter().any(|place| target.starts_with(place)) {
            return Some(format!("has data at {target}"));
        }
    }
    None
}

/// Why there cannot be two containers of a service at once, so that it has to be made anew in its place. `shared` names the
/// volumes, by name or place, that several may write to.
pub fn only_in_place(service: &Service, replicas: &[Replica], shared: &[String]) -> Option<String> {
    if let Some(name) = &service.container_name {
        return Some(format!("it has the fixed container name {name}"));
    }
    if let Some(port) = service.host_ports.first() {
        return Some(format!("it has the host's port {port}"));
    }
    if let Some(mode) = service.network_mode.as_ref().filter(|mode| !matches!(mode.as_str(), "bridge" | "none")) {
        return Some(format!("it lives in the network {mode}"));
    }
    let is_shared = |source: &str, target: &str| shared.iter().any(|name| name == source || name == target);
    let own = service.writes_to.iter().find(|volume| !is_shared(&volume.source, &volume.target));
    if let Some(volume) = own {
        let what = if volume.source.is_empty() { "a volume of its own" } else { &volume.source };
        return Some(format!("it writes to {what} at {}", volume.target));
    }
    // A volume that the image brings is in no file.
    let of_image = replicas.iter().flat_map(|replica| &replica.volumes).find(|(source, target)| {
        !is_shared(source, target) && !service.writes_to.iter().any(|volume| volume.target == *target)
    });
    if let Some((_, target)) = of_image {
        return Some(format!("it has a volume at {target}"));
    }
    match replicas {
        [] => Some("it did not run".to_owned()),
        all if all.iter().any(|replica| replica.state != State::Running) => {
            Some("not all of its containers ran".to_owned())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adapters::compose::Volume;

    fn of(image: &str) -> Service {
        Service { image: Some(image.to_owned()), ..Service::default() }
    }

    #[test]
    fn databases_are_known_by_name_image_and_volume() {
        for (name, image) in [
            ("postgres-primary", "x"),
            ("db", "x"),
            ("build-postgres", "x"),
            ("leanvibe-database", "x"),
            ("store", "registry.local:5000/bitnami/postgresql:15"),
            ("cache", "redis:7-alpine"),
        ] {
            assert!(keeps_data(name, &of(image), &[]).is_some(), "{name} {image}");
        }
        for (name, image) in [
            ("universal-orchestrator", "leanvibe/agent-hive:orchestrator-2.0"),
            ("redis-exporter", "oliver006/redis_exporter"),
            ("feedback", "app"),
            ("communication-hub", "mongo.example.com/hub:1"),
        ] {
            assert_eq!(keeps_data(name, &of(image), &[]), None, "{name} {image}");
        }
        let volume = Volume { source: "x".into(), target: "/var/lib/postgresql/data".into() };
        let service = Service { writes_to: vec![volume], ..of("app") };
        assert_eq!(keeps_data("app", &service, &[]).unwrap(), "has data at /var/lib/postgresql/data");
    }

    #[test]
    fn what_cannot_be_twice_is_said() {
        let why = |service: &Service, shared: &[String]| only_in_place(service, &[], shared).unwrap();
        let named = Service { container_name: Some("x".into()), ..of("app") };
        assert_eq!(why(&named, &[]), "it has the fixed container name x");
        assert_eq!(why(&Service { host_ports: vec!["80".into()], ..of("app") }, &[]), "it has the host's port 80");
        let volume = Volume { source: "logs".into(), target: "/logs".into() };
        let writes = Service { writes_to: vec![volume], ..of("app") };
        assert_eq!(why(&writes, &[]), "it writes to logs at /logs");
        assert_eq!(why(&writes, &["/logs".into()]), "it did not run");
    }
}
