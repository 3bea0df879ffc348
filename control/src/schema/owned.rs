//! What the API owns, as `elbow state export` writes it, and single parts of it as the store keeps them. An export
//! holds the keys of elbow's own cookies, secrets among them, so that another node can take them over.

use lb::model::{self, Config, CookieKeys, GroupName, HeldTarget, LoadBalancer, LoadBalancerId, Origin, Weight};
use serde::Serialize;
use serde_json::{Value, json};

use super::certificate::{self, write_exported};
use super::notation::{count, parsed, text};
use super::problem::Wrong;
use super::reader::{self, Reader};
use super::{Listener, Problems, Target, TargetGroup, cookie_keys, listener, target, target_group};
use crate::elb::{self, Facts};

/// The only form of the document so far. `cookie_keys` came later: without it an import leaves them alone, and an
/// elbow that does not know it refuses the key, which says enough.
const FORMAT: u64 = 1;

/// All that the API owns, and what was adjusted on targets of any owner.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Owned {
    /// Its certificates. An empty key stands for the one that is there already.
    pub certificates: Vec<model::Certificate>,
    /// Its listeners.
    pub listeners: Vec<model::Listener>,
    /// The load balancers that clients of the ELB API made, each with what is kept of it.
    pub load_balancers: Vec<(LoadBalancerId, Facts)>,
    /// Its target groups.
    pub groups: Vec<model::TargetGroup>,
    /// Its targets, in groups of any owner.
    pub targets: Vec<(GroupName, model::Target)>,
    /// What was adjusted.
    pub adjusted: Vec<(GroupName, Adjusted)>,
    /// The keys of elbow's own cookies; absent: those that are there stay.
    pub cookie_keys: Option<CookieKeys>,
}

/// What was adjusted on a target, with the entry it was adjusted on: it stands while the owner's entry is the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Adjusted {
    /// As the owner declared it.
    pub on: model::Target,
    /// What was adjusted.
    pub adjustment: model::Adjustment,
}

#[derive(Serialize)]
struct InGroup<T> {
    target_group: String,
    #[serde(flatten)]
    what: T,
}

#[derive(Serialize)]
struct AdjustedDocument {
    on: Target,
    #[serde(skip_serializing_if = "Option::is_none")]
    weight: Option<u16>,
    draining: bool,
}

/// Writes all API-owned state of a configuration as one document.
pub fn write_owned(config: &Config) -> Value {
    let listeners = config.listeners.values().filter(|held| held.origin == Origin::Api);
    let groups = config.groups.values().filter(|group| group.settings.origin == Origin::Api);
    let targets = config.groups.iter().flat_map(|(name, group)| group.targets.values().map(move |held| (name, held)));
    let owned = targets.clone().filter(|(_, held)| held.origin == Origin::Api);
    let in_group = |(name, held): (&GroupName, &HeldTarget)| InGroup {
        target_group: name.to_string(),
        what: Target::from(&held.declared),
    };
    let adjusted = targets
        .filter_map(|(name, held)| Some(InGroup { target_group: name.to_string(), what: adjusted_document(held)? }));
    let certificates = config.certificates.values().filter(|held| held.origin == Origin::Api);
    json!({
        "elbow_state": FORMAT,
        "certificate": certificates.map(|held| write_exported(&held.wanted)).collect::<Vec<_>>(),
        "listener": listeners.map(|held| Listener::from(&held.wanted)).collect::<Vec<_>>(),
        "load_balancer": config.load_balancers.values().map(|held| load_balancer(&held.wanted)).collect::<Vec<_>>(),
        "target_group": groups.map(|group| TargetGroup::from(&group.settings.wanted)).collect::<Vec<_>>(),
        "target": owned.map(|(name, held)| in_group((name, held))).collect::<Vec<_>>(),
        "adjusted": adjusted.collect::<Vec<_>>(),
        "cookie_keys": cookie_keys::write(&config.cookie_keys),
    })
}

/// Reads what [`write_owned`] wrote.
///
/// # Errors
/// All that is wrong with it.
pub fn read_owned(document: &Value) -> Result<Owned, Problems> {
    reader::read(document, |reader| {
        reader.required("elbow_state", count(FORMAT..=FORMAT))?;
        Some(Owned {
            certificates: reader.tables("certificate", certificate::read_exported),
            listeners: reader.tables("listener", |reader| listener::read(reader, None)),
            load_balancers: reader.tables("load_balancer", read_load_balancer),
            groups: reader.tables("target_group", |reader| target_group::read(reader, None)),
            targets: reader.tables("target", |reader| {
                Some((reader.required("target_group", parsed(GroupName::parse))?, target::read(reader, None)?))
            }),
            adjusted: reader.tables("adjusted", |reader| {
                Some((reader.required("target_group", parsed(GroupName::parse))?, adjusted(reader)?))
            }),
            cookie_keys: cookie_keys::read(reader),
        })
    })
}

fn load_balancer(wanted: &LoadBalancer) -> Value {
    let LoadBalancerId { account, region, name } = &wanted.id;
    // What is kept of it is JSON.
    let facts: Value = serde_json::from_str(&wanted.facts).unwrap_or_default();
    json!({ "account": **account, "region": **region, "name": **name, "facts": facts })
}

fn read_load_balancer(reader: &mut Reader<'_>) -> Option<(LoadBalancerId, Facts)> {
    let [account, region, name] = ["account", "region", "name"].map(|key| reader.required(key, text));
    let facts =
        |value: &Value| Facts::read(&value.to_string()).map_err(|unreadable| Wrong::new(unreadable.to_string()));
    let facts = reader.required("facts", facts)?;
    Some((elb::id_of(account?, region?, name?), facts))
}

/// What was adjusted on one target, as it is kept; none where nothing was.
pub(crate) fn write_adjusted(held: &HeldTarget) -> Option<Value> {
    let document = adjusted_document(held)?;
    Some(json!(document))
}

/// Reads what [`write_adjusted`] wrote.
pub(crate) fn read_adjusted(document: &Value) -> Result<Adjusted, Problems> {
    reader::read(document, adjusted)
}

fn adjusted_document(held: &HeldTarget) -> Option<AdjustedDocument> {
    let adjustment = &held.adjusted;
    (*adjustment != model::Adjustment::default()).then(|| AdjustedDocument {
        on: Target::from(&held.declared),
        weight: adjustment.weight.map(Weight::get),
        draining: adjustment.draining,
    })
}

fn adjusted(reader: &mut Reader<'_>) -> Option<Adjusted> {
    let weight = reader.or("weight", None, |value| target::weight(value).map(Some));
    let draining =
        reader.or("draining", false, |value| value.as_bool().ok_or_else(|| Wrong::kind("true or false", value)));
    if !reader.has("on") {
        reader.required("on", |_| Ok(()))?;
    }
    let on = reader.table("on", |reader| target::read(reader, None))?;
    Some(Adjusted { on, adjustment: model::Adjustment { weight, draining } })
}
