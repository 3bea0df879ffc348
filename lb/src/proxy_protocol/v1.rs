//! Version 1: one line of text, `PROXY TCP4 192.0.2.1 192.0.2.2 56324 443` and CRLF.

use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use super::{Addresses, Header, OneFamily, Parsed, Refusal, begins};

/// The longest line there can be, its end included.
pub const LINE_BYTES_MAX: usize = 107;

const SIGNATURE: &[u8] = b"PROXY ";

pub(super) fn parse(bytes: &[u8]) -> Result<Parsed, Refusal> {
    match begins(bytes, SIGNATURE) {
        None => return Ok(Parsed::Foreign),
        Some(false) => return Ok(Parsed::Partial),
        Some(true) => {}
    }
    let line = &bytes[..bytes.len().min(LINE_BYTES_MAX)];
    let Some(end) = line.iter().position(|byte| matches!(byte, b'\r' | b'\n')) else {
        return if bytes.len() < LINE_BYTES_MAX { Ok(Parsed::Partial) } else { Err(Refusal::TooLong) };
    };
    match line.get(end..end + 2) {
        Some(b"\r\n") => {}
        None if line[end] == b'\r' && bytes.len() < LINE_BYTES_MAX => return Ok(Parsed::Partial),
        None if line[end] == b'\r' => return Err(Refusal::TooLong),
        _ => return Err(Refusal::LineEnd),
    }
    let addresses = words(&line[SIGNATURE.len()..end])?;
    Ok(Parsed::Complete(Header { addresses, ..Header::default() }, end + 2))
}

/// Reads what stands between the signature and the line's end.
fn words(line: &[u8]) -> Result<Option<Addresses>, Refusal> {
    // The specification wants everything behind UNKNOWN ignored, whatever it is.
    if line == b"UNKNOWN" || line.starts_with(b"UNKNOWN ") {
        return Ok(None);
    }
    let line = std::str::from_utf8(line).map_err(|_| Refusal::Words)?;
    let words: Vec<_> = line.split(' ').collect();
    let [family, source, destination, source_port, destination_port] = words[..] else {
        return Err(Refusal::Words);
    };
    let (source, destination) = match family {
        "TCP4" => both::<Ipv4Addr>(source, destination)?,
        "TCP6" => both::<Ipv6Addr>(source, destination)?,
        _ => return Err(Refusal::Family),
    };
    Ok(Some(Addresses {
        source: SocketAddr::new(source, port(source_port)?),
        destination: SocketAddr::new(destination, port(destination_port)?),
    }))
}

fn both<A: FromStr + Into<IpAddr>>(source: &str, destination: &str) -> Result<(IpAddr, IpAddr), Refusal> {
    let address = |text: &str| text.parse::<A>().map(Into::into).map_err(|_| Refusal::Address);
    Ok((address(source)?, address(destination)?))
}

/// Digits alone, and no zero ahead of others.
fn port(text: &str) -> Result<u16, Refusal> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    text.parse().ok().filter(|_| is_plain).ok_or(Refusal::Port)
}

/// Writes a header: between whom the connection is, or `UNKNOWN` where it is our own.
pub fn write_v1(out: &mut Vec<u8>, addresses: Option<&Addresses>) {
    // Writing to a Vec cannot fail.
    let _ = match addresses.map(Addresses::of_one_family) {
        None => out.write_all(b"PROXY UNKNOWN\r\n"),
        Some(OneFamily::V4(from, to)) => {
            write!(out, "PROXY TCP4 {} {} {} {}\r\n", from.ip(), to.ip(), from.port(), to.port())
        }
        Some(OneFamily::V6(from, to)) => {
            write!(out, "PROXY TCP6 {} {} {} {}\r\n", Colons(*from.ip()), Colons(*to.ip()), from.port(), to.port())
        }
    };
}

/// An IPv6 address in hexadecimal groups alone: not every reader knows the notation with an IPv4 address at its end.
struct Colons(Ipv6Addr);

impl std::fmt::Display for Colons {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0.segments() {
            [0, 0, 0, 0, 0, 0xffff, high, low] => write!(f, "::ffff:{high:x}:{low:x}"),
            _ => write!(f, "{}", self.0),
        }
    }
}
