//! `[elb_api]`: how load balancers of the ELB API are carried out and who may use it.

use std::collections::HashSet;
use std::sync::Arc;

use lb::model;
use lb::model::{DEFAULT_ACCOUNT, Ec2Directory, Host, Network};
use serde_json::Value;

use super::discovery::{INTERVAL, region};
use super::notation::{Words, count_usize, duration, duration_text, parsed, text};
use super::problem::Wrong;
use super::reader::Reader;
use super::{HOUR, SECOND};

const TEXT_BYTES_MAX: usize = 2048;
const ACCOUNT_CHARACTERS_MAX: usize = 64;
const DOMAIN_BYTES_MAX: usize = 128;
const AUTH: Words<bool> =
    Words { what: "way to authenticate", now: &[("required", false), ("none", true)], later: &[] };

/// How load balancers of the ELB API are carried out, and who may use it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
pub struct ElbApi {
    /// Where their listeners bind: an address, or a network in which each load balancer gets one of its own.
    pub bind: String,
    /// What DNS names end with that are made up for them.
    pub domain: String,
    /// `required`, or `none`: any well-formed signature will do.
    pub auth: String,
    /// How many load balancers an account may have in a region.
    pub load_balancers_max: u64,
    /// How many listeners a load balancer may have.
    pub listeners_max: u64,
    /// How many instances a load balancer may have.
    pub instances_max: u64,
    /// The keys of those who may use it, beside the one in the state directory. Secrets are never given out.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub access_key: Vec<ElbAccessKey>,
    /// Where instances are found that nothing else knows. Absent: nowhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ec2: Option<ElbEc2>,
}

/// How instances are found in Amazon EC2 by their ids.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
pub struct ElbEc2 {
    /// Their region. Absent: as the environment, the profile or the machine says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// How often those that are registered are looked at: 1 s to 1 h.
    #[schema(required = false, default = "15s")]
    pub interval: String,
}

/// A key of somebody who may use the ELB API.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
pub struct ElbAccessKey {
    /// Its id.
    pub id: String,
    /// Whose load balancers it is for.
    pub account: String,
}

/// Reads `[elb_api]`.
pub(super) fn read(reader: &mut Reader<'_>) -> Option<model::ElbApi> {
    let default = model::ElbApi::default();
    let quotas = default.quotas;
    let access_keys = reader.tables("access_key", access_key);
    let mut ids = HashSet::new();
    if let Some(twice) = access_keys.iter().find(|key| !ids.insert(&key.id)) {
        reader.problem("access_key", Wrong::new(format!("the key {} is there twice", twice.id)));
    }
    Some(model::ElbApi {
        bind: reader.or("bind", default.bind, parsed(Network::parse)),
        domain: reader.or("domain", default.domain, domain),
        is_open: reader.or("auth", default.is_open, |value| AUTH.parse(value)),
        access_keys,
        ec2: reader.table_if_any("ec2", ec2)?,
        quotas: model::Quotas {
            load_balancers_max: reader.or("load_balancers_max", quotas.load_balancers_max, count_usize(1..=10_000)),
            listeners_max: reader.or("listeners_max", quotas.listeners_max, count_usize(1..=1_000)),
            instances_max: reader.or("instances_max", quotas.instances_max, count_usize(1..=100_000)),
        },
    })
}

fn ec2(reader: &mut Reader<'_>) -> Option<Ec2Directory> {
    Some(Ec2Directory {
        region: reader.or("region", None, |value| region(value).map(Some)),
        interval: reader.or("interval", INTERVAL, duration(SECOND..=HOUR)),
    })
}

fn access_key(reader: &mut Reader<'_>) -> Option<model::AccessKey> {
    let (id, secret) = (reader.required("id", short), reader.required("secret", short));
    let account = reader.or("account", DEFAULT_ACCOUNT, account);
    let session_token = reader.or("session_token", None, |value| short(value).map(Some));
    Some(model::AccessKey::new(id?, account, secret?, session_token))
}

fn short(value: &Value) -> Result<&str, Wrong> {
    let text = text(value)?;
    if text.len() > TEXT_BYTES_MAX { Err(Wrong::new("it is longer than 2048 bytes")) } else { Ok(text) }
}

fn account(value: &Value) -> Result<&str, Wrong> {
    let account = text(value)?;
    let is_legal = account.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    if !is_legal || account.len() > ACCOUNT_CHARACTERS_MAX {
        return Err(Wrong::new("an account is up to 64 letters, digits and hyphens").hint("as in \"123456789012\""));
    }
    Ok(account)
}

fn domain(value: &Value) -> Result<Arc<str>, Wrong> {
    let domain = text(value)?.trim_matches('.').to_ascii_lowercase();
    match Host::parse(&domain) {
        Ok(Host::Name(name)) if name.len() <= DOMAIN_BYTES_MAX => Ok(name),
        _ => Err(Wrong::new(format!("{domain:?} is no domain")).hint("as in \"internal\" or \"lb.shop.example\"")),
    }
}

impl From<&model::ElbApi> for ElbApi {
    fn from(elb_api: &model::ElbApi) -> Self {
        let key = |key: &model::AccessKey| ElbAccessKey { id: key.id.to_string(), account: key.account.to_string() };
        Self {
            bind: elb_api.bind.only().map_or_else(|| elb_api.bind.to_string(), |address| address.to_string()),
            domain: elb_api.domain.to_string(),
            auth: AUTH.word(elb_api.is_open),
            load_balancers_max: elb_api.quotas.load_balancers_max as u64,
            listeners_max: elb_api.quotas.listeners_max as u64,
            instances_max: elb_api.quotas.instances_max as u64,
            access_key: elb_api.access_keys.iter().map(key).collect(),
            ec2: elb_api.ec2.as_ref().map(|ec2| ElbEc2 {
                region: ec2.region.as_deref().map(str::to_owned),
                interval: duration_text(ec2.interval),
            }),
        }
    }
}
