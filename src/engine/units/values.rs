//! What stands for the names in braces of the templates.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    time::Duration,
};

use crate::{
    config::{Config, Job, Overlap},
    model::{store::Place, systemd},
};

/// Beyond a run's own limits: to begin, to end its children, to bring containers back.
const MARGIN: Duration = Duration::from_secs(600);
/// What it takes the daemon to end its runs, once they have had their time.
const ENDING: Duration = Duration::from_secs(120);
/// The kernel has no room for more (pid_max on small hosts).
const MOST_TASKS: u32 = 32_768;
const CREDENTIALS: &str = "/etc/maint/credentials";

/// Texts by name.
#[derive(Debug, Clone)]
pub(super) struct Values(BTreeMap<&'static str, String>);

impl Values {
    /// What the configuration says.
    pub(super) fn of(config: &Config) -> Self {
        let settings = &config.stack.systemd;
        let binary = settings.binary.display();
        let maint = match settings.config.as_path() {
            path if path == Path::new(systemd::CONFIG) => binary.to_string(),
            path => format!("{binary} --config {}", path.display()),
        };
        let state = installed(config, &config.stack.state_dir);
        let runs = u32::try_from(config.stack.daemon.max_running).unwrap_or(u32::MAX);
        let all_tasks = settings.tasks_max.saturating_mul(runs).min(MOST_TASKS);
        let mut this = Self(BTreeMap::new());
        this.set("maint", maint);
        this.set("tasks", settings.tasks_max.to_string());
        this.set("all_tasks", all_tasks.to_string());
        this.set("drain", span(config.stack.daemon.drain + ENDING));
        this.set("credentials", credentials(config));
        this.set("state", writable_line(&state));
        this.set("writable", writable(config).iter().map(|p| writable_line(p)).collect::<Vec<_>>().join("\n"));
        this.set("directories", directories(config));
        this
    }

    fn set(&mut self, name: &'static str, text: impl Into<String>) {
        self.0.insert(name, text.into());
    }

    /// The same with one text more.
    pub(super) fn with(&self, name: &'static str, text: impl Into<String>) -> Self {
        let mut this = self.clone();
        this.set(name, text);
        this
    }

    /// Fills a template in. A line that says nothing then is left out.
    pub(super) fn fill(&self, template: &str) -> String {
        let mut text = String::new();
        for line in template.lines() {
            let mut filled = line.to_owned();
            for (name, value) in &self.0 {
                filled = filled.replace(&format!("{{{name}}}"), value);
            }
            if line.is_empty() || !filled.is_empty() {
                text.push_str(&filled);
                text.push('\n');
            }
        }
        text
    }
}

/// A path of the configuration as it is where the units run: relative ones follow `maint.toml` to its place.
fn installed(config: &Config, path: &Path) -> PathBuf {
    let settings = &config.stack.systemd;
    let moved = config.path.parent().zip(settings.config.parent());
    let moved = moved.and_then(|(from, to)| Some(to.join(path.strip_prefix(from).ok()?)));
    moved.unwrap_or_else(|| path.to_owned())
}

/// What maint writes to: state, sets, drills, reports, stores on this host, and what is configured. What lies in another is left out.
fn writable(config: &Config) -> BTreeSet<PathBuf> {
    let stack = &config.stack;
    let stores = stack.stores.values().filter_map(|store| match &store.place {
        Place::Local { dir, .. } => Some(dir),
        Place::S3(_) => None,
    });
    let own = [&stack.state_dir, &stack.backup_dir, &stack.drill.scratch_dir, &stack.reports.dir];
    let named = own.into_iter().chain(stores);
    let named = named.chain(&stack.metrics.textfile_dir);
    let all: BTreeSet<_> = named.chain(&stack.systemd.writable).map(|path| installed(config, path)).collect();
    let inside = |path: &PathBuf| all.iter().any(|other| path != other && path.starts_with(other));
    all.iter().filter(|path| !inside(path)).cloned().collect()
}

/// `-`: a store that is not mounted must not keep other jobs from running.
fn writable_line(path: &Path) -> String {
    format!("ReadWritePaths=-{}", path.display())
}

/// The directories that are maint's own; stores are somebody's mounts.
fn directories(config: &Config) -> String {
    let stack = &config.stack;
    let own = [
        (&stack.state_dir, ":0700"),
        (&stack.backup_dir, ":0700"),
        (&stack.drill.scratch_dir, ":0711"),
        (&stack.reports.dir, ":0700"),
    ];
    let lines = own.map(|(dir, mode)| format!("d {} {mode} :root :root -", installed(config, dir).display()));
    lines.join("\n")
}

fn credentials(config: &Config) -> String {
    let named = config.credentials.iter().chain(&config.stack.systemd.credentials).collect::<BTreeSet<_>>();
    let lines: Vec<_> = named.iter().map(|name| format!("LoadCredential={name}:{CREDENTIALS}/{name}")).collect();
    lines.join("\n")
}

/// How long systemd waits for a run: for each of its locks, for its timeout, and somewhat more.
pub(super) fn limit(job: &Job) -> Duration {
    let own = usize::from(job.overlap == Overlap::Queue);
    let locks = u32::try_from(job.locks.len() + own).unwrap_or(u32::MAX);
    job.lock_wait.saturating_mul(locks).saturating_add(job.timeout).saturating_add(MARGIN)
}

/// What the template says: a job with the default timeout and one lock.
pub(super) fn usual_limit() -> Duration {
    Duration::from_secs((4 + 1) * 3600) + MARGIN
}

/// systemd's way to write a span, e.g. `5h 10min`.
pub(super) fn span(span: Duration) -> String {
    let seconds = span.as_secs();
    let parts = [(seconds / 3600, "h"), (seconds / 60 % 60, "min"), (seconds % 60, "s")];
    let words: Vec<_> = parts.iter().filter(|(n, _)| *n > 0).map(|(n, unit)| format!("{n}{unit}")).collect();
    words.join(" ")
}

/// Text for a unit: no specifiers, no continuation.
pub(super) fn one_line(text: &str) -> String {
    let line: Vec<_> = text.split_whitespace().collect();
    line.join(" ").replace('%', "%%").trim_end_matches('\\').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_has_no_specifiers_and_goes_on_no_line() {
        assert_eq!(one_line("100% of\nall \\"), "100%% of all ");
        assert_eq!(span(Duration::from_secs(18_600)), "5h 10min");
    }
}
