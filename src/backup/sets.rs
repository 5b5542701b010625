//! Skeleton: what stands in `backups/`.
