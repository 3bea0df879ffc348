//! The key of a request, by which `consistent_hash` finds its target: looked up in the head as it was received.

use std::net::IpAddr;

use crate::balance::{hash_of, hash_of_address};
use crate::http1::{FieldKind, RequestHead};
use crate::model::{HashKey, Network};

/// The hash of the request's key, if it has one.
pub(super) fn hash(
    key: &HashKey,
    peer: IpAddr,
    trusted: &[Network],
    request: &RequestHead,
    bytes: &[u8],
) -> Option<u64> {
    let value = match key {
        HashKey::SourceIp => return Some(hash_of_address(source(peer, trusted, request, bytes))),
        HashKey::Path => Some(request.path(bytes)),
        HashKey::Header(name) => request.value(bytes, name),
        HashKey::Cookie(name) => request.cookies(bytes, name).next(),
    };
    value.filter(|value| !value.is_empty()).map(hash_of)
}

/// Where a request comes from: the peer, or whom trusted proxies name in `X-Forwarded-For`, from the last one back to
/// the first that is not one of them.
pub(super) fn source(peer: IpAddr, trusted: &[Network], request: &RequestHead, bytes: &[u8]) -> IpAddr {
    let is_trusted = |address: IpAddr| trusted.iter().any(|network| network.contains(address));
    let mut source = peer;
    let named = request.fields.iter().rev().filter(|field| field.kind == FieldKind::XForwardedFor);
    for address in named.flat_map(|field| field.value.of(bytes).rsplit(|byte| *byte == b',')) {
        if !is_trusted(source) {
            break;
        }
        let address = std::str::from_utf8(address.trim_ascii()).ok().and_then(|address| address.parse().ok());
        let Some(address) = address else { break };
        source = address;
    }
    source
}
