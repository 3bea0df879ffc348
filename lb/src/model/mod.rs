//! What is wanted: plain, legal data and the closed set of changes to it. No serde, no clock, no I/O.
//!
//! A value that exists here is legal: newtypes keep their ranges, and what was typed becomes these types at one
//! seam (`control::schema`). Nothing here knows whether a target is healthy; that is [`crate::state`].

mod acme;
mod certificate;
mod change;
mod config;
mod cookie_keys;
mod difference;
mod discovery;
mod ejection;
mod elb_api;
mod global;
mod hash_key;
mod health_check;
mod listener;
mod load_balancer;
mod name;
mod source_file;
mod stickiness;
mod target;
mod target_group;
mod target_tls;
mod ticket_keys;
mod tls;
mod tls_policy;

pub use acme::{
    ACME_NAMES_MAX, Acme, AcmeAccount, AcmeChallenge, AcmeState, DnsNames, ExternalAccount, InvalidDnsName, Issued,
};
pub use certificate::{Certificate, CertificateFiles, CertificateSource, PrivateKey};
pub use change::{Change, Declared, ObjectRef, Rejected};
pub use config::{Adjustment, Config, Group, Held, HeldTarget, Origin};
pub use cookie_keys::{COOKIE_KEYS_MAX, CookieKey, CookieKeys};
pub use difference::Difference;
pub use discovery::{Discovery, Ec2Address, Ec2Discovery};
pub use ejection::Ejection;
pub use elb_api::{AccessKey, DEFAULT_ACCOUNT, Ec2Directory, ElbApi, Instance, Quotas};
pub use global::{AccessLog, AccessLogDestination, AccessLogFormat, Global, Shutdown};
pub use hash_key::{HashKey, InvalidHashKey};
pub use health_check::{HealthCheck, HealthCheckProtocol, HttpQuestion, Matcher, OutOfRange, ProbePort, Threshold};
pub use listener::{DesyncMitigation, Forward, Listener, ListenerProtocol, Network, ProxyProtocol};
pub use load_balancer::{LoadBalancer, LoadBalancerId, LoadBalancerParts};
pub use name::{CertificateName, GroupName, InvalidName, ListenerName, TargetId};
pub use source_file::{FileStamp, SourceFile};
pub use stickiness::{
    CookieName, CookieStyle, ELB_COOKIE_NAME, ELB_TWIN_NAME, InvalidCookieName, OWN_COOKIE_NAME, OnUnavailable,
    Stickiness, StickyBy,
};
pub use target::{Host, HostPort, InvalidAddress, Target, Weight};
pub use target_group::{Algorithm, OnDown, SendProxy, TargetGroup, TargetProtocol, WhenAllUnhealthy};
pub use target_tls::{PublicKeyPin, TargetTls, TlsVerify};
pub use ticket_keys::{TICKET_KEYS_MAX, TicketKey, TicketKeys};
pub use tls::{ClientAuth, ListenerTls, TrustFile};
pub use tls_policy::{Tls12Suites, TlsOffer, TlsPolicy};
