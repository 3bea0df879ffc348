//! `[[target_group.target]]`.

use std::sync::Arc;

use lb::model;
use lb::model::{HostPort, TargetId, Weight};
use serde_json::Value;

use super::notation::{target_address, text};
use super::problem::Wrong;
use super::reader::Reader;

const ZONE_BYTES_MAX: usize = 64;

/// A target: where it is and how much of the traffic it should take.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
pub struct Target {
    /// Its id, unique within the group; where it is left out in a file: its address.
    #[schema(required = false)]
    pub id: String,
    /// Where it listens: `10.0.0.11:80`, `[::1]:80`, or a host name, which is resolved again every 30 s.
    pub address: String,
    /// Its share, 0 to 1000; 0 takes no new work but what is sticky to it.
    #[schema(required = false, default = 1, maximum = 1000)]
    pub weight: u64,
    /// Its availability zone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
}

/// Reads a target; `named` by the place it stands in, by its own key, or else by its address.
pub(super) fn read(reader: &mut Reader<'_>, named: Option<&TargetId>) -> Option<model::Target> {
    let address = reader.required("address", target_address);
    let id = if named.is_some() || reader.has("id") {
        super::name_of_key(reader, "id", named, TargetId::parse)
    } else {
        id_from(reader, address.as_ref()?)
    };
    Some(model::Target {
        weight: reader.or("weight", Weight::default(), weight),
        zone: reader.or("zone", None, |value| zone(value).map(Some)),
        id: id?,
        address: address?,
    })
}

fn id_from(reader: &mut Reader<'_>, address: &HostPort) -> Option<TargetId> {
    let id = TargetId::parse(&address.to_string());
    id.map_err(|error| reader.problem("id", Wrong::new(error.to_string()).hint("give this target an `id`"))).ok()
}

pub(super) fn weight(value: &Value) -> Result<Weight, Wrong> {
    let number = value.as_u64().ok_or_else(|| Wrong::kind("a whole number from 0 to 1000", value))?;
    Weight::new(number).map_err(|error| Wrong::new(error.to_string()))
}

pub(super) fn zone(value: &Value) -> Result<Arc<str>, Wrong> {
    let zone = text(value)?;
    if zone.len() > ZONE_BYTES_MAX {
        return Err(Wrong::new(format!("it is longer than {ZONE_BYTES_MAX} characters")));
    }
    Ok(zone.into())
}

impl From<&model::Target> for Target {
    fn from(target: &model::Target) -> Self {
        Self {
            id: target.id.to_string(),
            address: target.address.to_string(),
            weight: target.weight.get().into(),
            zone: target.zone.as_deref().map(str::to_owned),
        }
    }
}
