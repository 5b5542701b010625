//! `[store.NAME]` to a [`StoreConfig`].

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Duration,
};

use super::{
    diagnostic::Mistake,
    document::{Document, Segment, place},
    host::tidy,
    keep, secrets,
    shape::{StoreSection, StoreType},
};
use crate::{
    model::{
        failure::Diagnose,
        store::{Place, S3Keys, S3Settings, ServerEncryption, StoreConfig, Stores, key_problem},
    },
    stream::encrypt::Recipients,
};

const PARTS_IN_FLIGHT: u8 = 4;
const MOST_IN_FLIGHT: u8 = 16;
const ANSWER_WITHIN: Duration = Duration::from_secs(60);
const RETRY_FOR: Duration = Duration::from_secs(120);

/// One section, with where its mistakes go.
struct Reader<'a> {
    document: &'a Document,
    root: &'a Path,
    section: Vec<Segment>,
    mistakes: &'a mut Vec<Mistake>,
}

/// Resolves every store.
pub(super) fn resolve(
    document: &Document,
    root: &Path,
    raw: BTreeMap<String, StoreSection>,
    mistakes: &mut Vec<Mistake>,
) -> Stores {
    let one = |(name, section): (String, StoreSection)| {
        let mut reader =
            Reader { document, root, section: place!["store", name.as_str()].to_vec(), mistakes: &mut *mistakes };
        (name.clone(), reader.store(name, section))
    };
    raw.into_iter().map(one).collect()
}

impl Reader<'_> {
    fn wrong(&mut self, key: &str, message: impl Into<String>) -> &mut Mistake {
        let at = [self.section.as_slice(), &[Segment::Key(key.to_owned())]].concat();
        self.mistakes.push(self.document.at_path(&at, message));
        let last = self.mistakes.len() - 1;
        &mut self.mistakes[last]
    }

    fn store(&mut self, name: String, mut raw: StoreSection) -> StoreConfig {
        let lowercase = name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_".contains(&b));
        if !lowercase || name.is_empty() {
            let message = format!("`{name}` is not a name: use lower-case letters, digits, `-` and `_`");
            self.mistakes.push(self.document.at_path(&self.section, message));
        }
        let prefix = raw.prefix.take().unwrap_or_default().trim_matches('/').to_owned();
        if let Some(problem) = key_problem(&prefix).filter(|_| !prefix.is_empty()) {
            self.wrong("prefix", format!("`{prefix}` cannot be a prefix: {problem}"));
        }
        for recipient in &raw.encrypt_to {
            if let Err(error) = Recipients::parse(std::slice::from_ref(recipient)) {
                self.wrong("encrypt_to", error.to_string()).help = error.hint();
            }
        }
        let encrypt_to = std::mem::take(&mut raw.encrypt_to);
        let at = [self.section.as_slice(), &[Segment::Key("keep".to_owned())]].concat();
        let keep = keep::resolve(self.document, &at, raw.keep.take(), self.mistakes);
        self.foreign(&raw);
        let place = match raw.kind {
            StoreType::Local => self.local(raw),
            StoreType::S3 => Place::S3(Box::new(self.bucket(raw, encrypt_to.is_empty()))),
        };
        StoreConfig { name, place, prefix, encrypt_to, keep }
    }

    /// Keys of the other type of store.
    fn foreign(&mut self, raw: &StoreSection) {
        let local = [("dir", raw.dir.is_some()), ("mounted", raw.mounted.is_some())];
        let s3 = [
            ("bucket", raw.bucket.is_some()),
            ("region", raw.region.is_some()),
            ("endpoint", raw.endpoint.is_some()),
            ("path_style", raw.path_style.is_some()),
            ("ca_file", raw.ca_file.is_some()),
            ("access_key", raw.access_key.is_some()),
            ("secret_key_file", raw.secret_key_file.is_some()),
            ("secret_key_env", raw.secret_key_env.is_some()),
            ("secret_key_credential", raw.secret_key_credential.is_some()),
            ("secret_key", raw.secret_key.is_some()),
            ("profile", raw.profile.is_some()),
            ("object_lock", raw.object_lock.is_some()),
            ("storage_class", raw.storage_class.is_some()),
            ("encryption", raw.encryption.is_some()),
            ("kms_key", raw.kms_key.is_some()),
            ("parts_in_flight", raw.parts_in_flight.is_some()),
            ("answer_within", raw.answer_within.is_some()),
            ("retry_for", raw.retry_for.is_some()),
        ];
        let (others, word) = match raw.kind {
            StoreType::Local => (s3.as_slice(), "s3"),
            StoreType::S3 => (local.as_slice(), "local"),
        };
        for (key, _) in others.iter().filter(|(_, given)| *given) {
            self.wrong(key, format!("`{key}` belongs to stores of type \"{word}\""));
        }
    }

    fn local(&mut self, raw: StoreSection) -> Place {
        if raw.dir.is_none() {
            let mistake = self.document.at_path(&self.section, "where is this store?");
            self.mistakes.push(mistake.help("add `dir = \"/mnt/offsite\"`"));
        }
        Place::Local { dir: self.under(raw.dir.unwrap_or_default()), mounted: raw.mounted.unwrap_or(false) }
    }

    fn under(&self, path: PathBuf) -> PathBuf {
        tidy(&self.root.join(path))
    }

    fn bucket(&mut self, mut raw: StoreSection, plain: bool) -> S3Settings {
        let bucket = raw.bucket.take().unwrap_or_default();
        if bucket.is_empty() || bucket.contains(['/', ' ']) {
            let mistake = self.document.at_path(&self.section, "which bucket is it?");
            self.mistakes.push(mistake.help("add `bucket = \"NAME\"`; what stands before the keys is `prefix`"));
        }
        let endpoint = raw.endpoint.take().map(|url| self.endpoint(&url, plain));
        let parts_in_flight = raw.parts_in_flight.unwrap_or(PARTS_IN_FLIGHT);
        if !(1..=MOST_IN_FLIGHT).contains(&parts_in_flight) {
            self.wrong("parts_in_flight", format!("`{parts_in_flight}`: expected 1 to {MOST_IN_FLIGHT}"));
        }
        if raw.object_lock.is_some_and(|lock| lock.days == 0) {
            self.wrong("object_lock", "nothing is kept by 0 days; expected 1 or more");
        }
        let encryption = self.encryption(raw.encryption.take(), raw.kms_key.take());
        let (answer_within, retry_for) = (raw.answer_within.take(), raw.retry_for.take());
        if raw.region.is_none() && endpoint.is_none() && raw.access_key.is_some() {
            let mistake = self.document.at_path(&self.section, "in which region is the bucket?");
            self.mistakes.push(mistake.help("add `region = \"eu-central-1\"`"));
        }
        let region = raw.region.take().or_else(|| endpoint.as_ref().map(|_| "us-east-1".into()));
        S3Settings {
            bucket,
            region,
            path_style: raw.path_style.unwrap_or(endpoint.is_some()),
            endpoint,
            ca_file: raw.ca_file.take().map(|p| self.under(p)),
            profile: raw.profile.clone(),
            object_lock: raw.object_lock.take(),
            storage_class: raw.storage_class.take(),
            encryption,
            parts_in_flight,
            answer_within: answer_within.map_or(ANSWER_WITHIN, |s| s.0),
            retry_for: retry_for.map_or(RETRY_FOR, |s| s.0),
            keys: self.keys(raw),
        }
    }

    fn endpoint(&mut self, url: &str, plain: bool) -> String {
        let host = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
        match host.map(|rest| rest.trim_end_matches('/')) {
            None | Some("") => {
                self.wrong("endpoint", format!("`{url}`: expected `https://host` or `http://host:port`"));
            }
            Some(host) if url.starts_with("http://") && plain && !is_loopback(host) => {
                let mistake =
                    self.wrong("endpoint", "what is sent there can be read and changed by everybody on the way");
                mistake.warning = true;
                mistake.help = Some("use https://, or encrypt_to".into());
            }
            Some(_) => {}
        }
        url.trim_end_matches('/').to_owned()
    }

    fn encryption(&mut self, kind: Option<String>, kms_key: Option<String>) -> Option<ServerEncryption> {
        match kind.as_deref() {
            Some("aws:kms") => return Some(ServerEncryption::Kms(kms_key)),
            Some("AES256") if kms_key.is_none() => return Some(ServerEncryption::Aes256),
            Some("AES256") | None => {
                if kms_key.is_some() {
                    self.wrong("kms_key", "a key is used only with `encryption = \"aws:kms\"`");
                }
            }
            Some(other) => {
                self.wrong("encryption", format!("`{other}`: expected \"AES256\" or \"aws:kms\""));
            }
        }
        None
    }

    fn keys(&mut self, raw: StoreSection) -> Option<S3Keys> {
        let given = secrets::Given {
            file: raw.secret_key_file.map(|p| self.under(p)),
            env: raw.secret_key_env,
            credential: raw.secret_key_credential,
            inline: raw.secret_key,
        };
        let secret = secrets::only_one(self.document, &self.section, "secret_key", given, self.mistakes);
        match (raw.access_key, secret) {
            (Some(access_key), Some(secret_key)) => {
                if raw.profile.is_some() {
                    self.wrong("profile", "only one of `profile` and `access_key` can say who maint is there");
                }
                Some(S3Keys { access_key, secret_key })
            }
            (None, None) => None,
            (Some(_), None) => {
                self.wrong("access_key", "an access key without its secret key").help =
                    Some("add `secret_key_file = \"…\"`".into());
                None
            }
            (None, Some(_)) => {
                let mistake = self.document.at_path(&self.section, "a secret key without its access key");
                self.mistakes.push(mistake.help("add `access_key = \"…\"`"));
                None
            }
        }
    }
}

fn is_loopback(host: &str) -> bool {
    ["localhost", "127.", "[::1]"].iter().any(|start| host.starts_with(start))
}
