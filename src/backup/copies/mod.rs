//! What a store has of a series: which sets, whole or begun, and whether a copy is what its manifest says.

mod check;
mod key;

use std::collections::{BTreeMap, BTreeSet};

pub use check::{CopyError, CopyReport, OpenedCopy, check, open};
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
    let prefix = key::series_prefix(stack, series);
    let mut found: BTreeMap<String, CopyState> = BTreeMap::new();
    for object in store.list(&prefix).await? {
        let Some(rest) = object.key.strip_prefix(&prefix) else { continue };
        let mut parts = rest.split('/');
        let (first, second, third, more) = (parts.next(), parts.next(), parts.next(), parts.next());
        match (first, second, third, more) {
            (Some(RECORDS_DIR), Some(set), Some(file), None) => {
                of(&mut found, set).records.insert(file.to_owned());
            }
            (Some(set), Some(file), None, None) => {
                of(&mut found, set).objects.insert(file.to_owned(), object.clone());
            }
            // Not of our making; an audit that lists everything shows it.
            _ => {}
        }
    }
    Ok(found.into_values().collect())
}

fn of<'a>(found: &'a mut BTreeMap<String, CopyState>, set: &str) -> &'a mut CopyState {
    found.entry(set.to_owned()).or_insert_with(|| CopyState { set: set.to_owned(), ..CopyState::default() })
}
