//! Load balancers: made, removed, described; and how many there may be.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::{SystemTime, UNIX_EPOCH};

use time::OffsetDateTime;
use time::macros::format_description;

use super::error::{Code, Refusal};
use super::query::{Input, Parameters};
use super::scene::{Scene, Wish};
use super::xml::Xml;
use super::{listeners, policy_types, tags};
use crate::elb::{Attributes, CreatedWith, Facts, HealthCheck, Listener, Policy, Scheme, Tag, policy_type};

/// The policy that listeners over TLS get where nobody asks for another.
pub(super) const DEFAULT_SSL_POLICY: &str = "ELBSecurityPolicy-2016-08";
const NAME_CHARACTERS_MAX: usize = 32;
const PAGE_SIZE_MAX: usize = 400;
/// Zones of DNS have ids, which some clients keep; any will do as long as it stays.
const HOSTED_ZONE_ID: &str = "Z3DZXE0Q79N41H";

/// What is asked for when a load balancer is to be made.
struct Asked {
    name: String,
    listeners: Vec<Listener>,
    zones: Vec<String>,
    subnets: Vec<String>,
    security_groups: Vec<String>,
    scheme: Option<String>,
    tags: Vec<Tag>,
}

/// `CreateLoadBalancer`.
pub(super) fn create(scene: &Scene<'_>, parameters: &Parameters) -> Result<(Wish, Xml), Refusal> {
    let asked = parameters.read(|input| Asked {
        name: input.required("LoadBalancerName").to_owned(),
        listeners: listeners::read(input),
        zones: owned(input.texts("AvailabilityZones")),
        subnets: owned(input.texts("Subnets")),
        security_groups: owned(input.texts("SecurityGroups")),
        scheme: input.text("Scheme").map(str::to_owned),
        tags: tags::read(input),
    })?;
    let scheme = check(scene, &asked)?;
    let created_with = CreatedWith::of(&asked.listeners, &asked.zones, &asked.subnets, &asked.security_groups, scheme);
    if let Some(facts) = scene.find(&asked.name)? {
        if !facts.was_created_with(&created_with) {
            let message = format!(
                "Load Balancer named '{}' already exists and it is configured with different parameters.",
                asked.name
            );
            return Err(Refusal::new(Code::DuplicateLoadBalancerName, message));
        }
        return Ok((Wish::Nothing, named(scene, &asked.name, &facts)));
    }
    let max = scene.quotas().load_balancers_max;
    if scene.load_balancers()?.len() >= max {
        let message = format!("The maximum number of load balancers has been reached: {max}");
        return Err(Refusal::new(Code::TooManyLoadBalancers, message));
    }
    let facts = begin(scene, &asked, scheme, created_with)?;
    let answer = named(scene, &asked.name, &facts);
    Ok((Wish::put(&asked.name, facts), answer))
}

/// `DeleteLoadBalancer`: of one that is not there, too.
pub(super) fn delete(scene: &Scene<'_>, parameters: &Parameters) -> Result<(Wish, Xml), Refusal> {
    let name = parameters.read(|input| input.required("LoadBalancerName").to_owned())?;
    let wish = if scene.find(&name)?.is_some() { Wish::Delete(name) } else { Wish::Nothing };
    Ok((wish, Xml::default()))
}

/// `DescribeLoadBalancers`.
pub(super) fn describe(scene: &Scene<'_>, parameters: &Parameters) -> Result<(Wish, Xml), Refusal> {
    let (names, page) = parameters.read(|input| (owned(input.texts("LoadBalancerNames")), Page::read(input)))?;
    let all = scene.load_balancers()?;
    if let Some(missing) = names.iter().find(|name| all.iter().all(|(other, _)| **other != ***name)) {
        return Err(Refusal::no_load_balancer(missing));
    }
    let asked: Vec<_> =
        all.iter().filter(|(name, _)| names.is_empty() || names.iter().any(|one| **one == **name)).collect();
    let (shown, next) = page.of(&asked, |(name, facts)| (facts.created_at_ms, name.to_string()))?;
    let mut xml = Xml::default();
    xml.list("LoadBalancerDescriptions", shown, |xml, (name, facts)| describe_one(xml, scene, name, facts));
    xml.optional("NextMarker", next.map(|(name, facts)| format!("{}/{name}", facts.created_at_ms)));
    Ok((Wish::Nothing, xml))
}

/// `DescribeAccountLimits`.
pub(super) fn limits(scene: &Scene<'_>, parameters: &Parameters) -> Result<(Wish, Xml), Refusal> {
    let page = parameters.read(Page::read)?;
    let quotas = scene.quotas();
    let limits = [
        (1, "classic-load-balancers", quotas.load_balancers_max),
        (2, "classic-listeners", quotas.listeners_max),
        (3, "classic-registered-instances", quotas.instances_max),
    ];
    let (shown, next) = page.of(&limits, |(nth, name, _)| (*nth, (*name).to_owned()))?;
    let mut xml = Xml::default();
    xml.list("Limits", shown, |xml, (_, name, max)| {
        xml.text("Name", name);
        xml.text("Max", max);
    });
    xml.optional("NextMarker", next.map(|(nth, name, _)| format!("{nth}/{name}")));
    Ok((Wish::Nothing, xml))
}

fn check(scene: &Scene<'_>, asked: &Asked) -> Result<Scheme, Refusal> {
    let name = &asked.name;
    let is_character = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    if name.is_empty() || name.len() > NAME_CHARACTERS_MAX {
        return Err(Refusal::validation("LoadBalancer name must be 1 to 32 characters long"));
    }
    if !name.bytes().all(is_character) {
        return Err(Refusal::validation("LoadBalancer name must contain only alphanumeric characters or hyphens"));
    }
    if name.starts_with('-') || name.ends_with('-') {
        return Err(Refusal::validation("LoadBalancer name cannot begin or end with a hyphen"));
    }
    if asked.listeners.is_empty() {
        return Err(Refusal::validation("Listeners must not be empty"));
    }
    listeners::check_quota(scene, 0, asked.listeners.len())?;
    match (asked.zones.is_empty(), asked.subnets.is_empty()) {
        (false, false) => {
            return Err(Refusal::validation("Only one of SubnetIds or AvailabilityZones may be specified"));
        }
        (true, true) => return Err(Refusal::validation("Either AvailabilityZones or SubnetIds must be specified")),
        _ => {}
    }
    let scheme = match asked.scheme.as_deref() {
        None | Some("internet-facing") => Scheme::InternetFacing,
        Some("internal") => Scheme::Internal,
        Some(other) => {
            let message = format!("Scheme '{other}' is not valid: it must be internet-facing or internal");
            return Err(Refusal::new(Code::InvalidScheme, message));
        }
    };
    tags::check(&asked.tags)?;
    listeners::check(scene, &asked.listeners)?;
    Ok(scheme)
}

/// A load balancer as it begins.
fn begin(scene: &Scene<'_>, asked: &Asked, scheme: Scheme, created_with: CreatedWith) -> Result<Facts, Refusal> {
    let mut listeners = asked.listeners.clone();
    let mut policies = Vec::new();
    for listener in listeners.iter_mut().filter(|listener| listener.protocol.is_secure()) {
        enable_default_ssl_policy(listener, &mut policies);
    }
    let first_port = listeners.first().map_or(80, |listener| listener.instance_port);
    let since = scene.now.duration_since(UNIX_EPOCH).unwrap_or_default();
    Ok(Facts {
        dns_digits: 100_000_000 + scene.random % 2_000_000_000,
        created_at_ms: u64::try_from(since.as_millis()).unwrap_or(u64::MAX),
        target_group: free_name(scene, &asked.name, &listeners),
        address: free_address(scene)?,
        scheme,
        availability_zones: asked.zones.clone(),
        subnets: asked.subnets.clone(),
        security_groups: asked.security_groups.clone(),
        listeners,
        policies,
        backend_policies: Default::default(),
        health_check: HealthCheck::of_port(first_port),
        instances: Vec::new(),
        attributes: Attributes::default(),
        tags: asked.tags.clone(),
        created_with: Some(created_with),
    })
}

/// Gives a listener over TLS the policy that it has until another one is set.
pub(super) fn enable_default_ssl_policy(listener: &mut Listener, policies: &mut Vec<Policy>) {
    listener.policies = vec![DEFAULT_SSL_POLICY.to_owned()];
    if policies.iter().all(|policy| policy.name != DEFAULT_SSL_POLICY) {
        policies.extend(policy_types::predefined().into_iter().find(|policy| policy.name == DEFAULT_SSL_POLICY));
    }
}

/// A name for its parts: its own, unless something else has that already.
fn free_name(scene: &Scene<'_>, name: &str, listeners: &[Listener]) -> String {
    let is_free = |name: &String| {
        let has_listener = |port: u16| scene.config.listeners.contains_key(format!("{name}:{port}").as_str());
        !scene.config.groups.contains_key(name.as_str()) && !listeners.iter().any(|one| has_listener(one.port))
    };
    let names = std::iter::once(name.to_owned()).chain((2..).map(|number| format!("{name}.{number}")));
    names.into_iter().find(is_free).unwrap_or_default()
}

/// An address of its own, where each load balancer has one.
fn free_address(scene: &Scene<'_>) -> Result<Option<IpAddr>, Refusal> {
    let bind = &scene.config.global.elb_api.bind;
    if bind.only().is_some() {
        return Ok(None);
    }
    let taken: BTreeSet<_> = scene.config.listeners.values().map(|held| held.wanted.bind.ip()).collect();
    let free = bind.hosts().find(|address| !taken.contains(address));
    let none = || Refusal::not_now(format!("every address of {bind}, which is [elb_api] bind, is taken"));
    free.map(Some).ok_or_else(none)
}

/// The name by which clients find it.
pub(super) fn dns_name(scene: &Scene<'_>, name: &str, facts: &Facts) -> String {
    let internal = if facts.scheme == Scheme::Internal { "internal-" } else { "" };
    let (region, domain) = (&scene.caller.region, &scene.config.global.elb_api.domain);
    format!("{internal}{name}-{}.{region}.elb.{domain}", facts.dns_digits)
}

fn named(scene: &Scene<'_>, name: &str, facts: &Facts) -> Xml {
    let mut xml = Xml::default();
    xml.text("DNSName", dns_name(scene, name, facts));
    xml
}

fn describe_one(xml: &mut Xml, scene: &Scene<'_>, name: &str, facts: &Facts) {
    let dns_name = dns_name(scene, name, facts);
    xml.text("LoadBalancerName", name);
    xml.text("DNSName", &dns_name);
    xml.optional("CanonicalHostedZoneName", (facts.scheme == Scheme::InternetFacing).then_some(&dns_name));
    xml.text("CanonicalHostedZoneNameID", HOSTED_ZONE_ID);
    xml.list("ListenerDescriptions", &facts.listeners, |xml, listener| {
        xml.element("Listener", |xml| listeners::write(xml, listener));
        xml.texts("PolicyNames", &listener.policies);
    });
    describe_policies(xml, facts);
    xml.list("BackendServerDescriptions", &facts.backend_policies, |xml, (port, names)| {
        xml.text("InstancePort", port);
        xml.texts("PolicyNames", names);
    });
    xml.texts("AvailabilityZones", &facts.availability_zones);
    xml.texts("Subnets", &facts.subnets);
    xml.texts("SecurityGroups", &facts.security_groups);
    xml.list("Instances", &facts.instances, |xml, instance| xml.text("InstanceId", &instance.id));
    xml.element("HealthCheck", |xml| write_health_check(xml, &facts.health_check));
    xml.element("SourceSecurityGroup", |xml| {
        xml.text("OwnerAlias", "amazon-elb");
        xml.text("GroupName", "amazon-elb-sg");
    });
    xml.text("CreatedTime", written(facts.created_at_ms));
    xml.text("Scheme", if facts.scheme == Scheme::Internal { "internal" } else { "internet-facing" });
}

fn describe_policies(xml: &mut Xml, facts: &Facts) {
    let of_type = |type_name: &'static str| facts.policies.iter().filter(move |policy| policy.type_name == type_name);
    let (app, own) = (policy_type::APP_COOKIE, policy_type::LB_COOKIE);
    xml.element("Policies", |xml| {
        xml.list("AppCookieStickinessPolicies", of_type(app), |xml, policy| {
            xml.text("PolicyName", &policy.name);
            xml.optional("CookieName", policy.attribute("CookieName"));
        });
        xml.list("LBCookieStickinessPolicies", of_type(own), |xml, policy| {
            xml.text("PolicyName", &policy.name);
            xml.text("CookieExpirationPeriod", policy.attribute("CookieExpirationPeriod").unwrap_or("0"));
        });
        let others = facts.policies.iter().filter(|policy| policy.type_name != app && policy.type_name != own);
        xml.texts("OtherPolicies", others.map(|policy| &policy.name));
    });
}

/// Writes a health check: every member, always.
pub(super) fn write_health_check(xml: &mut Xml, check: &HealthCheck) {
    xml.text("Target", &check.target);
    xml.text("Interval", check.interval_s);
    xml.text("Timeout", check.timeout_s);
    xml.text("UnhealthyThreshold", check.unhealthy_threshold);
    xml.text("HealthyThreshold", check.healthy_threshold);
}

/// Which part of a list is asked for.
struct Page {
    marker: Option<String>,
    size: usize,
}

impl Page {
    fn read(input: &Input<'_>) -> Self {
        let marker = input.text("Marker").filter(|marker| !marker.is_empty()).map(str::to_owned);
        Self { marker, size: input.number("PageSize", 1..=PAGE_SIZE_MAX).unwrap_or(PAGE_SIZE_MAX) }
    }

    /// What is to be shown, and after which one there is more. What a marker names need not be there any more.
    fn of<'i, T>(
        &self,
        items: &'i [T],
        key: impl Fn(&T) -> (u64, String),
    ) -> Result<(&'i [T], Option<&'i T>), Refusal> {
        let start = match &self.marker {
            None => 0,
            Some(marker) => {
                let after = read_marker(marker);
                let after = after.ok_or_else(|| Refusal::validation(format!("Marker '{marker}' is not valid")))?;
                items.partition_point(|item| key(item) <= after)
            }
        };
        let rest = &items[start..];
        let shown = &rest[..rest.len().min(self.size)];
        let more = (shown.len() < rest.len()).then(|| shown.last()).flatten();
        Ok((shown, more))
    }
}

/// Where a page ended: when the last one was made, and its name, which is the order of the list.
fn read_marker(marker: &str) -> Option<(u64, String)> {
    let (created_at_ms, name) = marker.split_once('/')?;
    Some((created_at_ms.parse().ok()?, name.to_owned()))
}

/// A time as the API writes it.
fn written(at_ms: u64) -> String {
    let format = format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");
    let at = UNIX_EPOCH.checked_add(std::time::Duration::from_millis(at_ms)).unwrap_or(SystemTime::UNIX_EPOCH);
    OffsetDateTime::from(at).format(format).unwrap_or_default()
}

/// Texts as they were given, each once.
pub(super) fn owned(texts: Option<Vec<&str>>) -> Vec<String> {
    let mut owned: Vec<String> = Vec::new();
    for text in texts.unwrap_or_default() {
        if !owned.iter().any(|other| other == text) {
            owned.push(text.to_owned());
        }
    }
    owned
}
