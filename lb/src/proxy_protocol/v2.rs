//! Version 2: sixteen bytes, the addresses in binary, and then types, lengths and values.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use super::tlv::{Tlvs, kind};
use super::{Addresses, Header, OneFamily, Parsed, Refusal, begins, crc32c};

/// The longest header that is read, more than anybody needs.
pub const HEADER_BYTES_MAX: usize = 4096;

const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// Up to the addresses.
const FIXED_BYTES: usize = 16;
const LOCAL: u8 = 0x20;
const PROXY: u8 = 0x21;
const UNSPECIFIED: u8 = 0x00;
const TCP4: u8 = 0x11;
const TCP6: u8 = 0x21;
const UNIX_STREAM: u8 = 0x31;
const V4_BYTES: usize = 12;
const V6_BYTES: usize = 36;
const UNIX_BYTES: usize = 216;
/// A type, a length and four bytes.
const CHECKSUM_TLV_BYTES: usize = 7;

pub(super) fn parse(bytes: &[u8]) -> Result<Parsed, Refusal> {
    match begins(bytes, SIGNATURE) {
        None => return Ok(Parsed::Foreign),
        Some(false) => return Ok(Parsed::Partial),
        Some(true) => {}
    }
    let Some(fixed) = bytes.get(..FIXED_BYTES) else { return Ok(Parsed::Partial) };
    let [command, family] = [fixed[12], fixed[13]];
    let length = usize::from(u16::from_be_bytes([fixed[14], fixed[15]]));
    match command {
        LOCAL | PROXY => {}
        _ if command >> 4 != 2 => return Err(Refusal::Version),
        _ => return Err(Refusal::Command),
    }
    if FIXED_BYTES + length > HEADER_BYTES_MAX {
        return Err(Refusal::TooLong);
    }
    let Some(whole) = bytes.get(..FIXED_BYTES + length) else { return Ok(Parsed::Partial) };
    let header = match command {
        LOCAL => local(whole, family)?,
        _ => proxied(whole, family)?,
    };
    Ok(Parsed::Complete(header, whole.len()))
}

/// A connection of the sender's own. What the rest says is to be ignored, but a checksum must hold: without it a
/// single wrong bit would make a stranger's connection look like the sender's.
fn local(whole: &[u8], family: u8) -> Result<Header, Refusal> {
    let tlvs = address_bytes(family).ok().and_then(|skipped| whole.get(FIXED_BYTES + skipped..));
    match tlvs.map(|tlvs| Tlvs::parse(tlvs).and_then(|tlvs| check(whole, &tlvs))) {
        Some(Err(Refusal::Checksum)) => Err(Refusal::Checksum),
        _ => Ok(Header::default()),
    }
}

fn proxied(whole: &[u8], family: u8) -> Result<Header, Refusal> {
    let count = address_bytes(family)?;
    let (addresses, tlvs) = whole[FIXED_BYTES..].split_at_checked(count).ok_or(Refusal::Length)?;
    let tlvs = Tlvs::parse(tlvs)?;
    check(whole, &tlvs)?;
    Ok(Header { addresses: read_addresses(addresses), tlvs })
}

/// How many bytes of addresses a family has. Datagrams have no place ahead of a stream.
fn address_bytes(family: u8) -> Result<usize, Refusal> {
    match family {
        UNSPECIFIED => Ok(0),
        TCP4 => Ok(V4_BYTES),
        TCP6 => Ok(V6_BYTES),
        UNIX_STREAM => Ok(UNIX_BYTES),
        _ => Err(Refusal::Family),
    }
}

/// The addresses, where they are such as we can use.
fn read_addresses(bytes: &[u8]) -> Option<Addresses> {
    let port = |at: usize| u16::from_be_bytes([bytes[at], bytes[at + 1]]);
    let (source, destination): (SocketAddr, SocketAddr) = match bytes.len() {
        V4_BYTES => {
            let ip = |at: usize| bytes[at..at + 4].try_into().map(|octets: [u8; 4]| Ipv4Addr::from(octets)).ok();
            ((ip(0)?, port(8)).into(), (ip(4)?, port(10)).into())
        }
        V6_BYTES => {
            let ip = |at: usize| bytes[at..at + 16].try_into().map(|octets: [u8; 16]| Ipv6Addr::from(octets)).ok();
            ((ip(0)?, port(32)).into(), (ip(16)?, port(34)).into())
        }
        _ => return None,
    };
    Some(Addresses { source, destination })
}

/// Holds the header against its checksum, if it has one.
fn check(whole: &[u8], tlvs: &Tlvs) -> Result<(), Refusal> {
    let Some(expected) = tlvs.get(kind::CRC32C) else { return Ok(()) };
    let end = whole.len() - tlvs.bytes_from(kind::CRC32C);
    let (before, after) = (&whole[..end], &whole[end + expected.len()..]);
    let sum = crc32c::of(&[before, &[0; 4], after]);
    if expected == sum.to_be_bytes() { Ok(()) } else { Err(Refusal::Checksum) }
}

/// Writes a header with its checksum: between whom the connection is, or LOCAL where it is our own, and what else is
/// said of it. What would make it too long to be read is left away.
pub fn write_v2<'a>(out: &mut Vec<u8>, addresses: Option<&Addresses>, tlvs: impl IntoIterator<Item = (u8, &'a [u8])>) {
    let start = out.len();
    out.extend_from_slice(SIGNATURE);
    match addresses.map(Addresses::of_one_family) {
        None => out.extend_from_slice(&[LOCAL, UNSPECIFIED, 0, 0]),
        Some(OneFamily::V4(from, to)) => {
            out.extend_from_slice(&[PROXY, TCP4, 0, 0]);
            out.extend_from_slice(&from.ip().octets());
            out.extend_from_slice(&to.ip().octets());
            out.extend_from_slice(&from.port().to_be_bytes());
            out.extend_from_slice(&to.port().to_be_bytes());
        }
        Some(OneFamily::V6(from, to)) => {
            out.extend_from_slice(&[PROXY, TCP6, 0, 0]);
            out.extend_from_slice(&from.ip().octets());
            out.extend_from_slice(&to.ip().octets());
            out.extend_from_slice(&from.port().to_be_bytes());
            out.extend_from_slice(&to.port().to_be_bytes());
        }
    }
    for (kind, value) in tlvs {
        if out.len() - start + 3 + value.len() + CHECKSUM_TLV_BYTES <= HEADER_BYTES_MAX {
            out.push(kind);
            out.extend_from_slice(&(value.len() as u16).to_be_bytes());
            out.extend_from_slice(value);
        }
    }
    out.extend_from_slice(&[kind::CRC32C, 0, 4, 0, 0, 0, 0]);
    let length = (out.len() - start - FIXED_BYTES) as u16;
    out[start + 14..start + FIXED_BYTES].copy_from_slice(&length.to_be_bytes());
    let sum = crc32c::of(&[&out[start..]]);
    let end = out.len();
    out[end - 4..].copy_from_slice(&sum.to_be_bytes());
}
