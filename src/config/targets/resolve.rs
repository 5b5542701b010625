//! Those sections to [`Targets`].

use std::{collections::BTreeMap, path::Path, path::PathBuf, time::Duration};

use super::{
    super::{
        diagnostic::Mistake,
        document::{Document, Segment, nearest},
        host::tidy,
        secrets,
    },
    AlertmanagerSection, CertificateSection, EndpointSection, LoginKeys, MetricSection, PrometheusSection, Raw,
    RedisSection, WebKeys,
};
use crate::model::{
    finding::Unit,
    targets::{Alertmanager, Certificate, Endpoint, Live, Login, Metric, Node, Prometheus, RedisCluster, Targets, Web},
};

const ANSWER_WITHIN: Duration = Duration::from_secs(5);
const NODE_WITHIN: Duration = Duration::from_secs(2);
const STALE_AFTER: Duration = Duration::from_secs(120);
const REDIS_PORT: u16 = 6379;

/// One section, with where its mistakes go.
struct Reader<'a> {
    document: &'a Document,
    root: &'a Path,
    section: Vec<Segment>,
    mistakes: &'a mut Vec<Mistake>,
}

/// Resolves every section.
pub(in crate::config) fn resolve(document: &Document, root: &Path, raw: Raw, mistakes: &mut Vec<Mistake>) -> Targets {
    let mut all = All { document, root, mistakes };
    let prometheus = all.each("prometheus", raw.prometheus, |reader, s| reader.prometheus(s));
    let servers: Vec<String> = prometheus.keys().cloned().collect();
    Targets {
        alertmanager: all.each("alertmanager", raw.alertmanager, |reader, s| reader.alertmanager(s, &servers)),
        redis: all.each("redis", raw.redis, |reader, s| reader.redis(s)),
        endpoint: all.each("endpoint", raw.endpoint, |reader, s| reader.endpoint(s)),
        certificate: all.each("certificate", raw.certificate, |reader, s| reader.certificate(s)),
        metric: all.each("metric", raw.metric, |reader, s| reader.metric(s, &servers)),
        prometheus,
    }
}

struct All<'a> {
    document: &'a Document,
    root: &'a Path,
    mistakes: &'a mut Vec<Mistake>,
}

impl All<'_> {
    fn each<S, T>(
        &mut self,
        kind: &str,
        sections: BTreeMap<String, S>,
        mut one: impl FnMut(&mut Reader<'_>, S) -> T,
    ) -> BTreeMap<String, T> {
        let mut found = BTreeMap::new();
        for (name, section) in sections {
            let at = vec![Segment::from(kind), Segment::from(name.as_str())];
            let mut reader =
                Reader { document: self.document, root: self.root, section: at, mistakes: &mut *self.mistakes };
            found.insert(name, one(&mut reader, section));
        }
        found
    }
}

impl Reader<'_> {
    fn wrong(&mut self, key: &str, message: impl Into<String>) -> &mut Mistake {
        let at = [self.section.as_slice(), &[Segment::from(key)]].concat();
        self.mistakes.push(self.document.at_path(&at, message));
        let last = self.mistakes.len() - 1;
        &mut self.mistakes[last]
    }

    fn under(&self, path: PathBuf) -> PathBuf {
        tidy(&self.root.join(path))
    }

    fn web(&mut self, keys: WebKeys) -> Web {
        let rest = keys.url.strip_prefix("https://").or_else(|| keys.url.strip_prefix("http://"));
        match rest {
            None | Some("") => {
                self.wrong("url", format!("`{}`: expected `https://host` or `http://host:port`", keys.url));
            }
            // What is in a URL is shown in findings and kept in the ledger.
            Some(rest) if rest.split(['/', '?']).next().unwrap_or_default().contains('@') => {
                self.wrong("url", "a user or password in a URL is shown wherever the URL is").help =
                    Some("take it out, and use `user` and `password_file`, or `token_file`".into());
            }
            Some(_) => {}
        }
        let plain = keys.url.starts_with("http://");
        let login = self.login(keys.login);
        if login.is_some() && plain && !rest.is_some_and(is_loopback) {
            let mistake = self.wrong("url", "everybody on the way can read the password or token");
            mistake.warning = true;
            mistake.help = Some("use https://".into());
        }
        Web {
            url: keys.url.trim_end_matches('/').to_owned(),
            login,
            ca_file: keys.ca_file.map(|file| self.under(file)),
            timeout: keys.timeout.map_or(ANSWER_WITHIN, |span| span.0),
        }
    }

    fn login(&mut self, keys: LoginKeys) -> Option<Login> {
        let password = secrets::Given {
            file: keys.password_file.map(|file| self.under(file)),
            env: keys.password_env,
            credential: keys.password_credential,
            inline: keys.password,
        };
        let token = secrets::Given {
            file: keys.token_file.map(|file| self.under(file)),
            env: keys.token_env,
            credential: keys.token_credential,
            inline: keys.token,
        };
        let password = secrets::only_one(self.document, &self.section, "password", password, self.mistakes);
        let token = secrets::only_one(self.document, &self.section, "token", token, self.mistakes);
        match (keys.user, password, token) {
            (None, None, None) => None,
            (None, None, Some(token)) => Some(Login::Token(token)),
            (Some(user), Some(password), None) => Some(Login::User { user, password }),
            (user, _, Some(token)) => {
                let key = if user.is_some() { "user" } else { "password" };
                self.wrong(key, "only one of a token and a user with a password can say who maint is there");
                Some(Login::Token(token))
            }
            (Some(_), None, None) => {
                self.wrong("user", "a user without a password").help = Some("add `password_file = \"…\"`".into());
                None
            }
            (None, Some(_), None) => {
                self.wrong("user", "a password without its user").help = Some("add `user = \"…\"`".into());
                None
            }
        }
    }

    fn prometheus(&mut self, mut raw: PrometheusSection) -> Prometheus {
        let stale_after = raw.stale_after.map_or(STALE_AFTER, |span| span.0);
        Prometheus { web: self.web(raw.web()), stale_after }
    }

    fn alertmanager(&mut self, mut raw: AlertmanagerSection, servers: &[String]) -> Alertmanager {
        if let Some(name) = &raw.prometheus {
            self.known(name, servers);
        }
        Alertmanager {
            kind: raw.kind.unwrap_or_default(),
            watchdog: raw.watchdog.take(),
            prometheus: raw.prometheus.take(),
            web: self.web(raw.web()),
        }
    }

    fn known(&mut self, name: &str, servers: &[String]) {
        if !servers.iter().any(|server| server == name) {
            let near = nearest(name, servers.iter().map(String::as_str));
            let mistake = self.wrong("prometheus", format!("there is no `[prometheus.{name}]`"));
            mistake.help = near.map(|near| format!("did you mean `{near}`?"));
        }
    }

    fn endpoint(&mut self, mut raw: EndpointSection) -> Endpoint {
        let statuses = raw.expect_status.take().unwrap_or_else(|| vec![200]);
        if statuses.is_empty() || statuses.iter().any(|status| !(100..600).contains(status)) {
            self.wrong("expect_status", "expected statuses from 100 to 599, e.g. [200]");
        }
        let url = raw.url.clone();
        let mut web = self.web(raw.web());
        // Asked as it is written: a slash at the end may make a difference.
        web.url = url;
        Endpoint { statuses, body: raw.expect_body, bands: raw.bands, web }
    }

    fn redis(&mut self, raw: RedisSection) -> RedisCluster {
        if raw.nodes.is_empty() {
            self.wrong("nodes", "a cluster without nodes").help = Some("add `nodes = [\"host:6379\", …]`".into());
        }
        let nodes = raw.nodes.iter().filter_map(|text| {
            let node = node(text);
            if node.is_none() {
                self.wrong("nodes", format!("`{text}`: expected `host:port` or `container:NAME`"));
            }
            node
        });
        let nodes = nodes.collect();
        let given = secrets::Given {
            file: raw.password_file.map(|file| self.under(file)),
            env: raw.password_env,
            credential: raw.password_credential,
            inline: raw.password,
        };
        let password = secrets::only_one(self.document, &self.section, "password", given, self.mistakes);
        if raw.user.is_some() && password.is_none() {
            self.wrong("user", "a user without a password").help = Some("add `password_file = \"…\"`".into());
        }
        RedisCluster { nodes, user: raw.user, password, timeout: raw.timeout.map_or(NODE_WITHIN, |span| span.0) }
    }

    fn certificate(&mut self, raw: CertificateSection) -> Certificate {
        if raw.file.is_none() && raw.live.is_none() {
            let mistake = self.document.at_path(&self.section, "where is this certificate?");
            self.mistakes.push(mistake.help("add `file = \"…\"`, `live = \"host:443\"` or both"));
        }
        for (key, given, needs, there) in [
            ("key", raw.key.is_some(), "file", raw.file.is_some()),
            ("starttls", raw.starttls.is_some(), "live", raw.live.is_some()),
        ] {
            if given && !there {
                self.wrong(key, format!("`{key}` says nothing without `{needs}`"));
            }
        }
        let live = raw.live.as_deref().and_then(|text| {
            let place = host_and_port(text);
            if place.is_none() {
                self.wrong("live", format!("`{text}`: expected `host:port`, e.g. `example.com:443`"));
            }
            place.map(|(host, port)| Live { host, port, starttls: raw.starttls })
        });
        Certificate {
            server_name: raw.server_name.or_else(|| live.as_ref().map(|live| live.host.clone())),
            file: raw.file.map(|file| self.under(file)),
            key: raw.key.map(|file| self.under(file)),
            live,
            ca_file: raw.ca_file.map(|file| self.under(file)),
            timeout: raw.timeout.map_or(ANSWER_WITHIN, |span| span.0),
        }
    }

    fn metric(&mut self, raw: MetricSection, servers: &[String]) -> Metric {
        let prometheus = match (raw.prometheus, servers) {
            (Some(name), _) => {
                self.known(&name, servers);
                name
            }
            (None, [only]) => only.clone(),
            (None, _) => {
                let mistake = self.document.at_path(&self.section, "which Prometheus server has it?");
                self.mistakes.push(mistake.help("add `prometheus = \"NAME\"`, a `[prometheus.NAME]` of this file"));
                String::new()
            }
        };
        if raw.query.trim().is_empty() {
            self.wrong("query", "nothing is asked");
        }
        if raw.share_of.is_some() && raw.unit != Unit::Percent {
            self.wrong("unit", "a share is measured in \"percent\"");
        }
        Metric {
            prometheus,
            query: raw.query,
            share_of: raw.share_of,
            several: raw.several.unwrap_or_default(),
            unit: raw.unit,
            bands: raw.bands,
            hint: raw.hint,
        }
    }
}

fn is_loopback(host: &str) -> bool {
    ["localhost", "127.", "[::1]"].iter().any(|start| host.starts_with(start))
}

/// `host:port`, `[::1]:443`
fn host_and_port(text: &str) -> Option<(String, u16)> {
    let (host, port) = text.rsplit_once(':')?;
    let inner = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let host = inner.or((!host.contains([':', '/'])).then_some(host)).filter(|host| !host.is_empty())?;
    Some((host.to_owned(), port.parse().ok()?))
}

fn node(text: &str) -> Option<Node> {
    let Some(container) = text.strip_prefix("container:") else {
        return host_and_port(text).map(|(host, port)| Node::Host { host, port });
    };
    let (name, port) = match container.split_once(':') {
        Some((name, port)) => (name, port.parse().ok()?),
        None => (container, REDIS_PORT),
    };
    (!name.is_empty()).then(|| Node::Container { name: name.to_owned(), port })
}
