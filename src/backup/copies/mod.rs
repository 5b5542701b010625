//! What a store has of a series: which sets, whole or begun, and whether a copy is what its manifest says.

mod check;
mod key;

use std::collections::{BTreeMap, BTreeSet};

pub use check::{CopyError, CopyReport, OpenedCopy, check, differences, open};
pub use key::{record, set_key, set_prefix};

use crate::{
    adapters::store::{Store, StoreError},
    backup::records::RECORDS_DIR,
    model::{manifest::MANIFEST_FILE, store::Object},
};

/// What a store has of one set. The manifest is sent last: a copy without one was begun and never ended, or is being sent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CopyState {
    /// The set's name in its series, e.g. `202608-2`.
    pub set: String,
    /// What lies there, by file name.
    pub objects: BTreeMap<String, Object>,
    /// Files of records that lie there for it.
    pub records: BTreeSet<String>,
}

impl CopyState {
    /// Nothing, so far.
    fn of(set: &str) -> Self {
        Self { set: set.to_owned(), ..Self::default() }
    }

    /// Whether it was sent to its end.
    pub fn is_complete(&self) -> bool {
        self.objects.contains_key(MANIFEST_FILE)
    }

    /// Whether the store's retention let it go: then it is not sent again.
    pub fn is_buried(&self) -> bool {
        self.records.iter().any(|file| file.starts_with("tombstone-"))
    }

    /// All that lies there together.
    pub fn bytes(&self) -> u64 {
        self.objects.values().map(|object| object.bytes).sum()
    }
}

/// Everything that a store has of a series, by set.
///
/// # Errors
/// When the store cannot be listed: a list is whole, or there is none.
pub async fn find(store: &Store, stack: &str, series: &str) -> Result<Vec<CopyState>, StoreError> {
    Ok(sorted(&key::series_prefix(stack, series), store.list(&key::series_prefix(stack, series)).await?))
}

/// What a store has of one set, records apart.
///
/// # Errors
/// As [`find`].
pub async fn state(store: &Store, stack: &str, series: &str, set: &str) -> Result<CopyState, StoreError> {
    let found = sorted(&key::series_prefix(stack, series), store.list(&set_prefix(stack, series, set)).await?);
    Ok(found.into_iter().find(|state| state.set == set).unwrap_or_else(|| CopyState::of(set)))
}

/// Which records of a set a store has.
///
/// # Errors
/// As [`find`].
pub async fn recorded(store: &Store, stack: &str, series: &str, set: &str) -> Result<CopyState, StoreError> {
    let found = sorted(&key::series_prefix(stack, series), store.list(&record(stack, series, set, "")).await?);
    Ok(found.into_iter().find(|state| state.set == set).unwrap_or_else(|| CopyState::of(set)))
}

fn sorted(prefix: &str, objects: Vec<Object>) -> Vec<CopyState> {
    let mut found: BTreeMap<String, CopyState> = BTreeMap::new();
    for object in objects {
        let Some(rest) = object.key.strip_prefix(prefix) else { continue };
        let parts: Vec<&str> = rest.split('/').collect();
        match parts.as_slice() {
            [RECORDS_DIR, set, file] => {
                let state = found.entry((*set).to_owned()).or_insert_with(|| CopyState::of(set));
                state.records.insert((*file).to_owned());
            }
            [set, file] => {
                let (set, file) = ((*set).to_owned(), (*file).to_owned());
                found.entry(set.clone()).or_insert_with(|| CopyState::of(&set)).objects.insert(file, object);
            }
            // Not of our making; whoever lists the whole store sees it.
            _ => {}
        }
    }
    found.into_values().collect()
}
