//! The TLS probe: the handshake is done, and the target has nothing against it.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use lb::tls::target_fault_in_words;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, timeout_at};

use super::{Dial, Failure, Probe, Probing, Whom};

/// How long a target has for its word against a certificate that it was shown: with TLS 1.3 that comes after the
/// handshake.
const OBJECTION_TIME_MAX: Duration = Duration::from_millis(250);

#[derive(Debug)]
pub(super) struct Tls {
    pub(super) dial: Dial,
}

impl Tls {
    async fn ask(&self, whom: &Whom, deadline: Instant) -> Result<(), Failure> {
        let mut stream = self.dial.connect(whom, deadline).await?;
        let until = deadline.min(Instant::now() + OBJECTION_TIME_MAX);
        // It has done its handshake: whether it hears the goodbye is its own affair.
        let heard = timeout_at(until, async {
            stream.shutdown().await?;
            stream.read(&mut [0; 1]).await
        });
        match heard.await {
            Ok(Err(error)) if is_objection(&error) => {
                Err(format!("no TLS with {}: {}", whom.address, in_words(&error)).into())
            }
            _ => Ok(()),
        }
    }
}

impl Probe for Tls {
    fn probe<'a>(&'a self, whom: &'a Whom) -> Probing<'a> {
        let deadline = Instant::now() + self.dial.timeout;
        Box::pin(self.ask(whom, deadline))
    }

    fn describe(&self, address: SocketAddr) -> String {
        format!("a TLS handshake with {address}")
    }
}

fn is_objection(error: &io::Error) -> bool {
    matches!(of_tls(error), Some(rustls::Error::AlertReceived(_)))
}

fn of_tls(error: &io::Error) -> Option<&rustls::Error> {
    error.get_ref()?.downcast_ref()
}

/// Why there is no TLS.
pub(super) fn in_words(error: &io::Error) -> String {
    match of_tls(error) {
        Some(error) => target_fault_in_words(error),
        None if error.kind() == io::ErrorKind::UnexpectedEof => "it closed the connection".to_owned(),
        None => super::in_words(error),
    }
}
