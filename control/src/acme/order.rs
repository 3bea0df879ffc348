//! One order: from asking an authority for a certificate to having it, with its key.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use instant_acme::{
    Account, AuthorizationHandle, AuthorizationStatus, CertificateIdentifier, ChallengeType, Error, Identifier,
    NewOrder, Order, OrderStatus, RetryPolicy,
};
use lb::challenges::{Challenges, Posted};
use lb::model::{AcmeChallenge, DnsNames, Issued, PrivateKey};
use lb::tls::read_certificate;
use rcgen::{CertificateParams, CustomExtension, DistinguishedName, KeyPair};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use super::failure::{Failure, said};
use crate::certificates::validity;

/// How long an authority may take to look at names, or to issue.
const PATIENCE: RetryPolicy =
    RetryPolicy::new().initial_delay(Duration::from_millis(250)).backoff(1.5).timeout(Duration::from_secs(120));

/// What is ordered, and how.
#[derive(Debug, Clone)]
pub(super) struct Wish {
    pub(super) names: DnsNames,
    pub(super) directory: Arc<str>,
    /// The certificate that it takes the place of, where the authority wants to know.
    pub(super) replaces: Option<Arc<Issued>>,
}

/// Orders a certificate with a new key, and shows in one way that its names are ours.
pub(super) async fn obtain(
    account: &Account,
    wish: &Wish,
    way: AcmeChallenge,
    challenges: &Arc<Challenges>,
) -> Result<Issued, Failure> {
    let mut order = place(account, wish).await?;
    // Posted for as long as the authority looks.
    let posted = answer_all(&mut order, wish, way, challenges).await?;
    let ready = order.poll_ready(&PATIENCE).await;
    drop(posted);
    match ready {
        Ok(OrderStatus::Ready) => {}
        Ok(_) => return Err(Failure::of_challenge(why_invalid(&mut order).await)),
        Err(Error::Api(problem)) => return Err(Failure::of_challenge(said(&problem))),
        Err(error) => return Err(Failure::of("waiting until the authority has looked at the names", &error)),
    }
    let key = KeyPair::generate().map_err(|error| Failure::new(error.to_string()))?;
    let request = signing_request(&wish.names, &key)?;
    order.finalize_csr(&request).await.map_err(|error| Failure::of("asking for the certificate", &error))?;
    let chain = order.poll_certificate(&PATIENCE).await;
    let chain = chain.map_err(|error| Failure::of("waiting for the certificate", &error))?;
    let (names, directory) = (wish.names.clone(), Arc::clone(&wish.directory));
    let issued = Issued { names, directory, chain: chain.into(), key: PrivateKey::new(&key.serialize_pem()) };
    check(&issued)?;
    Ok(issued)
}

/// How an authority calls a certificate that it has issued.
pub(super) fn identifier_of(issued: &Issued) -> Option<CertificateIdentifier<'static>> {
    let certificate = CertificateDer::from_pem_slice(issued.chain.as_bytes()).ok()?;
    CertificateIdentifier::try_from(&certificate).ok().map(CertificateIdentifier::into_owned)
}

async fn place(account: &Account, wish: &Wish) -> Result<Order, Failure> {
    let names: Vec<_> = wish.names.iter().map(|name| Identifier::Dns(name.to_string())).collect();
    let failed = |error| Failure::of("ordering the certificate", &error);
    if let Some(replaced) = wish.replaces.as_ref().and_then(|replaces| identifier_of(replaces)) {
        match account.new_order(&NewOrder::new(&names).replaces(replaced)).await {
            Ok(order) => return Ok(order),
            Err(Error::Api(problem))
                if problem.status == Some(409) || is_about_replacing(problem.r#type.as_deref()) => {}
            Err(Error::Unsupported(_)) => {}
            Err(error) => return Err(failed(error)),
        }
    }
    account.new_order(&NewOrder::new(&names)).await.map_err(failed)
}

/// Whether an authority only does not like what is to be replaced.
fn is_about_replacing(kind: Option<&str>) -> bool {
    matches!(kind, Some("urn:ietf:params:acme:error:alreadyReplaced" | "urn:ietf:params:acme:error:malformed"))
}

/// Shows of every name that it is ours.
async fn answer_all(
    order: &mut Order,
    wish: &Wish,
    way: AcmeChallenge,
    challenges: &Arc<Challenges>,
) -> Result<Vec<Posted>, Failure> {
    let mut posted = Vec::new();
    let mut asked: BTreeSet<_> = wish.names.iter().cloned().collect();
    let mut authorizations = order.authorizations();
    while let Some(authorization) = authorizations.next().await {
        let authorization = authorization.map_err(|error| Failure::of("reading what is to be shown", &error))?;
        let name = authorization.identifier().to_string();
        if !asked.remove(&*name) {
            return Err(Failure::new(format!("the authority asks for {name}, which was not ordered")));
        }
        match authorization.status {
            AuthorizationStatus::Valid => {}
            AuthorizationStatus::Pending => posted.push(answer(authorization, &name, way, challenges).await?),
            status => return Err(Failure::of_challenge(format!("the authority has given up {name}: {status:?}"))),
        }
    }
    Ok(posted)
}

async fn answer(
    mut authorization: AuthorizationHandle<'_>,
    name: &str,
    way: AcmeChallenge,
    challenges: &Arc<Challenges>,
) -> Result<Posted, Failure> {
    let (kind, word) = match way {
        AcmeChallenge::Http01 => (ChallengeType::Http01, "http-01"),
        AcmeChallenge::TlsAlpn01 => (ChallengeType::TlsAlpn01, "tls-alpn-01"),
    };
    let challenge = authorization.challenge(kind);
    let mut challenge =
        challenge.ok_or_else(|| Failure::of_challenge(format!("the authority does not offer {word} for {name}")))?;
    let authorized = challenge.key_authorization();
    let posted = match way {
        AcmeChallenge::Http01 => challenges.post_answer(&challenge.token, authorized.as_str()),
        AcmeChallenge::TlsAlpn01 => {
            let (chain, key) = certificate_to_show(name, authorized.digest().as_ref())?;
            challenges.post_certificate(name, &chain, &key).map_err(|error| Failure::new(error.to_string()))?
        }
    };
    let told = challenge.set_ready().await;
    told.map_err(|error| match error {
        Error::Api(problem) => Failure::of_challenge(said(&problem)),
        error => Failure::of("telling the authority to look", &error),
    })?;
    Ok(posted)
}

/// The certificate that an authority looks for in a handshake (RFC 8737), and its key, in PEM.
fn certificate_to_show(name: &str, digest: &[u8]) -> Result<(String, String), Failure> {
    let made = || {
        let mut wanted = CertificateParams::new(vec![name.to_owned()])?;
        wanted.distinguished_name = DistinguishedName::new();
        wanted.custom_extensions = vec![CustomExtension::new_acme_identifier(digest)];
        let key = KeyPair::generate()?;
        Ok((wanted.self_signed(&key)?.pem(), key.serialize_pem()))
    };
    made().map_err(|error: rcgen::Error| Failure::new(error.to_string()))
}

fn signing_request(names: &DnsNames, key: &KeyPair) -> Result<Vec<u8>, Failure> {
    let made = || {
        let mut wanted = CertificateParams::new(names.iter().map(ToString::to_string).collect::<Vec<_>>())?;
        wanted.distinguished_name = DistinguishedName::new();
        Ok(wanted.serialize_request(key)?.der().to_vec())
    };
    made().map_err(|error: rcgen::Error| Failure::new(error.to_string()))
}

/// What an authority says of the names that it could not find to be ours.
async fn why_invalid(order: &mut Order) -> String {
    let mut told = Vec::new();
    let mut authorizations = order.authorizations();
    while let Some(Ok(mut authorization)) = authorizations.next().await {
        let name = authorization.identifier().to_string();
        if let Ok(state) = authorization.refresh().await {
            let problems = state.challenges.iter().filter_map(|challenge| challenge.error.as_ref());
            told.extend(problems.map(|problem| format!("{name}: {}", said(problem))));
        }
    }
    if told.is_empty() {
        "the authority has given up the order, and does not say why".to_owned()
    } else {
        told.join("; ")
    }
}

/// Whether what came is what was ordered.
fn check(issued: &Issued) -> Result<(), Failure> {
    let wrong = |why: String| Failure::new(format!("what the authority has issued cannot be used: {why}"));
    let facts = read_certificate(&issued.chain, issued.key.pem()).map_err(|fault| wrong(fault.to_string()))?;
    // A clock that is a little behind is no reason to throw it away.
    validity(&facts, SystemTime::now().max(facts.not_before)).map_err(wrong)?;
    match issued.names.iter().find(|name| !facts.names.iter().any(|other| **other == ***name)) {
        Some(name) => Err(wrong(format!("it is not for {name}"))),
        None => Ok(()),
    }
}
