//! `[[target_group.target]]`.

use lb::model;

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

impl From<&model::Target> for Target {
    fn from(_target: &model::Target) -> Self {
        unreachable!("being written")
    }
}
