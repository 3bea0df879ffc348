//! Policies: made, removed, described, and set on listeners and on ports of instances.

use super::error::{Code, Refusal};
use super::listeners;
use super::policy_types::{self, Place};
use super::query::{Input, Parameters};
use super::scene::{Scene, Wish};
use super::xml::Xml;
use crate::elb::policy_type::{APP_COOKIE, BACKEND_AUTHENTICATION, LB_COOKIE, PUBLIC_KEY, REFERENCE, SSL_NEGOTIATION};
use crate::elb::{Facts, Listener, Policy, pin_of, tls_policy};

/// How many policies a load balancer may have.
const POLICIES_MAX: usize = 100;

/// `CreateAppCookieStickinessPolicy`.
pub(super) fn create_app_cookie(scene: &Scene<'_>, parameters: &Parameters) -> Result<(Wish, Xml), Refusal> {
    let asked = |input: &Input<'_>| vec![("CookieName".to_owned(), input.required("CookieName").to_owned())];
    create_of_type(scene, parameters, APP_COOKIE, asked)
}

/// `CreateLBCookieStickinessPolicy`.
pub(super) fn create_lb_cookie(scene: &Scene<'_>, parameters: &Parameters) -> Result<(Wish, Xml), Refusal> {
    let asked = |input: &Input<'_>| {
        let period = input.number("CookieExpirationPeriod", 0..=u64::MAX >> 1);
        period.map(|period| ("CookieExpirationPeriod".to_owned(), period.to_string())).into_iter().collect()
    };
    create_of_type(scene, parameters, LB_COOKIE, asked)
}

/// `CreateLoadBalancerPolicy`.
pub(super) fn create(scene: &Scene<'_>, parameters: &Parameters) -> Result<(Wish, Xml), Refusal> {
    let (name, policy) = parameters.read(|input| {
        let attributes = input.structures("PolicyAttributes").unwrap_or_default();
        let text = |input: &Input<'_>, name| input.text(name).unwrap_or_default().to_owned();
        let pair = |input: &Input<'_>| (text(input, "AttributeName"), text(input, "AttributeValue"));
        let policy = Policy {
            name: input.required("PolicyName").to_owned(),
            type_name: input.required("PolicyTypeName").to_owned(),
            attributes: attributes.iter().map(pair).collect(),
        };
        (input.required("LoadBalancerName").to_owned(), policy)
    })?;
    add(scene, &name, policy)
}

/// `DeleteLoadBalancerPolicy`.
pub(super) fn delete(scene: &Scene<'_>, parameters: &Parameters) -> Result<(Wish, Xml), Refusal> {
    let (name, policy) = parameters
        .read(|input| (input.required("LoadBalancerName").to_owned(), input.required("PolicyName").to_owned()))?;
    let mut facts = scene.load_balancer(&name)?;
    if facts.policy(&policy).is_none() {
        return Err(Refusal::not_now(format!("There is no policy with name {policy} for load balancer {name}")));
    }
    let on_listeners = facts.listeners.iter().flat_map(|listener| &listener.policies);
    let on_ports = facts.backend_policies.values().flatten();
    let named = facts.policies.iter().flat_map(|other| other.attributes_named("PublicKeyPolicyName"));
    if on_listeners.chain(on_ports).map(String::as_str).chain(named).any(|used| used == policy) {
        return Err(Refusal::not_now(format!(
            "You cannot delete policy [{policy}] since it is enabled or referred by other enabled policy."
        )));
    }
    facts.policies.retain(|other| other.name != policy);
    Ok((Wish::put(&name, facts), Xml::default()))
}

/// `DescribeLoadBalancerPolicies`: of a load balancer, or those that are there from the beginning.
pub(super) fn describe(scene: &Scene<'_>, parameters: &Parameters) -> Result<(Wish, Xml), Refusal> {
    let (name, asked) = parameters.read(|input| {
        let asked = input.texts("PolicyNames").unwrap_or_default();
        (input.text("LoadBalancerName").map(str::to_owned), asked.into_iter().map(str::to_owned).collect::<Vec<_>>())
    })?;
    let policies = match name {
        None => policy_types::predefined(),
        Some(name) => scene.load_balancer(&name)?.policies,
    };
    if let Some(missing) = asked.iter().find(|name| policies.iter().all(|policy| policy.name != **name)) {
        return Err(not_found(missing));
    }
    let shown = policies.iter().filter(|policy| asked.is_empty() || asked.contains(&policy.name));
    let mut xml = Xml::default();
    xml.list("PolicyDescriptions", shown, |xml, policy| {
        xml.text("PolicyName", &policy.name);
        xml.text("PolicyTypeName", &policy.type_name);
        xml.list("PolicyAttributeDescriptions", &policy.attributes, |xml, (name, value)| {
            xml.text("AttributeName", name);
            xml.text("AttributeValue", value);
        });
    });
    Ok((Wish::Nothing, xml))
}

/// `SetLoadBalancerPoliciesOfListener`: these, and no others.
pub(super) fn set_of_listener(scene: &Scene<'_>, parameters: &Parameters) -> Result<(Wish, Xml), Refusal> {
    let (name, port, names) = parameters.read(|input| asked_for(input, "LoadBalancerPort"))?;
    let mut facts = scene.load_balancer(&name)?;
    listeners::find_mut(&mut facts, port)?;
    for policy in &names {
        enable_predefined(&mut facts, policy);
    }
    let policies = found(&facts, &names)?;
    let listener = facts.listener(port).cloned();
    check_on_listener(listener.as_ref(), &policies)?;
    listeners::find_mut(&mut facts, port)?.policies = names;
    Ok((Wish::put(&name, facts), Xml::default()))
}

/// `SetLoadBalancerPoliciesForBackendServer`: these, and no others.
pub(super) fn set_for_backend_server(scene: &Scene<'_>, parameters: &Parameters) -> Result<(Wish, Xml), Refusal> {
    let (name, port, names) = parameters.read(|input| asked_for(input, "InstancePort"))?;
    let mut facts = scene.load_balancer(&name)?;
    let on_port: Vec<_> = facts.listeners.iter().filter(|listener| listener.instance_port == port).collect();
    if on_port.is_empty() {
        return Err(Refusal::not_now(format!("No listener of load balancer {name} leads to instance port {port}")));
    }
    let is_secure = on_port.iter().any(|listener| listener.instance_protocol.is_secure());
    for policy in found(&facts, &names)? {
        let is_allowed = match policy.type_name.as_str() {
            BACKEND_AUTHENTICATION => is_secure,
            type_name => policy_types::find(type_name)?.place == Place::InstancePort,
        };
        if !is_allowed {
            return Err(Refusal::not_now(format!("{} cannot be enabled", policy.name)));
        }
    }
    if names.is_empty() {
        facts.backend_policies.remove(&port);
    } else {
        facts.backend_policies.insert(port, names);
    }
    Ok((Wish::put(&name, facts), Xml::default()))
}

fn create_of_type(
    scene: &Scene<'_>,
    parameters: &Parameters,
    type_name: &str,
    attributes: impl FnOnce(&Input<'_>) -> Vec<(String, String)>,
) -> Result<(Wish, Xml), Refusal> {
    let (name, policy) = parameters.read(|input| {
        let (name, type_name) = (input.required("PolicyName").to_owned(), type_name.to_owned());
        let policy = Policy { name, type_name, attributes: attributes(input) };
        (input.required("LoadBalancerName").to_owned(), policy)
    })?;
    add(scene, &name, policy)
}

fn add(scene: &Scene<'_>, name: &str, policy: Policy) -> Result<(Wish, Xml), Refusal> {
    let mut facts = scene.load_balancer(name)?;
    let is_character = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    if policy.name.is_empty() || !policy.name.bytes().all(is_character) {
        return Err(Refusal::validation("PolicyName must contain only alphanumeric characters or hyphens"));
    }
    policy_types::find(&policy.type_name)?;
    if facts.policy(&policy.name).is_some() {
        let message = format!("A policy with name {} already exists for load balancer {name}", policy.name);
        return Err(Refusal::new(Code::DuplicatePolicyName, message));
    }
    if facts.policies.len() >= POLICIES_MAX {
        let message = format!("A load balancer may have at most {POLICIES_MAX} policies");
        return Err(Refusal::new(Code::TooManyPolicies, message));
    }
    policy_types::check(&policy.type_name, &policy.attributes)?;
    check_references(&facts, &policy)?;
    facts.policies.push(policy);
    Ok((Wish::put(name, facts), Xml::default()))
}

/// Checks what a policy names: other policies, keys, cookies.
fn check_references(facts: &Facts, policy: &Policy) -> Result<(), Refusal> {
    for key in policy.attributes_named("PublicKeyPolicyName") {
        if facts.policy(key).ok_or_else(|| not_found(key))?.type_name != PUBLIC_KEY {
            return Err(Refusal::not_now(format!("Policy {key} is no {PUBLIC_KEY}")));
        }
    }
    if let Some(reference) = policy.attribute(REFERENCE)
        && policy_types::predefined().iter().all(|predefined| predefined.name != reference)
    {
        return Err(not_found(reference));
    }
    if let Some(cookie) = policy.attribute("CookieName") {
        let legal = lb::model::CookieName::parse(cookie);
        legal.map_err(|error| Refusal::validation(error.to_string()))?;
    }
    if let Some(key) = policy.attribute("PublicKey") {
        pin_of(key).map_err(|why| Refusal::not_now(format!("PublicKey is no public key: {why}")))?;
    }
    Ok(())
}

fn asked_for(input: &Input<'_>, port: &str) -> (String, u16, Vec<String>) {
    let names = input.required_texts("PolicyNames").into_iter().map(str::to_owned).collect();
    (input.required("LoadBalancerName").to_owned(), input.required_number(port, 1..=u16::MAX), names)
}

/// A predefined policy that is set by its name becomes one of the load balancer's own.
fn enable_predefined(facts: &mut Facts, name: &str) {
    if facts.policy(name).is_none() {
        let predefined = policy_types::predefined().into_iter().find(|policy| policy.name == name);
        facts.policies.extend(predefined);
    }
}

fn found<'f>(facts: &'f Facts, names: &[String]) -> Result<Vec<&'f Policy>, Refusal> {
    names.iter().map(|name| facts.policy(name).ok_or_else(|| not_found(name))).collect()
}

/// At most one for stickiness and one for TLS, each where it belongs.
fn check_on_listener(listener: Option<&Listener>, policies: &[&Policy]) -> Result<(), Refusal> {
    let (mut sticky, mut secure) = (0, 0);
    for policy in policies {
        let place = policy_types::find(&policy.type_name)?.place;
        let is_allowed = listener.is_some_and(|listener| match place {
            Place::HttpListener => listener.protocol.is_http(),
            Place::SecureListener => listener.protocol.is_secure(),
            Place::InstancePort | Place::Nowhere => false,
        });
        if !is_allowed {
            return Err(Refusal::not_now(format!("{} cannot be enabled", policy.name)));
        }
        if place == Place::SecureListener {
            tls_policy(policy).map_err(Refusal::not_now)?;
        }
        sticky += u32::from(place == Place::HttpListener);
        secure += u32::from(policy.type_name == SSL_NEGOTIATION);
    }
    if sticky > 1 || secure > 1 {
        return Err(Refusal::not_now("A listener may have one policy for stickiness, and one for SSL negotiation"));
    }
    Ok(())
}

fn not_found(name: &str) -> Refusal {
    Refusal::new(Code::PolicyNotFound, format!("There is no policy with name {name}"))
}
