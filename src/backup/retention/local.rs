//! Sets in the backup directory.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use tokio_util::sync::CancellationToken;

use super::{
    super::{
        records::{self, Found},
        sets::{self, Entry},
        verify,
    },
    Pruned, Pruning, RetentionError, candidate, frozen,
};
use crate::{
    adapters::{
        files::{self, FileError},
        lock::Hold,
        signature::{Signer, Trust},
    },
    model::{
        failure::chain,
        ids::SeriesName,
        manifest::{MANIFEST_FILE, MANIFEST_SIGNATURE_FILE, Manifest, SUMS_FILE},
        record::{Body, Record, Signed, Tombstone, pinned},
        retention::{Candidate, Keep, Standing, plan},
    },
};

/// What the decisions of the primary copies call their place.
const PLACE: &str = "backups";
/// A checksum list has a line for each file of a set.
const MAX_SUMS_BYTES: u64 = 64 << 20;

/// A series in the backup directory.
#[derive(Debug, Clone)]
pub struct Series<'a> {
    /// Its name.
    pub name: &'a SeriesName,
    /// Its directory.
    pub dir: PathBuf,
    /// The zone in which days and months are reckoned.
    pub zone: Tz,
    /// Whose signatures are believed.
    pub trust: Option<&'a Trust>,
    /// What signs tombstones.
    pub signer: Option<&'a Signer>,
}

/// One act of a deletion. Between any two of them maint may die.
#[derive(Debug, Clone, PartialEq)]
pub enum Op {
    /// Writes the tombstone.
    Bury(Box<Record>),
    /// Removes a file.
    Remove(PathBuf),
    /// Removes the empty directory.
    RemoveDir(PathBuf),
}

impl Series<'_> {
    /// Decides what becomes of every set. `held` are sets that must not go now, with the reason. Blocking.
    ///
    /// # Errors
    /// When the series cannot be read, or the clock is behind its newest set.
    pub fn plan(
        &self,
        keep: &Keep,
        now: DateTime<Utc>,
        held: &BTreeMap<String, String>,
    ) -> Result<Pruning, RetentionError> {
        let (mut candidates, mut decided) = (Vec::new(), Pruning::of(self.name, PLACE, keep));
        for entry in sets::of_series(&self.dir)? {
            let found = records::read(&self.dir, &entry.name, self.trust)?;
            let manifest = match &entry.manifest {
                Ok(manifest) => manifest,
                Err(_) if is_rest(&entry.path, &found)? => {
                    decided.unfinished.push(entry.name);
                    continue;
                }
                Err(problem) => {
                    let standing = Standing::CountsNot(problem.clone());
                    decided.damaged.push((entry.name.clone(), problem.clone()));
                    candidates.push(Candidate { set: entry.name, standing, pinned: None, held: None });
                    continue;
                }
            };
            let records: Vec<Signed> = found.current().cloned().collect();
            let problem = self.problem(&entry, manifest)?;
            decided.damaged.extend(problem.clone().map(|problem| (entry.name.clone(), problem)));
            decided.frozen.extend(frozen(&entry.name, manifest, &records));
            let mut candidate = candidate(&entry.name, manifest, &records, problem);
            candidate.held = held.get(&entry.name).cloned();
            candidates.push(candidate);
        }
        decided.decisions = plan(keep, self.zone, now, &candidates)?;
        Ok(decided)
    }

    /// Why a set with a manifest cannot be relied on: what stays instead of others must be there and be believed. Contents
    /// are not read; that is what verify is for.
    fn problem(&self, entry: &Entry, manifest: &Manifest) -> Result<Option<String>, RetentionError> {
        if manifest.series != *self.name {
            return Ok(Some(format!("its manifest says that it is of the series {}", manifest.series)));
        }
        if self.trust.is_some() {
            let signature = match verify::open(&entry.path) {
                Ok(sealed) => sealed.signature(verify::read_signature(&entry.path)?.as_deref(), self.trust),
                Err(error) => return Ok(Some(chain(&error))),
            };
            if let Some(problem) = signature.problem() {
                return Ok(Some(format!("it {problem}")));
            }
        }
        Ok(unsound(&entry.path, manifest)?)
    }

    /// Deletes what a plan lets go, oldest first, and finishes what an earlier one began. What is frozen is left. A set that
    /// somebody reads is left too. Between two sets it can be stopped. Blocking.
    ///
    /// # Errors
    /// When something cannot be removed; what was begun is finished by the next pruning.
    pub fn carry_out(&self, pruning: &Pruning, cancel: &CancellationToken) -> Result<Pruned, RetentionError> {
        let mut done = Pruned::default();
        for set in &pruning.unfinished {
            self.one(&mut done, set, cancel, || self.rest_of(set))?;
        }
        if pruning.frozen.is_empty() {
            let doomed: Vec<_> = pruning.doomed().collect();
            for decision in doomed.into_iter().rev() {
                self.one(&mut done, &decision.set, cancel, || self.deletion(&decision.set, &decision.why()))?;
            }
        }
        Ok(done)
    }

    /// Carries one deletion out, while nobody else is in the set.
    fn one(
        &self,
        done: &mut Pruned,
        set: &str,
        cancel: &CancellationToken,
        ops: impl FnOnce() -> Result<Option<(Vec<Op>, u64)>, RetentionError>,
    ) -> Result<(), RetentionError> {
        if cancel.is_cancelled() {
            return Err(RetentionError::Stopped);
        }
        let Some(_alone) = Hold::to_remove(&self.dir.join(set))? else {
            done.in_use.push(set.to_owned());
            return Ok(());
        };
        match ops()? {
            Some((ops, bytes)) => {
                for op in &ops {
                    self.act(op)?;
                }
                done.removed.push((set.to_owned(), bytes));
            }
            None => done.in_use.push(set.to_owned()),
        }
        Ok(())
    }

    /// What deletes a set, in order, and its size; `None` where it was pinned meanwhile.
    ///
    /// # Errors
    /// When the set or its records cannot be read.
    pub fn deletion(&self, set: &str, reason: &str) -> Result<Option<(Vec<Op>, u64)>, RetentionError> {
        let dir = self.dir.join(set);
        let found = records::read(&self.dir, set, self.trust)?;
        let records: Vec<Signed> = found.current().cloned().collect();
        let Ok(sealed) = verify::open(&dir) else { return Ok(None) };
        if pinned(&records).is_some() {
            return Ok(None);
        }
        let mut ops = Vec::new();
        // A pruning that died behind its first act left one already.
        if !records.iter().any(|s| s.signature.is_believed() && is_tombstone(s)) {
            let body = Body::Tombstone(Tombstone::of(&sealed.manifest, reason));
            ops.push(Op::Bury(Box::new(records::make(self.name, set, &sealed.sha256, body))));
        }
        ops.extend(removals(&dir)?);
        Ok(Some((ops, sealed.manifest.files.iter().map(|f| f.bytes).sum())))
    }

    /// What is left to delete of a set that has no manifest any more.
    fn rest_of(&self, set: &str) -> Result<Option<(Vec<Op>, u64)>, RetentionError> {
        let dir = self.dir.join(set);
        let mut bytes = 0;
        for name in files::list(&dir)? {
            bytes += files::regular_length(&dir.join(name))?.unwrap_or(0);
        }
        Ok(Some((removals(&dir)?, bytes)))
    }

    /// Carries one act out, durably.
    ///
    /// # Errors
    /// When it cannot be.
    pub fn act(&self, op: &Op) -> Result<(), RetentionError> {
        match op {
            Op::Bury(record) => {
                let path = records::put(&self.dir, record, self.signer)?;
                // The directories above may be as new as the record, which must be there when the set is not.
                for dir in path.ancestors().skip(1).take_while(|dir| dir.starts_with(&self.dir)) {
                    files::sync_dir(dir)?;
                }
            }
            Op::Remove(path) => {
                files::remove_file(path)?;
                files::sync_dir(path.parent().unwrap_or(Path::new(".")))?;
            }
            Op::RemoveDir(dir) => {
                if !files::remove_empty_dir(dir)? && dir.exists() {
                    let kind = std::io::ErrorKind::DirectoryNotEmpty;
                    return Err(FileError::new("removing", dir, kind.into()).into());
                }
                files::sync_dir(&self.dir)?;
            }
        }
        Ok(())
    }
}

fn is_tombstone(signed: &Signed) -> bool {
    matches!(signed.record.body, Body::Tombstone(_))
}

/// Everything in a set's directory: the manifest first, the checksum list last.
fn removals(dir: &Path) -> Result<Vec<Op>, FileError> {
    let place = |name: &str| match name {
        MANIFEST_FILE => 0,
        MANIFEST_SIGNATURE_FILE => 1,
        SUMS_FILE => 3,
        _ => 2,
    };
    let mut names = files::list(dir)?;
    names.sort_by_key(|name| place(&name.to_string_lossy()));
    let mut ops: Vec<Op> = names.into_iter().map(|name| Op::Remove(dir.join(name))).collect();
    ops.push(Op::RemoveDir(dir.to_owned()));
    Ok(ops)
}

/// Whether a directory is what an interrupted pruning left of a set. Blocking.
///
/// # Errors
/// When it or its records cannot be read.
pub fn is_unfinished(set: &Path, trust: Option<&Trust>) -> Result<bool, RetentionError> {
    let (series_dir, name) = records::place(set)?;
    Ok(is_rest(set, &records::read(&series_dir, &name, trust)?)?)
}

/// Whether a directory is what an interrupted deletion left: a tombstone speaks of the very set whose checksum list is still
/// there, or nothing is in it any more.
fn is_rest(dir: &Path, found: &Found) -> Result<bool, FileError> {
    let names = files::list(dir)?;
    if names.iter().any(|name| name == MANIFEST_FILE) {
        return Ok(false);
    }
    let buried: BTreeSet<&str> = found
        .records
        .iter()
        .filter(|s| s.signature.is_believed() && is_tombstone(s))
        .map(|s| s.record.manifest_sha256.as_str())
        .collect();
    if names.is_empty() {
        return Ok(!buried.is_empty());
    }
    if !names.iter().any(|name| name == SUMS_FILE) {
        return Ok(false);
    }
    let sums = files::read_limited(&dir.join(SUMS_FILE), MAX_SUMS_BYTES)?;
    let sums = String::from_utf8_lossy(&sums);
    let manifest = sums.lines().filter_map(|line| line.split_once("  ")).find(|(_, name)| *name == MANIFEST_FILE);
    Ok(manifest.is_some_and(|(sha256, _)| buried.contains(sha256)))
}

/// What is wrong with a set's files, by name and length alone.
fn unsound(dir: &Path, manifest: &Manifest) -> Result<Option<String>, FileError> {
    let mut missing: BTreeMap<&str, u64> = manifest.files.iter().map(|f| (f.file.as_str(), f.bytes)).collect();
    for name in files::list(dir)? {
        let name = name.to_string_lossy();
        let length = files::regular_length(&dir.join(&*name))?;
        let own = [MANIFEST_FILE, MANIFEST_SIGNATURE_FILE, SUMS_FILE].contains(&&*name);
        match (missing.remove(&*name), length) {
            (_, None) => return Ok(Some(format!("{name} is not a regular file"))),
            (None, _) if !own => return Ok(Some(format!("{name} does not belong to it"))),
            (Some(bytes), Some(found)) if bytes != found => {
                return Ok(Some(format!("{name} has {found} bytes, not the manifest's {bytes}")));
            }
            _ => {}
        }
    }
    Ok(missing.first_key_value().map(|(name, _)| format!("{name} is missing")))
}
