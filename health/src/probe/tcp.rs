//! The TCP probe: the connection is accepted, and closed again.

use std::net::SocketAddr;

use tokio::time::Instant;

use super::{Dial, Probe, Probing, Whom};

#[derive(Debug)]
pub(super) struct Tcp {
    pub(super) dial: Dial,
}

impl Probe for Tcp {
    fn probe<'a>(&'a self, whom: &'a Whom) -> Probing<'a> {
        let deadline = Instant::now() + self.dial.timeout;
        Box::pin(async move { self.dial.connect(whom, deadline).await.map(drop) })
    }

    fn describe(&self, address: SocketAddr) -> String {
        format!("a connection to {address}")
    }
}
