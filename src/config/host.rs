//! `maint.toml` to a [`Stack`].

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use super::{
    compose, coverage, daemon,
    diagnostic::Mistake,
    document::{Document, nearest, place},
    monitoring, notify, reports, secrets,
    shape::{DrillSection, HostFile, PostgresSection, SignSection},
    stores, systemd, targets,
};
use crate::model::{
    secret::SecretSource,
    stack::{Docker, DrillSettings, PostgresAddress, PostgresServer, SignSettings, SslMode, Stack},
};

const DEFAULT_LOCK_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(10);

/// Resolves what the file says; `file` must be absolute.
pub(super) fn resolve(document: &Document, file: &Path, raw: HostFile, mistakes: &mut Vec<Mistake>) -> Stack {
    let dir = file.parent().unwrap_or(Path::new("/"));
    let root = dir.join(raw.root.unwrap_or_default());
    let under = |given: Option<PathBuf>, default: &str| tidy(&root.join(given.unwrap_or_else(|| default.into())));
    let timezone = match raw.timezone.as_deref() {
        None => chrono_tz::UTC,
        Some(name) => zone(document, &place!["timezone"], name, mistakes),
    };
    let postgres: BTreeMap<_, _> = raw
        .postgres
        .into_iter()
        .map(|(name, section)| (name.clone(), server(document, &root, name, section, mistakes)))
        .collect();
    let docker_host = raw.docker.and_then(|d| d.host).unwrap_or_else(|| Docker::default().host);
    if !docker_host.starts_with("unix:///") {
        let message = format!("`{docker_host}`: expected `unix:///path/to/docker.sock`");
        mistakes.push(document.at_path(&place!["docker", "host"], message));
    }
    let state_dir = under(raw.state_dir, "/var/lib/maint");
    let drill = drill(document, &root, &state_dir, raw.drill.unwrap_or_default(), &postgres, mistakes);
    let (metrics, web) = monitoring::resolve(document, &root, raw.metrics.unwrap_or_default(), raw.web, mistakes);
    let stores = stores::resolve(document, &root, raw.store, mistakes);
    let looked_at = targets::Raw {
        prometheus: raw.prometheus,
        alertmanager: raw.alertmanager,
        redis: raw.redis,
        endpoint: raw.endpoint,
        certificate: raw.certificate,
        metric: raw.metric,
    };
    let targets = targets::resolve(document, &root, looked_at, mistakes);
    let reports_dir = under(raw.reports_dir, "reports");
    let notify = notify::resolve(document, &root, raw.notify, raw.escalation.unwrap_or_default(), mistakes);
    Stack {
        reports: reports::resolve(document, reports_dir, raw.capacity.unwrap_or_default(), &targets, mistakes),
        targets,
        name: raw.stack,
        timezone,
        jobs_dir: under(raw.jobs_dir, "jobs"),
        backup_dir: under(raw.backup_dir, "backups"),
        state_dir,
        root: tidy(&root),
        postgres,
        docker: Docker { host: docker_host },
        compose: raw.compose.map(|section| compose::resolve(document, &root, section, mistakes)),
        drill,
        stores,
        notify,
        audit: coverage::resolve(document, raw.audit.unwrap_or_default(), raw.coverage.unwrap_or_default(), mistakes),
        systemd: systemd::resolve(document, &root, raw.systemd.unwrap_or_default(), mistakes),
        sign: raw.sign.map(|section| sign(document, &root, section, mistakes)).unwrap_or_default(),
        metrics,
        web,
        daemon: daemon::resolve(document, raw.daemon.unwrap_or_default(), mistakes),
    }
}

fn sign(document: &Document, root: &Path, raw: SignSection, mistakes: &mut Vec<Mistake>) -> SignSettings {
    if raw.key_file.is_some() && raw.key_credential.is_some() {
        mistakes.push(document.at_path(&place!["sign", "key_credential"], "the key is given twice; keep one"));
    }
    let key = raw.key_file.map(|file| SecretSource::File(tidy(&root.join(file))));
    let key = key.or(raw.key_credential.map(SecretSource::Credential));
    let trust = raw.trust.map(|file| tidy(&root.join(file)));
    if key.is_none() && trust.is_none() {
        let mistake = document.at_path(&place!["sign"], "says neither who signs nor who is believed");
        mistakes.push(mistake.help("add `key_file = \"…\"`, `trust = \"…\"` or both"));
    }
    SignSettings { key, trust }
}

fn drill(
    document: &Document,
    root: &Path,
    state_dir: &Path,
    raw: DrillSection,
    postgres: &BTreeMap<String, PostgresServer>,
    mistakes: &mut Vec<Mistake>,
) -> DrillSettings {
    let default = DrillSettings::below(state_dir);
    let here = |key: &str| place!["drill", key];
    if raw.image.is_some() && raw.server.is_some() {
        mistakes.push(document.at_path(&here("server"), "only one of `image` and `server` can say where a drill runs"));
    }
    let server = raw.server.and_then(|name| {
        let found = postgres.get(&name).cloned();
        if found.is_none() {
            let mistake = document.at_path(&here("server"), format!("there is no `[postgres.{name}]`"));
            mistakes.push(match nearest(&name, postgres.keys().map(String::as_str)) {
                Some(near) => mistake.help(format!("did you mean `{near}`?")),
                None => mistake,
            });
        }
        found
    });
    if raw.jobs == Some(0) {
        mistakes.push(document.at_path(&here("jobs"), "nothing is loaded by 0 jobs; expected 1 or more"));
    }
    if let Some(nice) = raw.nice.filter(|nice| *nice > 19) {
        mistakes.push(document.at_path(&here("nice"), format!("`{nice}`: expected 0 to 19")));
    }
    DrillSettings {
        scratch_dir: raw.scratch_dir.map_or(default.scratch_dir, |dir| tidy(&root.join(dir))),
        allow_unisolated: raw.allow_unisolated.unwrap_or(default.allow_unisolated),
        timeout: raw.timeout.map_or(default.timeout, |span| span.0),
        image: raw.image,
        server,
        bin_dir: raw.bin_dir.map(|dir| tidy(&root.join(dir))),
        jobs: raw.jobs,
        nice: raw.nice.unwrap_or(default.nice),
    }
}

/// A zone by name.
pub(super) fn zone(
    document: &Document,
    at: &[super::document::Segment],
    name: &str,
    mistakes: &mut Vec<Mistake>,
) -> chrono_tz::Tz {
    name.parse().unwrap_or_else(|_| {
        let mistake = document.at_path(at, format!("`{name}` is not a time zone; expected e.g. \"Europe/Berlin\""));
        mistakes.push(match nearest(name, chrono_tz::TZ_VARIANTS.iter().map(|z| z.name())) {
            Some(near) => mistake.help(format!("did you mean `{near}`?")),
            None => mistake,
        });
        chrono_tz::UTC
    })
}

/// Removes `.` and resolves nothing else: a `..` may go through a link.
pub(super) fn tidy(path: &Path) -> PathBuf {
    path.components().collect()
}

fn server(
    document: &Document,
    root: &Path,
    name: String,
    raw: PostgresSection,
    mistakes: &mut Vec<Mistake>,
) -> PostgresServer {
    let here = |key: &str| place!["postgres", name.as_str(), key];
    let port = raw.port.unwrap_or(5432);
    let tools_in = raw.container.clone();
    let places = [raw.socket.is_some(), raw.host.is_some(), raw.container.is_some()];
    let place_key = ["socket", "host", "container"].into_iter().zip(places).filter(|(_, given)| *given).nth(1);
    if let Some((key, _)) = place_key {
        mistakes.push(
            document.at_path(&here(key), "only one of `socket`, `host` and `container` can say where a server is"),
        );
    }
    let address = match (raw.socket, raw.host, raw.container) {
        (Some(dir), _, _) => PostgresAddress::Socket { dir: tidy(&root.join(dir)), port },
        (_, Some(host), _) => PostgresAddress::Host { host, port },
        (_, _, Some(name)) => PostgresAddress::Container { name, port },
        (None, None, None) => {
            let mistake = document.at_path(&place!["postgres", name.as_str()], "where is this server?");
            mistakes
                .push(mistake.help("add `socket = \"/var/run/postgresql\"`, `host = \"…\"` or `container = \"…\"`"));
            PostgresAddress::Socket { dir: PathBuf::new(), port }
        }
    };
    let password = secrets::only_one(
        document,
        &place!["postgres", name.as_str()],
        "password",
        secrets::Given {
            file: raw.password_file.map(|p| tidy(&root.join(p))),
            env: raw.password_env,
            credential: raw.password_credential,
            inline: raw.password,
        },
        mistakes,
    );
    PostgresServer {
        address,
        tools_in,
        dbname: raw.dbname.unwrap_or_else(|| raw.user.clone()),
        user: raw.user,
        password,
        sslmode: raw.sslmode.unwrap_or(SslMode::Prefer),
        sslrootcert: raw.sslrootcert.map(|p| tidy(&root.join(p))),
        bin_dir: raw.bin_dir.map(|p| tidy(&root.join(p))),
        lock_timeout: raw.lock_timeout.map_or(DEFAULT_LOCK_TIMEOUT, |s| s.0),
        name,
    }
}
