//! A handshake on its way, with a client or with a target: records in and out, step by step, until the session is there.
//! Not here: how it begins (`handshake`, `originate`), how long it may take.

use std::future::poll_fn;
use std::ops::Deref;
use std::pin::Pin;

use rustls::Error;
use rustls::unbuffered::UnbufferedConnectionCommon;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::session::{Progress, Session, take_in};
use super::{Scratch, Turnstile};

/// The most bytes a peer may send before the handshake is done. Chains of certificates are the longest of it.
const RECEIVED_BYTES_MAX: usize = 128 * 1024;
/// What a record may hold at most, with what encryption adds.
const RECORD_BYTES_MAX: usize = 16 * 1024 + 2048;
const RECORD_HEAD_BYTES: usize = 5;

/// A connection before it is encrypted.
pub(super) struct Hands {
    pub(super) stream: TcpStream,
    /// What has come and is not taken in.
    pub(super) incoming: Vec<u8>,
    outgoing: Vec<u8>,
    received: usize,
}

/// Why a handshake cannot go on.
#[derive(Debug)]
pub(super) enum Unshaken {
    /// The peer left.
    Left,
    /// It sends more than any handshake needs.
    TooMuch,
    /// What it sends, or what it has, is not as it must be.
    Refused(Error),
}

impl Hands {
    pub(super) fn new(stream: TcpStream) -> Self {
        Self { stream, incoming: Vec::new(), outgoing: Vec::new(), received: 0 }
    }

    /// Step by step to the end. Answers with what the peer has sent after it already, and whether that is all.
    pub(super) async fn shake<S>(
        &mut self,
        session: &mut S,
        scratch: &Scratch,
        turnstile: &Turnstile,
    ) -> Result<(Vec<u8>, bool), Unshaken>
    where
        S: Session + Deref<Target = UnbufferedConnectionCommon<<S as Session>::Side>>,
    {
        let mut plaintext = Vec::new();
        loop {
            let (incoming, outgoing) = (&mut self.incoming, &mut self.outgoing);
            let step = || take_in(session, incoming, outgoing, |bytes| plaintext.extend_from_slice(bytes));
            let (taken, outcome) = turnstile.step(step).await;
            self.incoming.drain(..taken);
            let sent = self.send().await;
            let progress = outcome.map_err(Unshaken::Refused)?;
            let has_ended = progress == Progress::Ended;
            if has_ended && session.is_handshaking() {
                return Err(Unshaken::Left);
            }
            sent?;
            if !session.is_handshaking() {
                return Ok((plaintext, has_ended));
            }
            loop {
                self.receive(scratch).await?;
                if has_whole_record(&self.incoming) {
                    break;
                }
            }
        }
    }

    /// Receives once.
    pub(super) async fn receive(&mut self, scratch: &Scratch) -> Result<(), Unshaken> {
        let Self { stream, incoming, .. } = self;
        let received = poll_fn(|cx| {
            scratch.with(|room, _| {
                let mut room = ReadBuf::new(&mut room[..RECORD_BYTES_MAX]);
                Pin::new(&mut *stream).poll_read(cx, &mut room).map_ok(|()| {
                    incoming.extend_from_slice(room.filled());
                    room.filled().len()
                })
            })
        });
        let count = received.await.unwrap_or(0);
        self.received += count;
        match count {
            0 => Err(Unshaken::Left),
            _ if self.received > RECEIVED_BYTES_MAX => Err(Unshaken::TooMuch),
            _ => Ok(()),
        }
    }

    async fn send(&mut self) -> Result<(), Unshaken> {
        let Self { stream, outgoing, .. } = self;
        let mut sent = 0;
        while sent < outgoing.len() {
            let written = poll_fn(|cx| Pin::new(&mut *stream).poll_write(cx, &outgoing[sent..])).await;
            match written {
                Ok(count @ 1..) => sent += count,
                _ => return Err(Unshaken::Left),
            }
        }
        outgoing.clear();
        Ok(())
    }
}

/// Whether there is at least one record to its end. One that is longer than any may be counts: it ends the handshake.
pub(super) fn has_whole_record(bytes: &[u8]) -> bool {
    let Some(&[_, _, _, high, low]) = bytes.first_chunk::<RECORD_HEAD_BYTES>() else { return false };
    let length = usize::from(u16::from_be_bytes([high, low]));
    length > RECORD_BYTES_MAX || bytes.len() >= RECORD_HEAD_BYTES + length
}
