//! elbow's control side: what is wanted and how it is kept, the file it may come from, and the admin API.
//!
//! Not here: traffic (crate `lb`) and probes (crate `health`).

pub mod readiness;
