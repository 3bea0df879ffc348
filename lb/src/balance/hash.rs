//! Hashes by which requests and targets find each other. The same on every machine and in every version: another hash
//! would send every client elsewhere.

use std::net::IpAddr;

use super::weighted::next_random;

/// The hash of a key that a request carries, or of a target's name.
pub fn hash_of(bytes: &[u8]) -> u64 {
    let mut hash = bytes.len() as u64;
    for chunk in bytes.chunks(8) {
        let mut word = [0; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        hash = (hash ^ u64::from_le_bytes(word)).wrapping_mul(0x9fb2_1c65_1e98_df25);
        hash ^= hash >> 32;
    }
    next_random(&mut hash)
}

/// The hash of a client's address. An IPv4 address mapped into IPv6 counts as IPv4.
pub fn hash_of_address(address: IpAddr) -> u64 {
    match address.to_canonical() {
        IpAddr::V4(address) => hash_of(&address.octets()),
        IpAddr::V6(address) => hash_of(&address.octets()),
    }
}
