//! What the fuzz targets check; tests/dump_reader.rs, tests/archive.rs, tests/restore_tree.rs, tests/checks.rs and
//! tests/security.rs replay the corpora with the same code.

pub mod certificate;
pub mod restore;
pub mod scanner_output;
pub mod splits;
pub mod tar;
