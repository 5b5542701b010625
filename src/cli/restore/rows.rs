//! Rows of single tables, as files for psql.

use std::path::Path;

use super::{Failure, Restore, Work};
use crate::{
    backup::restore::{database, rows},
    model::{
        manifest::Source,
        units::{ByteSize, count},
    },
};

/// Writes the files, or says which.
pub(super) fn restore(command: &Restore, into: &Path, work: &Work<'_>) -> Result<Vec<String>, Failure> {
    let artifact = command.item(work, |s| matches!(s, Source::PostgresDatabase(_)), "dump of a database")?;
    let Some(facts) = database::facts(artifact) else { return Err(Failure::other("the item is no dump")) };
    if command.plan {
        let lines = rows::find(&work.set, artifact, &command.table)?;
        let mut said: Vec<_> = lines
            .iter()
            .map(|l| format!("would write {} of {}, {}", count(l.content.rows, "row"), l.table, ByteSize(l.bytes)))
            .collect();
        said.push(format!("into {}; nothing was done (--plan)", into.display()));
        return Ok(said);
    }
    let parts = (artifact, facts);
    let written = rows::write(&work.set, parts, &command.table, into, work.cancel, work.events)?;
    Ok(written
        .iter()
        .map(|w| {
            format!("{}: {}, {}, as captured", into.join(&w.file).display(), count(w.rows, "row"), ByteSize(w.bytes))
        })
        .collect())
}
