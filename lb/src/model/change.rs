//! The closed set of changes to what is wanted, and why one is refused.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::Arc;

use super::{
    AcmeAccount, Adjustment, Certificate, CertificateName, CookieKey, CookieKeys, Global, GroupName, Issued, Listener,
    ListenerName, ListenerProtocol, LoadBalancerId, LoadBalancerParts, Origin, Target, TargetGroup, TargetId,
    TargetProtocol, TicketKeys, Weight,
};

/// One wanted change, applied whole or refused whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Creates or replaces a listener.
    PutListener(Origin, Listener),
    /// Removes a listener.
    DeleteListener(Origin, ListenerName),
    /// Creates or replaces a certificate.
    PutCertificate(Origin, Certificate),
    /// Removes a certificate that no listener and no target group shows.
    DeleteCertificate(Origin, CertificateName),
    /// Creates or replaces a target group; its targets are not touched.
    PutTargetGroup(Origin, TargetGroup),
    /// Removes a target group that no listener forwards to and that holds no targets of another origin.
    DeleteTargetGroup(Origin, GroupName),
    /// Registers a target or updates it.
    PutTarget(Origin, GroupName, Target),
    /// Deregisters a target: it takes no new work, finishes what is in flight, leaves.
    DeleteTarget(Origin, GroupName, TargetId),
    /// Takes no new work but what is sticky to it (`true`), or takes part again (`false`). Any origin's target.
    Drain(GroupName, TargetId, bool),
    /// Changes the share of a target of any origin. On another origin's target it stands until that origin
    /// declares the target differently.
    Reweigh(GroupName, TargetId, Weight),
    /// Says what is adjusted on a target, where its owner's entry is this one; where it is another, or there is none,
    /// nothing is: what is adjusted stands on the entry it was adjusted on.
    Adjust(GroupName, Target, Adjustment),
    /// Creates or replaces a load balancer of the ELB API, with all that is made for it and what its API keeps of it: what
    /// was made for it before and is not among these parts goes.
    PutLoadBalancer(LoadBalancerId, LoadBalancerParts, Arc<str>),
    /// Removes a load balancer and all that was made for it.
    DeleteLoadBalancer(LoadBalancerId),
    /// All targets that a source has found for one group, in one set: what it no longer finds goes, nothing of another
    /// origin or in another group does.
    DeclareTargets(Origin, GroupName, Vec<Target>),
    /// Everything an origin wants, in one set: what it no longer declares goes, nothing of another origin does.
    Declare(Origin, Declared),
    /// Replaces the keys of elbow's own cookies.
    PutCookieKeys(CookieKeys),
    /// Seals cookies with another key from now on; those that older keys sealed still hold.
    RotateCookieKey(CookieKey),
    /// Replaces the keys of TLS session tickets.
    PutTicketKeys(TicketKeys),
    /// Replaces the account at the authority that issues certificates, or forgets it.
    PutAcmeAccount(Option<AcmeAccount>),
    /// Keeps what an authority has issued under the name of a certificate, or forgets it.
    PutIssued(CertificateName, Option<Issued>),
}

/// The full set of what one origin wants.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Declared {
    /// Process-wide settings; only the file has a say in them.
    pub global: Option<Global>,
    /// Its certificates.
    pub certificates: Vec<Certificate>,
    /// Its listeners.
    pub listeners: Vec<Listener>,
    /// Its target groups.
    pub target_groups: Vec<TargetGroup>,
    /// Its targets, each with its group.
    pub targets: Vec<(GroupName, Target)>,
}

impl Declared {
    /// All that is wrong with the set by itself: names given twice, listeners that forward to a group or show a
    /// certificate it does not declare, or forward to one that speaks something else, addresses bound twice.
    pub fn faults(&self) -> Vec<Rejected> {
        let mut faults = self.twice();
        let groups: HashMap<_, _> = self.target_groups.iter().map(|group| (&group.name, group.protocol)).collect();
        let certificates: HashSet<_> = self.certificates.iter().map(|certificate| &certificate.name).collect();
        let is_certificate = |name: &CertificateName| certificates.contains(name);
        let protocol_of = |group: &GroupName| groups.get(group).copied();
        faults.extend(conflicts(self.listeners.iter(), self.target_groups.iter(), protocol_of, is_certificate));
        faults
    }

    /// Every name that is given twice.
    pub(super) fn twice(&self) -> Vec<Rejected> {
        let listeners = self.listeners.iter().map(|listener| ObjectRef::Listener(listener.name.clone()));
        let groups = self.target_groups.iter().map(|group| ObjectRef::TargetGroup(group.name.clone()));
        let targets = self.targets.iter().map(|(group, target)| ObjectRef::Target(group.clone(), target.id.clone()));
        let certificates = self.certificates.iter().map(|given| ObjectRef::Certificate(given.name.clone()));
        let mut seen = HashSet::new();
        let objects = certificates.chain(listeners).chain(groups).chain(targets);
        objects.filter_map(|object| (!seen.insert(object.clone())).then_some(Rejected::Twice(object))).collect()
    }
}

/// Forwards that lead nowhere or to targets that speak something else, certificates that are not there, and addresses that two listeners bind.
pub(super) fn conflicts<'a>(
    listeners: impl Iterator<Item = &'a Listener>,
    groups: impl Iterator<Item = &'a TargetGroup>,
    protocol_of: impl Fn(&GroupName) -> Option<TargetProtocol>,
    is_certificate: impl Fn(&CertificateName) -> bool,
) -> Vec<Rejected> {
    let mut binds = HashMap::new();
    let mut conflicts = Vec::new();
    for listener in listeners {
        let (name, target_group) = (&listener.name, &listener.forward.target_group);
        let (listener_name, group_name) = (name.clone(), target_group.clone());
        match protocol_of(target_group).map(|protocol| listener.forward.protocol.unwrap_or(protocol)) {
            None => {
                conflicts.push(Rejected::DanglingForward { listener: listener_name, target_group: group_name });
            }
            Some(to) if !listener.protocol.leads_to(to) => conflicts.push(Rejected::Mismatch {
                listener: listener_name,
                from: listener.protocol,
                target_group: group_name,
                to,
            }),
            Some(_) => {}
        }
        let shown = listener.tls.iter().flat_map(|tls| &tls.certificates);
        for certificate in shown.filter(|certificate| !is_certificate(certificate)) {
            let (by, certificate) = (ObjectRef::Listener(name.clone()), certificate.clone());
            conflicts.push(Rejected::DanglingCertificate { by, certificate });
        }
        if listener.bind.port() != 0
            && let Some(other) = binds.insert(listener.bind, name)
            && other != name
        {
            conflicts.push(Rejected::SameBind(other.clone(), name.clone()));
        }
    }
    for group in groups {
        let shown = group.tls.certificate.iter().filter(|certificate| !is_certificate(certificate));
        conflicts.extend(shown.map(|certificate| Rejected::DanglingCertificate {
            by: ObjectRef::TargetGroup(group.name.clone()),
            certificate: certificate.clone(),
        }));
    }
    conflicts
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let target = |group: &GroupName, id: &TargetId| ObjectRef::Target(group.clone(), id.clone());
        match self {
            Self::PutListener(origin, listener) => write!(f, "{origin} puts listener {}", listener.name),
            Self::DeleteListener(origin, name) => write!(f, "{origin} deletes listener {name}"),
            Self::PutCertificate(origin, certificate) => write!(f, "{origin} puts certificate {}", certificate.name),
            Self::DeleteCertificate(origin, name) => write!(f, "{origin} deletes certificate {name}"),
            Self::PutTargetGroup(origin, group) => write!(f, "{origin} puts target group {}", group.name),
            Self::DeleteTargetGroup(origin, name) => write!(f, "{origin} deletes target group {name}"),
            Self::PutTarget(origin, group, put) => write!(f, "{origin} puts {}", target(group, &put.id)),
            Self::DeleteTarget(origin, group, id) => write!(f, "{origin} deletes {}", target(group, id)),
            Self::Drain(group, id, true) => write!(f, "drains {}", target(group, id)),
            Self::Drain(group, id, false) => write!(f, "undrains {}", target(group, id)),
            Self::Reweigh(group, id, weight) => write!(f, "gives weight {} to {}", weight.get(), target(group, id)),
            Self::Adjust(group, on, _) => write!(f, "adjusts {}", target(group, &on.id)),
            Self::PutLoadBalancer(id, ..) => write!(f, "puts load balancer {id}"),
            Self::DeleteLoadBalancer(id) => write!(f, "deletes load balancer {id}"),
            Self::PutCookieKeys(keys) => write!(f, "puts {} cookie keys", keys.iter().count()),
            Self::RotateCookieKey(key) => write!(f, "rotates the cookie key to {:08x}", key.id),
            Self::PutTicketKeys(_) => write!(f, "puts another ticket key"),
            Self::PutAcmeAccount(Some(account)) => write!(f, "puts the account at {}", account.directory),
            Self::PutAcmeAccount(None) => write!(f, "forgets the account of automatic certificates"),
            Self::PutIssued(name, Some(issued)) => write!(f, "certificate {name} was issued by {}", issued.directory),
            Self::PutIssued(name, None) => write!(f, "forgets what was issued as certificate {name}"),
            Self::DeclareTargets(origin, group, targets) => {
                write!(f, "{origin} declares {} targets of target group {group}", targets.len())
            }
            Self::Declare(origin, declared) => write!(
                f,
                "{origin} declares {} listeners, {} target groups and {} targets",
                declared.listeners.len(),
                declared.target_groups.len(),
                declared.targets.len()
            ),
        }
    }
}

/// What a refusal or an entity tag is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ObjectRef {
    /// A listener.
    Listener(ListenerName),
    /// A certificate.
    Certificate(CertificateName),
    /// A load balancer.
    LoadBalancer(LoadBalancerId),
    /// A target group.
    TargetGroup(GroupName),
    /// A target of a group.
    Target(GroupName, TargetId),
}

impl fmt::Display for ObjectRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Listener(name) => write!(f, "listener {name}"),
            Self::Certificate(name) => write!(f, "certificate {name}"),
            Self::LoadBalancer(id) => write!(f, "load balancer {id}"),
            Self::TargetGroup(name) => write!(f, "target group {name}"),
            Self::Target(group, id) => write!(f, "target {id} of target group {group}"),
        }
    }
}

/// Why a change was refused. Nothing was changed, and trying again changes nothing before the cause is gone.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Rejected {
    /// The object is not there.
    #[error("there is no {0}")]
    NotFound(ObjectRef),
    /// The object belongs to another origin.
    #[error("{object} belongs to {}: change it there", owner.in_words())]
    OwnedBy {
        /// The object.
        object: ObjectRef,
        /// Who may change it.
        owner: Origin,
    },
    /// The name of what is to be made for a load balancer is that of something made for another one.
    #[error("there is a {object} already, which belongs to another load balancer")]
    Taken {
        /// The object.
        object: ObjectRef,
    },
    /// What is kept of an object cannot be carried out any more.
    #[error("{object} cannot be carried out: {why}")]
    Amiss {
        /// The object.
        object: ObjectRef,
        /// Why not, and what to do.
        why: String,
    },
    /// Two entries of one set have the same name.
    #[error("{0} is declared twice")]
    Twice(ObjectRef),
    /// A listener forwards to a group that is not there.
    #[error("listener {listener} forwards to target group {target_group}, which does not exist")]
    DanglingForward {
        /// The listener.
        listener: ListenerName,
        /// The missing group.
        target_group: GroupName,
    },
    /// A listener shows a certificate that is not there, to its clients, or a target group to its targets.
    #[error("{by} shows certificate {certificate}, which does not exist")]
    DanglingCertificate {
        /// Who shows it.
        by: ObjectRef,
        /// The missing certificate.
        certificate: CertificateName,
    },
    /// A certificate is to come back without its private key, which is not there.
    #[error("the private key of {0} is not exported: put the certificate with its key first, or add `key` to it")]
    KeyMissing(ObjectRef),
    /// Targets were found for a group that no longer asks for them.
    #[error("target group {target_group} takes no targets from {origin}")]
    NoSource {
        /// The group.
        target_group: GroupName,
        /// Who has found them.
        origin: Origin,
    },
    /// A listener's protocol cannot be passed on in that of its group.
    #[error(
        "listener {listener} speaks {} and its target group {target_group} {}: requests go to http and https \
         groups, streams to tcp and tls groups",
        from.scheme(),
        to.name()
    )]
    Mismatch {
        /// The listener.
        listener: ListenerName,
        /// What its clients speak.
        from: ListenerProtocol,
        /// The group.
        target_group: GroupName,
        /// What its targets speak.
        to: TargetProtocol,
    },
    /// Two listeners want the same address.
    #[error("listeners {0} and {1} bind the same address")]
    SameBind(ListenerName, ListenerName),
    /// An object cannot go while something needs it.
    #[error("{object} is still in use by {by}")]
    InUse {
        /// The object.
        object: ObjectRef,
        /// What holds it, named.
        by: String,
    },
}

impl Rejected {
    /// A group that cannot go because of these targets.
    pub fn held_by_targets<'a>(group: &GroupName, targets: impl Iterator<Item = (&'a TargetId, Origin)>) -> Self {
        const NAMED_MAX: usize = 10;
        let mut targets = targets.map(|(id, owner)| format!("{id} ({owner})"));
        let named = targets.by_ref().take(NAMED_MAX).collect::<Vec<_>>().join(", ");
        let by = match targets.count() {
            0 => format!("targets {named}"),
            more => format!("targets {named} and {more} more"),
        };
        Self::InUse { object: ObjectRef::TargetGroup(group.clone()), by }
    }
}
