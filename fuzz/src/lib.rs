//! What the fuzz targets check; tests/dump_reader.rs and tests/archive.rs replay the corpora with the same code.

pub mod splits;
pub mod tar;
