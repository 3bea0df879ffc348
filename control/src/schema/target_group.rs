//! `[[target_group]]`.

use lb::model;

use super::{HealthCheck, Target};

/// A target group: how its targets are reached, checked, chosen and let go.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
pub struct TargetGroup {
    /// Its name: `[A-Za-z0-9._-]{1,64}`.
    pub name: String,
    /// What its targets speak: `http`.
    #[schema(required = false, default = "http")]
    pub protocol: String,
    /// How a target is chosen: `least_outstanding_requests` or `round_robin`.
    #[schema(required = false, default = "least_outstanding_requests")]
    pub algorithm: String,
    /// How long what is in flight at a target that leaves may take.
    #[schema(required = false, default = "300s")]
    pub deregistration_delay: String,
    /// What to do when no target is healthy: `fail_open` or `fail_closed`.
    #[schema(required = false, default = "fail_open")]
    pub when_all_unhealthy: String,
    /// How long a request waits while the whole group has not had its first verdict.
    #[schema(required = false, default = "3s")]
    pub initial_wait: String,
    /// How long connecting to a target may take.
    #[schema(required = false, default = "2s")]
    pub connect_timeout: String,
    /// To the first byte of an answer, then silence while the target owes bytes.
    #[schema(required = false, default = "60s")]
    pub response_timeout: String,
    /// How long an idle connection to a target is kept.
    #[schema(required = false, default = "4s")]
    pub keepalive_timeout: String,
    /// The most idle connections kept to one target, all workers together.
    #[schema(required = false, default = 64)]
    pub idle_connections_max: u64,
    /// The most in flight at one target, all workers together; 0: no limit.
    #[schema(required = false, default = 0)]
    pub connections_max: u64,
    /// How its targets are checked. Absent on writing: over TCP.
    #[schema(required = false)]
    pub health_check: HealthCheck,
    /// The targets a file declares. The API has them as a resource of their own.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(ignore)]
    pub target: Vec<Target>,
}

impl From<&model::TargetGroup> for TargetGroup {
    /// Without targets.
    fn from(_group: &model::TargetGroup) -> Self {
        unreachable!("being written")
    }
}
