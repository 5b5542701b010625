//! Drills find what is wrong with a set, prove what is not, and say when they could not tell.

#![expect(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests set their stage")]

#[path = "drill/altered.rs"]
mod altered;
#[path = "support/cage.rs"]
mod cage;
#[path = "drill/faithful.rs"]
mod faithful;
#[path = "support/forge.rs"]
mod forge;
#[path = "drill/hostile.rs"]
mod hostile;
#[path = "drill/load.rs"]
mod load;
#[path = "drill/made.rs"]
mod made;
#[path = "support/postgres.rs"]
mod postgres;
#[path = "support/project.rs"]
mod project;
#[path = "support/tree.rs"]
#[expect(dead_code, reason = "other tests compare trees themselves")]
mod tree;
#[path = "drill/unable.rs"]
mod unable;
