//! Where things lie in a store: `<stack>/<series>/<set>/<file>`, records in `<stack>/<series>/.records/<set>/<file>`.

use crate::backup::records::RECORDS_DIR;

/// What all keys of a series begin with.
pub(super) fn series_prefix(stack: &str, series: &str) -> String {
    format!("{stack}/{series}/")
}

/// What all keys of a copy begin with.
pub fn set_prefix(stack: &str, series: &str, set: &str) -> String {
    format!("{stack}/{series}/{set}/")
}

/// The key of a file of a copy.
pub fn set_key(stack: &str, series: &str, set: &str, file: &str) -> String {
    format!("{stack}/{series}/{set}/{file}")
}

/// The key of a record, or of its signature.
pub fn record(stack: &str, series: &str, set: &str, file: &str) -> String {
    format!("{stack}/{series}/{RECORDS_DIR}/{set}/{file}")
}
