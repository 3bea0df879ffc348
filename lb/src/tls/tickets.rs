//! Session tickets: what a client brings back to resume a session, sealed under keys that are kept in the state, so
//! that they outlive a restart and every worker opens them.

use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::{hmac, rand};
use rustls::server::ProducesTickets;

use crate::model::TicketKeys;

/// How long a key seals. It opens for as long again.
pub const TICKET_KEY_LIFETIME: Duration = Duration::from_secs(12 * 3600);

const ID_BYTES: usize = 8;
/// More than any ticket of ours: sessions of clients with certificates hold their chains.
const TICKET_BYTES_MAX: usize = 32 * 1024;

/// What seals and opens the tickets of one listener.
pub struct Tickets {
    /// The newest first.
    keys: Vec<TicketSealer>,
}

struct TicketSealer {
    id: [u8; ID_BYTES],
    key: LessSafeKey,
}

impl Tickets {
    /// For one `purpose`: a ticket opens only where it was sealed for the same. What a session was allowed to, by a
    /// client's certificate for example, it is then allowed to nowhere else.
    pub fn new(keys: &TicketKeys, purpose: &[u8]) -> Self {
        let sealer = |secret: &[u8; 32], id| {
            let derived = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), purpose);
            let key = UnboundKey::new(&AES_256_GCM_SIV, derived.as_ref()).ok()?;
            Some(TicketSealer { id, key: LessSafeKey::new(key) })
        };
        Self { keys: keys.iter().filter_map(|key| sealer(&key.secret, key.id)).collect() }
    }
}

impl ProducesTickets for Tickets {
    fn enabled(&self) -> bool {
        !self.keys.is_empty()
    }

    fn lifetime(&self) -> u32 {
        u32::try_from(TICKET_KEY_LIFETIME.as_secs()).unwrap_or(u32::MAX)
    }

    /// Id of the key, nonce, what is sealed.
    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        let TicketSealer { id, key } = self.keys.first()?;
        let mut nonce = [0; NONCE_LEN];
        rand::fill(&mut nonce).ok()?;
        let mut sealed = plain.to_vec();
        key.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(id), &mut sealed).ok()?;
        Some([&id[..], &nonce, &sealed].concat())
    }

    fn decrypt(&self, ticket: &[u8]) -> Option<Vec<u8>> {
        if ticket.len() > TICKET_BYTES_MAX {
            return None;
        }
        let (id, rest) = ticket.split_first_chunk::<ID_BYTES>()?;
        let (nonce, sealed) = rest.split_first_chunk::<NONCE_LEN>()?;
        let TicketSealer { key, .. } = self.keys.iter().find(|sealer| sealer.id == *id)?;
        let mut sealed = sealed.to_vec();
        let plain = key.open_in_place(Nonce::assume_unique_for_key(*nonce), Aad::from(id), &mut sealed).ok()?.len();
        sealed.truncate(plain);
        Some(sealed)
    }
}

impl std::fmt::Debug for Tickets {
    /// Keys do not get into logs.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tickets").field("keys", &self.keys.len()).finish()
    }
}

/// Makes the ticketer of one listener.
pub(super) fn ticketer(keys: &TicketKeys, purpose: &[u8]) -> Arc<dyn ProducesTickets> {
    Arc::new(Tickets::new(keys, purpose))
}
