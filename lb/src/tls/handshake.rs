//! The handshake with a client: an accepted connection becomes an encrypted one, or ends. Not here: how long it may
//! take, and what is told of its end (`proxy`).

use std::rc::Rc;
use std::sync::Arc;

use rustls::server::UnbufferedServerConnection;
use rustls::{Error, ServerConfig};
use tokio::net::TcpStream;

use super::challenge::CHALLENGE_PROTOCOL;
use super::hands::{Hands, Unshaken, has_whole_record};
use super::hello::{offers_only, server_name};
use super::peer::Secured;
use super::{Scratch, Terminator, TlsStream, Turnstile};
use crate::challenges::Challenges;
use crate::telemetry::HandshakeResult;

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
    let mut hands = Hands::new(stream);
    if let Err(result) = receive_first(&mut hands, scratch).await {
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
    match hands.shake(&mut *session, scratch, turnstile).await {
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
        Err(unshaken) => Err(Failed { result: result_of(&unshaken), stream: hands.stream }),
    }
}

/// What is shown to an authority that looks for a challenge, where this is one and there is something to be shown.
fn challenge(challenges: &Challenges, hello: &[u8], server_name: Option<&str>) -> Option<Arc<ServerConfig>> {
    if !challenges.is_any() || !offers_only(hello, CHALLENGE_PROTOCOL) {
        return None;
    }
    challenges.shown_for(server_name?)
}

/// Waits until there is something worth a step.
async fn receive_first(hands: &mut Hands, scratch: &Scratch) -> Result<(), HandshakeResult> {
    loop {
        hands.receive(scratch).await.map_err(|unshaken| result_of(&unshaken))?;
        match hands.incoming.first() {
            Some(&HANDSHAKE) => {}
            Some(first) if first.is_ascii_uppercase() => return Err(HandshakeResult::Plaintext),
            // rustls says what is wrong with it.
            _ => return Ok(()),
        }
        if has_whole_record(&hands.incoming) {
            return Ok(());
        }
    }
}

fn result_of(unshaken: &Unshaken) -> HandshakeResult {
    let error = match unshaken {
        Unshaken::Left => return HandshakeResult::Left,
        Unshaken::TooMuch => return HandshakeResult::Malformed,
        Unshaken::Refused(error) => error,
    };
    match error {
        Error::PeerIncompatible(_) | Error::NoApplicationProtocol => HandshakeResult::NothingInCommon,
        // No certificate has a key that the client can check.
        Error::General(_) => HandshakeResult::NothingInCommon,
        Error::NoCertificatesPresented | Error::InvalidCertificate(_) => HandshakeResult::ClientCertificate,
        Error::AlertReceived(_) => HandshakeResult::RefusedByClient,
        _ => HandshakeResult::Malformed,
    }
}
