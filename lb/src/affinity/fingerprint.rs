//! How a cookie names a target: by a hash, which says nothing about the target and is as long for every id.

use aws_lc_rs::digest::{SHA256, digest};

use crate::model::{GroupName, TargetId};

/// Stands for a target of a group, the same on every node and in every version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint([u8; Self::BYTES]);

impl Fingerprint {
    /// How long it is.
    pub const BYTES: usize = 16;

    /// Of the target of this id in this group, wherever it is.
    pub fn of(group: &GroupName, target: &TargetId) -> Self {
        // Neither name can hold a zero byte, so that no two pairs read the same.
        let name = [group.as_str().as_bytes(), &[0], target.as_str().as_bytes()].concat();
        let hash = digest(&SHA256, &name);
        let mut bytes = [0; Self::BYTES];
        bytes.iter_mut().zip(hash.as_ref()).for_each(|(byte, hashed)| *byte = *hashed);
        Self(bytes)
    }

    /// From its bytes.
    pub fn from_bytes(bytes: [u8; Self::BYTES]) -> Self {
        Self(bytes)
    }

    /// Its bytes.
    pub fn as_bytes(&self) -> &[u8; Self::BYTES] {
        &self.0
    }

    /// Its first bits, as evenly spread as a hash's.
    pub(super) fn bits(self) -> u32 {
        let [a, b, c, d, ..] = self.0;
        u32::from_be_bytes([a, b, c, d])
    }
}
