//! What is known of a connection over TLS: how it is encrypted, and who is at its other end.

use rustls::client::UnbufferedClientConnection;
use rustls::pki_types::CertificateDer;
use rustls::server::UnbufferedServerConnection;
use rustls::{CommonState, HandshakeKind, ProtocolVersion};
use time::OffsetDateTime;
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;

use super::certificate::facts;
use super::offer::{suite_name, version_name};
use crate::proxy_protocol::{Ssl, SslCertificate};

/// What is known of a connection over TLS.
#[derive(Debug, Default)]
pub(crate) struct Secured {
    /// The version, as in `TLSv1.3`.
    pub(crate) version: &'static str,
    /// The cipher suite, as OpenSSL calls it.
    pub(crate) cipher: &'static str,
    /// Whether it is TLS 1.3, and not 1.2.
    pub(super) is_tls13: bool,
    /// Whether an earlier session was resumed.
    pub(super) is_resumed: bool,
    /// What was agreed to be spoken (ALPN).
    pub(crate) alpn: Option<Box<[u8]>>,
    /// The name that was asked for.
    pub(crate) server_name: Option<Box<str>>,
    /// The certificate that the client showed, and that somebody vouched for.
    pub(crate) peer: Option<Box<PeerCertificate>>,
}

/// What targets are told of a client's certificate.
#[derive(Debug)]
pub(crate) struct PeerCertificate {
    /// The fields of a request's head.
    fields: [(&'static str, String); 6],
    common_name: Option<Box<str>>,
}

impl Secured {
    /// Of a connection with a client.
    pub(super) fn of(session: &UnbufferedServerConnection, server_name: Option<Box<str>>) -> Self {
        let peer = session.peer_certificates().and_then(|chain| PeerCertificate::of(chain.first()?));
        Self { server_name, peer: peer.map(Box::new), ..Self::of_either(session) }
    }

    /// Of a connection with a target.
    pub(super) fn of_target(session: &UnbufferedClientConnection) -> Self {
        Self::of_either(session)
    }

    fn of_either(session: &CommonState) -> Self {
        let version = session.protocol_version().unwrap_or(ProtocolVersion::TLSv1_2);
        Self {
            version: version_name(version),
            is_tls13: version == ProtocolVersion::TLSv1_3,
            cipher: session.negotiated_cipher_suite().map_or("-", |suite| suite_name(suite.suite())),
            is_resumed: session.handshake_kind() == Some(HandshakeKind::Resumed),
            alpn: session.alpn_protocol().map(Box::from),
            server_name: None,
            peer: None,
        }
    }

    /// The same in words of the PROXY protocol.
    pub(crate) fn ssl(&self) -> Ssl<'_> {
        let certificate = self
            .peer
            .as_ref()
            .map(|peer| SslCertificate { common_name: peer.common_name.as_deref(), is_of_resumed: self.is_resumed });
        Ssl { version: self.version, cipher: self.cipher, certificate }
    }
}

impl PeerCertificate {
    fn of(certificate: &CertificateDer<'_>) -> Option<Self> {
        const TIME: &[BorrowedFormatItem<'_>] = format_description!("[year]-[month]-[day]T[hour]:[minute]:[second]Z");
        let facts = facts(certificate).ok()?;
        let time = |time| OffsetDateTime::from(time).format(TIME).unwrap_or_default();
        let validity = format!("NotBefore={};NotAfter={}", time(facts.not_before), time(facts.not_after));
        let fields = [
            ("X-Amzn-Mtls-Clientcert-Serial-Number", facts.serial.to_ascii_uppercase()),
            ("X-Amzn-Mtls-Clientcert-Issuer", facts.issuer),
            ("X-Amzn-Mtls-Clientcert-Subject", facts.subject),
            ("X-Amzn-Mtls-Clientcert-Validity", validity),
            ("X-Amzn-Mtls-Clientcert-Fingerprint", facts.fingerprint),
            ("X-Amzn-Mtls-Clientcert-Leaf", url_encoded(&pem(certificate))),
        ];
        Some(Self { fields, common_name: facts.common_name })
    }

    /// Names and values, to be written into a head.
    pub(crate) fn fields(&self) -> [(&str, &[u8]); 6] {
        self.fields.each_ref().map(|(name, value)| (*name, value.as_bytes()))
    }
}

fn pem(der: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::from("-----BEGIN CERTIFICATE-----\n");
    for line in der.chunks(48) {
        for three in line.chunks(3) {
            let bits = three.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - three.len()));
            for place in 0..4 {
                let digit = DIGITS[(bits >> (18 - 6 * place) & 63) as usize];
                text.push(if place <= three.len() { char::from(digit) } else { '=' });
            }
        }
        text.push('\n');
    }
    text + "-----END CERTIFICATE-----\n"
}

/// As the Application Load Balancer encodes it: `+`, `=` and `/` are safe.
fn url_encoded(text: &str) -> String {
    let is_safe = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+=/".contains(&byte);
    text.bytes().map(|byte| if is_safe(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}
