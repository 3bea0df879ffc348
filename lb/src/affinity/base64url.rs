//! Base64 in the alphabet that cookies and URLs carry unharmed, without padding (RFC 4648, 5). Each bytes have one
//! text: whoever changes a character of it changes a byte.

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
const NONE: u8 = u8::MAX;
const VALUES: [u8; 256] = values();

const fn values() -> [u8; 256] {
    let mut values = [NONE; 256];
    let mut index = 0;
    while index < ALPHABET.len() {
        values[ALPHABET[index] as usize] = index as u8;
        index += 1;
    }
    values
}

/// How long the text of so many bytes is.
pub(super) const fn text_len(bytes: usize) -> usize {
    (bytes * 4).div_ceil(3)
}

/// Writes bytes as text, which has to have its [`text_len`].
pub(super) fn encode(bytes: &[u8], text: &mut [u8]) {
    for (three, four) in bytes.chunks(3).zip(text.chunks_mut(4)) {
        let mut word = [0; 4];
        word[1..].iter_mut().zip(three).for_each(|(to, from)| *to = *from);
        let bits = u32::from_be_bytes(word);
        for (place, character) in four.iter_mut().enumerate() {
            *character = ALPHABET[(bits >> (18 - 6 * place)) as usize & 63];
        }
    }
}

/// Reads text as bytes; `None` if it is not exactly the text of any so many bytes.
pub(super) fn decode(text: &[u8], bytes: &mut [u8]) -> Option<()> {
    if text.len() != text_len(bytes.len()) {
        return None;
    }
    for (four, three) in text.chunks(4).zip(bytes.chunks_mut(3)) {
        let mut bits = 0;
        for (place, character) in four.iter().enumerate() {
            let value = VALUES[usize::from(*character)];
            if value == NONE {
                return None;
            }
            bits |= u32::from(value) << (18 - 6 * place);
        }
        let bits = bits.to_be_bytes();
        let (known, rest) = bits[1..].split_at(three.len());
        if rest.iter().any(|byte| *byte != 0) {
            return None;
        }
        three.copy_from_slice(known);
    }
    Some(())
}
