//! A short way to say what is wanted, for tests of what becomes of it.

#![allow(dead_code, reason = "each test binary uses its own part")]

pub(crate) mod balancing;
#[path = "../../../tests/harness/ca.rs"]
#[allow(unreachable_pub, missing_docs, reason = "it is the vocabulary of another test binary too")]
pub(crate) mod ca;
pub(crate) mod course;
pub(crate) mod house;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use lb::listen::BoundSockets;
use lb::model::{
    Certificate, CertificateName, CertificateSource, Change, ClientAuth, Config, Forward, GroupName, HostPort,
    Listener, ListenerName, ListenerProtocol, ListenerTls, Origin, PrivateKey, Target, TargetGroup, TargetId,
    TlsPolicy, Weight,
};
use lb::state::{HealthState, Verdict, Wanted};

pub(crate) const WORKERS: usize = 2;

/// What is wanted, step by step.
#[derive(Debug, Clone, Default)]
pub(crate) struct Want {
    pub(crate) config: Config,
    pub(crate) sockets: BoundSockets,
}

impl Want {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) fn apply(&mut self, change: &Change) {
        self.config = self.config.apply(change).expect("a legal change");
        self.sockets = lb::listen::bind(&self.sockets, &self.config, WORKERS).expect("a port on loopback");
    }

    pub(crate) fn with(mut self, change: &Change) -> Self {
        self.apply(change);
        self
    }

    /// A listener that forwards to a group, which is made with it.
    pub(crate) fn listener(self, name: &str, group: &str) -> Self {
        let forward = Forward::to(group_name(group));
        self.group(group).with(&Change::PutListener(Origin::Api, listener(name, forward)))
    }

    /// A listener that speaks TLS and shows one certificate, which is made with it.
    pub(crate) fn secure_listener(self, name: &str, group: &str, issued: &ca::Issued) -> Self {
        let certificate = Certificate {
            name: CertificateName::parse(name).expect("a legal name"),
            arn: None,
            source: CertificateSource::Given,
            chain: issued.certificate.as_str().into(),
            key: PrivateKey::new(&issued.key),
        };
        let policy = TlsPolicy::default();
        let tls = ListenerTls {
            certificates: vec![certificate.name.clone()],
            policy,
            client_auth: ClientAuth::Off,
            alpn: Vec::new(),
        };
        let plain = listener(name, Forward::to(group_name(group)));
        let secure = Listener { protocol: ListenerProtocol::Https, tls: Some(tls), ..plain };
        let want = self.group(group).with(&Change::PutCertificate(Origin::Api, certificate));
        want.with(&Change::PutListener(Origin::Api, secure))
    }

    pub(crate) fn group(self, name: &str) -> Self {
        if self.config.groups.contains_key(name) {
            return self;
        }
        self.with(&Change::PutTargetGroup(Origin::Api, group(name)))
    }

    pub(crate) fn set(self, name: &str, with: impl FnOnce(&mut TargetGroup)) -> Self {
        let mut group = self.config.groups[name].settings.wanted.clone();
        with(&mut group);
        self.with(&Change::PutTargetGroup(Origin::Api, group))
    }

    pub(crate) fn delay(self, name: &str, delay: Duration) -> Self {
        self.set(name, |group| group.deregistration_delay = delay)
    }

    pub(crate) fn target(self, group: &str, id: &str, address: &str) -> Self {
        self.weighted(group, id, address, 1)
    }

    pub(crate) fn weighted(self, group: &str, id: &str, address: &str, weight: u64) -> Self {
        let target = target(id, address, weight);
        self.with(&Change::PutTarget(Origin::Api, group_name(group), target))
    }

    pub(crate) fn without(self, group: &str, target: &str) -> Self {
        self.with(&Change::DeleteTarget(Origin::Api, group_name(group), id(target)))
    }

    pub(crate) fn wanted(&self) -> Wanted {
        Wanted { config: Arc::new(self.config.clone()), sockets: self.sockets.clone(), workers: WORKERS }
    }
}

pub(crate) fn group_name(name: &str) -> GroupName {
    GroupName::parse(name).expect("a legal name")
}

pub(crate) fn id(name: &str) -> TargetId {
    TargetId::parse(name).expect("a legal id")
}

pub(crate) fn target(name: &str, address: &str, weight: u64) -> Target {
    let address = HostPort::parse(address).expect("a legal address");
    Target { id: id(name), address, weight: Weight::new(weight).expect("a legal weight"), zone: None }
}

pub(crate) fn group(name: &str) -> TargetGroup {
    TargetGroup::new(group_name(name))
}

pub(crate) fn listener(name: &str, forward: Forward) -> Listener {
    let name = ListenerName::parse(name).expect("a legal name");
    Listener::new(name, ([127, 0, 0, 1], 0).into(), forward)
}

pub(crate) fn healthy() -> HealthState {
    health(Verdict::Healthy)
}

pub(crate) fn health(verdict: Verdict) -> HealthState {
    HealthState { verdict, recovering: false, reason: format!("{verdict:?}").into(), since: SystemTime::UNIX_EPOCH }
}
