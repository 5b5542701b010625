//! Reads the sets and tombstones of a series as a chain, and tells what the next set names as the one before it.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{
    publish::Published,
    records::{self, RecordError, RecordProblem},
    sets,
};
use crate::{
    adapters::{
        files::{self, FileError},
        signature::Trust,
    },
    model::{
        chain::{Link, Walk, walk},
        ids::SeriesName,
        manifest::{Manifest, Previous},
        record::{Body, Record},
    },
};

/// The directory of remembered heads in the state directory.
const HEADS_DIR: &str = "heads";
const MAX_HEAD_BYTES: u64 = 64 << 10;

/// The link that a set is.
pub fn link(set: &str, manifest: &Manifest, manifest_sha256: &str) -> Link {
    Link {
        set: set.to_owned(),
        manifest_sha256: manifest_sha256.to_owned(),
        previous: manifest.previous.clone(),
        sealed: manifest.run.sealed,
        removed: false,
    }
}

/// The link that a tombstone stands for; none where the record is another one.
pub fn buried(record: &Record) -> Option<Link> {
    match &record.body {
        Body::Tombstone(tombstone) => Some(Link {
            set: record.set.clone(),
            manifest_sha256: record.manifest_sha256.clone(),
            previous: tombstone.previous.clone(),
            sealed: tombstone.sealed,
            removed: true,
        }),
        _ => None,
    }
}

/// A series, walked.
#[derive(Debug)]
pub struct Chain {
    /// Its links, and what is wrong with them.
    pub walk: Walk,
    /// Directories that should be sets and cannot be read as one, with the reason.
    pub unreadable: Vec<(String, String)>,
    /// What is wrong with records. A tombstone that cannot be believed is no link.
    pub records: Vec<RecordProblem>,
}

/// Walks the series in a directory of sets. Blocking.
///
/// # Errors
/// When a directory cannot be read.
pub fn load(series_dir: &Path, trust: Option<&Trust>) -> Result<Chain, RecordError> {
    let (mut links, mut unreadable, mut problems) = (Vec::new(), Vec::new(), Vec::new());
    for entry in sets::of_series(series_dir)? {
        match (entry.manifest, entry.manifest_sha256) {
            (Ok(manifest), Some(sha256)) => links.push(link(&entry.name, &manifest, &sha256)),
            (manifest, _) => unreadable.push((entry.name, manifest.err().unwrap_or_default())),
        }
    }
    for set in records::names(series_dir)? {
        let found = records::read(series_dir, &set, trust)?;
        let believed = found.records.iter().filter(|signed| signed.signature.is_believed());
        links.extend(believed.filter_map(|signed| buried(&signed.record)));
        problems.extend(found.problems);
    }
    Ok(Chain { walk: walk(links), unreadable, records: problems })
}

/// What the state directory remembers of the newest set of a series, so that its removal shows too.
#[derive(Debug, Serialize, Deserialize)]
struct Head {
    /// Where the sets were: in another directory nothing is missed.
    series_dir: PathBuf,
    #[serde(flatten)]
    set: Previous,
}

fn head_file(state_dir: &Path, series: &SeriesName) -> PathBuf {
    state_dir.join(HEADS_DIR).join(format!("{series}.json"))
}

/// What the next set of a series names as the one before it: the newest that is there, or the one that was published last
/// where that is gone without a tombstone. Blocking.
///
/// # Errors
/// When the series cannot be read.
pub fn previous(series_dir: &Path, series: &SeriesName, state_dir: &Path) -> Result<Option<Previous>, RecordError> {
    let walk = load(series_dir, None)?.walk;
    let file = head_file(state_dir, series);
    let remembered = match files::read_limited(&file, MAX_HEAD_BYTES) {
        // A damaged file remembers nothing, and is written anew with the next set.
        Ok(bytes) => serde_json::from_slice::<Head>(&bytes).ok().filter(|head| head.series_dir == series_dir),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => return Err(error.into()),
    };
    if let Some(head) = remembered
        && walk.expect(&head.set.manifest_sha256).is_some()
    {
        return Ok(Some(head.set));
    }
    Ok(walk.head.map(|link| Previous { set: link.set, manifest_sha256: link.manifest_sha256 }))
}

/// Remembers a set that was just published as the newest of its series. Blocking.
///
/// # Errors
/// When it cannot be written.
pub fn remember(published: &Published, state_dir: &Path) -> Result<(), FileError> {
    let set = published.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let head = Head {
        series_dir: published.path.parent().unwrap_or(Path::new("/")).to_owned(),
        set: Previous { set, manifest_sha256: published.manifest_sha256.clone() },
    };
    let file = head_file(state_dir, &published.manifest.series);
    let text = serde_json::to_string(&head).map_err(|e| FileError::new("writing", &file, e.into()))?;
    files::create_private_dir(&state_dir.join(HEADS_DIR))?;
    files::write_alone(&file, (text + "\n").as_bytes())
}
