//! What a restore did, or would do: lines for people, one object for programs.

use std::path::PathBuf;

use serde::Serialize;

use super::Failure;
use crate::{
    cli::output,
    model::{
        manifest::Manifest,
        units::{ByteSize, Elapsed, count},
    },
};

/// What a restore did, or would do.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    /// The set's directory.
    set: PathBuf,
    series: String,
    period: String,
    /// Nothing was done: it was only planned.
    planned: bool,
    /// What was restored, or would be, in this order.
    pub(super) items: Vec<Item>,
    /// What could not be restored. What comes after it was not begun.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) failed: Option<Failed>,
    /// What was not begun.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) not_begun: Vec<NotDone>,
    /// What is worth knowing of the set as a whole.
    pub(super) warnings: Vec<String>,
    /// How long restoring all of it took in a drill; absent where nobody knows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) expected_millis: Option<u64>,
    /// How long it took.
    pub(super) millis: u64,
}

/// One item.
#[derive(Debug, Default, Serialize)]
pub(super) struct Item {
    /// Its file in the set.
    pub(super) file: String,
    /// Where it went: `db:NAME`, `dir:PATH`, `volume:NAME`.
    pub(super) into: String,
    /// The server of a database.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) server: Option<String>,
    /// Single tables, where not everything was restored.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) tables: Vec<String>,
    /// Bytes that it takes, or about that.
    pub(super) bytes: u64,
    /// How long it took in a drill; absent where nobody knows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) expected_millis: Option<u64>,
    /// How long it took.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) millis: Option<u64>,
    /// What was compared and is as captured, each with its count.
    pub(super) compared: Vec<String>,
    /// What could not be compared, and why.
    pub(super) not_compared: Vec<String>,
    /// What was left out, and why.
    pub(super) not_restored: Vec<String>,
    /// What else is worth knowing.
    pub(super) warnings: Vec<String>,
    /// Roles that were made for it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) roles_made: Vec<String>,
    /// What it took the place of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) replaced: Option<Replaced>,
    /// The same for people.
    #[serde(skip)]
    pub(super) said: Vec<String>,
}

/// A database that another one took the place of.
#[derive(Debug, Serialize)]
pub(super) struct Replaced {
    /// What it is called now.
    pub(super) kept_as: String,
    /// SQL that puts it back.
    pub(super) way_back: String,
    /// The directory of the dump that was made of it before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) dump: Option<PathBuf>,
}

/// An item that could not be restored.
#[derive(Debug, Serialize)]
pub(super) struct Failed {
    #[serde(flatten)]
    pub(super) what: NotDone,
    pub(super) error: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) hint: Option<String>,
}

/// An item that was not restored.
#[derive(Debug, Serialize)]
pub(super) struct NotDone {
    pub(super) file: String,
    pub(super) into: String,
    /// The command that restores it alone.
    pub(super) command: String,
}

impl Report {
    pub(super) fn new(set: PathBuf, manifest: &Manifest, planned: bool) -> Self {
        Self {
            set,
            series: manifest.series.to_string(),
            period: manifest.period.clone(),
            planned,
            items: Vec::new(),
            failed: None,
            not_begun: Vec::new(),
            warnings: Vec::new(),
            expected_millis: None,
            millis: 0,
        }
    }

    /// Prints it.
    pub(super) fn print(&self, json: bool) -> Result<(), Failure> {
        if json {
            println!("{}", serde_json::to_string_pretty(self).map_err(|e| Failure::other(e.to_string()))?);
            return Ok(());
        }
        for line in self.items.iter().flat_map(|item| &item.said) {
            println!("{line}");
        }
        if self.items.len() > 1 && self.planned {
            println!("{}", self.all_of_it());
        }
        for warning in &self.warnings {
            println!("{}: {warning}", output::warn("note"));
        }
        if self.planned {
            println!("nothing was done (--plan)");
        }
        self.print_rest();
        Ok(())
    }

    fn all_of_it(&self) -> String {
        let bytes = ByteSize(self.items.iter().map(|item| item.bytes).sum());
        let items = count(self.items.len() as u64, "item");
        match self.expected_millis {
            Some(millis) => format!("all of it: {items}, {bytes}; a drill took {} for it", time(millis)),
            None => format!("all of it: {items}, {bytes}; no drill has measured how long all of it takes"),
        }
    }

    fn print_rest(&self) {
        let Some(failed) = &self.failed else { return };
        if self.items.is_empty() && self.not_begun.is_empty() {
            return;
        }
        for item in &self.items {
            println!("{} {} stands in {}", output::good("✓"), item.file, item.into);
        }
        println!("{} {} was not restored to {}", output::bad("✗"), failed.what.file, failed.what.into);
        for rest in &self.not_begun {
            println!("{} {} was not begun", output::warn("·"), rest.file);
        }
        println!("what stands may stay; to go on, once the error below is dealt with:");
        for rest in std::iter::once(&failed.what).chain(&self.not_begun) {
            println!("  {}", rest.command);
        }
    }
}

/// A time for people.
pub(super) fn time(millis: u64) -> Elapsed {
    Elapsed(std::time::Duration::from_millis(millis))
}
