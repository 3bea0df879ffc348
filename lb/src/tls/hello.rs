//! The name a client asks for, as the first record it sends says. Only told to others: which certificate is shown is
//! decided by rustls' own reading of it.

/// The longest name that is told.
const NAME_BYTES_MAX: usize = 253;
const CLIENT_HELLO: u8 = 1;
const SERVER_NAME: u16 = 0;
const HOST_NAME: u8 = 0;

/// The name that the ClientHello in `record` asks for; none where it asks for none, or is not whole in there.
pub(super) fn server_name(record: &[u8]) -> Option<Box<str>> {
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
        let mut extension = extensions.prefixed(2)?;
        if kind == usize::from(SERVER_NAME) {
            let mut names = extension.prefixed(2)?;
            let is_host = names.number(1)? == HOST_NAME.into();
            let name = names.prefixed(2)?.0;
            let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._".contains(byte);
            let is_legal = is_host && name.len() <= NAME_BYTES_MAX && name.iter().all(is_plain);
            return std::str::from_utf8(name).ok().filter(|_| is_legal).map(Box::from);
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
