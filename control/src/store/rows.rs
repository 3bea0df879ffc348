//! Between rows that are kept and the wanted state: what a change writes, and what a start reads.

use std::path::Path;

use lb::model::{
    AcmeState, CertificateName, Config, CookieKeys, GroupName, HeldTarget, ListenerName, LoadBalancerId, ObjectRef,
    Origin, TargetGroup, TargetId, TicketKeys,
};
use serde_json::Value;

use super::{BackingError, Commit, Kept, Row, RowKey, acme, ticket_keys};
use crate::certificates::{fill_group, fill_listener};
use crate::elb::Facts;
use crate::schema::{self, Adjusted, Problems};

/// What was read, as changes need it: each object with the revision that last changed it.
#[derive(Debug, Default)]
pub(super) struct Restored {
    pub(super) ticket_keys: TicketKeys,
    pub(super) acme: AcmeState,
    pub(super) certificates: Vec<(lb::model::Certificate, u64)>,
    pub(super) listeners: Vec<(lb::model::Listener, u64)>,
    pub(super) load_balancers: Vec<(LoadBalancerId, Facts, u64)>,
    pub(super) groups: Vec<(TargetGroup, u64)>,
    pub(super) targets: Vec<RestoredTarget>,
    /// What sources have found.
    pub(super) found: Vec<RestoredTarget>,
    pub(super) adjusted: Vec<(GroupName, Adjusted)>,
    pub(super) cookie_keys: CookieKeys,
}

/// A target that was read.
#[derive(Debug, Clone)]
pub(super) struct RestoredTarget {
    pub(super) origin: Origin,
    pub(super) group: GroupName,
    pub(super) target: lb::model::Target,
    pub(super) revision: u64,
}

/// What makes `after` durable where `before` was.
pub(super) fn commit(before: &Config, after: &Config, history: Vec<(u64, String)>) -> Commit {
    let difference = before.difference(after);
    let mut commit = Commit { revision: after.revision, history, ..Commit::default() };
    for object in difference.removed.iter().chain(&difference.changed).chain(&difference.added) {
        for (key, row) in rows_of(after, object) {
            let was_kept = || rows_of(before, object).into_iter().any(|(other, row)| other == key && row.is_some());
            match row {
                Some((owner, revision, document)) => commit.put.push(Row { key, owner, revision, document }),
                None if was_kept() => commit.delete.push(key),
                None => {}
            }
        }
    }
    if difference.cookie_keys {
        let document = schema::write_cookie_keys(&after.cookie_keys);
        commit.put.push(Row { key: RowKey::CookieKeys, owner: Origin::Api, revision: after.revision, document });
    }
    if difference.ticket_keys {
        let document = ticket_keys::write(&after.ticket_keys);
        commit.put.push(Row { key: RowKey::TicketKeys, owner: Origin::Api, revision: after.revision, document });
    }
    if difference.acme {
        acme_rows(before, after, &mut commit);
    }
    commit
}

/// The rows that an object has now.
pub(super) fn written(config: &Config, object: &ObjectRef) -> Vec<Row> {
    let row = |(key, written): (_, Option<Written>)| {
        written.map(|(owner, revision, document)| Row { key, owner, revision, document })
    };
    rows_of(config, object).into_iter().filter_map(row).collect()
}

/// Writes what is not the same of automatic certificates.
fn acme_rows(before: &Config, after: &Config, commit: &mut Commit) {
    let row = |key, document| Row { key, owner: Origin::Api, revision: after.revision, document };
    let (before, now) = (&before.acme, &after.acme);
    match &now.account {
        Some(account) if before.account.as_ref() != Some(account) => {
            commit.put.push(row(RowKey::AcmeAccount, acme::write_account(account)));
        }
        None if before.account.is_some() => commit.delete.push(RowKey::AcmeAccount),
        _ => {}
    }
    for (name, issued) in now.issued.iter().filter(|(name, issued)| before.issued.get(*name) != Some(*issued)) {
        commit.put.push(row(RowKey::Issued(name.to_string()), acme::write_issued(issued)));
    }
    let gone = before.issued.keys().filter(|name| !now.issued.contains_key(*name));
    commit.delete.extend(gone.map(|name| RowKey::Issued(name.to_string())));
}

type Written = (Origin, u64, Value);

/// Each row that an object may have, with what stands in it now.
fn rows_of(config: &Config, object: &ObjectRef) -> Vec<(RowKey, Option<Written>)> {
    match object {
        ObjectRef::Listener(name) => {
            let held = config.listeners.get(name).filter(|held| held.origin == Origin::Api);
            let written = held.map(|held| (held.origin, held.revision, document(schema::Listener::from(&held.wanted))));
            vec![(RowKey::Listener(name.to_string()), written)]
        }
        ObjectRef::Certificate(name) => {
            let held = config.certificates.get(name).filter(|held| held.origin == Origin::Api);
            let written = held.map(|held| (held.origin, held.revision, schema::write_kept(&held.wanted)));
            vec![(RowKey::Certificate(name.to_string()), written)]
        }
        ObjectRef::LoadBalancer(id) => {
            let held = config.load_balancers.get(id);
            // What is kept of it is JSON.
            let facts = |facts: &str| serde_json::from_str(facts).unwrap_or_default();
            let written = held.map(|held| (held.origin, held.revision, facts(&held.wanted.facts)));
            let LoadBalancerId { account, region, name } = id;
            vec![(RowKey::LoadBalancer(account.to_string(), region.to_string(), name.to_string()), written)]
        }
        ObjectRef::TargetGroup(name) => {
            let held = config.groups.get(name).map(|group| &group.settings);
            let held = held.filter(|held| held.origin == Origin::Api);
            let written =
                held.map(|held| (held.origin, held.revision, document(schema::TargetGroup::from(&held.wanted))));
            vec![(RowKey::TargetGroup(name.to_string()), written)]
        }
        ObjectRef::Target(group, id) => {
            let held = config.target(group, id).map(AsRef::as_ref);
            let (group, id) = (group.to_string(), id.to_string());
            vec![
                (RowKey::Target(group.clone(), id.clone()), held.and_then(owned_target)),
                (RowKey::Adjusted(group, id), held.and_then(adjusted_target)),
            ]
        }
    }
}

fn owned_target(held: &HeldTarget) -> Option<Written> {
    // What was found is kept as well: a start serves by it before anybody can look again.
    let is_kept = held.origin == Origin::Api || held.origin.discovers();
    is_kept.then(|| (held.origin, held.revision, document(schema::Target::from(&held.declared))))
}

fn adjusted_target(held: &HeldTarget) -> Option<Written> {
    Some((held.origin, held.revision, schema::write_adjusted(held)?))
}

fn document(written: impl serde::Serialize) -> Value {
    // Strings, numbers and lists of them always become JSON.
    serde_json::to_value(written).unwrap_or_default()
}

/// Reads what is kept at `place`.
pub(super) fn restore(kept: &Kept, place: &Path) -> Result<Restored, BackingError> {
    let mut restored = Restored::default();
    for row in &kept.rows {
        let damaged = |why: String| {
            let what = format!("{} cannot be read: {why}", row.key);
            BackingError::Damaged { path: place.to_owned(), what }
        };
        restored.take_in(row).map_err(damaged)?;
    }
    Ok(restored)
}

impl Restored {
    fn take_in(&mut self, row: &Row) -> Result<(), String> {
        let (document, revision) = (&row.document, row.revision);
        let name = |error: lb::model::InvalidName| error.to_string();
        let problems = |problems: Problems| problems.to_string();
        match &row.key {
            RowKey::Listener(listener) => {
                let listener = ListenerName::parse(listener).map_err(name)?;
                let mut listener = schema::read_listener(&listener, document).map_err(problems)?;
                if let Err(wrong) = fill_listener(&mut listener) {
                    // It starts all the same, and vouches for nobody until the file is there again.
                    tracing::error!(listener = %listener.name, "client_ca: {wrong}");
                }
                self.listeners.push((listener, revision));
            }
            RowKey::Certificate(certificate) => {
                let certificate = CertificateName::parse(certificate).map_err(name)?;
                let certificate = schema::read_certificate(&certificate, document).map_err(problems)?;
                self.certificates.push((certificate, revision));
            }
            RowKey::AcmeAccount => self.acme.account = Some(acme::read_account(document)?.into()),
            RowKey::Issued(certificate) => {
                let certificate = CertificateName::parse(certificate).map_err(name)?;
                self.acme.issued.insert(certificate, acme::read_issued(document)?.into());
            }
            RowKey::LoadBalancer(account, region, name) => {
                let id = LoadBalancerId {
                    account: account.as_str().into(),
                    region: region.as_str().into(),
                    name: name.as_str().into(),
                };
                let facts = Facts::read(&document.to_string()).map_err(|unreadable| unreadable.to_string())?;
                self.load_balancers.push((id, facts, revision));
            }
            RowKey::TicketKeys => self.ticket_keys = ticket_keys::read(document)?,
            RowKey::TargetGroup(group) => {
                let group = GroupName::parse(group).map_err(name)?;
                let mut group = schema::read_target_group(&group, document).map_err(problems)?;
                if let Err(wrong) = fill_group(&mut group) {
                    // It starts all the same, and no target is vouched for until the file is there again.
                    tracing::error!(target_group = %group.name, "tls_ca: {wrong}");
                }
                self.groups.push((group, revision));
            }
            RowKey::Target(group, id) => {
                let (group, id) = (GroupName::parse(group).map_err(name)?, TargetId::parse(id).map_err(name)?);
                let target = schema::read_target(&id, document).map_err(problems)?;
                let origin = row.owner;
                let place = if origin.discovers() { &mut self.found } else { &mut self.targets };
                place.push(RestoredTarget { origin, group, target, revision });
            }
            RowKey::Adjusted(group, _) => {
                let group = GroupName::parse(group).map_err(name)?;
                self.adjusted.push((group, schema::read_adjusted(document).map_err(problems)?));
            }
            RowKey::CookieKeys => self.cookie_keys = schema::read_cookie_keys(document).map_err(problems)?,
        }
        Ok(())
    }
}
