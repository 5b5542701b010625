//! Finds, reads, checks and resolves the configuration.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{ConfigError, Job, Mistake, document::Document, host, jobs, notify, trust};
use crate::{
    adapters::files,
    model::{
        ids::JobName,
        roster::{BackupFacts, JobFacts},
        secret::SecretSource,
        stack::{PostgresServer, Stack},
        store::Place,
    },
};

/// Nobody writes a configuration of this size by hand.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// Where a configuration is looked for.
const PLACES: [&str; 2] = ["/etc/maint/maint.toml", "maint.toml"];

/// A configuration without mistakes.
#[derive(Debug, Clone)]
pub struct Config {
    /// The chosen `maint.toml`.
    pub path: PathBuf,
    /// What the host has.
    pub stack: Arc<Stack>,
    /// Its jobs.
    pub jobs: BTreeMap<JobName, Job>,
    /// The systemd credentials that it names.
    pub credentials: BTreeSet<String>,
    /// What is valid but worth a look.
    pub warnings: Vec<Mistake>,
}

impl Config {
    /// The servers that hold locks across hosts, each once.
    pub fn lock_servers(&self) -> Vec<&PostgresServer> {
        let names: BTreeSet<&String> = self.jobs.values().filter_map(|job| job.across_hosts.as_ref()).collect();
        names.into_iter().filter_map(|name| self.stack.postgres.get(name)).collect()
    }

    /// What the jobs promise, for steps and reports.
    pub fn roster(&self) -> Vec<JobFacts> {
        let facts = |job: &Job| JobFacts {
            name: job.name.clone(),
            schedule: job.schedule.clone(),
            zone: job.timezone,
            timeout: job.timeout,
            severity: job.severity,
            backup: job.backup.as_ref().map(|policy| BackupFacts {
                series: policy.series.clone(),
                period: policy.period,
                verify: policy.verify,
                stores: policy.stores.clone(),
            }),
        };
        self.jobs.values().map(facts).collect()
    }
}

/// Loads `explicit`, or the first of `$MAINT_CONFIG`, `/etc/maint/maint.toml`, `./maint.toml`.
///
/// # Errors
/// Every mistake in it and in its jobs.
pub fn load(explicit: Option<&Path>) -> Result<Config, ConfigError> {
    let path = find(explicit)?;
    let mut mistakes = trust::check(&path);
    let document = read(&path)?;
    let Some(raw) = document.read(&mut mistakes) else { return Err(ConfigError { mistakes }) };
    let stack = host::resolve(&document, &path, raw, &mut mistakes);
    mistakes.extend(trust::check(&stack.jobs_dir));
    let credentials = document.credentials();
    let jobs = read_jobs(&stack, &mut mistakes);
    jobs::check_series(&jobs, &stack.jobs_dir, &mut mistakes);
    // A job that is wrong itself would be missed here.
    if !mistakes.iter().any(|m| !m.warning) {
        notify::check_jobs(&document, &stack.notify, &jobs.keys().collect(), &mut mistakes);
    }
    let passwords = stack.postgres.values().filter_map(|server| Some((server.password.as_ref()?, "password")));
    let keys = stack.stores.values().filter_map(|store| match &store.place {
        Place::S3(bucket) => bucket.keys.as_ref().map(|keys| (&keys.secret_key, "key")),
        Place::Local { .. } => None,
    });
    let signs = stack.sign.key.iter().map(|key| (key, "key"));
    let told = stack.notify.channels.values().flat_map(|channel| channel.kind.secrets());
    let asked = stack.targets.secrets().map(|secret| (secret, "secret"));
    for (secret, what) in passwords.chain(keys).chain(signs).chain(told).chain(asked) {
        if let SecretSource::File(file) = secret {
            mistakes.extend(trust::check_secret(file, what));
        }
    }
    if let Some(file) = &stack.sign.trust {
        // Whoever writes it decides which sets are believed.
        mistakes.extend(trust::check(file));
    }
    if mistakes.iter().any(|m| !m.warning) {
        return Err(ConfigError { mistakes });
    }
    Ok(Config { path, stack: Arc::new(stack), jobs, credentials, warnings: mistakes })
}

/// Loads what is right of a configuration: for telling somebody that it is wrong, for nothing else. Mistakes stand in the
/// warnings.
///
/// # Errors
/// When nothing can be made of it, or others may have written it.
pub fn load_to_tell(explicit: Option<&Path>) -> Result<Config, ConfigError> {
    let wrong = match load(explicit) {
        Ok(config) => return Ok(config),
        Err(wrong) => wrong,
    };
    let path = find(explicit)?;
    let trusted = trust::check(&path).is_empty();
    let document = read(&path)?;
    let Some(raw) = document.read_the_rest().filter(|_| trusted) else { return Err(wrong) };
    let stack = host::resolve(&document, &path, raw, &mut Vec::new());
    let credentials = document.credentials();
    let jobs = read_jobs(&stack, &mut Vec::new());
    Ok(Config { path, stack: Arc::new(stack), jobs, credentials, warnings: wrong.mistakes })
}

/// Loads the same, where there is one at all: some commands work on a host that has none.
///
/// # Errors
/// As [`load`].
pub fn load_if_any(explicit: Option<&Path>) -> Result<Option<Config>, ConfigError> {
    if named(explicit).is_none() && !PLACES.iter().any(|place| Path::new(place).exists()) {
        return Ok(None);
    }
    load(explicit).map(Some)
}

fn named(explicit: Option<&Path>) -> Option<PathBuf> {
    explicit.map(Path::to_owned).or_else(|| std::env::var_os("MAINT_CONFIG").map(PathBuf::from))
}

fn find(explicit: Option<&Path>) -> Result<PathBuf, ConfigError> {
    let found = match named(explicit) {
        Some(path) => path,
        None => {
            let Some(path) = PLACES.iter().map(Path::new).find(|p| p.exists()) else {
                let mistake =
                    Mistake::whole("maint.toml", "no configuration was found, neither in /etc/maint nor here");
                return Err(ConfigError::one(
                    mistake.help("name one with --config FILE, or see how it all works first: maint demo"),
                ));
            };
            path.to_owned()
        }
    };
    let absolute = std::path::absolute(&found);
    absolute.map_err(|e| ConfigError::one(Mistake::whole(&found, format!("cannot be found: {e}"))))
}

fn read(path: &Path) -> Result<Document, ConfigError> {
    let wrong = |message: String| ConfigError::one(Mistake::whole(path, message));
    let bytes = files::read_config(path, MAX_FILE_BYTES).map_err(|e| wrong(crate::model::failure::chain(&e)))?;
    let text = String::from_utf8(bytes).map_err(|e| wrong(format!("is not UTF-8: {e}")))?;
    Ok(Document::new(path, text))
}

fn read_jobs(stack: &Stack, mistakes: &mut Vec<Mistake>) -> BTreeMap<JobName, Job> {
    let mut jobs = BTreeMap::new();
    let entries = match files::list(&stack.jobs_dir) {
        Ok(entries) => entries,
        Err(e) => {
            mistakes.push(
                Mistake::whole(&stack.jobs_dir, crate::model::failure::chain(&e))
                    .help("set jobs_dir, or make the directory"),
            );
            return jobs;
        }
    };
    for name in entries {
        let Some(stem) = name.to_str().and_then(|n| n.strip_suffix(".toml")) else { continue };
        let path = stack.jobs_dir.join(&name);
        let name: JobName = match stem.parse() {
            Ok(name) => name,
            Err(e) => {
                mistakes.push(Mistake::whole(&path, e.to_string()).help("rename the file"));
                continue;
            }
        };
        mistakes.extend(trust::check_file(&path));
        match read(&path) {
            Ok(document) => {
                if let Some(job) = jobs::resolve(&document, name.clone(), stack, mistakes) {
                    jobs.insert(name, job);
                }
            }
            Err(e) => mistakes.extend(e.mistakes),
        }
    }
    jobs
}
