//! Which objects are not the same in two configurations.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Config, Group, ObjectRef};

/// Which objects are not the same in two configurations, each list in the order of names.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Difference {
    /// There now, and not before.
    pub added: Vec<ObjectRef>,
    /// There before and now, and not the same: in what is wanted, in its owner, or in what was adjusted.
    pub changed: Vec<ObjectRef>,
    /// There before, and no more.
    pub removed: Vec<ObjectRef>,
    /// Whether process-wide settings are not the same.
    pub global: bool,
    /// Whether the keys of cookies are not the same.
    pub cookie_keys: bool,
    /// Whether the keys of TLS session tickets are not the same.
    pub ticket_keys: bool,
    /// Whether what is kept of automatic certificates is not the same.
    pub acme: bool,
}

impl Config {
    /// What is not the same in `next`. Costs little where both share their parts.
    pub fn difference(&self, next: &Self) -> Difference {
        let mut found = Difference {
            global: self.global != next.global,
            cookie_keys: self.cookie_keys != next.cookie_keys,
            ticket_keys: self.ticket_keys != next.ticket_keys,
            acme: self.acme != next.acme,
            ..Difference::default()
        };
        compare(&self.certificates, &next.certificates, |name, before, now| {
            found.note(ObjectRef::Certificate(name.clone()), before, now);
        });
        compare(&self.listeners, &next.listeners, |name, before, now| {
            found.note(ObjectRef::Listener(name.clone()), before, now);
        });
        compare(&self.load_balancers, &next.load_balancers, |id, before, now| {
            found.note(ObjectRef::LoadBalancer(id.clone()), before, now);
        });
        compare(&self.groups, &next.groups, |name, before, now| {
            let settings = |group: &Arc<Group>| Arc::clone(&group.settings);
            found.note(ObjectRef::TargetGroup(name.clone()), before.map(settings), now.map(settings));
            let none = BTreeMap::new();
            let (before, now) =
                (before.map_or(&none, |group| &group.targets), now.map_or(&none, |group| &group.targets));
            compare(before, now, |id, before, now| {
                found.note(ObjectRef::Target(name.clone(), id.clone()), before, now);
            });
        });
        found
    }
}

impl Difference {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    fn note<T: PartialEq>(&mut self, object: ObjectRef, before: Option<T>, now: Option<T>) {
        match (before, now) {
            (None, Some(_)) => self.added.push(object),
            (Some(_), None) => self.removed.push(object),
            (before, now) if before != now => self.changed.push(object),
            _ => {}
        }
    }
}

/// Calls `with` for each key whose values are not the very same allocation on both sides, in order.
fn compare<'a, K: Ord, V>(
    before: &'a BTreeMap<K, Arc<V>>,
    now: &'a BTreeMap<K, Arc<V>>,
    mut with: impl FnMut(&'a K, Option<&'a Arc<V>>, Option<&'a Arc<V>>),
) {
    let (mut before, mut now) = (before.iter().peekable(), now.iter().peekable());
    loop {
        let order = match (before.peek(), now.peek()) {
            (None, None) => return,
            (Some(_), None) => std::cmp::Ordering::Less,
            (None, Some(_)) => std::cmp::Ordering::Greater,
            (Some((left, _)), Some((right, _))) => left.cmp(right),
        };
        let left = if order.is_le() { before.next() } else { None };
        let right = if order.is_ge() { now.next() } else { None };
        let Some((key, _)) = left.or(right) else { return };
        let (left, right) = (left.map(|(_, value)| value), right.map(|(_, value)| value));
        let same = left.zip(right).is_some_and(|(left, right)| Arc::ptr_eq(left, right));
        if !same {
            with(key, left, right);
        }
    }
}
