//! What representations hold: an object as it was declared, with owner and revision, and what is seen of it.

use std::sync::Arc;
use std::time::{Instant, SystemTime};

use lb::listen::BoundSocket;
use lb::model::{Certificate, Config, Group, Held, HeldTarget, Listener, ObjectRef, TargetGroup};
use lb::state::{Member, TargetState};
use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;
use utoipa::ToSchema;

use crate::schema;

/// A listener.
#[derive(Debug, Clone, serde::Serialize, ToSchema)]
pub(super) struct ListenerView {
    #[serde(flatten)]
    listener: schema::Listener,
    /// Who owns it: `file` or `api`.
    #[schema(read_only)]
    owner: String,
    /// The revision that last changed it; its `ETag`.
    #[schema(read_only)]
    revision: u64,
    /// The address that was bound, with the port the kernel chose where 0 was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(read_only)]
    address: Option<String>,
}

impl ListenerView {
    /// Keys of a representation that a write ignores, so that what was read can be written back.
    pub(super) const READ_ONLY: &[&str] = &["owner", "revision", "address"];

    pub(super) fn revision(&self) -> u64 {
        self.revision
    }

    pub(super) fn of(held: &Held<Listener>, socket: Option<&Arc<BoundSocket>>) -> Self {
        Self {
            listener: (&held.wanted).into(),
            owner: held.origin.to_string(),
            revision: held.revision,
            address: socket.map(|socket| socket.address.to_string()),
        }
    }
}

/// A target group, less its targets.
#[derive(Debug, Clone, serde::Serialize, ToSchema)]
pub(super) struct TargetGroupView {
    #[serde(flatten)]
    group: schema::TargetGroup,
    /// Who owns it: `file` or `api`.
    #[schema(read_only)]
    owner: String,
    /// The revision that last changed it; its `ETag`.
    #[schema(read_only)]
    revision: u64,
}

impl TargetGroupView {
    /// Keys of a representation that a write ignores.
    pub(super) const READ_ONLY: &[&str] = &["owner", "revision"];

    pub(super) fn of(held: &Held<TargetGroup>) -> Self {
        Self { group: (&held.wanted).into(), owner: held.origin.to_string(), revision: held.revision }
    }
}

/// A target, with what is seen of it.
#[derive(Debug, Clone, serde::Serialize, ToSchema)]
pub(super) struct TargetView {
    /// Its id, unique within the group.
    id: String,
    /// Where it listens.
    address: String,
    /// Its share, 0 to 1000.
    weight: u16,
    /// Its availability zone, where known.
    #[serde(skip_serializing_if = "Option::is_none")]
    zone: Option<String>,
    /// Who owns it: `file` or `api`.
    owner: String,
    /// `initial`, `healthy`, `unhealthy`, `draining`, `ejected` or `unused`.
    state: &'static str,
    /// Why, in one sentence.
    reason: String,
    /// Since when.
    #[schema(format = DateTime)]
    since: String,
    /// Requests and connections in flight.
    in_flight: usize,
    /// Of a drained target in a group with stickiness: about how many sessions it has seen in the last few minutes.
    #[serde(skip_serializing_if = "Option::is_none")]
    sessions: Option<u64>,
    /// The revision that last changed it; its `ETag`.
    revision: u64,
}

impl TargetView {
    /// Keys of a representation that a write ignores.
    pub(super) const READ_ONLY: &[&str] = &["owner", "state", "reason", "since", "in_flight", "sessions", "revision"];

    pub(super) fn of(member: &Member) -> Self {
        Self {
            state: member.state.as_str(),
            reason: member.reason.to_string(),
            since: rfc3339(member.since),
            in_flight: member.backend.in_flight(),
            sessions: member.backend.sessions(Instant::now()),
            ..Self::gone(&member.held, member.since)
        }
    }

    /// A target that was deregistered with nothing in flight, and has left already.
    pub(super) fn gone(held: &HeldTarget, at: SystemTime) -> Self {
        let declared = &held.declared;
        Self {
            id: declared.id.to_string(),
            address: declared.address.to_string(),
            weight: held.weight().get(),
            zone: declared.zone.as_deref().map(str::to_owned),
            owner: held.origin.to_string(),
            state: TargetState::Draining.as_str(),
            reason: "deregistered with nothing in flight: it has left".to_owned(),
            since: rfc3339(at),
            in_flight: 0,
            sessions: None,
            revision: held.revision,
        }
    }

    pub(super) fn revision(&self) -> u64 {
        self.revision
    }
}

/// A target that has left its group.
#[derive(Debug, serde::Serialize, ToSchema)]
pub(super) struct LeftView {
    /// The group.
    pub(super) target_group: String,
    /// The target's id.
    pub(super) id: String,
    /// True.
    pub(super) left: bool,
}

/// All that is wanted.
#[derive(Debug, serde::Serialize, ToSchema)]
pub(super) struct ConfigView {
    /// Counts changes.
    revision: u64,
    limits: schema::Limits,
    shutdown: schema::Shutdown,
    access_log: schema::AccessLog,
    /// The authority that issues certificates, where one does.
    #[serde(skip_serializing_if = "Option::is_none")]
    acme: Option<schema::Acme>,
    /// Certificates, by name, less what stands in them.
    certificates: Vec<CertificateWantedView>,
    /// Listeners, by name.
    listeners: Vec<ListenerView>,
    /// Target groups with their targets, by name.
    target_groups: Vec<GroupWantedView>,
}

/// A certificate as wanted: where it comes from.
#[derive(Debug, serde::Serialize, ToSchema)]
struct CertificateWantedView {
    #[serde(flatten)]
    certificate: schema::Certificate,
    /// Who owns it: `file` or `api`.
    owner: String,
    /// The revision that last changed it.
    revision: u64,
}

/// A target group with its targets, as wanted.
#[derive(Debug, serde::Serialize, ToSchema)]
struct GroupWantedView {
    #[serde(flatten)]
    group: TargetGroupView,
    /// Its targets, by id.
    targets: Vec<TargetWantedView>,
}

/// A target as wanted.
#[derive(Debug, serde::Serialize, ToSchema)]
struct TargetWantedView {
    #[serde(flatten)]
    target: schema::Target,
    /// Who owns it: `file` or `api`.
    owner: String,
    /// The revision that last changed it.
    revision: u64,
    /// Another weight than its owner declared.
    #[serde(skip_serializing_if = "Option::is_none")]
    adjusted_weight: Option<u16>,
    /// Whether it was asked to take no new work.
    draining: bool,
}

impl ConfigView {
    pub(super) fn of(config: &Config) -> Self {
        Self {
            revision: config.revision,
            limits: (&*config.global).into(),
            shutdown: (&*config.global).into(),
            access_log: (&*config.global).into(),
            acme: config.global.acme.as_ref().map(schema::Acme::from),
            certificates: config.certificates.values().map(|held| CertificateWantedView::of(held)).collect(),
            listeners: config.listeners.values().map(|held| ListenerView::of(held, None)).collect(),
            target_groups: config.groups.values().map(|group| GroupWantedView::of(group)).collect(),
        }
    }
}

impl CertificateWantedView {
    fn of(held: &Held<Certificate>) -> Self {
        Self { certificate: (&held.wanted).into(), owner: held.origin.to_string(), revision: held.revision }
    }
}

impl GroupWantedView {
    fn of(group: &Group) -> Self {
        let targets = group.targets.values().map(|held| TargetWantedView {
            target: (&held.declared).into(),
            owner: held.origin.to_string(),
            revision: held.revision,
            adjusted_weight: held.adjusted.weight.map(lb::model::Weight::get),
            draining: held.adjusted.draining,
        });
        Self { group: TargetGroupView::of(&group.settings), targets: targets.collect() }
    }
}

/// Which object something is about.
#[derive(Debug, serde::Serialize, ToSchema)]
pub(super) struct ObjectView {
    /// `listener`, `certificate`, `load_balancer`, `target_group` or `target`.
    kind: &'static str,
    /// Its name or id.
    name: String,
    /// The group of a target.
    #[serde(skip_serializing_if = "Option::is_none")]
    target_group: Option<String>,
}

impl From<&ObjectRef> for ObjectView {
    fn from(object: &ObjectRef) -> Self {
        let view = |kind, name: &dyn ToString| Self { kind, name: name.to_string(), target_group: None };
        match object {
            ObjectRef::Listener(name) => view("listener", name),
            ObjectRef::Certificate(name) => view("certificate", name),
            ObjectRef::LoadBalancer(id) => view("load_balancer", id),
            ObjectRef::TargetGroup(name) => view("target_group", name),
            ObjectRef::Target(group, id) => Self { target_group: Some(group.to_string()), ..view("target", id) },
        }
    }
}

/// A body without the keys that a representation has and a write ignores.
pub(super) fn writable(mut body: Value, read_only: &[&str]) -> Value {
    if let Some(object) = body.as_object_mut() {
        object.retain(|key, _| !read_only.contains(&key.as_str()));
    }
    body
}

/// A time as users see it.
pub(super) fn rfc3339(time: SystemTime) -> String {
    const FORMAT: &[BorrowedFormatItem<'_>] =
        format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");
    // It fails for a format with parts that a time lacks only.
    OffsetDateTime::from(time).format(FORMAT).unwrap_or_default()
}
