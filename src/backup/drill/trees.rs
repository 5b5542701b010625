//! Archives in a drill: extracted into scratch, and the tree compared with the contents list.

use tokio::task::JoinError;

use super::{
    DrillError, Progress, millis,
    place::{FLOOR, Scratch},
};
use crate::{
    adapters::clock,
    backup::restore::{
        RestoreError,
        compare::{TreeComparison, compare_tree},
        tree::{self, Planted, TreeFiles, TreeOptions},
    },
    model::{
        drill::Restored,
        manifest::Artifact,
        units::{ByteSize, count},
    },
};

/// Restores one archive and compares it; its scratch is gone afterwards.
///
/// Where there is no room for it, it was compared as a stream already, entry by entry with the same list, when its
/// structure was verified; that is said.
///
/// # Errors
/// When it could not be done, or the archive is damaged.
pub(super) async fn drill(artifact: &Artifact, progress: &mut Progress<'_>) -> Result<(), DrillError> {
    let archive = TreeFiles::of(progress.request.dir, artifact);
    let scratch = Scratch::create(&progress.request.settings.scratch_dir)?;
    let target = scratch.dir().join("tree");
    let (cancel, events) = (progress.cancel.clone(), progress.events.clone());
    let ended = tokio::task::spawn_blocking(move || {
        let options = TreeOptions { trial: true, ..TreeOptions::default() };
        let plan = tree::plan(&archive, &target, &options, &cancel)?;
        if plan.needed.saturating_add(FLOOR) > plan.free {
            return Ok(Drilled::NoRoom { needed: plan.needed, free: plan.free });
        }
        let begun = clock::monotonic();
        let planted = tree::tree(&archive, &target, &options, &cancel, &events)?;
        let restore_millis = millis(begun);
        let begun = clock::monotonic();
        let compared = compare_tree(&target, &archive.contents, &cancel)?;
        Ok::<_, RestoreError>(Drilled::Compared { planted, compared, restore_millis, compare_millis: millis(begun) })
    })
    .await;
    let drilled = ended.map_err(|_: JoinError| DrillError::Panicked { task: "the restore of an archive" })?;
    // Removing many files takes its time, and this thread has others to serve.
    let _ = tokio::task::spawn_blocking(move || drop(scratch)).await;
    let mut restored = Restored {
        file: artifact.packed.file.clone(),
        restore_millis: 0,
        compare_millis: 0,
        checks: Vec::new(),
        not_compared: Vec::new(),
    };
    match drilled? {
        Drilled::NoRoom { needed, free } => restored.not_compared.push(format!(
            "not extracted, compared as a stream: it needs {}, and {} are free",
            ByteSize(needed),
            ByteSize(free)
        )),
        Drilled::Compared { planted, compared, restore_millis, compare_millis } => {
            restored.restore_millis = restore_millis;
            restored.compare_millis = compare_millis;
            restored.checks.push(format!("extracted {}", count(planted.entries, "entry")));
            restored.checks.push(format!("content of {} read back", count(compared.files, "file")));
            restored.not_compared = planted.skipped;
            restored.not_compared.extend(compared.not_compared);
            progress.differs(artifact, compared.differences);
        }
    }
    progress.drill.restored.push(restored);
    Ok(())
}

enum Drilled {
    NoRoom { needed: u64, free: u64 },
    Compared { planted: Planted, compared: TreeComparison, restore_millis: u64, compare_millis: u64 },
}
