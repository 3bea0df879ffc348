//! The value of a cookie that binds: encrypted, so that it tells nobody where its holder goes, and authenticated, so
//! that nobody makes or alters one. The newest key seals, each of the known ones opens.
//!
//! A value is the base64url of version, id of the key, nonce, and ciphertext with its tag; it has the same length
//! whatever it binds to. The names of group and kind are authenticated with it, so that it is worth nothing elsewhere.
//! AES-256-GCM-SIV stands a nonce that comes up twice (it would show that two values are equal, and no more), so that
//! nonces are random and nobody counts them. Not here: whether a binding still holds (`seen`), where keys are from.

use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::rand;

use super::Fingerprint;
use super::base64url::{decode, encode, text_len};
use crate::model::{CookieKey, CookieKeys, GroupName};

/// The first byte of every value. Another layout gets another number.
const VERSION: u8 = 1;
const PREFIX_BYTES: usize = 1 + 4;
const PLAIN_BYTES: usize = 8 + 8 + Fingerprint::BYTES;
const TAG_BYTES: usize = 16;
const BYTES: usize = PREFIX_BYTES + NONCE_LEN + PLAIN_BYTES + TAG_BYTES;

/// How long a sealed value is.
pub const SEALED_BYTES: usize = text_len(BYTES);

/// What a cookie says to us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Binding {
    /// Where its holder goes.
    pub target: Fingerprint,
    /// Tells one holder from another, for counting them.
    pub session: u64,
    /// Until when it holds, in seconds since the Unix epoch, if not forever.
    pub until_unix_s: Option<u64>,
}

/// Which cookie a value is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum SealedKind {
    /// elbow's own.
    LbCookie = 1,
    /// The one that accompanies an application's.
    AppCookie = 2,
}

/// Seals and opens values for one group and kind.
#[derive(Debug)]
pub struct Seal {
    /// The newest first.
    keys: Vec<Key>,
}

#[derive(Debug)]
struct Key {
    id: u32,
    key: LessSafeKey,
    /// What is authenticated with every value and not in it.
    context: Box<[u8]>,
}

impl Seal {
    /// With these keys; without any it neither seals nor opens.
    pub fn new(keys: &CookieKeys, group: &GroupName, kind: SealedKind) -> Self {
        Self::on_port(keys, group, kind, None)
    }

    /// As [`Self::new`], for what is worth nothing on another port of the targets.
    pub fn on_port(keys: &CookieKeys, group: &GroupName, kind: SealedKind, port: Option<u16>) -> Self {
        Self { keys: keys.iter().filter_map(|key| Key::new(key, group, kind, port)).collect() }
    }

    /// The value that binds so. None without a key.
    pub fn seal(&self, binding: &Binding) -> Option<[u8; SEALED_BYTES]> {
        let key = self.keys.first()?;
        let mut bytes = [0; BYTES];
        bytes[..PREFIX_BYTES].copy_from_slice(&key.prefix());
        let (head, body) = bytes.split_at_mut(PREFIX_BYTES + NONCE_LEN);
        rand::fill(&mut head[PREFIX_BYTES..]).ok()?;
        let nonce = Nonce::try_assume_unique_for_key(&head[PREFIX_BYTES..]).ok()?;
        let (plain, tag) = body.split_at_mut(PLAIN_BYTES);
        plain.copy_from_slice(&binding.to_bytes());
        tag.copy_from_slice(key.key.seal_in_place_separate_tag(nonce, Aad::from(&key.context), plain).ok()?.as_ref());
        let mut text = [0; SEALED_BYTES];
        encode(&bytes, &mut text);
        Some(text)
    }

    /// What a value binds to, if it was sealed with one of the keys for this group and kind.
    pub fn open(&self, value: &[u8]) -> Option<Binding> {
        let mut bytes = [0; BYTES];
        decode(value, &mut bytes)?;
        let (prefix, rest) = bytes.split_at_mut(PREFIX_BYTES);
        let (nonce, body) = rest.split_at_mut(NONCE_LEN);
        self.keys.iter().filter(|key| key.prefix() == *prefix).find_map(|key| {
            let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
            let mut body = <[u8; PLAIN_BYTES + TAG_BYTES]>::try_from(&*body).ok()?;
            let plain = key.key.open_in_place(nonce, Aad::from(&key.context), &mut body).ok()?;
            Binding::from_bytes(plain)
        })
    }
}

impl Key {
    /// `None` for a key that the cipher does not take, which the length of a secret rules out.
    fn new(key: &CookieKey, group: &GroupName, kind: SealedKind, port: Option<u16>) -> Option<Self> {
        let cipher = UnboundKey::new(&AES_256_GCM_SIV, &key.secret).ok()?;
        let mut context = vec![VERSION, kind as u8];
        context.extend_from_slice(&key.id.to_be_bytes());
        context.extend_from_slice(group.as_str().as_bytes());
        if let Some(port) = port {
            // No name can hold a zero byte, so that no other group's reads the same.
            context.push(0);
            context.extend_from_slice(&port.to_be_bytes());
        }
        Some(Self { id: key.id, key: LessSafeKey::new(cipher), context: context.into() })
    }

    /// What every value sealed with it begins with.
    fn prefix(&self) -> [u8; PREFIX_BYTES] {
        let [a, b, c, d] = self.id.to_be_bytes();
        [VERSION, a, b, c, d]
    }
}

impl Binding {
    fn to_bytes(self) -> [u8; PLAIN_BYTES] {
        let mut bytes = [0; PLAIN_BYTES];
        bytes[..8].copy_from_slice(&self.until_unix_s.unwrap_or(0).to_be_bytes());
        bytes[8..16].copy_from_slice(&self.session.to_be_bytes());
        bytes[16..].copy_from_slice(self.target.as_bytes());
        bytes
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (until, rest) = bytes.split_first_chunk()?;
        let (session, target) = rest.split_first_chunk()?;
        let until = u64::from_be_bytes(*until);
        Some(Self {
            target: Fingerprint::from_bytes(target.try_into().ok()?),
            session: u64::from_be_bytes(*session),
            until_unix_s: (until != 0).then_some(until),
        })
    }
}
