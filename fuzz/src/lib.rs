//! What the fuzz targets check; tests/dump_reader.rs, tests/archive.rs and tests/restore_tree.rs replay the corpora with the same code.

pub mod restore;
pub mod splits;
pub mod tar;
