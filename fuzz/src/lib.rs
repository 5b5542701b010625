//! What the fuzz targets check; tests/dump_reader.rs replays the corpus with the same code.

pub mod splits;
