//! What is learned about a set after it was published: files below `.records/` beside the sets of a series, never inside
//! a set, which nothing changes.

use std::path::{Path, PathBuf};

use super::{drill::DrillError, verify};
use crate::{
    adapters::{clock, files, host},
    model::{
        drill::{Drill, RECORD_FORMAT, RECORD_VERSION, Record},
        failure::chain,
        manifest::{Evidence, HostFacts, Level, MANIFEST_FILE, Manifest, Verification},
    },
    stream::{StreamError, decode},
};

/// The directory of records in a series.
const RECORDS_DIR: &str = ".records";
/// A record is small.
const MAX_RECORD_BYTES: u64 = 64 << 20;

/// Where the records of a set are, by the set's directory.
fn dir(set: &Path) -> Option<PathBuf> {
    Some(set.parent()?.join(RECORDS_DIR).join(set.file_name()?))
}

/// Writes what a drill of a set showed beside it. Blocking.
///
/// # Errors
/// When the set's manifest cannot be read, or the record cannot be written.
pub fn add_drill(
    set: &Path,
    manifest: &Manifest,
    evidence: Vec<Evidence>,
    drill: Drill,
) -> Result<PathBuf, DrillError> {
    let set = std::path::absolute(set).map_err(|e| files::FileError::new("finding", set, e))?;
    let (_, manifest_sha256) = decode::digest(&set.join(MANIFEST_FILE))?;
    let Some(dir) = dir(&set) else {
        return Err(StreamError::damaged(&set, "is no directory beside which a record can stand").into());
    };
    let now = clock::now();
    let record = Record {
        format: RECORD_FORMAT.into(),
        version: RECORD_VERSION,
        series: manifest.series.clone(),
        set: set.file_name().unwrap_or_default().to_string_lossy().into_owned(),
        manifest_sha256,
        host: HostFacts { name: host::name(), maint: env!("CARGO_PKG_VERSION").to_owned() },
        made: now,
        verification: Verification {
            level: Level::Drill,
            finished: now,
            millis: drill.millis,
            evidence,
            drill: Some(drill),
            shortfall: None,
        },
    };
    files::create_private_dir(&dir)?;
    let path = dir.join(format!("drill-{}.json", clock::run_id()));
    let text = serde_json::to_string_pretty(&record).map_err(std::io::Error::from);
    let text = text.map_err(|e| files::FileError::new("writing", &path, e))? + "\n";
    files::write_atomic(&path, text.as_bytes())?;
    Ok(path)
}

/// What is known of a set's drills: readable records that speak of its very manifest, oldest first, and what is wrong with
/// others. Blocking.
///
/// # Errors
/// When the records or the manifest cannot be read at all.
pub fn drills(set: &Path) -> Result<(Vec<Record>, Vec<String>), verify::VerifyError> {
    let (mut records, mut problems) = (Vec::new(), Vec::new());
    let Some(dir) = dir(set).filter(|dir| dir.is_dir()) else { return Ok((records, problems)) };
    let (_, manifest_sha256) = decode::digest(&set.join(MANIFEST_FILE))?;
    for name in files::list(&dir)? {
        let path = dir.join(&name);
        let text = match files::read_limited(&path, MAX_RECORD_BYTES) {
            Ok(text) => text,
            Err(error) => {
                problems.push(chain(&error));
                continue;
            }
        };
        match serde_json::from_slice::<Record>(&text) {
            Ok(record) if record.version > RECORD_VERSION => {
                problems.push(format!("{}: its format version is {}", path.display(), record.version));
            }
            Ok(record) if record.manifest_sha256 != manifest_sha256 => {
                problems.push(format!("{}: speaks of another set of this name", path.display()));
            }
            Ok(record) => records.push(record),
            Err(error) => problems.push(format!("{}: is not a record: {error}", path.display())),
        }
    }
    records.sort_by_key(|record| record.made);
    Ok((records, problems))
}
