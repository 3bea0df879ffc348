//! The handshake with a target: a connection becomes an encrypted one, or is not used. Not here: how long it may take
//! (`upstream`), what is asked of the target's certificate ([`super::Originator`]).

use std::net::SocketAddr;
use std::rc::Rc;

use rustls::client::UnbufferedClientConnection;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;

use super::fault::{TlsFault, target_fault_in_words};
use super::hands::{Hands, Unshaken};
use super::peer::Secured;
use super::{Originator, Scratch, TlsStream, Turnstile};

/// A connection to a target over TLS.
pub(crate) type TargetStream = TlsStream<UnbufferedClientConnection>;

/// Shakes hands with the target at the other end; else says why that cannot be, in a word and in more of them.
pub(crate) async fn originate(
    stream: TcpStream,
    originator: &Originator,
    name: ServerName<'static>,
    address: SocketAddr,
    scratch: &Rc<Scratch>,
    turnstile: &Turnstile,
) -> Result<TargetStream, (TlsFault, String)> {
    let unable = |why: String| (TlsFault::Unable, why);
    let config = originator.config_for(address).ok_or_else(|| unable(TlsFault::Unable.to_string()))?;
    let session = UnbufferedClientConnection::new(config, name).map_err(|error| unable(error.to_string()))?;
    let (mut session, mut hands) = (Box::new(session), Hands::new(stream));
    // As many are under way as there are requests that wait for them: only steps take turns.
    let (plaintext, has_ended) =
        hands.shake(&mut *session, scratch, turnstile).await.map_err(|unshaken| match unshaken {
            Unshaken::Left => (TlsFault::Left, TlsFault::Left.to_string()),
            Unshaken::TooMuch => (TlsFault::TooMuch, TlsFault::TooMuch.to_string()),
            Unshaken::Refused(error) => (TlsFault::of(&error), target_fault_in_words(&error)),
        })?;
    let secured = Box::new(Secured::of_target(&session));
    let Hands { stream, incoming, .. } = hands;
    let mut stream = TlsStream::new(stream, session, Rc::clone(scratch), secured, incoming, plaintext);
    if has_ended {
        stream.ends_behind_what_came();
    }
    Ok(stream)
}
