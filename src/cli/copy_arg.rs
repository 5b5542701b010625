//! Which copy a command means: `--store`, the set's name in it, and the keys that open it.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use clap::Args;
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

use super::{Failure, Global};
use crate::{
    adapters::{secret, store::Store},
    backup::{
        copies::{self, CopyError, CopyState},
        fetch::{self, FetchRequest, Fetched, Wanted},
        upload::UploadError,
    },
    config,
    model::{event::StepEvents, secret::SecretSource, shell, stack::Stack},
    stream::{StreamError, encrypt::Identities},
};

/// A copy in a store, instead of a set on this host.
#[derive(Debug, Args)]
pub struct CopyArgs {
    /// Take the copy in this store of maint.toml: it is fetched into the backup directory's .staging/ first
    #[arg(long, value_name = "STORE")]
    pub(super) store: Option<String>,
    /// A file with an age secret key that opens the copy; may be repeated
    #[arg(long, value_name = "FILE", requires = "store")]
    identity: Vec<PathBuf>,
}

/// A copy that was found.
pub(super) struct Copy {
    store: Store,
    stack: Arc<Stack>,
    series: String,
    set: String,
    identities: Option<Identities>,
}

impl CopyArgs {
    /// The copy that is meant; `None` without `--store`.
    pub(super) fn find(&self, set: &Path, runtime: &Runtime, global: &Global) -> Result<Option<Copy>, Failure> {
        let Some(name) = &self.store else { return Ok(None) };
        let stack = config::load(global.config.as_deref())?.stack;
        let Some(settings) = stack.stores.get(name) else {
            let known = stack.stores.keys().cloned().collect();
            return Err(UploadError::NoStore { name: name.clone(), known }.into());
        };
        let identities = identities(&self.identity)?;
        // Of a copy whose store cannot be opened nothing is known.
        let store = runtime.block_on(Store::open(settings, &stack.state_dir)).map_err(CopyError::from)?;
        let given = set.to_string_lossy().into_owned();
        let (series, wanted) = match given.trim_end_matches('/').split_once('/') {
            Some((series, set)) => (series.to_owned(), Some(set.to_owned())),
            None => (given.clone(), None),
        };
        let usage = |problem: String| Failure::usage(problem, "name it as SERIES/PERIOD, or SERIES for its newest");
        if series.is_empty() || wanted.as_ref().is_some_and(|set| set.contains('/')) {
            return Err(usage(format!("`{given}` names no copy in a store")));
        }
        let set = match wanted {
            Some(set) => set,
            None => {
                let found = runtime.block_on(copies::find(&store, &stack.name, &series)).map_err(CopyError::from)?;
                let newest = found.into_iter().filter(CopyState::is_complete).max_by_key(|s| order(&s.set));
                newest.ok_or_else(|| usage(format!("the store {name} has no copy of the series `{series}`")))?.set
            }
        };
        Ok(Some(Copy { store, stack, series, set, identities }))
    }

    /// The same options, as one types them.
    pub(super) fn again(&self) -> String {
        let mut text = self.store.as_ref().map(|store| format!("--store {}", shell::word(store))).unwrap_or_default();
        for file in &self.identity {
            text += &format!(" --identity {}", shell::word(&file.display().to_string()));
        }
        text
    }
}

/// The keys of all these files.
pub(super) fn identities(files: &[PathBuf]) -> Result<Option<Identities>, Failure> {
    let mut all: Option<Identities> = None;
    for path in files {
        let read = Identities::parse(&secret::read(&SecretSource::File(path.clone()))?, path)?;
        all = Some(match all {
            Some(earlier) => earlier.and(read),
            None => read,
        });
    }
    Ok(all)
}

/// By period, then by the number behind it: `202608`, `202608-2`, `202608-10`.
fn order(set: &str) -> (String, u64) {
    match set.rsplit_once('-').and_then(|(period, number)| Some((period, number.parse().ok()?))) {
        Some((period, number)) => (period.to_owned(), number),
        None => (set.to_owned(), 1),
    }
}

impl Copy {
    /// `store:series/set`, for people.
    pub(super) fn shown(&self) -> String {
        format!("{}:{}/{}", self.store.name(), self.series, self.set)
    }

    /// `series/set`, as commands take it.
    pub(super) fn named(&self) -> String {
        format!("{}/{}", self.series, self.set)
    }

    /// Where the set would be in the backup directory.
    pub(super) fn primary(&self) -> PathBuf {
        self.stack.backup_dir.join(&self.series).join(&self.set)
    }

    pub(super) fn request(&self) -> FetchRequest<'_> {
        FetchRequest {
            store: &self.store,
            stack: &self.stack.name,
            series: &self.series,
            set: &self.set,
            backup_dir: &self.stack.backup_dir,
            identities: self.identities.as_ref(),
        }
    }

    /// Brings those files of it that are wanted, to restore them; none that is not as it should be.
    pub(super) fn fetch(
        &self,
        wanted: Wanted<'_>,
        runtime: &Runtime,
        cancel: &CancellationToken,
        events: &StepEvents,
    ) -> Result<Fetched, Failure> {
        let fetched = runtime.block_on(fetch::fetch(self.request(), wanted, cancel, events))?;
        let (bad, others) = fetched.findings_of(wanted);
        for finding in others {
            eprintln!("warning: the copy is not whole: {} {}", finding.file, finding.problem);
        }
        match bad.first() {
            None => Ok(fetched),
            Some(finding) => {
                let problem = format!("{} {}", finding.file, finding.problem);
                Err(StreamError::damaged(self.shown(), problem).into())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_is_the_last_of_the_last_period() {
        let mut sets = ["202608", "202608-10", "202607-3", "202608-2"];
        sets.sort_by_key(|set| order(set));
        assert_eq!(sets, ["202607-3", "202608", "202608-2", "202608-10"]);
        assert!(order("20260830T0100Z") > order("20260829T0100Z-2"));
    }
}
