//! elbow's active health checks, and where host names of targets lead: all that is seen by asking.
//!
//! In reading order: [`judge`] turns results of probes into verdicts and [`schedule`] says when to probe, both pure;
//! [`probe`] asks one target once; [`Checker`] does all of it for every target of a snapshot; [`Resolver`] looks up
//! host names. Both tell the publisher through an `Observer`. Not here: what a verdict leads to (`lb::state`).

mod checker;
pub mod judge;
pub mod probe;
mod resolve;
pub mod schedule;

pub use checker::Checker;
pub use resolve::Resolver;
