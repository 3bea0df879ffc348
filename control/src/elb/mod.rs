//! Load balancers as clients of the Classic ELB API know them ([`Facts`]), and what each is carried out by: a target
//! group with its instances, and listeners ([`parts()`]).
//!
//! Facts are the one truth about a load balancer: they alone are kept, and its parts are made from them again on every
//! start and change. Not here: the API itself, its requests and its words.

mod facts;
mod parts;

use std::collections::HashMap;
use std::sync::Arc;

use lb::model::{Certificate, CertificateName, Change, Global, LoadBalancer, LoadBalancerId, ObjectRef, Rejected};

use crate::instances;
pub use facts::{
    AccessLog, Attributes, BackendPolicies, ConnectionDraining, CreatedWith, DesyncMitigation, Facts, HealthCheck,
    HealthTarget, Instance, Listener, Machine, Policy, Protocol, Scheme, Tag, Unreadable, policy_type,
};

pub use parts::{Amiss, listener_name, parts, pin_of, tls_policy};

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

/// What load balancers are carried out with, beside their facts.
#[derive(Debug)]
pub struct Means<'m> {
    global: &'m Global,
    certificates: CertificateArns<'m>,
}

impl<'m> Means<'m> {
    /// By these settings, where instances are among them, and these certificates.
    pub fn new(global: &'m Global, certificates: impl IntoIterator<Item = &'m Certificate>) -> Self {
        Self { global, certificates: CertificateArns::of(certificates) }
    }

    /// Facts with instances where they are now. One that is not known any more is where it was last.
    fn found(&self, facts: &Facts) -> Facts {
        let mut found = facts.clone();
        for instance in &mut found.instances {
            if let Some(known) = instances::find(self.global, &instance.id) {
                *instance = known.instance(std::mem::take(&mut instance.id));
            }
        }
        found
    }
}

/// The change after which a load balancer is as these facts say, with its instances where they are now.
///
/// # Errors
/// [`Rejected::Amiss`]: they cannot be carried out.
pub fn put(id: &LoadBalancerId, facts: &Facts, means: &Means<'_>) -> Result<Change, Rejected> {
    let facts = means.found(facts);
    let parts = parts(&id.name, &facts, &means.global.elb_api, &means.certificates);
    let parts = parts
        .map_err(|amiss| Rejected::Amiss { object: ObjectRef::LoadBalancer(id.clone()), why: amiss.to_string() })?;
    Ok(Change::PutLoadBalancer(id.clone(), parts, facts.to_text().into()))
}

/// As [`put()`], for one that is there already, by what is kept of it.
///
/// # Errors
/// [`Rejected::Amiss`]: it cannot be carried out any more.
pub fn put_again(id: &LoadBalancerId, held: &LoadBalancer, means: &Means<'_>) -> Result<Change, Rejected> {
    let facts = Facts::read(&held.facts).map_err(|unreadable| Rejected::Amiss {
        object: ObjectRef::LoadBalancer(id.clone()),
        why: unreadable.to_string(),
    })?;
    put(id, &facts, means)
}

/// The id of a load balancer.
pub fn id_of(account: &str, region: &str, name: &str) -> LoadBalancerId {
    let text = |text: &str| Arc::from(text);
    LoadBalancerId { account: text(account), region: text(region), name: text(name) }
}
