//! The whole document: a file in all its parts, and finding an object in it again.

use std::collections::BTreeMap;

use lb::model;
use lb::model::{Declared, GroupName, HostPort, ListenerName, ObjectRef, Rejected};
use serde_json::Value;

use super::{
    AccessLog, Acme, Admin, Certificate, ElbApi, Instance, Limits, Listener, Problems, ProcessSettings, Shutdown,
    State, Target, TargetGroup, Workers, certificate, global, listener, reader, target_group,
};

/// A whole configuration, as a file holds it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
pub struct Document {
    /// The admin address.
    pub admin: Admin,
    /// Where state is kept.
    pub state: State,
    /// The threads that serve traffic.
    pub workers: Workers,
    /// Limits of the whole process.
    pub limits: Limits,
    /// How a graceful stop goes.
    pub shutdown: Shutdown,
    /// Where requests are logged.
    pub access_log: AccessLog,
    /// The authority that issues certificates.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub acme: Option<Acme>,
    /// How load balancers of the ELB API are carried out, and who may use it.
    pub elb_api: ElbApi,
    /// Where instances are that the ELB API names, by their ids.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub instances: BTreeMap<String, Instance>,
    /// Certificates.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub certificate: Vec<Certificate>,
    /// Listeners.
    pub listener: Vec<Listener>,
    /// Target groups, each with the targets it declares.
    pub target_group: Vec<TargetGroup>,
}

/// Reads a whole document. What must hold between its objects is not asked here (see [`Declared::faults`]), and files
/// that it names are not read (see [`crate::certificates::fill`]).
///
/// # Errors
/// All that is wrong with it.
pub fn read_document(document: &Value) -> Result<(ProcessSettings, Declared), Problems> {
    reader::read(document, |reader| {
        let process = global::read_process(reader);
        let global = global::read_global(reader);
        let has_acme = reader.has("acme");
        let certificates = reader.tables("certificate", |reader| certificate::read_files(reader, has_acme));
        let listeners = reader.tables("listener", |reader| listener::read(reader, None));
        let groups = reader.tables("target_group", target_group::read_with_targets);
        let mut declared = Declared { global: Some(global?), certificates, listeners, ..Declared::default() };
        for (group, targets) in groups {
            declared.targets.extend(targets.into_iter().map(|target| (group.name.clone(), target)));
            declared.target_groups.push(group);
        }
        Some((process?, declared))
    })
}

impl Document {
    /// The document that says all of it.
    pub fn of(process: &ProcessSettings, declared: &Declared) -> Self {
        let global = declared.global.clone().unwrap_or_default();
        let group = |group: &model::TargetGroup| {
            let own = declared.targets.iter().filter(|(name, _)| *name == group.name);
            TargetGroup { target: own.map(|(_, target)| Target::from(target)).collect(), ..TargetGroup::from(group) }
        };
        Self {
            admin: process.into(),
            state: process.into(),
            workers: process.into(),
            limits: (&global).into(),
            shutdown: (&global).into(),
            access_log: (&global).into(),
            acme: global.acme.as_ref().map(Acme::from),
            elb_api: (&global.elb_api).into(),
            instances: global.instances.iter().map(|(id, instance)| (id.to_string(), instance.into())).collect(),
            certificate: declared.certificates.iter().map(Certificate::from).collect(),
            listener: declared.listeners.iter().map(Listener::from).collect(),
            target_group: declared.target_groups.iter().map(group).collect(),
        }
    }
}

/// Where in a document that was read stands what a refusal is about; the whole document where it is about something
/// else.
pub(crate) fn pointer_to(document: &Value, rejected: &Rejected) -> String {
    let place = match rejected {
        Rejected::NotFound(object)
        | Rejected::KeyMissing(object)
        | Rejected::OwnedBy { object, .. }
        | Rejected::Twice(object) => object_in(document, object),
        Rejected::DanglingForward { listener, .. } | Rejected::Mismatch { listener, .. } => {
            listener_in(document, listener.as_str()).map(|place| format!("{place}/target_group"))
        }
        Rejected::DanglingCertificate { by: ObjectRef::Listener(name), .. } => {
            listener_in(document, name.as_str()).map(|place| format!("{place}/certificates"))
        }
        Rejected::DanglingCertificate { by: ObjectRef::TargetGroup(name), .. } => {
            group_in(document, name).map(|(place, _)| format!("{place}/tls_certificate"))
        }
        Rejected::DanglingCertificate { .. } => None,
        Rejected::SameBind(_, second) => listener_in(document, second.as_str()).map(|place| format!("{place}/bind")),
        Rejected::NoSource { target_group, .. } => group_in(document, target_group).map(|(place, _)| place),
        Rejected::InUse { .. } | Rejected::Taken { .. } | Rejected::Amiss { .. } => None,
    };
    place.unwrap_or_default()
}

fn object_in(document: &Value, object: &ObjectRef) -> Option<String> {
    match object {
        ObjectRef::Listener(name) => listener_in(document, name.as_str()).map(|place| format!("{place}/name")),
        ObjectRef::Certificate(name) => {
            named_in(document, "certificate", name.as_str()).map(|place| format!("{place}/name"))
        }
        ObjectRef::LoadBalancer(_) => None,
        ObjectRef::TargetGroup(name) => group_in(document, name).map(|(place, _)| format!("{place}/name")),
        ObjectRef::Target(group, id) => {
            let (place, group) = group_in(document, group)?;
            let targets = group.get("target")?.as_array()?;
            let index = targets.iter().rposition(|target| id_of(target).as_deref() == Some(id.as_str()))?;
            let key = if targets[index].get("id").is_some() { "id" } else { "address" };
            Some(format!("{place}/target/{index}/{key}"))
        }
    }
}

fn id_of(target: &Value) -> Option<String> {
    match target.get("id") {
        Some(id) => id.as_str().map(str::to_owned),
        None => Some(HostPort::parse(target.get("address")?.as_str()?).ok()?.to_string()),
    }
}

/// Where in a document that was read a listener stands.
pub(crate) fn pointer_to_listener(document: &Value, name: &ListenerName) -> Option<String> {
    listener_in(document, name.as_str())
}

fn listener_in(document: &Value, name: &str) -> Option<String> {
    named_in(document, "listener", name)
}

fn named_in(document: &Value, kind: &str, name: &str) -> Option<String> {
    let objects = document.get(kind)?.as_array()?;
    let index = objects.iter().rposition(|object| object.get("name").and_then(Value::as_str) == Some(name))?;
    Some(format!("/{kind}/{index}"))
}

fn group_in<'d>(document: &'d Value, name: &GroupName) -> Option<(String, &'d Value)> {
    let groups = document.get("target_group")?.as_array()?;
    let is_named = |group: &Value| group.get("name").and_then(Value::as_str) == Some(name.as_str());
    let index = groups.iter().rposition(is_named)?;
    Some((format!("/target_group/{index}"), &groups[index]))
}
