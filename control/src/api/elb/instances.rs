//! Instances: registered, deregistered, and how they are.

use lb::model::{GroupName, TargetId};
use lb::state::{Member, TargetState};

use super::error::{Code, Refusal};
use super::load_balancers::write_health_check;
use super::query::{Input, Parameters};
use super::scene::{Scene, Wish};
use super::xml::Xml;
use crate::elb::{Facts, HealthCheck, HealthTarget, Instance, Machine, Protocol};
use crate::instances;

const PATH_BYTES_MAX: usize = 1024;

/// `RegisterInstancesWithLoadBalancer`: answers with all that are registered then.
pub(super) fn register(scene: &Scene<'_>, parameters: &Parameters) -> Result<(Wish, Xml), Refusal> {
    let (name, ids) = parameters.read(|input| (name(input), ids(input)))?;
    let mut facts = scene.load_balancer(&name)?;
    let before = facts.instances.len();
    for id in ids {
        let registered = facts.instances.iter_mut().find(|other| other.id == id);
        match (known(scene, &id), registered) {
            (Ok(Instance { machine: Some(Machine::ShuttingDown | Machine::Terminated), .. }), None) => {
                return Err(not_found(&id));
            }
            (Ok(instance), Some(registered)) => *registered = instance,
            (Ok(instance), None) => facts.instances.push(instance),
            // It stays as it is.
            (Err(_), Some(_)) => {}
            (Err(refusal), None) => return Err(refusal),
        }
    }
    let max = scene.quotas().instances_max;
    // What is there already stays, were it more than there may be now.
    if facts.instances.len() > before.max(max) {
        let message = format!("a load balancer may have at most {max} instances");
        return Err(Refusal::validation(message));
    }
    let answer = listed(&facts);
    Ok((Wish::put(&name, facts), answer))
}

/// `DeregisterInstancesFromLoadBalancer`: answers with those that are left. One that is known and was not registered is
/// none the less not registered then.
pub(super) fn deregister(scene: &Scene<'_>, parameters: &Parameters) -> Result<(Wish, Xml), Refusal> {
    let (name, ids) = parameters.read(|input| (name(input), ids(input)))?;
    let mut facts = scene.load_balancer(&name)?;
    for id in &ids {
        if facts.instances.iter().all(|instance| instance.id != *id) && member(scene, &facts, id).is_none() {
            known(scene, id)?;
        }
    }
    facts.instances.retain(|instance| !ids.contains(&instance.id));
    let answer = listed(&facts);
    Ok((Wish::put(&name, facts), answer))
}

/// `DescribeInstanceHealth`: of all that are registered, or of those that are asked for, in their order.
pub(super) fn health(scene: &Scene<'_>, parameters: &Parameters) -> Result<(Wish, Xml), Refusal> {
    let (name, asked) = parameters.read(|input| {
        let asked = input.structures("Instances").map(|_| ids(input));
        (name(input), asked.filter(|asked| !asked.is_empty()))
    })?;
    let facts = scene.load_balancer(&name)?;
    let ids = asked.unwrap_or_else(|| facts.instances.iter().map(|instance| instance.id.clone()).collect());
    let states = ids.into_iter().map(|id| Ok((state(scene, &facts, &id)?, id))).collect::<Result<Vec<_>, Refusal>>()?;
    let mut xml = Xml::default();
    xml.list("InstanceStates", states, |xml, (state, id)| {
        xml.text("InstanceId", id);
        xml.text("State", state.state);
        xml.text("ReasonCode", state.reason_code);
        xml.text("Description", state.description);
    });
    Ok((Wish::Nothing, xml))
}

/// `ConfigureHealthCheck`.
pub(super) fn configure_health_check(scene: &Scene<'_>, parameters: &Parameters) -> Result<(Wish, Xml), Refusal> {
    let (name, target, check) = parameters.read(|input| {
        let (target, check) = input.required_structure("HealthCheck", |check| {
            let target = check.required("Target").to_owned();
            let check = HealthCheck {
                interval_s: check.required_number("Interval", 5..=300),
                timeout_s: check.required_number("Timeout", 2..=60),
                unhealthy_threshold: check.required_number("UnhealthyThreshold", 2..=10),
                healthy_threshold: check.required_number("HealthyThreshold", 2..=10),
                ..HealthCheck::of_port(0)
            };
            (target, Some(check))
        });
        (name(input), target, check.unwrap_or_else(|| HealthCheck::of_port(0)))
    })?;
    let check = HealthCheck { target: read_target(&target)?, ..check };
    if check.timeout_s >= check.interval_s {
        return Err(Refusal::validation("HealthCheck Timeout must be less than its Interval"));
    }
    let mut facts = scene.load_balancer(&name)?;
    facts.health_check = check;
    let mut xml = Xml::default();
    xml.element("HealthCheck", |xml| write_health_check(xml, &facts.health_check));
    Ok((Wish::put(&name, facts), xml))
}

fn name(input: &Input<'_>) -> String {
    input.required("LoadBalancerName").to_owned()
}

/// The ids that are asked for, each once.
fn ids(input: &Input<'_>) -> Vec<String> {
    let mut ids: Vec<String> = Vec::new();
    for instance in input.required_structures("Instances") {
        let id = instance.required("InstanceId");
        if !ids.iter().any(|other| other == id) {
            ids.push(id.to_owned());
        }
    }
    ids
}

/// The ids of instances in a request that names some.
pub(super) fn named(parameters: &Parameters) -> Result<Vec<String>, Refusal> {
    parameters.read(ids)
}

/// An instance as it would be registered.
fn known(scene: &Scene<'_>, id: &str) -> Result<Instance, Refusal> {
    let found = TargetId::parse(id).ok().and_then(|_| {
        let known = instances::find(&scene.config.global, id).map(|known| known.instance(id.to_owned()));
        known.or_else(|| Some(scene.machines?.get(id)?.instance(id.to_owned())))
    });
    found.ok_or_else(|| not_found(id))
}

fn not_found(id: &str) -> Refusal {
    Refusal::new(Code::InvalidInstance, format!("Could not find EC2 instance {id}."))
}

fn listed(facts: &Facts) -> Xml {
    let mut xml = Xml::default();
    xml.list("Instances", &facts.instances, |xml, instance| xml.text("InstanceId", &instance.id));
    xml
}

/// What an instance is told to be. Tools match these texts byte for byte.
struct InstanceState {
    state: &'static str,
    reason_code: &'static str,
    description: &'static str,
}

impl InstanceState {
    const IN_SERVICE: Self = Self::new("InService", "N/A", "N/A");
    const DRAINING: Self = Self::new("InService", "N/A", "Instance deregistration currently in progress.");
    const REGISTERING: Self = Self::new("OutOfService", "ELB", "Instance registration is still in progress.");
    const FAILED: Self = Self::new(
        "OutOfService",
        "Instance",
        "Instance has failed at least the UnhealthyThreshold number of health checks consecutively.",
    );
    const RECOVERING: Self = Self::new(
        "OutOfService",
        "Instance",
        "Instance has not passed the configured HealthyThreshold number of health checks consecutively.",
    );
    const NO_ZONE: Self = Self::new(
        "OutOfService",
        "ELB",
        "Instance is in the EC2 Availability Zone for which LoadBalancer is not configured to route traffic to.",
    );
    const ZONE_CLOSING: Self = Self::new("OutOfService", "ELB", "Disable Availability Zone is currently in progress.");
    const UNKNOWN: Self = Self::new("Unknown", "ELB", "A transient error occurred. Please try again later.");
    const NOT_REGISTERED: Self =
        Self::new("OutOfService", "Instance", "Instance is not currently registered with the LoadBalancer.");

    const PENDING: Self = Self::new("OutOfService", "Instance", "Instance is in pending state.");
    const STOPPED: Self = Self::new("OutOfService", "Instance", "Instance is in stopped state.");
    const TERMINATED: Self = Self::new("OutOfService", "Instance", "Instance is in terminated state.");

    const fn new(state: &'static str, reason_code: &'static str, description: &'static str) -> Self {
        Self { state, reason_code, description }
    }
}

fn state(scene: &Scene<'_>, facts: &Facts, id: &str) -> Result<InstanceState, Refusal> {
    let registered = facts.instances.iter().find(|instance| instance.id == id);
    if let Some(told) = registered.and_then(|instance| by_machine(instance.machine?)) {
        return Ok(told);
    }
    let Some(member) = member(scene, facts, id) else {
        if registered.is_some() {
            // It will be live in a moment.
            return Ok(InstanceState::REGISTERING);
        }
        let ended = known(scene, id)?.machine.filter(|machine| *machine == Machine::Terminated);
        return Ok(ended.and_then(by_machine).unwrap_or(InstanceState::NOT_REGISTERED));
    };
    Ok(match member.state {
        TargetState::Draining if member.closes_at.is_some() => InstanceState::ZONE_CLOSING,
        TargetState::Draining => InstanceState::DRAINING,
        _ if !facts.serves(member.held.declared.zone.as_deref()) => InstanceState::NO_ZONE,
        TargetState::Healthy => InstanceState::IN_SERVICE,
        // Its name leads nowhere yet, so it cannot be checked.
        TargetState::Initial if member.backend.address.is_none() => InstanceState::UNKNOWN,
        TargetState::Initial | TargetState::Unused => InstanceState::REGISTERING,
        TargetState::Unhealthy if member.recovering => InstanceState::RECOVERING,
        TargetState::Unhealthy | TargetState::Ejected => InstanceState::FAILED,
    })
}

/// None: it runs, so that its checks tell.
fn by_machine(machine: Machine) -> Option<InstanceState> {
    match machine {
        Machine::Running => None,
        Machine::Pending => Some(InstanceState::PENDING),
        Machine::Stopped => Some(InstanceState::STOPPED),
        Machine::ShuttingDown | Machine::Terminated => Some(InstanceState::TERMINATED),
    }
}

fn member<'s>(scene: &'s Scene<'_>, facts: &Facts, id: &str) -> Option<&'s Member> {
    scene.snapshot.member(&GroupName::parse(&facts.target_group).ok()?, &TargetId::parse(id).ok()?)
}

/// Reads what a check asks, such as `HTTP:80/ping`.
fn read_target(text: &str) -> Result<HealthTarget, Refusal> {
    let refuse = |why: &str| {
        let example = "it must be like TCP:80, SSL:443, HTTP:80/ping or HTTPS:443/ping";
        Refusal::validation(format!("HealthCheck Target '{text}' {why}: {example}"))
    };
    let (protocol, rest) = text.split_once(':').ok_or_else(|| refuse("names no protocol"))?;
    let protocol = Protocol::parse(protocol).ok_or_else(|| refuse("names no protocol that there is"))?;
    let (port, path) = match rest.find('/') {
        Some(at) => (&rest[..at], Some(&rest[at..])),
        None => (rest, None),
    };
    let is_number = port.bytes().all(|byte| byte.is_ascii_digit());
    let port = port.parse().ok().filter(|port| *port > 0 && is_number).ok_or_else(|| refuse("names no port"))?;
    match (protocol.is_http(), path) {
        (true, None) => Err(refuse("names no path")),
        (false, Some(_)) => Err(refuse("names a path, which its protocol has not")),
        (true, Some(path)) if path.len() > PATH_BYTES_MAX => Err(refuse("names a path of more than 1024 bytes")),
        (true, Some(path)) if path.chars().any(|c| c.is_control() || c == ' ') => {
            Err(refuse("names a path with spaces or control characters"))
        }
        (_, path) => Ok(HealthTarget { protocol, port, path: path.map(str::to_owned) }),
    }
}
