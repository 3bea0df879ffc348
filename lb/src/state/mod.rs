//! What is live: one immutable snapshot, made by a pure function from what is wanted and what is seen.
//!
//! In reading order: [`Snapshot`] and its parts, [`Backend`] with its load, [`Observer`] through which the seen
//! enters, [`compile()`] which joins both, [`Publisher`] which swaps the pointer and [`Live`] which everyone reads.
//! Not here: probing (crate `health`), choosing (`balance`), anything durable (crate `control`).

mod backend;
mod compile;
mod ejection;
mod event;
mod issuance;
mod latency;
mod live;
mod members;
mod observe;
mod past;
mod publisher;
mod secured;
mod sessions;
mod sighting;
mod slow_start;
mod snapshot;
mod streak;
mod surge;

pub use backend::{Admission, Backend, BackendId, InFlight};
pub use compile::{Now, Wanted, compile};
pub use ejection::{Ejected, Standing};
pub use event::{Event, EventKind, difference};
pub use issuance::Issuance;
pub use latency::Outcome;
pub use live::Live;
pub use observe::{Observation, Observations, Observed, Observer};
pub use publisher::Publisher;
pub use sighting::Sighting;
pub use snapshot::{Frontend, HealthState, Member, Pool, Snapshot, TargetState, Verdict};
pub use streak::{Failed, Streak};
pub(crate) use surge::Place;
pub use surge::SurgeQueue;
