//! One file (or directory) per outside thing. Nothing above this room touches the outside in another way.

pub mod cage;
pub mod certbot;
pub mod clock;
pub mod companion;
pub mod compose;
pub mod docker;
pub mod files;
pub mod holders;
pub mod host;
pub mod ledger;
pub mod lock;
pub mod plant;
pub mod postgres;
pub mod process;
pub mod scanner;
pub mod secret;
pub mod signature;
pub mod store;
pub mod supervisor;
pub mod tree;
