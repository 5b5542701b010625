//! `[notify.NAME]` and `[escalation]`: who is told what goes wrong.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use schemars::JsonSchema;
use serde::Deserialize;

use super::{
    diagnostic::Mistake,
    document::{Document, Segment, nearest, place},
    host::tidy,
    secrets,
    shape::Span,
};
use crate::model::{
    ids::JobName,
    notify::{ANSWER_WITHIN, Also, Channel, ChannelKind, Email, Escalation, JobPattern, MailTls, Notify},
    secret::{Secret, SecretSource},
    severity::Severity,
};

/// What a channel is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ChannelType {
    /// An incoming webhook of Slack, Mattermost or Rocket.Chat.
    Slack,
    /// A POST of JSON to a program of your own.
    Webhook,
    /// E-mail.
    Email,
    /// A dead man's switch that speaks as healthchecks.io does: hears of every start and end, and raises the alarm itself.
    Heartbeat,
}

/// `[notify.NAME]`: one way to tell somebody.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NotifySection {
    /// `slack`, `webhook`, `email` or `heartbeat`.
    #[serde(rename = "type")]
    pub kind: ChannelType,
    /// It hears of jobs that are at least this severe, `P0` (worst) to `P3`. Default: `P3`, all.
    pub min_severity: Option<Severity>,
    /// The jobs that it hears of, by name or glob pattern. Default: all.
    #[serde(default)]
    pub jobs: Vec<String>,
    /// The level of escalation at which it is told: `1` at once, `2` and `3` when nobody acknowledged. Default: `1`.
    pub level: Option<u8>,
    /// What it hears of besides failures and recoveries: `"warning"`, `"success"`. Default: nothing.
    #[serde(default)]
    pub also: Vec<Also>,
    /// How long one request may take. Default: `10s`.
    pub answer_within: Option<Span>,
    /// A file with the certificate authority of the server. Default: the host's own.
    pub ca_file: Option<PathBuf>,
    /// All but `email`: a file with the URL, which is a secret: whoever knows it can write there.
    pub url_file: Option<PathBuf>,
    /// All but `email`: a variable of maint's own environment with the URL.
    pub url_env: Option<String>,
    /// All but `email`: a systemd credential with the URL.
    pub url_credential: Option<String>,
    /// All but `email`: the URL itself; better in a file, unless it is no secret.
    pub url: Option<String>,
    /// `webhook`: the name of a header of its own, e.g. `Authorization`.
    pub header: Option<String>,
    /// `webhook`: a file with that header's value.
    pub header_value_file: Option<PathBuf>,
    /// `webhook`: a variable of maint's own environment with that header's value.
    pub header_value_env: Option<String>,
    /// `webhook`: a systemd credential with that header's value.
    pub header_value_credential: Option<String>,
    /// `webhook`: a file with the key that signs the body (HMAC-SHA256, in `X-Maint-Signature`).
    pub hmac_key_file: Option<PathBuf>,
    /// `webhook`: a variable of maint's own environment with that key.
    pub hmac_key_env: Option<String>,
    /// `webhook`: a systemd credential with that key.
    pub hmac_key_credential: Option<String>,
    /// `heartbeat`: what stands for `{job}` in the URL where that is not the job's name, e.g. `{ nightly = "db-nightly" }`.
    #[serde(default)]
    pub slugs: BTreeMap<String, String>,
    /// `email`: the mail server.
    pub host: Option<String>,
    /// `email`: its port. Default: 587, with `implicit` 465, with `none` 25.
    pub port: Option<u16>,
    /// `email`: `starttls`, `implicit` or `none`. Default: `starttls`.
    pub tls: Option<MailTls>,
    /// `email`: the user, where the server asks for one.
    pub user: Option<String>,
    /// `email`: a file with the user's password.
    pub password_file: Option<PathBuf>,
    /// `email`: a variable of maint's own environment with the password.
    pub password_env: Option<String>,
    /// `email`: a systemd credential with the password.
    pub password_credential: Option<String>,
    /// `email`: the password itself; better in a file.
    pub password: Option<String>,
    /// `email`: the sender.
    pub from: Option<String>,
    /// `email`: the recipients.
    #[serde(default)]
    pub to: Vec<String>,
}

/// `[escalation]`: what becomes of a failure that nobody acknowledges (`maint ack`).
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EscalationSection {
    /// When channels of level 2 are told, from the first failure. Default: `30m`.
    pub level2_after: Option<Span>,
    /// When channels of level 3 are told, from the first failure. Default: `2h`.
    pub level3_after: Option<Span>,
    /// How often the same failure is told again. Default: `1d`.
    pub repeat_after: Option<Span>,
}

/// Resolves every channel.
pub(super) fn resolve(
    document: &Document,
    root: &Path,
    raw: BTreeMap<String, NotifySection>,
    escalation: EscalationSection,
    mistakes: &mut Vec<Mistake>,
) -> Notify {
    let default = Escalation::default();
    let escalation = Escalation {
        level2_after: escalation.level2_after.map_or(default.level2_after, |span| span.0),
        level3_after: escalation.level3_after.map_or(default.level3_after, |span| span.0),
        repeat_after: escalation.repeat_after.map_or(default.repeat_after, |span| span.0),
    };
    if escalation.level3_after < escalation.level2_after {
        let message = "level 3 cannot be told before level 2";
        mistakes.push(document.at_path(&place!["escalation", "level3_after"], message));
    }
    let one = |(name, section): (String, NotifySection)| {
        let at = place!["notify", name.as_str()].to_vec();
        let mut reader = Reader { document, root, section: at, mistakes: &mut *mistakes };
        let channel = reader.channel(name.clone(), section);
        (name, channel)
    };
    Notify { channels: raw.into_iter().map(one).collect(), escalation }
}

/// Patterns and slugs that name no job: whoever relies on them hears nothing.
pub(super) fn check_jobs(document: &Document, notify: &Notify, jobs: &BTreeSet<&JobName>, mistakes: &mut Vec<Mistake>) {
    let names = || jobs.iter().map(|name| name.as_str());
    for channel in notify.channels.values() {
        for (i, pattern) in channel.jobs.iter().enumerate() {
            if !names().any(|name| pattern.names(name)) {
                let at = place!["notify", channel.name.as_str(), "jobs", i];
                let mistake = document.at_path(&at, format!("no job is called `{}`", pattern.text()));
                mistakes.push(match nearest(pattern.text(), names()) {
                    Some(near) => mistake.help(format!("did you mean `{near}`?")),
                    None => mistake,
                });
            }
        }
        let ChannelKind::Heartbeat { slugs, .. } = &channel.kind else { continue };
        for job in slugs.keys().filter(|job| !names().any(|name| name == job.as_str())) {
            let at = place!["notify", channel.name.as_str(), "slugs", job.as_str()];
            mistakes.push(document.at_path(&at, format!("no job is called `{job}`")));
        }
    }
}

/// One section, with where its mistakes go.
struct Reader<'a> {
    document: &'a Document,
    root: &'a Path,
    section: Vec<Segment>,
    mistakes: &'a mut Vec<Mistake>,
}

impl Reader<'_> {
    fn wrong(&mut self, key: &str, message: impl Into<String>) -> &mut Mistake {
        let at = [self.section.as_slice(), &[Segment::Key(key.to_owned())]].concat();
        self.mistakes.push(self.document.at_path(&at, message));
        let last = self.mistakes.len() - 1;
        &mut self.mistakes[last]
    }

    fn missing(&mut self, message: &str, help: &str) {
        self.mistakes.push(self.document.at_path(&self.section, message).help(help));
    }

    fn under(&self, path: PathBuf) -> PathBuf {
        tidy(&self.root.join(path))
    }

    fn channel(&mut self, name: String, mut raw: NotifySection) -> Channel {
        if name.parse::<JobName>().is_err() {
            let message = format!("`{name}` is not a name: use lower-case letters, digits, `-` and `_`");
            self.mistakes.push(self.document.at_path(&self.section, message));
        }
        let level = raw.level.unwrap_or(1);
        if !(1..=3).contains(&level) {
            self.wrong("level", format!("`{level}`: expected 1, 2 or 3"));
        }
        let mut jobs = Vec::new();
        for text in std::mem::take(&mut raw.jobs) {
            match JobPattern::parse(&text) {
                Ok(pattern) => jobs.push(pattern),
                Err(problem) => drop(self.wrong("jobs", format!("`{text}` is not a pattern: {problem}"))),
            }
        }
        let heartbeat = raw.kind == ChannelType::Heartbeat;
        if heartbeat && level != 1 {
            self.wrong("level", "a heartbeat is told of every run at once; it has no level");
        }
        if heartbeat && !raw.also.is_empty() {
            self.wrong("also", "a heartbeat is told of every run already");
        }
        self.foreign(&raw);
        Channel {
            name,
            min_severity: raw.min_severity.unwrap_or(Severity::P3),
            jobs,
            level,
            also: std::mem::take(&mut raw.also),
            within: raw.answer_within.map_or(ANSWER_WITHIN, |span| span.0),
            kind: self.kind(raw),
        }
    }

    /// Keys of another type of channel.
    fn foreign(&mut self, raw: &NotifySection) {
        use ChannelType::{Email, Heartbeat, Slack, Webhook};
        let given = |keys: &[bool]| keys.contains(&true);
        let url = [raw.url_file.is_some(), raw.url_env.is_some(), raw.url_credential.is_some(), raw.url.is_some()];
        let header = [raw.header_value_file.is_some(), raw.header_value_env.is_some()];
        let header = given(&header) || raw.header_value_credential.is_some();
        let hmac = [raw.hmac_key_file.is_some(), raw.hmac_key_env.is_some(), raw.hmac_key_credential.is_some()];
        let password = [raw.password_file.is_some(), raw.password_env.is_some(), raw.password_credential.is_some()];
        let web: &[ChannelType] = &[Slack, Webhook, Heartbeat];
        let keys: [(&str, bool, &[ChannelType]); 12] = [
            ("url", given(&url), web),
            ("header", raw.header.is_some(), &[Webhook]),
            ("header_value", header, &[Webhook]),
            ("hmac_key", given(&hmac), &[Webhook]),
            ("slugs", !raw.slugs.is_empty(), &[Heartbeat]),
            ("host", raw.host.is_some(), &[Email]),
            ("port", raw.port.is_some(), &[Email]),
            ("tls", raw.tls.is_some(), &[Email]),
            ("user", raw.user.is_some(), &[Email]),
            ("password", given(&password) || raw.password.is_some(), &[Email]),
            ("from", raw.from.is_some(), &[Email]),
            ("to", !raw.to.is_empty(), &[Email]),
        ];
        for (key, given, types) in keys {
            if given && !types.contains(&raw.kind) {
                self.wrong(key, format!("a channel of this type has no `{key}`"));
            }
        }
    }

    fn kind(&mut self, mut raw: NotifySection) -> ChannelKind {
        let ca_file = raw.ca_file.take().map(|path| self.under(path));
        match raw.kind {
            ChannelType::Slack => ChannelKind::Slack { url: self.url(&mut raw, true), ca_file },
            ChannelType::Heartbeat => {
                let url = self.url(&mut raw, true);
                ChannelKind::Heartbeat { url, slugs: std::mem::take(&mut raw.slugs), ca_file }
            }
            ChannelType::Webhook => ChannelKind::Webhook {
                url: self.url(&mut raw, false),
                header: self.header(&mut raw),
                hmac: self.secret(
                    "hmac_key",
                    raw.hmac_key_file.take(),
                    raw.hmac_key_env.take(),
                    raw.hmac_key_credential.take(),
                    None,
                ),
                ca_file,
            },
            ChannelType::Email => ChannelKind::Email(Box::new(self.email(raw, ca_file))),
        }
    }

    fn secret(
        &mut self,
        name: &str,
        file: Option<PathBuf>,
        env: Option<String>,
        credential: Option<String>,
        inline: Option<String>,
    ) -> Option<SecretSource> {
        let given = secrets::Given { file: file.map(|path| self.under(path)), env, credential, inline };
        secrets::only_one(self.document, &self.section, name, given, self.mistakes)
    }

    /// The URL. One that is always a secret is better kept in a file.
    fn url(&mut self, raw: &mut NotifySection, always_secret: bool) -> SecretSource {
        if let Some(problem) = raw.url.as_deref().and_then(url_problem) {
            self.wrong("url", problem);
        }
        let before = self.mistakes.len();
        let (file, env, credential) = (raw.url_file.take(), raw.url_env.take(), raw.url_credential.take());
        let found = self.secret("url", file, env, credential, raw.url.take());
        if !always_secret {
            let mut index = 0;
            self.mistakes.retain(|mistake| {
                index += 1;
                index <= before || !mistake.warning
            });
        }
        found.unwrap_or_else(|| {
            self.missing("where does this channel go?", "add `url_file = \"…\"`, a file with the URL");
            SecretSource::Inline(Secret::new(String::new()))
        })
    }

    fn header(&mut self, raw: &mut NotifySection) -> Option<(String, SecretSource)> {
        let (file, env) = (raw.header_value_file.take(), raw.header_value_env.take());
        let value = self.secret("header_value", file, env, raw.header_value_credential.take(), None);
        match (raw.header.take(), value) {
            (Some(name), Some(value)) => {
                let token = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
                if name.is_empty() || !name.bytes().all(token) {
                    self.wrong("header", format!("`{name}` is not a header's name"));
                }
                Some((name, value))
            }
            (None, None) => None,
            (Some(_), None) => {
                self.wrong("header", "a header without its value").help =
                    Some("add `header_value_file = \"…\"`".into());
                None
            }
            (None, Some(_)) => {
                self.missing("a header's value without its name", "add `header = \"Authorization\"`");
                None
            }
        }
    }

    fn email(&mut self, mut raw: NotifySection, ca_file: Option<PathBuf>) -> Email {
        let tls = raw.tls.unwrap_or_default();
        let host = raw.host.take().unwrap_or_default();
        if host.is_empty() {
            self.missing("which mail server sends it?", "add `host = \"smtp.example.org\"`");
        }
        let (file, env, credential) =
            (raw.password_file.take(), raw.password_env.take(), raw.password_credential.take());
        let password = self.secret("password", file, env, credential, raw.password.take());
        let login = match (raw.user.take(), password) {
            (Some(user), Some(password)) => Some((user, password)),
            (None, None) => None,
            (Some(_), None) => {
                self.wrong("user", "a user without a password").help = Some("add `password_file = \"…\"`".into());
                None
            }
            (None, Some(_)) => {
                self.missing("a password without its user", "add `user = \"…\"`");
                None
            }
        };
        if tls == MailTls::None && !is_loopback(&host) {
            if login.is_some() {
                self.wrong("tls", "the password would be readable on the way").help =
                    Some("use tls = \"starttls\" or \"implicit\"".into());
            } else {
                self.wrong("tls", "what is sent there can be read and changed by everybody on the way").warning = true;
            }
        }
        let from = raw.from.take().unwrap_or_default();
        if from.is_empty() {
            self.missing("who is the sender?", "add `from = \"maint@example.org\"`");
        } else if let Some(problem) = address_problem(&from) {
            self.wrong("from", problem);
        }
        if raw.to.is_empty() {
            self.missing("who gets it?", "add `to = [\"ops-team@example.org\"]`");
        }
        for address in &raw.to {
            if let Some(problem) = address_problem(address) {
                self.wrong("to", problem);
            }
        }
        Email { host, port: raw.port.unwrap_or(tls.port()), tls, ca_file, login, from, to: raw.to }
    }
}

fn address_problem(text: &str) -> Option<String> {
    let parsed = text.parse::<lettre::message::Mailbox>();
    parsed.err().map(|error| format!("`{text}` is not an address: {error}"))
}

fn url_problem(url: &str) -> Option<String> {
    let host = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    host.is_none_or(|host| host.trim_matches('/').is_empty()).then(|| "expected `https://host/…`".to_owned())
}

fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}
