//! TLS with clients and with targets: what is shown, offered and asked, the handshake, and the stream that follows it.
//!
//! In reading order: a [`Credential`] is a certificate with its key, ready to sign; a [`Terminator`] is all that one
//! listener needs to shake hands, made when a snapshot is compiled and never on a worker's path; [`Tickets`] are the
//! keys of sessions that clients resume; [`handshake()`] turns an accepted connection into a [`TlsStream`]; the
//! [`Turnstile`] keeps many handshakes at once from holding up who is served already. Towards targets an [`Originator`] is
//! to a pool what a [`Terminator`] is to a listener, and [`originate()`] what [`handshake()`] is.
//!
//! Not here: reading files (crate `control`), what is done with a handshake that failed (`proxy`).

mod certificate;
mod challenge;
mod fault;
mod hands;
mod handshake;
mod hello;
mod name;
mod names;
mod offer;
mod originate;
mod originator;
mod outside;
mod peer;
mod scratch;
mod session;
mod stream;
mod target_verifier;
mod terminator;
mod tickets;
mod turnstile;

pub use certificate::{CertificateFacts, CertificateFault, Credential, read_certificate, read_trust};
pub use fault::target_fault_in_words;
pub use originator::{Originator, is_server_name};
pub use outside::server_config;
pub use terminator::Terminator;
pub use tickets::{TICKET_KEY_LIFETIME, Tickets};

pub(crate) use challenge::challenge_config;
pub(crate) use fault::TlsFault;
pub(crate) use handshake::{Failed, handshake};
pub(crate) use originate::{TargetStream, originate};
pub(crate) use peer::Secured;
pub(crate) use scratch::Scratch;
pub(crate) use stream::TlsStream;
pub(crate) use turnstile::Turnstile;
