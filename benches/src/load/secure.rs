//! A client's side of TLS, as cheap as it can be had: one version, one cipher suite and one key exchange, so that every
//! proxy has the same work; any certificate is taken, and no session is resumed.

use std::io::{self, ErrorKind, Read, Write};
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use mio::net::TcpStream;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, UnbufferedClientConnection};
use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256;
use rustls::crypto::aws_lc_rs::{default_provider, kx_group};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::unbuffered::{ConnectionState, UnbufferedStatus};
use rustls::version::TLS13;
use rustls::{ClientConfig, DigitallySignedStruct, Error, HandshakeKind, SignatureScheme};

/// Whom the clients ask for.
pub(crate) const SERVER_NAME: &str = "shop.bench.internal";

/// What is sent at once at most: a request, or a message of a handshake.
const SEND_BYTES_MAX: usize = 4096;

/// What all clients offer.
pub(super) fn configuration() -> Result<Arc<ClientConfig>> {
    let provider = CryptoProvider {
        cipher_suites: vec![TLS13_AES_128_GCM_SHA256],
        kx_groups: vec![kx_group::X25519],
        ..default_provider()
    };
    let builder = ClientConfig::builder_with_provider(Arc::new(provider)).with_protocol_versions(&[&TLS13])?;
    let builder = builder.dangerous().with_custom_certificate_verifier(Arc::new(TakesAny));
    let mut configuration = builder.with_no_client_auth();
    configuration.alpn_protocols = vec![b"http/1.1".to_vec()];
    configuration.resumption = Resumption::disabled();
    Ok(Arc::new(configuration))
}

/// One client's session.
pub(super) struct Session {
    connection: UnbufferedClientConnection,
    /// Records that are not whole yet.
    held: Vec<u8>,
    /// What the socket has not taken yet.
    outgoing: Vec<u8>,
}

impl Session {
    pub(super) fn new(configuration: &Arc<ClientConfig>) -> Result<Self> {
        let name = ServerName::try_from(SERVER_NAME)?;
        let connection = UnbufferedClientConnection::new(Arc::clone(configuration), name)?;
        let mut session = Self { connection, held: Vec::new(), outgoing: Vec::new() };
        session.take_in(&mut [], |_| Ok(()))?;
        Ok(session)
    }

    /// Sends what the handshake needs, and after it `bytes`, all or none.
    pub(super) fn send(&mut self, stream: &mut TcpStream, bytes: &[u8]) -> io::Result<usize> {
        let Self { connection, held, outgoing } = self;
        let state = connection.process_tls_records(held).state.map_err(io::Error::other)?;
        let ConnectionState::WriteTraffic(mut traffic) = state else {
            self.flush(stream)?;
            return Err(ErrorKind::WouldBlock.into());
        };
        append(outgoing, |room| traffic.encrypt(bytes, room)).map_err(io::Error::other)?;
        self.flush(stream)?;
        Ok(bytes.len())
    }

    /// Takes what has come.
    pub(super) fn receive(
        &mut self,
        stream: &mut TcpStream,
        scratch: &mut [u8],
        mut plaintext: impl FnMut(&[u8]) -> Result<()>,
    ) -> Result<()> {
        loop {
            let held = self.held.len();
            scratch[..held].copy_from_slice(&self.held);
            let received = match stream.read(&mut scratch[held..]) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                received => received.context("receiving an answer")?,
            };
            let records = &mut scratch[..held + received];
            let taken = self.take_in(records, &mut plaintext)?;
            self.held.clear();
            self.held.extend_from_slice(&records[taken..]);
            // A read that leaves room has emptied the socket, and what comes later is a new event.
            if held + received < scratch.len() {
                return Ok(());
            }
        }
    }

    /// Takes in all records that are whole; answers with how many bytes they have.
    fn take_in(&mut self, records: &mut [u8], mut plaintext: impl FnMut(&[u8]) -> Result<()>) -> Result<usize> {
        let was_shaking = self.connection.is_handshaking();
        let mut taken = 0;
        loop {
            let UnbufferedStatus { discard, state } = self.connection.process_tls_records(&mut records[taken..]);
            let goes_on = match state.context("the session broke")? {
                ConnectionState::ReadTraffic(mut traffic) => {
                    while let Some(record) = traffic.next_record() {
                        plaintext(record?.payload)?;
                    }
                    true
                }
                ConnectionState::EncodeTlsData(mut data) => {
                    append(&mut self.outgoing, |room| data.encode(room))?;
                    true
                }
                ConnectionState::TransmitTlsData(data) => {
                    data.done();
                    true
                }
                ConnectionState::PeerClosed => true,
                _ => false,
            };
            taken += discard;
            if !goes_on {
                break;
            }
        }
        if was_shaking && !self.connection.is_handshaking() {
            ensure!(self.connection.handshake_kind() == Some(HandshakeKind::Full), "the handshake was not a full one");
        }
        Ok(taken)
    }

    fn flush(&mut self, stream: &mut TcpStream) -> io::Result<()> {
        while !self.outgoing.is_empty() {
            let sent = stream.write(&self.outgoing)?;
            self.outgoing.drain(..sent);
        }
        Ok(())
    }
}

/// Adds what `write` makes to `outgoing`.
fn append<E>(outgoing: &mut Vec<u8>, write: impl FnOnce(&mut [u8]) -> Result<usize, E>) -> Result<(), E> {
    let start = outgoing.len();
    outgoing.resize(start + SEND_BYTES_MAX, 0);
    let written = write(&mut outgoing[start..]);
    outgoing.truncate(start + *written.as_ref().unwrap_or(&0));
    written.map(|_| ())
}

/// Takes any certificate, and does not check what was signed with it: that is not the proxy's work.
#[derive(Debug)]
struct TakesAny;

impl ServerCertVerifier for TakesAny {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ECDSA_NISTP256_SHA256, SignatureScheme::RSA_PSS_SHA256]
    }
}
