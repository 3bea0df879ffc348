//! Listeners, and their certificates.

use super::error::{Code, Refusal};
use super::load_balancers::enable_default_ssl_policy;
use super::query::{Input, Parameters};
use super::scene::{Scene, Wish};
use super::xml::Xml;
use crate::elb::{CertificateArns, Facts, Listener, Protocol};

/// The protocols, as errors list them.
const PROTOCOLS: &str = "Member must satisfy enum value set: [HTTP, HTTPS, TCP, SSL]";

/// `CreateLoadBalancerListeners`: one that is there already, and is equal, stays as it is.
pub(super) fn create(scene: &Scene<'_>, parameters: &Parameters) -> Result<(Wish, Xml), Refusal> {
    let (name, asked) = parameters.read(|input| (input.required("LoadBalancerName").to_owned(), read(input)))?;
    let mut facts = scene.load_balancer(&name)?;
    if asked.is_empty() {
        return Err(Refusal::validation("Listeners must not be empty"));
    }
    let before = facts.listeners.len();
    for mut listener in asked {
        match facts.listener(listener.port) {
            Some(held) if is_same(held, &listener) => continue,
            Some(_) => {
                return Err(Refusal::new(
                    Code::DuplicateListener,
                    format!(
                        "A listener already exists for {name} with LoadBalancerPort {}, but with a different \
                         InstancePort, Protocol, or SSLCertificateId",
                        listener.port
                    ),
                ));
            }
            None => {}
        }
        if listener.protocol.is_secure() {
            enable_default_ssl_policy(&mut listener, &mut facts.policies);
        }
        facts.listeners.push(listener);
    }
    check_quota(scene, before, facts.listeners.len())?;
    check(scene, &facts.listeners)?;
    Ok((Wish::put(&name, facts), Xml::default()))
}

/// `DeleteLoadBalancerListeners`: of those that are there.
pub(super) fn delete(scene: &Scene<'_>, parameters: &Parameters) -> Result<(Wish, Xml), Refusal> {
    let (name, ports) = parameters.read(|input| {
        let ports = input.required_numbers("LoadBalancerPorts", 0..=i64::from(u16::MAX));
        (input.required("LoadBalancerName").to_owned(), ports)
    })?;
    let mut facts = scene.load_balancer(&name)?;
    facts.listeners.retain(|listener| !ports.contains(&listener.port.into()));
    let is_used = |port: &u16| facts.listeners.iter().any(|listener| listener.instance_port == *port);
    facts.backend_policies.retain(|port, _| is_used(port));
    Ok((Wish::put(&name, facts), Xml::default()))
}

/// `SetLoadBalancerListenerSSLCertificate`.
pub(super) fn set_certificate(scene: &Scene<'_>, parameters: &Parameters) -> Result<(Wish, Xml), Refusal> {
    let (name, port, certificate) = parameters.read(|input| {
        let port = input.required_number("LoadBalancerPort", 1..=u16::MAX);
        (input.required("LoadBalancerName").to_owned(), port, input.required("SSLCertificateId").to_owned())
    })?;
    let mut facts = scene.load_balancer(&name)?;
    let listener = find_mut(&mut facts, port)?;
    if !listener.protocol.is_secure() {
        let message = format!("The listener on port {port} speaks {}, which needs no certificate", listener.protocol);
        return Err(Refusal::not_now(message));
    }
    listener.certificate = Some(certificate);
    check(scene, &facts.listeners)?;
    Ok((Wish::put(&name, facts), Xml::default()))
}

/// The listener on a port, which must be there.
///
/// # Errors
/// [`Code::ListenerNotFound`].
pub(super) fn find_mut(facts: &mut Facts, port: u16) -> Result<&mut Listener, Refusal> {
    let found = facts.listeners.iter_mut().find(|listener| listener.port == port);
    found.ok_or_else(|| Refusal::new(Code::ListenerNotFound, format!("There is no listener on port {port}")))
}

/// Whether all that can be asked of a listener is the same.
fn is_same(held: &Listener, asked: &Listener) -> bool {
    Listener { policies: Vec::new(), ..held.clone() } == Listener { policies: Vec::new(), ..asked.clone() }
}

/// Reads listeners as they are asked for; what must hold between their parts is not looked at yet.
pub(super) fn read(input: &Input<'_>) -> Vec<Listener> {
    input.required_structures("Listeners").iter().filter_map(read_one).collect()
}

fn read_one(input: &Input<'_>) -> Option<Listener> {
    let protocol = protocol(input, "Protocol", true);
    let instance_protocol = protocol_or(input, "InstanceProtocol", protocol);
    Some(Listener {
        port: input.required_number("LoadBalancerPort", 1..=u16::MAX),
        instance_port: input.required_number("InstancePort", 1..=u16::MAX),
        protocol: protocol?,
        instance_protocol: instance_protocol?,
        certificate: input.text("SSLCertificateId").filter(|arn| !arn.is_empty()).map(str::to_owned),
        policies: Vec::new(),
    })
}

fn protocol(input: &Input<'_>, name: &str, is_required: bool) -> Option<Protocol> {
    let text = if is_required { input.required(name) } else { input.text(name)? };
    let protocol = Protocol::parse(text);
    if protocol.is_none() && !text.is_empty() {
        input.fails(name, text, PROTOCOLS);
    }
    protocol
}

fn protocol_or(input: &Input<'_>, name: &str, default: Option<Protocol>) -> Option<Protocol> {
    if input.text(name).is_some() { protocol(input, name, false) } else { default }
}

/// Refuses more listeners than there may be, but no change that makes none.
///
/// # Errors
/// [`Code::ValidationError`].
pub(super) fn check_quota(scene: &Scene<'_>, before: usize, after: usize) -> Result<(), Refusal> {
    let max = scene.quotas().listeners_max;
    if after > before.max(max) {
        return Err(Refusal::validation(format!("there may be at most {max} Listeners")));
    }
    Ok(())
}

/// Checks listeners that are to be had together: each by itself, and that they go together.
///
/// # Errors
/// The first refusal.
pub(super) fn check(scene: &Scene<'_>, listeners: &[Listener]) -> Result<(), Refusal> {
    let certificates = CertificateArns::of(scene.config.certificates.values().map(|held| &held.wanted));
    for (index, listener) in listeners.iter().enumerate() {
        check_one(listener, &certificates)?;
        let before = &listeners[..index];
        if before.iter().any(|other| other.port == listener.port) {
            let message = format!("Listeners must have different LoadBalancerPorts: {} is there twice", listener.port);
            return Err(Refusal::validation(message));
        }
        let on_port = before.iter().find(|other| other.instance_port == listener.instance_port);
        if on_port.is_some_and(|other| other.instance_protocol.is_secure() != listener.instance_protocol.is_secure()) {
            return Err(Refusal::not_now(format!(
                "Listeners with the same InstancePort {} must all be secure (HTTPS or SSL), or all not",
                listener.instance_port
            )));
        }
    }
    Ok(())
}

fn check_one(listener: &Listener, certificates: &CertificateArns<'_>) -> Result<(), Refusal> {
    let (protocol, instance_protocol) = (listener.protocol, listener.instance_protocol);
    if protocol.is_http() != instance_protocol.is_http() {
        return Err(Refusal::validation(format!(
            "InstanceProtocol {} does not go with Protocol {}: both must be HTTP or HTTPS, or both TCP or SSL",
            instance_protocol.as_str(),
            protocol.as_str()
        )));
    }
    match (&listener.certificate, protocol.is_secure()) {
        (None, true) => {
            let message = format!("SSLCertificateId is required with protocol {}", protocol.as_str());
            Err(Refusal::validation(message))
        }
        (Some(_), false) => {
            let message = format!("SSLCertificateId is not allowed with protocol {}", protocol.as_str());
            Err(Refusal::validation(message))
        }
        (Some(arn), true) if certificates.get(arn).is_none() => {
            let message = format!("Server Certificate not found for the key: {arn}");
            Err(Refusal::new(Code::CertificateNotFound, message))
        }
        _ => Ok(()),
    }
}

/// Writes a listener as `DescribeLoadBalancers` has it.
pub(super) fn write(xml: &mut Xml, listener: &Listener) {
    xml.text("Protocol", listener.protocol.as_str());
    xml.text("LoadBalancerPort", listener.port);
    xml.text("InstanceProtocol", listener.instance_protocol.as_str());
    xml.text("InstancePort", listener.instance_port);
    xml.optional("SSLCertificateId", listener.certificate.as_deref());
}
