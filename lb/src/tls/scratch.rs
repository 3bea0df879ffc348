//! Where the connections of one worker encrypt and decrypt: one after the other, so that none of them needs room of
//! its own while it waits.

use std::cell::RefCell;

/// Plaintext of one record, at most.
pub(super) const RECORD_PLAIN_BYTES: usize = 16 * 1024;
/// Ciphertext that is read or written at once.
const RECORDS_BYTES: usize = 66 * 1024;

/// Room shared by the connections of one worker.
#[derive(Debug, Default)]
pub(crate) struct Scratch(RefCell<Room>);

#[derive(Debug, Default)]
struct Room {
    /// Ciphertext.
    records: Box<[u8]>,
    /// Plaintext that is gathered for one record.
    gathered: Box<[u8]>,
}

impl Scratch {
    /// Lends the room for records and the room to gather plaintext. What is left there is the next one's to overwrite.
    pub(super) fn with<T>(&self, work: impl FnOnce(&mut [u8], &mut [u8]) -> T) -> T {
        let mut room = self.0.borrow_mut();
        if room.records.is_empty() {
            *room = Room { records: vec![0; RECORDS_BYTES].into(), gathered: vec![0; RECORD_PLAIN_BYTES].into() };
        }
        let Room { records, gathered } = &mut *room;
        work(records, gathered)
    }
}
