//! What a load balancer is carried out by: a target group with its instances, and listeners. Pure.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use base64::Engine;
use lb::model::{
    self, Algorithm, ClientAuth, CookieName, CookieStyle, ELB_COOKIE_NAME, ElbApi, Forward, GroupName,
    HealthCheckProtocol, Host, HostPort, HttpQuestion, InvalidName, ListenerName, ListenerProtocol, ListenerTls,
    LoadBalancerParts, Matcher, OnUnavailable, ProbePort, PublicKeyPin, SendProxy, Stickiness, StickyBy, TargetGroup,
    TargetId, TargetProtocol, TargetTls, Threshold, Tls12Suites, TlsOffer, TlsPolicy, TlsVerify, Weight,
    WhenAllUnhealthy,
};

use super::CertificateArns;
use super::facts::policy_type;
use super::facts::{DesyncMitigation, Facts, HealthCheck, HealthTarget, Instance, Listener, Policy, Protocol};

/// Who asks, in the words of the service this stands in for; applications tell checks by it.
const CHECKER: &str = "ELB-HealthChecker/1.0";

/// Why a load balancer cannot be carried out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Amiss {
    /// A certificate is not there.
    #[error("there is no certificate with the ARN {0}: add a `[[certificate]]` with this `arn`")]
    NoCertificate(String),
    /// The address of its listeners is not one that they may bind.
    #[error("its listeners have no address in {0}, which is [elb_api] bind now: put back the old one")]
    NoAddress(String),
    /// A name or a number in it is not legal.
    #[error("{0}")]
    Illegal(String),
}

/// The name of a listener of the load balancer that a target group was made for.
///
/// # Errors
/// [`InvalidName`]: the group's name is too long for it.
pub fn listener_name(target_group: &str, port: u16) -> Result<ListenerName, InvalidName> {
    ListenerName::parse(&format!("{target_group}:{port}"))
}

/// Makes the parts of the load balancer of this name.
///
/// # Errors
/// [`Amiss`].
pub fn parts(
    name: &str,
    facts: &Facts,
    elb_api: &ElbApi,
    certificates: &CertificateArns<'_>,
) -> Result<LoadBalancerParts, Amiss> {
    let group = GroupName::parse(&facts.target_group).map_err(illegal)?;
    let address = match elb_api.bind.only() {
        Some(only) => only,
        None => facts
            .address
            .filter(|address| elb_api.bind.contains(*address))
            .ok_or_else(|| Amiss::NoAddress(elb_api.bind.to_string()))?,
    };
    let listener = |wanted: &Listener| listener(wanted, facts, &group, address, certificates);
    Ok(LoadBalancerParts {
        listeners: facts.listeners.iter().map(listener).collect::<Result<_, _>>()?,
        targets: facts
            .instances
            .iter()
            .filter_map(|instance| target(instance).transpose())
            .collect::<Result<_, _>>()?,
        target_group: target_group(name, facts, group)?,
    })
}

/// The group: fails closed, and has no port of its own.
fn target_group(_name: &str, facts: &Facts, group: GroupName) -> Result<TargetGroup, Amiss> {
    let idle_timeout = Duration::from_secs(facts.attributes.idle_timeout_s.into());
    Ok(TargetGroup {
        algorithm: Algorithm::LeastOutstandingRequests,
        deregistration_delay: facts.attributes.connection_draining.delay(),
        when_all_unhealthy: WhenAllUnhealthy::FailClosed,
        response_timeout: idle_timeout,
        connections_max: facts.attributes.connections_max(),
        health_check: health_check(&facts.health_check)?,
        zones: facts.availability_zones.iter().map(|zone| zone.as_str().into()).collect(),
        // As far as checks go: each forward says what it asks for.
        tls: TargetTls { verify: check_verify(facts)?, ..TargetTls::default() },
        ..TargetGroup::new(group)
    })
}

/// A check on a port whose instances must have certain keys asks for them too.
fn check_verify(facts: &Facts) -> Result<TlsVerify, Amiss> {
    let HealthTarget { protocol, port, .. } = facts.health_check.target;
    let keys = pinned_keys(facts, &policies_of_port(facts, port))?;
    Ok(if keys.is_empty() || !protocol.is_secure() { TlsVerify::None } else { TlsVerify::Pinned(keys) })
}

/// None: nothing is to be sent to it.
fn target(instance: &Instance) -> Result<Option<model::Target>, Amiss> {
    let Some(host) = instance.reachable() else { return Ok(None) };
    Ok(Some(model::Target {
        id: TargetId::parse(&instance.id).map_err(illegal)?,
        address: HostPort { host: Host::parse(host).map_err(illegal)?, port: instance.port },
        weight: Weight::default(),
        zone: instance.zone.as_deref().map(Into::into),
    }))
}

fn health_check(wanted: &HealthCheck) -> Result<model::HealthCheck, Amiss> {
    let target = &wanted.target;
    let protocol = match target.protocol {
        Protocol::Tcp => HealthCheckProtocol::Tcp,
        Protocol::Ssl => HealthCheckProtocol::Tls,
        Protocol::Http => HealthCheckProtocol::Http(question(target)?),
        Protocol::Https => HealthCheckProtocol::Https(question(target)?),
    };
    let threshold = |count: u8| Threshold::new(count.into()).map_err(illegal);
    Ok(model::HealthCheck {
        port: ProbePort::Fixed(target.port),
        interval: Duration::from_secs(wanted.interval_s.into()),
        timeout: Duration::from_secs(wanted.timeout_s.into()),
        healthy_threshold: threshold(wanted.healthy_threshold)?,
        unhealthy_threshold: threshold(wanted.unhealthy_threshold)?,
        ..model::HealthCheck::new(protocol)
    })
}

/// A GET that the service this stands in for would ask, answered with 200 and nothing else.
fn question(target: &HealthTarget) -> Result<HttpQuestion, Amiss> {
    Ok(HttpQuestion {
        path: target.path.as_deref().unwrap_or("/").into(),
        host: None,
        headers: vec![("User-Agent".into(), CHECKER.into())],
        matcher: Matcher::parse("200").map_err(illegal)?,
    })
}

fn listener(
    wanted: &Listener,
    facts: &Facts,
    group: &GroupName,
    address: IpAddr,
    certificates: &CertificateArns<'_>,
) -> Result<model::Listener, Amiss> {
    let name = listener_name(group.as_str(), wanted.port).map_err(illegal)?;
    let is_http = wanted.protocol.is_http();
    let on_port = policies_of_port(facts, wanted.instance_port);
    let forward = Forward {
        port: Some(wanted.instance_port),
        protocol: Some(target_protocol(wanted.instance_protocol)),
        algorithm: Some(if is_http { Algorithm::LeastOutstandingRequests } else { Algorithm::RoundRobin }),
        stickiness: stickiness(wanted, facts)?,
        send_proxy: Some(send_proxy(&on_port)),
        pinned_keys: Some(pinned_keys(facts, &on_port)?),
        ..Forward::to(group.clone())
    };
    let tls = wanted.certificate.as_deref().filter(|_| wanted.protocol.is_secure());
    Ok(model::Listener {
        protocol: listener_protocol(wanted.protocol),
        idle_timeout: Duration::from_secs(facts.attributes.idle_timeout_s.into()),
        tls: tls.map(|arn| listener_tls(arn, wanted, facts, certificates)).transpose()?,
        desync_mitigation: desync_mitigation(facts.attributes.desync_mitigation),
        ..model::Listener::new(name, SocketAddr::new(address, wanted.port), forward)
    })
}

/// What keeps clients of a listener at their instance, by its policies.
fn stickiness(wanted: &Listener, facts: &Facts) -> Result<Option<Stickiness>, Amiss> {
    let name = |name: &str| CookieName::parse(name).map_err(illegal);
    for policy in wanted.policies.iter().filter_map(|name| facts.policy(name)) {
        let by = match &*policy.type_name {
            policy_type::LB_COOKIE => {
                let period = policy.attribute("CookieExpirationPeriod").map(str::parse::<u64>).transpose();
                // A period of none is no period.
                let period = period.map_err(illegal)?.filter(|period_s| *period_s > 0);
                StickyBy::LbCookie { name: name(ELB_COOKIE_NAME)?, duration: period.map(Duration::from_secs) }
            }
            policy_type::APP_COOKIE => {
                StickyBy::AppCookie { name: name(policy.attribute("CookieName").unwrap_or_default())? }
            }
            _ => continue,
        };
        return Ok(Some(Stickiness { by, on_unavailable: OnUnavailable::Repick, style: CookieStyle::Elb }));
    }
    Ok(None)
}

fn listener_tls(
    arn: &str,
    wanted: &Listener,
    facts: &Facts,
    certificates: &CertificateArns<'_>,
) -> Result<ListenerTls, Amiss> {
    let certificate = certificates.get(arn).ok_or_else(|| Amiss::NoCertificate(arn.to_owned()))?;
    let mut policies = wanted.policies.iter().filter_map(|name| facts.policy(name));
    let policy = policies.find(|policy| policy.type_name == policy_type::SSL_NEGOTIATION);
    Ok(ListenerTls {
        certificates: vec![certificate.clone()],
        policy: policy.map_or_else(|| Ok(TlsPolicy::default()), tls_policy).map_err(Amiss::Illegal)?,
        client_auth: ClientAuth::Off,
        alpn: Vec::new(),
    })
}

/// What TLS offers by a policy for SSL negotiation: that which it names, or TLS 1.2 with those of its ciphers that can be
/// served. One without any cipher has those that go with every policy.
///
/// # Errors
/// A sentence: nothing of it can be served.
pub fn tls_policy(policy: &Policy) -> Result<TlsPolicy, String> {
    let name = &policy.name;
    if let Some(reference) = policy.attribute(policy_type::REFERENCE) {
        return TlsPolicy::named(reference).ok_or_else(|| format!("{name} names {reference}, which is not known"));
    }
    let is_on = |(key, value): &&(String, String)| value == "true" && key != policy_type::CIPHER_ORDER;
    let (versions, ciphers): (Vec<_>, Vec<_>) =
        policy.attributes.iter().filter(is_on).map(|(key, _)| &**key).partition(|key| key.starts_with("Protocol-"));
    if !versions.is_empty() && !versions.contains(&"Protocol-TLSv1.2") {
        return Err(format!("{name} has no version of TLS that is still served: add Protocol-TLSv1.2"));
    }
    let offer = match Tls12Suites::of(&ciphers) {
        Some(suites) => TlsOffer::Tls12(suites),
        None if ciphers.is_empty() => TlsOffer::Tls12Aes,
        None => {
            return Err(format!(
                "{name} has no cipher that is still served: add ECDHE-RSA-AES128-GCM-SHA256, or another \
                                with ECDHE and GCM or CHACHA20"
            ));
        }
    };
    Ok(TlsPolicy::custom(offer, policy.attribute(policy_type::CIPHER_ORDER) == Some("true")))
}

fn policies_of_port(facts: &Facts, port: u16) -> Vec<&Policy> {
    let names = facts.backend_policies.get(&port).into_iter().flatten();
    names.filter_map(|name| facts.policy(name)).collect()
}

/// The keys that instances must have on a port; none: any will do.
fn pinned_keys(facts: &Facts, on_port: &[&Policy]) -> Result<Vec<PublicKeyPin>, Amiss> {
    let names = on_port.iter().flat_map(|policy| policy.attributes_named("PublicKeyPolicyName"));
    let keys = names.filter_map(|name| facts.policy(name)?.attribute("PublicKey"));
    keys.map(|key| pin_of(key).map_err(Amiss::Illegal)).collect()
}

/// The pin of a public key as policies hold it: base64 of its SubjectPublicKeyInfo in DER.
///
/// # Errors
/// A sentence.
pub fn pin_of(public_key: &str) -> Result<PublicKeyPin, String> {
    let digits: String = public_key.chars().filter(|character| !character.is_ascii_whitespace()).collect();
    let der = base64::engine::general_purpose::STANDARD.decode(digits).map_err(|_| "it is not base64")?;
    // A key begins as every structure in DER does.
    if der.first() != Some(&0x30) {
        return Err("it is no SubjectPublicKeyInfo in DER".to_owned());
    }
    Ok(PublicKeyPin::of(&der))
}

fn send_proxy(on_port: &[&Policy]) -> SendProxy {
    let is_on = on_port.iter().any(|policy| policy.attribute("ProxyProtocol") == Some("true"));
    if is_on { SendProxy::V1 } else { SendProxy::Off }
}

fn desync_mitigation(mode: DesyncMitigation) -> model::DesyncMitigation {
    match mode {
        DesyncMitigation::Monitor => model::DesyncMitigation::Monitor,
        DesyncMitigation::Defensive => model::DesyncMitigation::Defensive,
        DesyncMitigation::Strictest => model::DesyncMitigation::Strictest,
    }
}

fn listener_protocol(protocol: Protocol) -> ListenerProtocol {
    match protocol {
        Protocol::Http => ListenerProtocol::Http,
        Protocol::Https => ListenerProtocol::Https,
        Protocol::Tcp => ListenerProtocol::Tcp,
        Protocol::Ssl => ListenerProtocol::Tls,
    }
}

fn target_protocol(protocol: Protocol) -> TargetProtocol {
    match protocol {
        Protocol::Http => TargetProtocol::Http,
        Protocol::Https => TargetProtocol::Https,
        Protocol::Tcp => TargetProtocol::Tcp,
        Protocol::Ssl => TargetProtocol::Tls,
    }
}

#[expect(clippy::needless_pass_by_value, reason = "it stands where errors are mapped")]
fn illegal(error: impl ToString) -> Amiss {
    Amiss::Illegal(error.to_string())
}
