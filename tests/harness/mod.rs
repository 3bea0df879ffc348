//! The vocabulary of the behaviour tests: a real elbow ([`Lb`]), a scriptable web server ([`Upstream`]), a client of
//! raw bytes ([`Client`]), both ends of a TCP stream ([`StreamTarget`], [`Stream`]), and [`eventually`]. Everything waits with a deadline and fails loudly.

mod admin;
pub mod aws;
mod ca;
mod client;
mod deaf;
mod elb;
mod inside;
mod lb;
mod moto;
mod pebble;
mod secure;
mod selftest;
mod setup;
mod stream;
mod tls_target;
mod upstream;
mod wire;

use std::time::{Duration, Instant};

pub use admin::Admin;
pub use ca::{Ca, DAY, Issued, Kind as CaKind};
pub use client::{Client, Response, exchange, get};
pub use deaf::Deaf;
pub use elb::Elb;
pub use inside::Inside;
pub use lb::{Lb, cli_output, elbow};
pub use moto::Moto;
pub use pebble::Pebble;
pub use secure::{Secure, run};
pub use setup::Setup;
pub use stream::{Stream, StreamTarget};
pub use tls_target::{TOLD, TlsTarget, pin_of};
pub use upstream::{Act, Gate, Request, Upstream, answer, own_address, raw};
pub use wire::Broken;

/// How long anything may take that should take no time. Generous: the machine may be busy.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Waits until `check` holds; fails with `what` when it does not within `deadline`.
pub async fn eventually(what: &str, deadline: Duration, mut check: impl AsyncFnMut() -> bool) {
    let started = Instant::now();
    while !check().await {
        assert!(started.elapsed() < deadline, "waited {deadline:?} in vain for {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Checks that `check` keeps holding for a while; fails with `what` when it stops.
pub async fn always(what: &str, during: Duration, mut check: impl AsyncFnMut() -> bool) {
    let started = Instant::now();
    while started.elapsed() < during {
        assert!(check().await, "after {:?} it no longer held that {what}", started.elapsed());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// The outcome of `future`; fails with `what` when it takes longer than `deadline`.
pub async fn within<T>(what: &str, deadline: Duration, future: impl Future<Output = T>) -> T {
    let outcome = tokio::time::timeout(deadline, future).await;
    outcome.unwrap_or_else(|_| panic!("{what} took longer than {deadline:?}"))
}

/// Waits a bare while, where a test is about time itself.
pub async fn pause(time: Duration) {
    tokio::time::sleep(time).await;
}

/// Milliseconds.
pub const fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}
