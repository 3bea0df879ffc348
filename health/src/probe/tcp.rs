//! The TCP probe: the connection is accepted, and closed again.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::time::Instant;

use super::{Probe, Probing, connect};

#[derive(Debug)]
pub(super) struct Tcp {
    pub(super) timeout: Duration,
}

impl Probe for Tcp {
    fn probe(&self, address: SocketAddr) -> Probing<'_> {
        let deadline = Instant::now() + self.timeout;
        Box::pin(async move { connect(address, deadline, self.timeout).await.map(drop) })
    }

    fn describe(&self, address: SocketAddr) -> String {
        format!("a connection to {address}")
    }
}
