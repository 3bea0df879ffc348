//! Whose a client's connection is: the peer's, or that of whom a trusted proxy names in a header of the PROXY
//! protocol; and what a target is told of it in such a header.

use std::net::SocketAddr;

use crate::model::SendProxy;
use crate::proxy_protocol::{Addresses, Header, Tlvs, kind, write_v1, write_v2};
use crate::stream::Stream;
use crate::tls::Secured;

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
    /// the connection an id, it is a `random` one. What is known of TLS is what this stream is encrypted with, whatever
    /// a proxy in front says of that: it has passed on what it could not look into.
    pub(crate) fn greeting<S: Stream>(&self, wanted: SendProxy, stream: &S, random: impl FnMut() -> u64) -> Vec<u8> {
        let mut greeting = Vec::new();
        if wanted == SendProxy::Off {
            return greeting;
        }
        let destination = self.destination.or_else(|| stream.local_address());
        let ends = destination.map(|destination| Addresses { source: self.source, destination });
        match wanted {
            SendProxy::Off => {}
            SendProxy::V1 => write_v1(&mut greeting, ends.as_ref()),
            SendProxy::V2 => self.greet(&mut greeting, ends.as_ref(), stream.secured(), random),
        }
        greeting
    }

    fn greet(
        &self,
        greeting: &mut Vec<u8>,
        ends: Option<&Addresses>,
        secured: Option<&Secured>,
        mut random: impl FnMut() -> u64,
    ) {
        let made = format!("{:016x}{:016x}", random(), random());
        let ssl = secured.map(|secured| secured.ssl().value());
        let seen = [
            (kind::ALPN, secured.and_then(|secured| secured.alpn.as_deref())),
            (kind::AUTHORITY, secured.and_then(|secured| secured.server_name.as_deref()).map(str::as_bytes)),
            (kind::SSL, ssl.as_deref()),
        ];
        let is_said_on = |kind| secured.is_none() || seen.iter().all(|(seen, _)| *seen != kind);
        let said = self.tlvs.carried().filter(|(kind, _)| is_said_on(*kind));
        let id = self.tlvs.get(kind::UNIQUE_ID).is_none().then_some((kind::UNIQUE_ID, made.as_bytes()));
        let seen = seen.iter().filter_map(|(kind, value)| Some((*kind, (*value)?)));
        write_v2(greeting, ends, seen.chain(said).chain(id));
    }
}
