//! Rows of single tables, as files for psql.

use std::path::Path;

use super::{Failure, Restore, Work, report::Item, space::Need, target::Task};
use crate::{
    adapters::clock,
    backup::restore::rows,
    model::{
        manifest::PostgresFacts,
        units::{ByteSize, count},
    },
};

/// Which files would be written.
pub(super) fn plan(command: &Restore, task: &Task<'_>, work: &Work<'_>) -> Result<(Item, Vec<Need>), Failure> {
    let lines = rows::find(&work.set, task.artifact, &command.table)?;
    let mut item = item(command, task);
    item.bytes = lines.iter().map(|line| line.bytes).sum();
    let line = |l: &crate::model::contents::TableLine| {
        format!(
            "would write {} of {}, {}, into {}",
            count(l.content.rows, "row"),
            l.table,
            ByteSize(l.bytes),
            item.into
        )
    };
    item.said = lines.iter().map(line).collect();
    Ok((item, Vec::new()))
}

/// Writes the files.
pub(super) fn restore(
    command: &Restore,
    task: &Task<'_>,
    (facts, into): (&PostgresFacts, &Path),
    work: &Work<'_>,
) -> Result<Item, Failure> {
    let begun = clock::monotonic();
    let parts = (task.artifact, facts);
    let written = rows::write(&work.set, parts, &command.table, into, work.cancel, work.events)?;
    let mut item = item(command, task);
    item.bytes = written.iter().map(|w| w.bytes).sum();
    item.millis = Some(super::millis(begun));
    item.compared = written.iter().map(|w| format!("{} of {}", count(w.rows, "row"), w.table)).collect();
    let line = |w: &rows::WrittenRows| {
        format!("{}: {}, {}, as captured", into.join(&w.file).display(), count(w.rows, "row"), ByteSize(w.bytes))
    };
    item.said = written.iter().map(line).collect();
    Ok(item)
}

fn item(command: &Restore, task: &Task<'_>) -> Item {
    Item {
        file: task.artifact.packed.file.clone(),
        into: task.target().to_string(),
        tables: command.table.clone(),
        ..Item::default()
    }
}
