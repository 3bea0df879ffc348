//! What one request is worked on with: heads and buffers, used again and again, so that a request allocates nothing
//! and an idle connection holds nothing.

use super::buffers::Shelf;
use super::flow::Flow;
use super::request_id::RequestId;
use super::sticky::Bond;
use crate::http1::{RequestHead, ResponseHead};

/// The workplace of one request.
#[derive(Default)]
pub(crate) struct Desk {
    /// The request's head. Its spans are of `up.buffer` from its first byte on.
    pub(super) request: RequestHead,
    /// What the request is called.
    pub(super) request_id: RequestId,
    /// The answer's head. Its spans are of what stood in `down` when it was parsed.
    pub(super) response: ResponseHead,
    /// What keeps the client at a target.
    pub(super) bond: Bond,
    /// Whether only the end of the client's connection ends the answer's body.
    pub(super) ends_with_connection: bool,
    /// From the client to the target.
    pub(super) up: Flow,
    /// From the target to the client.
    pub(super) down: Flow,
}

impl Desk {
    /// Makes it ready for another connection.
    pub(super) fn clear(&mut self, shelf: &Shelf) {
        self.request.clear();
        self.response.clear();
        self.bond.clear();
        self.up.clear(shelf);
        self.down.clear(shelf);
    }

    /// Makes it ready to send the same request once more.
    pub(super) fn start_over(&mut self, shelf: &Shelf) {
        self.up.out.rewind();
        self.up.written_bytes = 0;
        self.response.clear();
        self.down.clear(shelf);
    }

    /// Makes it ready for the next request of the same connection, whose first bytes may be there already.
    pub(super) fn next_request(&mut self, shelf: &Shelf) {
        self.bond.clear();
        self.up.next_message();
        self.down.clear(shelf);
    }
}
