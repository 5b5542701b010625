//! The engines that turn a source into artifacts.

pub mod archive;
pub mod dump;
pub mod globals;
pub mod quiesce;
pub mod volume;
