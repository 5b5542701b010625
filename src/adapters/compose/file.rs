//! What `compose config` prints: the files of a project, variables filled in. Version 1 writes short forms where the files
//! have them, version 2 writes long forms; both are read.

use std::{collections::BTreeMap, time::Duration};

use saphyr::{LoadableYamlNode, Scalar, Yaml};

/// A project's services by name, in the order of the program's answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct File {
    /// Its services.
    pub services: BTreeMap<String, Service>,
}

/// One service, as far as it decides how it may be updated.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Service {
    /// The image, as it is named.
    pub image: Option<String>,
    /// Whether it is built on this host.
    pub is_built: bool,
    /// The name that its only container must have.
    pub container_name: Option<String>,
    /// Ports of the host that it wants, as the files have them.
    pub host_ports: Vec<String>,
    /// The network of another container, or of the host, that it lives in.
    pub network_mode: Option<String>,
    /// Volumes and directories of the host that it may write to.
    pub writes_to: Vec<Volume>,
    /// The services that it needs.
    pub depends_on: Vec<String>,
    /// How long it may take to end.
    pub stop_grace: Option<Duration>,
}

/// Something that a service has mounted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Volume {
    /// A volume's name or a path of the host; empty for one without a name.
    pub source: String,
    /// Where the service has it.
    pub target: String,
}

/// Reads it; `Err` says what was not understood.
pub(super) fn parse(text: &str) -> Result<File, String> {
    let documents = Yaml::load_from_str(text).map_err(|error| error.to_string())?;
    let services = documents.first().and_then(|document| document.as_mapping_get("services"));
    let services = services.and_then(Yaml::as_mapping).ok_or("it has no services")?;
    let one = |(name, service): (&Yaml<'_>, &Yaml<'_>)| {
        let name = name.as_str().ok_or("a service's name is no text")?.to_owned();
        Ok((name, service_of(service)))
    };
    Ok(File { services: services.iter().map(one).collect::<Result<_, &str>>()? })
}

fn service_of(service: &Yaml<'_>) -> Service {
    let text = |key: &str| service.as_mapping_get(key).and_then(Yaml::as_str).map(str::to_owned);
    let list = |key: &str| service.as_mapping_get(key).and_then(Yaml::as_sequence).into_iter().flatten();
    let mut depends_on = names(service.as_mapping_get("depends_on"));
    let links = list("links").filter_map(Yaml::as_str);
    depends_on.extend(links.map(|link| link.split(':').next().unwrap_or(link).to_owned()));
    depends_on.extend(text("network_mode").and_then(|mode| mode.strip_prefix("service:").map(str::to_owned)));
    Service {
        image: text("image"),
        is_built: service.as_mapping_get("build").is_some(),
        container_name: text("container_name"),
        host_ports: list("ports").filter_map(host_port).collect(),
        network_mode: text("network_mode"),
        writes_to: list("volumes").filter_map(written).collect(),
        depends_on,
        stop_grace: text("stop_grace_period").and_then(|span| humantime::parse_duration(&span).ok()),
    }
}

/// The names in a list, or the keys of a mapping.
fn names(value: Option<&Yaml<'_>>) -> Vec<String> {
    let Some(value) = value else { return Vec::new() };
    let listed = value.as_sequence().into_iter().flatten();
    let keys = value.as_mapping().into_iter().flat_map(|mapping| mapping.keys());
    listed.chain(keys).filter_map(Yaml::as_str).map(str::to_owned).collect()
}

/// A number or text, as text.
fn plain(value: &Yaml<'_>) -> Option<String> {
    match value {
        Yaml::Value(Scalar::Integer(number)) => Some(number.to_string()),
        other => other.as_str().map(str::to_owned),
    }
}

/// The port of the host, where one is named: `127.0.0.1:8080:80/tcp`, `8080-8090:80`, `{ published: 8080, target: 80 }`.
fn host_port(port: &Yaml<'_>) -> Option<String> {
    if port.as_mapping().is_some() {
        return port.as_mapping_get("published").and_then(plain).filter(|port| !port.is_empty() && port != "0");
    }
    let short = plain(port)?;
    let (host, _container) = short.rsplit_once(':')?;
    // What is left is `port`, `address:port` or `address:`.
    let number = host.rsplit(':').next().unwrap_or(host);
    Some(number.to_owned()).filter(|number| !number.is_empty() && number != "0")
}

/// What it may write to: `name:/path`, `/host:/path:rw`, `/path`, `{ type: volume, source: name, target: /path }`.
fn written(volume: &Yaml<'_>) -> Option<Volume> {
    if volume.as_mapping().is_some() {
        let text = |key: &str| volume.as_mapping_get(key).and_then(Yaml::as_str).unwrap_or_default().to_owned();
        let read_only = volume.as_mapping_get("read_only").and_then(Yaml::as_bool).unwrap_or(false);
        let kept = !read_only && matches!(text("type").as_str(), "volume" | "bind");
        return kept.then(|| Volume { source: text("source"), target: text("target") });
    }
    let mut parts = volume.as_str()?.split(':');
    let first = parts.next()?.to_owned();
    let Some(target) = parts.next() else { return Some(Volume { source: String::new(), target: first }) };
    let read_only = parts.next().is_some_and(|mode| mode.split(',').any(|word| word == "ro"));
    (!read_only).then(|| Volume { source: first, target: target.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn volume(source: &str, target: &str) -> Volume {
        Volume { source: source.into(), target: target.into() }
    }

    /// Printed by docker-compose 1.29.2 (`tests/data/compose/config-1.29.2.yml` has the whole of it).
    #[test]
    fn version_one_is_understood() {
        let file = parse(include_str!("../../../tests/data/compose/config-1.29.2.yml")).unwrap();
        let app = &file.services["universal-orchestrator"];
        assert_eq!(app.image.as_deref(), Some("leanvibe/agent-hive:orchestrator-2.0"));
        assert_eq!((app.depends_on.as_slice(), &app.container_name), (["db".to_owned()].as_slice(), &None));
        assert_eq!((&app.host_ports, app.stop_grace), (&vec![], Some(Duration::from_secs(90))));
        assert_eq!(app.writes_to, [volume("/srv/stack/x", "/x"), volume("", "/scratch")]);
        let db = &file.services["db"];
        assert_eq!(db.container_name.as_deref(), Some("leanvibe-postgres-primary"));
        assert_eq!(db.host_ports, ["18080", "5432"]);
        assert_eq!(db.writes_to, [volume("pgdata", "/var/lib/postgresql/data")]);
    }

    /// As version 2 prints it by its documentation; not seen live.
    #[test]
    fn version_two_is_understood() {
        let file = parse(include_str!("../../../tests/data/compose/config-v2.yml")).unwrap();
        let app = &file.services["universal-orchestrator"];
        assert_eq!((app.depends_on.as_slice(), app.is_built), (["db".to_owned()].as_slice(), false));
        assert_eq!(app.writes_to, [volume("orchestrator_data", "/data")]);
        let db = &file.services["db"];
        assert_eq!(
            (db.host_ports.as_slice(), db.stop_grace),
            (["5432".to_owned()].as_slice(), Some(Duration::from_secs(90)))
        );
        assert!(parse("services: [").is_err() && parse("{}").is_err());
    }
}
