//! Drills: a set is restored into a throwaway server before it counts.

pub mod place;
