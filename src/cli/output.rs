//! How results are shown: tables, colours where a terminal wants them.
