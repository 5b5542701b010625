//! Copies in a store, by the store's own policy.
//!
//! The order is that of the backup directory: tombstone, manifest, the rest. A store that keeps an object against deletion
//! is no error: the set is "kept until", whole, and asked again the next time.

use std::{collections::BTreeSet, time::Duration};

use chrono::{DateTime, Utc};
use tokio_util::sync::CancellationToken;

use super::{
    super::{
        copies::{self, CopyError, CopyState},
        records::{self, MAX_RECORD_BYTES},
        upload::Destination,
    },
    Pruned, Pruning, RetentionError, Series, candidate, frozen,
};
use crate::{
    adapters::{signature::MAX_SIGNATURE_BYTES, store::StoreError},
    model::{
        copy::COPY_FILE,
        failure::chain,
        ids::SeriesName,
        manifest::{MANIFEST_FILE, MANIFEST_SIGNATURE_FILE, SUMS_FILE},
        record::{Body, Signed, Tombstone, pinned},
        retention::{Candidate, Keep, Standing, plan},
        signature::SIGNATURE_SUFFIX,
        store::Deleted,
    },
};

/// Records that a pruning asks for; drills and copies are not its business.
const ASKED: [&str; 4] = ["pin-", "unpin-", "ack-", "tombstone-"];
/// Whoever sends to the store just now has so long to end.
const WAIT: Duration = Duration::from_secs(60);

/// A series in a store.
#[derive(Debug)]
pub struct StoredSeries<'a> {
    /// The store.
    pub to: &'a Destination,
    /// The stack's name, with which its keys begin.
    pub stack: &'a str,
    /// The same series in the backup directory, with its records.
    pub local: Series<'a>,
}

impl StoredSeries<'_> {
    /// Decides what becomes of every copy.
    ///
    /// # Errors
    /// When the store or the records cannot be read, or the clock is behind the newest set.
    pub async fn plan(&self, keep: &Keep, now: DateTime<Utc>) -> Result<Pruning, RetentionError> {
        let store = self.to.store();
        let mut decided = Pruning::of(self.local.name, store.name(), keep);
        let mut candidates = Vec::new();
        for state in copies::find(store, self.stack, self.local.name.as_str()).await? {
            if !state.is_complete() {
                // Without a tombstone it is being sent, or will be.
                if !state.objects.is_empty() && self.records(&state).await?.iter().any(is_believed_tombstone) {
                    decided.unfinished.push(state.set);
                }
                continue;
            }
            let opened = match copies::open(store, self.stack, self.local.name.as_str(), &state.set).await {
                Ok(opened) => opened,
                Err(CopyError::Store(error)) => return Err(error.into()),
                Err(error) => {
                    let problem = chain(&error);
                    decided.damaged.push((state.set.clone(), problem.clone()));
                    let standing = Standing::CountsNot(problem);
                    candidates.push(Candidate { set: state.set, standing, pinned: None, held: None });
                    continue;
                }
            };
            let manifest = &opened.sealed.manifest;
            let mut records = self.records(&state).await?;
            records.retain(|signed| signed.record.manifest_sha256 == opened.sealed.sha256);
            let signature = opened.sealed.signature(opened.signature.as_deref(), self.local.trust);
            let problem = signature.problem().map(|problem| format!("it {problem}")).or_else(|| {
                let found = copies::differences(&opened, &state);
                found.first().map(|finding| format!("{} {}", finding.file, finding.problem))
            });
            decided.damaged.extend(problem.clone().map(|problem| (state.set.clone(), problem)));
            decided.frozen.extend(frozen(&state.set, manifest, &records));
            candidates.push(candidate(&state.set, manifest, &records, problem));
        }
        decided.decisions = plan(keep, self.local.zone, now, &candidates)?;
        Ok(decided)
    }

    /// What is recorded of a set, here and in the store, oldest first.
    async fn records(&self, state: &CopyState) -> Result<Vec<Signed>, RetentionError> {
        let (store, series) = (self.to.store(), self.local.name.as_str());
        let mut found = records::read(&self.local.dir, &state.set, self.local.trust)?.records;
        // A tombstone here is of the set in the backup directory, and says nothing of this copy.
        found.retain(|signed| !matches!(signed.record.body, Body::Tombstone(_)));
        let known: BTreeSet<String> = found.iter().map(|signed| signed.file.clone()).collect();
        let asked = |file: &&String| {
            ASKED.iter().any(|kind| file.starts_with(kind)) && file.ends_with(".json") && !known.contains(*file)
        };
        for file in state.records.iter().filter(asked) {
            let key = copies::record(self.stack, series, &state.set, file);
            let Some(json) = store.read(&key, MAX_RECORD_BYTES).await? else { continue };
            let signature = store.read(&format!("{key}{SIGNATURE_SUFFIX}"), MAX_SIGNATURE_BYTES).await?;
            // What is no record says nothing; the audit tells of it.
            found.extend(records::parse(file, &json, signature.as_deref(), self.local.trust));
        }
        found.sort_by(|a, b| (a.record.made, &a.file).cmp(&(b.record.made, &b.file)));
        Ok(found)
    }

    /// Deletes what a plan lets go, oldest first, and finishes what an earlier pruning began. What is frozen is left.
    ///
    /// # Errors
    /// When the store fails; what was begun is finished by the next pruning.
    pub async fn carry_out(&self, pruning: &Pruning, cancel: &CancellationToken) -> Result<Pruned, RetentionError> {
        let mut done = Pruned::default();
        let doomed: Vec<_> = pruning.doomed().filter(|_| pruning.frozen.is_empty()).collect();
        if doomed.is_empty() && pruning.unfinished.is_empty() {
            return Ok(done);
        }
        let _lock = self.to.lock(self.local.name.as_str(), WAIT, cancel).await?;
        for set in &pruning.unfinished {
            self.one(set, None, &mut done, cancel).await?;
        }
        for decision in doomed.into_iter().rev() {
            self.one(&decision.set, Some(decision.why()), &mut done, cancel).await?;
        }
        Ok(done)
    }

    /// Deletes a copy; `why` it goes, where that was not begun yet.
    async fn one(
        &self,
        set: &str,
        why: Option<String>,
        done: &mut Pruned,
        cancel: &CancellationToken,
    ) -> Result<(), RetentionError> {
        if cancel.is_cancelled() {
            return Err(RetentionError::Stopped);
        }
        let (store, series) = (self.to.store(), self.local.name.as_str());
        let mut state = copies::state(store, self.stack, series, set).await?;
        state.records = copies::recorded(store, self.stack, series, set).await?.records;
        if let Some(why) = why
            && !self.bury(&state, &why, cancel).await?
        {
            done.in_use.push(set.to_owned());
            return Ok(());
        }
        let mut files: Vec<&String> = state.objects.keys().collect();
        files.sort_by_key(|file| place(file));
        let mut kept_until = None;
        for file in files {
            match store.delete(&copies::set_key(self.stack, series, set, file)).await? {
                Deleted::Gone => {}
                Deleted::KeptUntil(until) => {
                    kept_until = kept_until.max(Some(until));
                    if file == MANIFEST_FILE {
                        break;
                    }
                }
            }
        }
        match kept_until {
            Some(until) => done.kept_until.push((set.to_owned(), until)),
            None => done.removed.push((set.to_owned(), state.bytes())),
        }
        Ok(())
    }

    /// Leaves the tombstone in the store, unless an interrupted pruning did. `false`: the set was pinned meanwhile.
    async fn bury(&self, state: &CopyState, why: &str, cancel: &CancellationToken) -> Result<bool, RetentionError> {
        let (store, series) = (self.to.store(), self.local.name.as_str());
        let opened = copies::open(store, self.stack, series, &state.set).await?;
        let mut records = self.records(state).await?;
        records.retain(|signed| signed.record.manifest_sha256 == opened.sealed.sha256);
        if pinned(&records).is_some() {
            return Ok(false);
        }
        if records.iter().any(is_believed_tombstone) {
            return Ok(true);
        }
        let body = Body::Tombstone(Tombstone::of(&opened.sealed.manifest, why));
        let record = records::make(self.local.name, &state.set, &opened.sealed.sha256, body);
        let encoded = records::encode(&record, self.local.signer)?;
        let key = copies::record(self.stack, series, &state.set, &encoded.file);
        if let Some(signature) = &encoded.signature {
            store.put_bytes(&format!("{key}{SIGNATURE_SUFFIX}"), signature.as_bytes(), true, cancel).await?;
        }
        store.put_bytes(&key, &encoded.json, true, cancel).await?;
        Ok(true)
    }
}

fn is_believed_tombstone(signed: &Signed) -> bool {
    signed.signature.is_believed() && matches!(signed.record.body, Body::Tombstone(_))
}

/// The manifest first, for without it there is no copy; the lists last.
fn place(file: &str) -> u8 {
    match file {
        MANIFEST_FILE => 0,
        MANIFEST_SIGNATURE_FILE => 1,
        COPY_FILE => 3,
        SUMS_FILE => 4,
        _ => 2,
    }
}

/// Which of these sets a store has no copy of, nor let go.
///
/// # Errors
/// When it cannot be asked.
pub async fn without_copy(
    to: &Destination,
    stack: &str,
    series: &SeriesName,
    names: Vec<String>,
) -> Result<Vec<String>, StoreError> {
    let states = copies::find(to.store(), stack, series.as_str()).await?;
    let has = |set: &String| states.iter().any(|s| s.set == *set && (s.is_complete() || s.is_buried()));
    Ok(names.into_iter().filter(|set| !has(set)).collect())
}
