//! The options of `Connection`: how long the connection lives, and which fields live no longer than it.

use super::field::{Field, FieldKind};
use super::refusal::FieldFault;

/// Options beyond this many are an attack on our time, not a wish: each is looked for among all fields.
const OPTIONS_MAX: u32 = 64;

/// What all `Connection` fields of a head say together.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct ConnectionOptions {
    pub(super) close: bool,
    pub(super) keep_alive: bool,
    pub(super) upgrade: bool,
    options: u32,
    nominates: bool,
}

impl ConnectionOptions {
    /// Adds the options of one `Connection` field.
    #[inline]
    pub(super) fn add(&mut self, value: &[u8]) -> Result<(), FieldFault> {
        for option in options(value) {
            self.options += 1;
            if option.eq_ignore_ascii_case(b"keep-alive") {
                self.keep_alive = true;
            } else if option.eq_ignore_ascii_case(b"close") {
                self.close = true;
            } else if option.eq_ignore_ascii_case(b"upgrade") {
                self.upgrade = true;
            } else {
                self.nominates = true;
            }
        }
        if self.options > OPTIONS_MAX { Err(FieldFault::TooManyConnectionOptions) } else { Ok(()) }
    }

    /// Marks the fields that the options name. What frames or routes the message, and what we judge ourselves,
    /// cannot be nominated away.
    #[inline]
    pub(super) fn nominate(&self, buf: &[u8], fields: &mut [Field]) {
        if self.nominates {
            mark(buf, fields);
        }
    }
}

#[cold]
fn mark(buf: &[u8], fields: &mut [Field]) {
    for at in 0..fields.len() {
        if fields[at].kind != FieldKind::Connection {
            continue;
        }
        for option in options(fields[at].value.of(buf)) {
            for field in fields.iter_mut() {
                if may_be_nominated(field.kind) && field.name.of(buf).eq_ignore_ascii_case(option) {
                    field.kind = FieldKind::Nominated;
                }
            }
        }
    }
}

fn may_be_nominated(kind: FieldKind) -> bool {
    match kind {
        FieldKind::Host | FieldKind::ContentLength | FieldKind::TransferEncoding => false,
        FieldKind::Connection | FieldKind::Upgrade | FieldKind::Expect | FieldKind::HopByHop => false,
        FieldKind::Aliasing | FieldKind::FramingAlias | FieldKind::Nominated | FieldKind::RequestId => false,
        FieldKind::Other | FieldKind::Cookie | FieldKind::SetCookie | FieldKind::Trailer => true,
        FieldKind::XForwardedFor | FieldKind::XForwardedProto | FieldKind::XForwardedPort => true,
        FieldKind::Forwarding | FieldKind::ClientCertificate => true,
    }
}

/// The members of a comma-separated list, less empty ones.
#[inline]
pub(super) fn options(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii).filter(|option| !option.is_empty())
}
