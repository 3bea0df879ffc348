//! `[instances]`: where the instances are that the ELB API names.

use std::collections::BTreeMap;
use std::sync::Arc;

use lb::model;
use lb::model::{Host, TargetId};
use serde_json::{Map, Value};

use super::problem::Wrong;
use super::target;

const INSTANCES_MAX: usize = 100_000;

/// Where an instance is.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
#[serde(untagged)]
pub enum Instance {
    /// Its address.
    Address(String),
    /// Its address, and the zone it is in.
    Zoned {
        /// Its address.
        address: String,
        /// Its availability zone.
        zone: String,
    },
}

/// Reads `[instances]`.
pub(super) fn read(value: &Value) -> Result<BTreeMap<Arc<str>, model::Instance>, Wrong> {
    let table = value.as_object().ok_or_else(|| Wrong::kind("a table of addresses by instance id", value))?;
    if table.len() > INSTANCES_MAX {
        return Err(Wrong::new("there are more than 100000 instances"));
    }
    let read = |(id, value): (&String, &Value)| {
        let instance = TargetId::parse(id).map_err(|error| wrong(error.to_string())).and_then(|_| instance(value));
        Ok((Arc::from(id.as_str()), instance.map_err(|wrong| wrong.within(id))?))
    };
    table.iter().map(read).collect()
}

fn instance(value: &Value) -> Result<model::Instance, Wrong> {
    match value {
        Value::Object(table) => zoned(table),
        Value::String(address) => Ok(model::Instance { host: host(address)?, zone: None }),
        _ => Err(wrong("its address must be a string".to_owned())),
    }
}

fn zoned(table: &Map<String, Value>) -> Result<model::Instance, Wrong> {
    if let Some(key) = table.keys().find(|key| !["address", "zone"].contains(&key.as_str())) {
        return Err(wrong(format!("unknown key `{key}`")).within(key));
    }
    let address = table.get("address").ok_or_else(|| wrong("`address` is missing".to_owned()))?;
    let address = address.as_str().ok_or_else(|| wrong("its address must be a string".to_owned()).within("address"))?;
    let zone = table.get("zone").map(|zone| target::zone(zone).map_err(|wrong| wrong.within("zone")));
    Ok(model::Instance { host: host(address)?, zone: zone.transpose()? })
}

fn host(address: &str) -> Result<Host, Wrong> {
    Host::parse(address).map_err(|error| wrong(error.to_string()))
}

fn wrong(why: String) -> Wrong {
    let zoned = "\"i-87f232ed\" = { address = \"10.0.0.11\", zone = \"us-east-1a\" }";
    Wrong::new(why).hint(format!("write it as in \"i-87f232ed\" = \"10.0.0.11\", or {zoned}"))
}

impl From<&model::Instance> for Instance {
    fn from(instance: &model::Instance) -> Self {
        let address = instance.host.to_string();
        match &instance.zone {
            None => Self::Address(address),
            Some(zone) => Self::Zoned { address, zone: zone.to_string() },
        }
    }
}
