//! Whose a client's connection is: the peer's, or that of whom a trusted proxy names in a header of the PROXY
//! protocol; and what a target is told of it in such a header.

use std::net::SocketAddr;

use crate::model::SendProxy;
use crate::proxy_protocol::{Addresses, Header, Tlvs, kind, write_v1, write_v2};
use crate::stream::Stream;

/// Whose a connection is.
#[derive(Debug)]
pub(crate) struct Arrival {
    /// Who the client is.
    pub(crate) source: SocketAddr,
    /// Where the client connected to, if a trusted proxy says so; else to us.
    destination: Option<SocketAddr>,
    /// What a trusted proxy says beside that.
    tlvs: Tlvs,
}

impl Arrival {
    /// The peer's own.
    pub(crate) fn of(peer: SocketAddr) -> Self {
        Self { source: peer, destination: None, tlvs: Tlvs::default() }
    }

    /// As a trusted proxy says. A connection of the proxy's own, as its health checks, is the peer's.
    pub(crate) fn named_by(header: Header, peer: SocketAddr) -> Self {
        match header.addresses {
            Some(Addresses { source, destination }) => {
                Self { source, destination: Some(destination), tlvs: header.tlvs }
            }
            None => Self { tlvs: header.tlvs, ..Self::of(peer) },
        }
    }

    /// The header that a target is sent ahead of everything, if its group wants one. Where no proxy in front has given
    /// the connection an id, it is a `random` one.
    pub(crate) fn greeting<S: Stream>(
        &self,
        wanted: SendProxy,
        stream: &S,
        mut random: impl FnMut() -> u64,
    ) -> Vec<u8> {
        let mut greeting = Vec::new();
        if wanted == SendProxy::Off {
            return greeting;
        }
        let destination = self.destination.or_else(|| stream.local_address());
        let ends = destination.map(|destination| Addresses { source: self.source, destination });
        match wanted {
            SendProxy::Off => {}
            SendProxy::V1 => write_v1(&mut greeting, ends.as_ref()),
            SendProxy::V2 => {
                let given = self.tlvs.get(kind::UNIQUE_ID).is_some();
                let id = format!("{:016x}{:016x}", random(), random());
                let id = (!given).then_some((kind::UNIQUE_ID, id.as_bytes()));
                write_v2(&mut greeting, ends.as_ref(), self.tlvs.carried().chain(id));
            }
        }
        greeting
    }
}
