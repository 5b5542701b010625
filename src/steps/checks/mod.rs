//! Steps that look and change nothing: each observation is a finding.

pub mod cert_renew;
pub mod image_scan;
