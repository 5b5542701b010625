//! Archives into directories.

use std::{
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

use super::{
    Failure, Restore, Work,
    report::{Item, time},
    space::Need,
    target::Task,
};
use crate::{
    adapters::clock,
    backup::restore::tree::{self, TreeFiles, TreeOptions},
    model::{
        contents::PathBytes,
        units::{ByteSize, count},
    },
};

fn options(command: &Restore) -> TreeOptions {
    let paths = command.path.iter().map(|p| PathBytes(p.as_os_str().as_bytes().to_vec())).collect();
    TreeOptions { devices: command.devices, paths, ..TreeOptions::default() }
}

fn item(task: &Task<'_>) -> Item {
    Item { file: task.artifact.packed.file.clone(), into: task.target().to_string(), ..Item::default() }
}

/// What would be done. `base`: where several archives go, each into a directory of its own.
pub(super) fn plan(
    command: &Restore,
    task: &Task<'_>,
    (into, base): (&Path, Option<&PathBuf>),
    work: &Work<'_>,
) -> Result<(Item, Vec<Need>), Failure> {
    let archive = TreeFiles::of(&work.set, task.artifact);
    let into = work.absolute(into)?;
    // A directory that is still to be made is as empty as one in it.
    let place = base.map(|base| work.absolute(base)).transpose()?.filter(|base| !base.exists());
    let plan = tree::plan(&archive, place.as_deref().unwrap_or(&into), &options(command), work.cancel)?;
    let mut item = item(task);
    item.bytes = plan.needed;
    item.expected_millis = if command.path.is_empty() { work.measured(&item.file) } else { None };
    let expected = item.expected_millis.map(|millis| format!("; a drill took {} for it", time(millis)));
    item.said.push(format!(
        "would restore {} of {} into {}: {}, {} on the disk; {} are free{}",
        count(plan.entries, "entry"),
        item.file,
        into.display(),
        count(plan.files, "file"),
        ByteSize(plan.needed),
        ByteSize(plan.free),
        expected.unwrap_or_default()
    ));
    if plan.devices > 0 && !command.devices {
        item.not_restored.push(format!("{}: --devices makes them", count(plan.devices, "device node")));
        item.said.push(format!("without {}; --devices makes them", count(plan.devices, "device node")));
    }
    Ok((item, vec![Need { on: plan.on, about: plan.needed, at_least: plan.needed }]))
}

/// Does it.
pub(super) fn restore(command: &Restore, task: &Task<'_>, into: &Path, work: &Work<'_>) -> Result<Item, Failure> {
    let into = work.absolute(into)?;
    let archive = TreeFiles::of(&work.set, task.artifact);
    let begun = clock::monotonic();
    let planted = tree::tree(&archive, &into, &options(command), work.cancel, work.events)?;
    let mut item = item(task);
    item.bytes = planted.bytes;
    item.millis = Some(super::millis(begun));
    item.compared = vec![count(planted.entries, "entry"), format!("content of {}", count(planted.files, "file"))];
    item.not_restored = planted.skipped;
    item.said.push(format!(
        "{}: {} of {}, {}, {}, every content as captured ({})",
        into.display(),
        count(planted.entries, "entry"),
        item.file,
        count(planted.files, "file"),
        ByteSize(planted.bytes),
        time(item.millis.unwrap_or_default())
    ));
    item.said.extend(item.not_restored.iter().map(|skipped| format!("  not restored: {skipped}")));
    for left in planted.leftovers {
        item.warnings.push(format!("a killed restore left {}; remove it", left.display()));
    }
    item.said.extend(item.warnings.iter().map(|warning| format!("  {warning}")));
    Ok(item)
}
