//! The data plane of elbow: what is wanted, what is live, and the way of a request between the two.
//!
//! In reading order: [`model`] is what is wanted, [`state`] joins it with what is seen into one immutable
//! snapshot, [`balance`] chooses a backend from it, [`affinity`] keeps clients at theirs, [`http1`] is the codec, [`tls`]
//! shakes hands with clients, [`challenges`] are what authorities that issue certificates look for, [`upstream`] holds connections to backends, [`proxy`] is the way of one request and `l4`
//! that of a stream, [`explain`] remembers why a request went where it went, [`proxy_protocol`] says ahead of a
//! connection whose it is, [`listen`] runs the workers and [`telemetry`] counts.
//! [`listen`] runs the workers and [`telemetry`] counts.
//! Not here: probes (crate `health`), persistence, files and the admin API (crate `control`).

pub mod affinity;
pub mod balance;
pub mod challenges;
pub mod explain;
pub mod http1;
mod l4;
pub mod listen;
pub mod model;
pub mod proxy;
pub mod proxy_protocol;
pub mod state;
mod stream;
pub mod telemetry;
pub mod tls;
pub mod upstream;
