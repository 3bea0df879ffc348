//! The PROXY protocol (version 1 and 2 of HAProxy's specification): a header ahead of a connection's own bytes that
//! says between whom the connection is. Reading and writing of bytes, without I/O.
//!
//! Strict on purpose: who can make a header mean something else can be anybody. What the specification does not allow
//! is refused, lengths are capped, and a checksum that is there must hold. Not here: whose headers are believed, and
//! waiting for one (`listen::preamble`).

mod crc32c;
mod tlv;
mod v1;
mod v2;

use std::net::SocketAddr;

pub use tlv::{Ssl, SslCertificate, Tlvs, kind};
pub use v1::{LINE_BYTES_MAX, write_v1};
pub use v2::{HEADER_BYTES_MAX, write_v2};

/// What a header says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Header {
    /// Between whom the connection is; absent where it is the sender's own (a health check), or where the sender does
    /// not know: then the connection's own addresses hold.
    pub addresses: Option<Addresses>,
    /// What else is said of the connection (version 2 only).
    pub tlvs: Tlvs,
}

/// The two ends of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Addresses {
    /// Who connected.
    pub source: SocketAddr,
    /// Where to.
    pub destination: SocketAddr,
}

/// What the first bytes of a connection are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Parsed {
    /// A whole header, and how many bytes it has.
    Complete(Header, usize),
    /// What may become a header with more bytes.
    Partial,
    /// Something else.
    Foreign,
}

/// Why a header is none, although it begins as one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// A line without an end, or a header longer than anybody needs.
    #[error("it is too long")]
    TooLong,
    /// A line end that is none, or in the wrong place.
    #[error("its line does not end as it must")]
    LineEnd,
    /// Not as many words as there must be, or something between them but one space.
    #[error("its words are not those that belong there")]
    Words,
    /// A family or transport that this connection cannot have.
    #[error("its address family is unknown or has no place here")]
    Family,
    /// An address that is none.
    #[error("an address in it is malformed")]
    Address,
    /// A port that is none.
    #[error("a port in it is malformed")]
    Port,
    /// A version other than 2 behind the signature of version 2.
    #[error("its version is unknown")]
    Version,
    /// Neither LOCAL nor PROXY.
    #[error("its command is unknown")]
    Command,
    /// Too short for the addresses it is said to hold.
    #[error("its length does not fit its addresses")]
    Length,
    /// Types and lengths that do not fill the rest, or one that cannot be.
    #[error("what follows its addresses is malformed")]
    Tlv,
    /// A checksum that does not hold.
    #[error("its checksum does not hold")]
    Checksum,
}

/// Reads the header that a connection's first bytes are.
///
/// # Errors
/// [`Refusal`]: they begin as a header does, and are none.
pub fn parse(bytes: &[u8]) -> Result<Parsed, Refusal> {
    match bytes.first() {
        None => Ok(Parsed::Partial),
        Some(b'P') => v1::parse(bytes),
        Some(b'\r') => v2::parse(bytes),
        Some(_) => Ok(Parsed::Foreign),
    }
}

/// Whether bytes begin with a signature, or are the beginning of one; absent where they are neither.
fn begins(bytes: &[u8], signature: &[u8]) -> Option<bool> {
    let known = bytes.len().min(signature.len());
    (bytes[..known] == signature[..known]).then_some(known == signature.len())
}

impl Addresses {
    /// Both of one family: of IPv4 if both are (mapped or not), else of IPv6.
    fn of_one_family(&self) -> OneFamily {
        use std::net::{IpAddr, SocketAddrV4, SocketAddrV6};
        let canonical = |address: SocketAddr| (address.ip().to_canonical(), address.port());
        let wide = |(ip, port): (IpAddr, u16)| match ip {
            IpAddr::V4(ip) => SocketAddrV6::new(ip.to_ipv6_mapped(), port, 0, 0),
            IpAddr::V6(ip) => SocketAddrV6::new(ip, port, 0, 0),
        };
        let (source, destination) = (canonical(self.source), canonical(self.destination));
        match (source, destination) {
            ((IpAddr::V4(from), from_port), (IpAddr::V4(to), to_port)) => {
                OneFamily::V4(SocketAddrV4::new(from, from_port), SocketAddrV4::new(to, to_port))
            }
            (source, destination) => OneFamily::V6(wide(source), wide(destination)),
        }
    }
}

/// The two ends of a connection, in one family.
enum OneFamily {
    V4(std::net::SocketAddrV4, std::net::SocketAddrV4),
    V6(std::net::SocketAddrV6, std::net::SocketAddrV6),
}
