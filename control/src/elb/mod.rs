//! Load balancers as clients of the Classic ELB API know them ([`Facts`]), and what each is carried out by: a target
//! group with its instances, and listeners ([`parts()`]).
//!
//! Facts are the one truth about a load balancer: they alone are kept, and its parts are made from them again on every
//! start and change. Not here: the API itself, its requests and its words.

mod facts;
mod parts;

use std::collections::HashMap;
use std::sync::Arc;

use lb::model::{Certificate, CertificateName, Change, ElbApi, LoadBalancer, LoadBalancerId, ObjectRef, Rejected};

pub use facts::{
    AccessLog, Attributes, BackendPolicies, ConnectionDraining, DesyncMitigation, Facts, HealthCheck, HealthTarget,
    Instance, Listener, Policy, Protocol, Scheme, Tag, Unreadable, policy_type,
};
pub use parts::{Amiss, listener_name, parts, pin_of};

/// The certificates that have an ARN, by it.
#[derive(Debug, Default)]
pub struct CertificateArns<'c>(HashMap<&'c str, &'c CertificateName>);

impl<'c> CertificateArns<'c> {
    /// Those of these; the first one of several with the same.
    pub fn of(certificates: impl IntoIterator<Item = &'c Certificate>) -> Self {
        let mut arns = HashMap::new();
        for certificate in certificates {
            if let Some(arn) = &certificate.arn {
                arns.entry(&**arn).or_insert(&certificate.name);
            }
        }
        Self(arns)
    }

    /// The name of the certificate with an ARN.
    pub fn get(&self, arn: &str) -> Option<&'c CertificateName> {
        self.0.get(arn).copied()
    }
}

/// The change after which a load balancer is as these facts say.
///
/// # Errors
/// [`Rejected::Amiss`]: they cannot be carried out.
pub fn put(
    id: &LoadBalancerId,
    facts: &Facts,
    elb_api: &ElbApi,
    certificates: &CertificateArns<'_>,
) -> Result<Change, Rejected> {
    let parts = parts(&id.name, facts, elb_api, certificates);
    let parts = parts
        .map_err(|amiss| Rejected::Amiss { object: ObjectRef::LoadBalancer(id.clone()), why: amiss.to_string() })?;
    Ok(Change::PutLoadBalancer(id.clone(), parts, facts.to_text().into()))
}

/// As [`put()`], for one that is there already, by what is kept of it.
///
/// # Errors
/// [`Rejected::Amiss`]: it cannot be carried out any more.
pub fn put_again(
    id: &LoadBalancerId,
    held: &LoadBalancer,
    elb_api: &ElbApi,
    certificates: &CertificateArns<'_>,
) -> Result<Change, Rejected> {
    let facts = Facts::read(&held.facts).map_err(|unreadable| Rejected::Amiss {
        object: ObjectRef::LoadBalancer(id.clone()),
        why: unreadable.to_string(),
    })?;
    put(id, &facts, elb_api, certificates)
}

/// The id of a load balancer.
pub fn id_of(account: &str, region: &str, name: &str) -> LoadBalancerId {
    let text = |text: &str| Arc::from(text);
    LoadBalancerId { account: text(account), region: text(region), name: text(name) }
}
