//! The rustls side of a stream: records in, plaintext and records out. No I/O.

use rustls::Error;
use rustls::client::{ClientConnectionData, UnbufferedClientConnection};
use rustls::server::{ServerConnectionData, UnbufferedServerConnection};
use rustls::unbuffered::{ConnectionState, EncodeError, EncodeTlsData, EncryptError, UnbufferedStatus};

/// A TLS session of either side.
pub(crate) trait Session {
    /// What rustls keeps for this side.
    type Side;

    /// Whether something is to be sent that was not taken yet.
    fn has_to_say(&self) -> bool;

    /// Takes records in, as far as something is to be done.
    fn process<'c, 'i>(&'c mut self, records: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self::Side>;
}

impl Session for UnbufferedServerConnection {
    type Side = ServerConnectionData;

    fn has_to_say(&self) -> bool {
        self.wants_write()
    }

    fn process<'c, 'i>(&'c mut self, records: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self::Side> {
        self.process_tls_records(records)
    }
}

impl Session for UnbufferedClientConnection {
    type Side = ClientConnectionData;

    fn has_to_say(&self) -> bool {
        self.wants_write()
    }

    fn process<'c, 'i>(&'c mut self, records: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self::Side> {
        self.process_tls_records(records)
    }
}

/// How far what was taken in led.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Progress {
    /// All is taken; more may come.
    Open,
    /// The peer has said that nothing more comes from it.
    Ended,
}

/// Takes in all records that are whole. Answers with how many bytes were taken, to be removed from the front, and how
/// far that led. What is to be sent is added to `outgoing`, after an error too: the alert that tells the peer.
pub(super) fn take_in<S: Session>(
    session: &mut S,
    records: &mut [u8],
    outgoing: &mut Vec<u8>,
    mut plaintext: impl FnMut(&[u8]),
) -> (usize, Result<Progress, Error>) {
    let mut taken = 0;
    let mut progress = Progress::Open;
    loop {
        let UnbufferedStatus { discard, state } = session.process(&mut records[taken..]);
        let goes_on = match state {
            Ok(ConnectionState::ReadTraffic(mut traffic)) => {
                while let Some(Ok(record)) = traffic.next_record() {
                    plaintext(record.payload);
                }
                true
            }
            Ok(ConnectionState::EncodeTlsData(data)) => encode(data, outgoing),
            Ok(ConnectionState::TransmitTlsData(data)) => {
                data.done();
                true
            }
            Ok(ConnectionState::PeerClosed) => {
                progress = Progress::Ended;
                true
            }
            Ok(ConnectionState::Closed) => {
                progress = Progress::Ended;
                false
            }
            // No early data is ever allowed.
            Ok(_) => false,
            Err(error) => {
                taken += discard;
                take_alert(session, &mut records[taken..], outgoing);
                return (taken, Err(error));
            }
        };
        taken += discard;
        if !goes_on {
            return (taken, Ok(progress));
        }
    }
}

/// Takes the alert that an error has left, and what was to be sent ahead of it. Never asked for more than that: then
/// rustls would read on, and fail again. It is given what it was given before, for it remembers places in it.
fn take_alert<S: Session>(session: &mut S, records: &mut [u8], outgoing: &mut Vec<u8>) {
    while session.has_to_say() {
        let Ok(ConnectionState::EncodeTlsData(data)) = session.process(records).state else { return };
        if !encode(data, outgoing) {
            return;
        }
    }
}

fn encode<Side>(mut data: EncodeTlsData<'_, Side>, outgoing: &mut Vec<u8>) -> bool {
    let start = outgoing.len();
    let mut result = data.encode(&mut []);
    if let Err(EncodeError::InsufficientSize(needed)) = &result {
        outgoing.resize(start + needed.required_size, 0);
        result = data.encode(&mut outgoing[start..]);
    }
    result.is_ok()
}

/// Encrypts plaintext into `room`; answers with how many bytes that made. `held` is what has come and is not whole.
///
/// `None`: it cannot be encrypted any more.
pub(super) fn encrypt<S: Session>(
    session: &mut S,
    held: &mut [u8],
    plaintext: &[u8],
    room: &mut [u8],
    outgoing: &mut Vec<u8>,
) -> Option<usize> {
    // All that is whole was taken in before: `held` only tells rustls that its part of a message is still there.
    loop {
        match session.process(held).state {
            Ok(ConnectionState::WriteTraffic(mut traffic)) => return traffic.encrypt(plaintext, room).ok(),
            Ok(ConnectionState::EncodeTlsData(data)) => {
                encode(data, outgoing).then_some(())?;
            }
            Ok(ConnectionState::TransmitTlsData(data)) => data.done(),
            _ => return None,
        }
    }
}

/// Adds the word that nothing more comes from us to what is to be sent.
pub(super) fn say_goodbye<S: Session>(session: &mut S, held: &mut [u8], outgoing: &mut Vec<u8>) {
    loop {
        match session.process(held).state {
            Ok(ConnectionState::WriteTraffic(mut traffic)) => {
                let start = outgoing.len();
                if let Err(EncryptError::InsufficientSize(needed)) = traffic.queue_close_notify(&mut []) {
                    outgoing.resize(start + needed.required_size, 0);
                    let written = traffic.queue_close_notify(&mut outgoing[start..]).unwrap_or(0);
                    outgoing.truncate(start + written);
                }
                return;
            }
            Ok(ConnectionState::EncodeTlsData(data)) => {
                if !encode(data, outgoing) {
                    return;
                }
            }
            Ok(ConnectionState::TransmitTlsData(data)) => data.done(),
            _ => return,
        }
    }
}
