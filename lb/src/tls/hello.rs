//! What a client asks for, as the first record it sends says: a name, which is only told to others (which certificate
//! is shown is decided by rustls' own reading of it), and whether it looks for a challenge and nothing else.

/// The longest name that is told.
const NAME_BYTES_MAX: usize = 253;
const CLIENT_HELLO: u8 = 1;
const SERVER_NAME: u16 = 0;
const PROTOCOLS: u16 = 16;
const HOST_NAME: u8 = 0;

/// The name that the ClientHello in `record` asks for; none where it asks for none, or is not whole in there.
pub(super) fn server_name(record: &[u8]) -> Option<Box<str>> {
    let mut names = extension(record, SERVER_NAME)?.prefixed(2)?;
    let is_host = names.number(1)? == HOST_NAME.into();
    let name = names.prefixed(2)?.0;
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._".contains(byte);
    let is_legal = is_host && name.len() <= NAME_BYTES_MAX && name.iter().all(is_plain);
    std::str::from_utf8(name).ok().filter(|_| is_legal).map(Box::from)
}

/// Whether the ClientHello in `record` offers this protocol (ALPN) and no other.
pub(super) fn offers_only(record: &[u8], protocol: &[u8]) -> bool {
    let offered = || {
        let mut protocols = extension(record, PROTOCOLS)?.prefixed(2)?;
        let first = protocols.prefixed(1)?;
        Some(first.0 == protocol && protocols.0.is_empty())
    };
    offered().unwrap_or(false)
}

/// What an extension of the ClientHello in `record` holds.
fn extension(record: &[u8], wanted: u16) -> Option<Bytes<'_>> {
    let mut hello = Bytes(record);
    hello.take(5)?;
    if hello.number(1)? != CLIENT_HELLO.into() {
        return None;
    }
    // The length of all of it, the version, the random.
    hello.take(3 + 2 + 32)?;
    for length_bytes in [1, 2, 1] {
        // The session's id, cipher suites, compressions.
        hello.prefixed(length_bytes)?;
    }
    let mut extensions = hello.prefixed(2)?;
    loop {
        let kind = extensions.number(2)?;
        let extension = extensions.prefixed(2)?;
        if kind == usize::from(wanted) {
            return Some(extension);
        }
    }
}

/// Bytes that are not read yet.
struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn number(&mut self, bytes: usize) -> Option<usize> {
        Some(self.take(bytes)?.iter().fold(0, |number, byte| number << 8 | usize::from(*byte)))
    }

    /// What follows a length of so many bytes.
    fn prefixed(&mut self, length_bytes: usize) -> Option<Self> {
        let length = self.number(length_bytes)?;
        self.take(length).map(Bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::{offers_only, server_name};

    /// A ClientHello with these extensions, in a record.
    fn hello(extensions: &[(u16, &[u8])]) -> Vec<u8> {
        let mut all = Vec::new();
        for (kind, bytes) in extensions {
            all.extend(kind.to_be_bytes());
            all.extend((bytes.len() as u16).to_be_bytes());
            all.extend(*bytes);
        }
        let mut body = [&[3, 3][..], &[0; 32], &[0], &[0, 2, 19, 1], &[1, 0]].concat();
        body.extend((all.len() as u16).to_be_bytes());
        body.extend(all);
        let length = (body.len() as u32).to_be_bytes();
        [&[22, 3, 1, 0, 0, 1], &length[1..], &body].concat()
    }

    #[test]
    fn a_challenge_is_sought_with_its_protocol_alone() {
        let name = b"\0\x0b\0\0\x08a.exampl";
        let sought = |protocols: &[u8]| hello(&[(0, name), (16, protocols)]);
        let one = sought(b"\0\x0b\x0aacme-tls/1");
        assert!(offers_only(&one, b"acme-tls/1"));
        assert_eq!(server_name(&one).as_deref(), Some("a.exampl"));
        let two = sought(b"\0\x14\x0aacme-tls/1\x08http/1.1");
        assert!(!offers_only(&two, b"acme-tls/1") && !offers_only(&sought(b"\0\x09\x08http/1.1"), b"acme-tls/1"));
        assert!(!offers_only(&hello(&[(0, name)]), b"acme-tls/1"));
        (0..one.len()).for_each(|end| assert!(!offers_only(&one[..end], b"acme-tls/1")));
    }
}
