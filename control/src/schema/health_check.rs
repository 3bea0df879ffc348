//! `[target_group.health_check]`.

use std::collections::BTreeMap;

use lb::model;

/// How targets of a group are checked.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
pub struct HealthCheck {
    /// `http` or `tcp`.
    #[schema(required = false, default = "http")]
    pub protocol: String,
    /// The path of the request. HTTP only, as are `host`, `headers` and `matcher`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(default = "/")]
    pub path: Option<String>,
    /// `traffic-port`, or a number.
    #[schema(required = false, value_type = crate::schema::health_check::PortSchema)]
    pub port: serde_json::Value,
    /// The `Host` header; empty: the target's address.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(default = "")]
    pub host: Option<String>,
    /// More headers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub headers: Option<BTreeMap<String, String>>,
    /// From the start of one probe to the start of the next: 100 ms to 300 s.
    #[schema(required = false, default = "10s")]
    pub interval: String,
    /// How long a probe may take; shorter than the interval.
    #[schema(required = false, default = "5s")]
    pub timeout: String,
    /// Passed probes in a row that make a target healthy.
    #[schema(required = false, default = 2, minimum = 1, maximum = 10)]
    pub healthy_threshold: u64,
    /// Failed probes in a row that make a target unhealthy.
    #[schema(required = false, default = 2, minimum = 1, maximum = 10)]
    pub unhealthy_threshold: u64,
    /// The status codes that pass, as in `200,301-302`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(default = "200-299")]
    pub matcher: Option<String>,
}

/// A probe's port, as it is written.
#[derive(utoipa::ToSchema)]
#[schema(as = ProbePort)]
#[serde(untagged)]
#[expect(dead_code, reason = "describes the key in the OpenAPI document")]
pub(crate) enum PortSchema {
    /// `traffic-port`.
    Traffic(String),
    /// A port.
    Fixed(u16),
}

impl From<&model::HealthCheck> for HealthCheck {
    fn from(_check: &model::HealthCheck) -> Self {
        unreachable!("being written")
    }
}
