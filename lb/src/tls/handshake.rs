//! The handshake with a client: an accepted connection becomes an encrypted one, or ends. Not here: how long it may
//! take, and what is told of its end (`proxy`).

use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;

use rustls::server::UnbufferedServerConnection;
use rustls::{Error, ServerConfig};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::challenge::CHALLENGE_PROTOCOL;
use super::hello::{offers_only, server_name};
use super::peer::Secured;
use super::session::{Progress, take_in};
use super::{Scratch, Terminator, TlsStream, Turnstile};
use crate::challenges::Challenges;
use crate::telemetry::HandshakeResult;

/// The most bytes a client may send before the handshake is done. Chains of certificates are the longest of it.
const RECEIVED_BYTES_MAX: usize = 128 * 1024;
/// What a record may hold at most, with what encryption adds.
const RECORD_BYTES_MAX: usize = 16 * 1024 + 2048;
const RECORD_HEAD_BYTES: usize = 5;
/// The kind of record that a handshake consists of.
const HANDSHAKE: u8 = 22;
/// The alert that rustls sends where no certificate is there to be shown: access_denied, fatal.
const ACCESS_DENIED: &[u8] = &[21, 3, 3, 0, 2, 2, 49];

/// A handshake that led to nothing, and the connection, where something may still be said on it.
pub(crate) struct Failed {
    pub(crate) result: HandshakeResult,
    pub(crate) stream: TcpStream,
}

/// Shakes hands with a client that has connected.
pub(crate) async fn handshake(
    stream: TcpStream,
    terminator: &Terminator,
    challenges: &Challenges,
    scratch: &Rc<Scratch>,
    turnstile: &Turnstile,
) -> Result<TlsStream, Failed> {
    let mut hands = Hands { stream, incoming: Vec::new(), outgoing: Vec::new(), received: 0 };
    if let Err(result) = hands.receive_first(scratch).await {
        return Err(Failed { result, stream: hands.stream });
    }
    let server_name = server_name(&hands.incoming);
    let challenge = challenge(challenges, &hands.incoming, server_name.as_deref());
    let is_challenge = challenge.is_some();
    let config = challenge.or_else(|| terminator.config().cloned());
    let _under_way = turnstile.enter().await;
    let Some(session) = config.and_then(|config| UnbufferedServerConnection::new(config).ok()) else {
        // Who has no room for so little does not read.
        let _ = hands.stream.try_write(ACCESS_DENIED);
        return Err(Failed { result: HandshakeResult::Unable, stream: hands.stream });
    };
    let mut session = Box::new(session);
    match hands.shake(&mut session, scratch, turnstile).await {
        Ok(_) if is_challenge => Err(Failed { result: HandshakeResult::Challenge, stream: hands.stream }),
        Ok((plaintext, has_ended)) => {
            let secured = Box::new(Secured::of(&session, server_name));
            let Hands { stream, incoming, .. } = hands;
            let mut stream = TlsStream::new(stream, session, Rc::clone(scratch), secured, incoming, plaintext);
            if has_ended {
                stream.ends_behind_what_came();
            }
            Ok(stream)
        }
        Err(result) => Err(Failed { result, stream: hands.stream }),
    }
}

/// What is shown to an authority that looks for a challenge, where this is one and there is something to be shown.
fn challenge(challenges: &Challenges, hello: &[u8], server_name: Option<&str>) -> Option<Arc<ServerConfig>> {
    if !challenges.is_any() || !offers_only(hello, CHALLENGE_PROTOCOL) {
        return None;
    }
    challenges.shown_for(server_name?)
}

/// A connection before it is encrypted.
struct Hands {
    stream: TcpStream,
    incoming: Vec<u8>,
    outgoing: Vec<u8>,
    received: usize,
}

impl Hands {
    /// Waits until there is something worth a step.
    async fn receive_first(&mut self, scratch: &Scratch) -> Result<(), HandshakeResult> {
        loop {
            self.receive(scratch).await?;
            match self.incoming.first() {
                Some(&HANDSHAKE) => {}
                Some(first) if first.is_ascii_uppercase() => return Err(HandshakeResult::Plaintext),
                // rustls says what is wrong with it.
                _ => return Ok(()),
            }
            if has_whole_record(&self.incoming) {
                return Ok(());
            }
        }
    }

    /// Step by step to the end. Answers with what the client has sent after it already, and whether that is all.
    async fn shake(
        &mut self,
        session: &mut UnbufferedServerConnection,
        scratch: &Scratch,
        turnstile: &Turnstile,
    ) -> Result<(Vec<u8>, bool), HandshakeResult> {
        let mut plaintext = Vec::new();
        loop {
            let (incoming, outgoing) = (&mut self.incoming, &mut self.outgoing);
            let step = || take_in(session, incoming, outgoing, |bytes| plaintext.extend_from_slice(bytes));
            let (taken, outcome) = turnstile.step(step).await;
            self.incoming.drain(..taken);
            let sent = self.send().await;
            let progress = outcome.map_err(|error| result_of(&error))?;
            let has_ended = progress == Progress::Ended;
            if has_ended && session.is_handshaking() {
                return Err(HandshakeResult::Left);
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

    async fn receive(&mut self, scratch: &Scratch) -> Result<(), HandshakeResult> {
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
            0 => Err(HandshakeResult::Left),
            _ if self.received > RECEIVED_BYTES_MAX => Err(HandshakeResult::Malformed),
            _ => Ok(()),
        }
    }

    async fn send(&mut self) -> Result<(), HandshakeResult> {
        let Self { stream, outgoing, .. } = self;
        let mut sent = 0;
        while sent < outgoing.len() {
            let written = poll_fn(|cx| Pin::new(&mut *stream).poll_write(cx, &outgoing[sent..])).await;
            match written {
                Ok(count @ 1..) => sent += count,
                _ => return Err(HandshakeResult::Left),
            }
        }
        outgoing.clear();
        Ok(())
    }
}

/// Whether there is at least one record to its end. One that is longer than any may be counts: it ends the handshake.
fn has_whole_record(bytes: &[u8]) -> bool {
    let Some(&[_, _, _, high, low]) = bytes.first_chunk::<RECORD_HEAD_BYTES>() else { return false };
    let length = usize::from(u16::from_be_bytes([high, low]));
    length > RECORD_BYTES_MAX || bytes.len() >= RECORD_HEAD_BYTES + length
}

fn result_of(error: &Error) -> HandshakeResult {
    match error {
        Error::PeerIncompatible(_) | Error::NoApplicationProtocol => HandshakeResult::NothingInCommon,
        // No certificate has a key that the client can check.
        Error::General(_) => HandshakeResult::NothingInCommon,
        Error::NoCertificatesPresented | Error::InvalidCertificate(_) => HandshakeResult::ClientCertificate,
        Error::AlertReceived(_) => HandshakeResult::RefusedByClient,
        _ => HandshakeResult::Malformed,
    }
}
