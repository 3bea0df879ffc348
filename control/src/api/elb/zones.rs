//! Zones, subnets and security groups. They are kept as they are asked for: which of them there are, nobody here knows.
//! What follows from zones for instances, the data plane sees to.

use std::collections::BTreeSet;

use super::error::Refusal;
use super::load_balancers::owned;
use super::query::Parameters;
use super::scene::{Scene, Wish};
use super::xml::Xml;
use crate::elb::Facts;

/// `EnableAvailabilityZonesForLoadBalancer`.
pub(super) fn enable(scene: &Scene<'_>, parameters: &Parameters) -> Result<(Wish, Xml), Refusal> {
    change(scene, parameters, "AvailabilityZones", |facts, asked| {
        let union: BTreeSet<_> = facts.availability_zones.drain(..).chain(asked).collect();
        facts.availability_zones = union.into_iter().collect();
        Ok(&facts.availability_zones)
    })
}

/// `DisableAvailabilityZonesForLoadBalancer`.
pub(super) fn disable(scene: &Scene<'_>, parameters: &Parameters) -> Result<(Wish, Xml), Refusal> {
    change(scene, parameters, "AvailabilityZones", |facts, asked| {
        remove(&mut facts.availability_zones, &asked, "availability zone")?;
        Ok(&facts.availability_zones)
    })
}

/// `AttachLoadBalancerToSubnets`.
pub(super) fn attach(scene: &Scene<'_>, parameters: &Parameters) -> Result<(Wish, Xml), Refusal> {
    change(scene, parameters, "Subnets", |facts, asked| {
        for subnet in asked {
            if !facts.subnets.contains(&subnet) {
                facts.subnets.push(subnet);
            }
        }
        Ok(&facts.subnets)
    })
}

/// `DetachLoadBalancerFromSubnets`.
pub(super) fn detach(scene: &Scene<'_>, parameters: &Parameters) -> Result<(Wish, Xml), Refusal> {
    change(scene, parameters, "Subnets", |facts, asked| {
        remove(&mut facts.subnets, &asked, "subnet")?;
        Ok(&facts.subnets)
    })
}

/// `ApplySecurityGroupsToLoadBalancer`.
pub(super) fn apply_security_groups(scene: &Scene<'_>, parameters: &Parameters) -> Result<(Wish, Xml), Refusal> {
    change(scene, parameters, "SecurityGroups", |facts, asked| {
        facts.security_groups = asked;
        Ok(&facts.security_groups)
    })
}

/// Changes one list of a load balancer, and answers with what it is then, under the name that it was asked by.
fn change(
    scene: &Scene<'_>,
    parameters: &Parameters,
    list: &'static str,
    with: impl FnOnce(&mut Facts, Vec<String>) -> Result<&Vec<String>, Refusal>,
) -> Result<(Wish, Xml), Refusal> {
    let (name, asked) = parameters
        .read(|input| (input.required("LoadBalancerName").to_owned(), owned(Some(input.required_texts(list)))))?;
    let mut facts = scene.load_balancer(&name)?;
    let mut xml = Xml::default();
    xml.texts(list, with(&mut facts, asked)?);
    Ok((Wish::put(&name, facts), xml))
}

fn remove(from: &mut Vec<String>, asked: &[String], what: &str) -> Result<(), Refusal> {
    let had_any = !from.is_empty();
    from.retain(|one| !asked.contains(one));
    if had_any && from.is_empty() {
        return Err(Refusal::not_now(format!("A load balancer must keep at least one {what}")));
    }
    Ok(())
}
