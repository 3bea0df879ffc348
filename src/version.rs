//! Which elbow this is.

/// The version of the release.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
/// The commit it was built from, or `unknown`.
pub const COMMIT: &str = env!("ELBOW_COMMIT");
/// What it was built for.
pub const TARGET: &str = env!("ELBOW_TARGET");
