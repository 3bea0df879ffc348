//! The wanted state under any sequence of changes: a change is made whole or not at all, nobody touches what is
//! another's, and revisions only grow.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::BTreeSet;
use std::time::Duration;

use lb::model::{
    Adjustment, Certificate, CertificateName, CertificateSource, Change, ClientAuth, Config, Declared, Discovery,
    Ec2Address, Ec2Discovery, Forward, GroupName, HostPort, Listener, ListenerName, ListenerTls, ObjectRef, Origin,
    PrivateKey, Rejected, Target, TargetGroup, TargetId, TlsPolicy, Weight, WhenAllUnhealthy,
};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

fn origin() -> impl Strategy<Value = Origin> {
    select(vec![Origin::File, Origin::Api])
}

fn listener_name() -> impl Strategy<Value = ListenerName> {
    select(vec!["web", "two"]).prop_map(|name| ListenerName::parse(name).unwrap())
}

fn group_name() -> impl Strategy<Value = GroupName> {
    select(vec!["app", "other", "third"]).prop_map(|name| GroupName::parse(name).unwrap())
}

fn id() -> impl Strategy<Value = TargetId> {
    select(vec!["a", "b", "c"]).prop_map(|id| TargetId::parse(id).unwrap())
}

fn weight() -> impl Strategy<Value = Weight> {
    (0..3u64).prop_map(|weight| Weight::new(weight).unwrap())
}

fn listener() -> impl Strategy<Value = Listener> {
    (listener_name(), 0..3u16, group_name(), vec(certificate_name(), 0..2)).prop_map(
        |(name, port, group, certificates)| {
            let policy = TlsPolicy::default();
            let tls = ListenerTls { certificates, policy, client_auth: ClientAuth::Off, alpn: Vec::new() };
            let tls = (!tls.certificates.is_empty()).then_some(tls);
            Listener { tls, ..Listener::new(name, ([127, 0, 0, 1], port).into(), Forward::to(group)) }
        },
    )
}

fn certificate_name() -> impl Strategy<Value = CertificateName> {
    select(vec!["shop", "blog"]).prop_map(|name| CertificateName::parse(name).unwrap())
}

fn certificate() -> impl Strategy<Value = Certificate> {
    (certificate_name(), select(vec!["one", "another"])).prop_map(|(name, pem)| Certificate {
        name,
        arn: None,
        source: CertificateSource::Given,
        chain: pem.into(),
        key: PrivateKey::new(pem),
    })
}

fn group() -> impl Strategy<Value = TargetGroup> {
    (group_name(), select(vec![WhenAllUnhealthy::FailOpen, WhenAllUnhealthy::FailClosed]), any::<bool>()).prop_map(
        |(name, when_all_unhealthy, discovers)| TargetGroup {
            when_all_unhealthy,
            discovery: discovers.then(discovery),
            ..TargetGroup::new(name)
        },
    )
}

fn discovery() -> Discovery {
    Discovery::Ec2(Ec2Discovery {
        tags: [("role".into(), vec!["web".into()])].into(),
        asg: None,
        region: None,
        address: Ec2Address::Private,
        port: Some(80),
        port_tag: None,
        weight_tag: None,
        interval: Duration::from_secs(15),
        complete_lifecycle_action: None,
        set_instance_health: false,
    })
}

fn target() -> impl Strategy<Value = Target> {
    (id(), select(vec!["10.0.0.1:1", "10.0.0.2:1"]), weight()).prop_map(|(id, address, weight)| Target {
        id,
        address: HostPort::parse(address).unwrap(),
        weight,
        zone: None,
    })
}

fn declared() -> impl Strategy<Value = Declared> {
    let (listeners, targets) = (vec(listener(), 0..2), vec((group_name(), target()), 0..4));
    (vec(certificate(), 0..3), listeners, vec(group(), 0..3), targets).prop_map(
        |(certificates, listeners, target_groups, targets)| {
            // A document declares a target within its group.
            let declares = |name: &GroupName| target_groups.iter().any(|group| group.name == *name);
            let targets = targets.into_iter().filter(|(group, _)| declares(group)).collect();
            Declared { global: None, certificates, listeners, target_groups, targets }
        },
    )
}

fn adjustment() -> impl Strategy<Value = Adjustment> {
    (proptest::option::of(weight()), any::<bool>()).prop_map(|(weight, draining)| Adjustment { weight, draining })
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        2 => (origin(), listener()).prop_map(|(origin, listener)| Change::PutListener(origin, listener)),
        1 => (origin(), listener_name()).prop_map(|(origin, name)| Change::DeleteListener(origin, name)),
        2 => (origin(), certificate()).prop_map(|(origin, given)| Change::PutCertificate(origin, given)),
        1 => (origin(), certificate_name()).prop_map(|(origin, name)| Change::DeleteCertificate(origin, name)),
        3 => (origin(), group()).prop_map(|(origin, group)| Change::PutTargetGroup(origin, group)),
        1 => (origin(), group_name()).prop_map(|(origin, name)| Change::DeleteTargetGroup(origin, name)),
        4 => (origin(), group_name(), target()).prop_map(|(origin, group, target)| Change::PutTarget(origin, group, target)),
        1 => (origin(), group_name(), id()).prop_map(|(origin, group, id)| Change::DeleteTarget(origin, group, id)),
        2 => (group_name(), id(), any::<bool>()).prop_map(|(group, id, draining)| Change::Drain(group, id, draining)),
        2 => (group_name(), id(), weight()).prop_map(|(group, id, weight)| Change::Reweigh(group, id, weight)),
        1 => (group_name(), target(), adjustment()).prop_map(|(group, on, what)| Change::Adjust(group, on, what)),
        4 => (group_name(), vec(target(), 0..3)).prop_map(|(group, found)| Change::DeclareTargets(Origin::Ec2, group, found)),
        3 => (origin(), declared()).prop_map(|(origin, declared)| Change::Declare(origin, declared)),
    ]
}

/// Every object of a configuration with its owner and its revision.
fn objects(config: &Config) -> Vec<(ObjectRef, Origin, u64)> {
    let listeners = config.listeners.iter();
    let listeners = listeners.map(|(name, held)| (ObjectRef::Listener(name.clone()), held.origin, held.revision));
    let certificates = config.certificates.iter();
    let certificates =
        certificates.map(|(name, held)| (ObjectRef::Certificate(name.clone()), held.origin, held.revision));
    let groups = config
        .groups
        .iter()
        .map(|(name, group)| (ObjectRef::TargetGroup(name.clone()), group.settings.origin, group.settings.revision));
    let targets = config.groups.iter().flat_map(|(name, group)| {
        let targets = group.targets.iter();
        targets.map(|(id, held)| (ObjectRef::Target(name.clone(), id.clone()), held.origin, held.revision))
    });
    certificates.chain(listeners).chain(groups).chain(targets).collect()
}

fn owned_by(config: &Config, origin: Origin) -> BTreeSet<ObjectRef> {
    objects(config).into_iter().filter(|(_, owner, _)| *owner == origin).map(|(object, ..)| object).collect()
}

fn touched(before: &Config, after: &Config) -> BTreeSet<ObjectRef> {
    let difference = before.difference(after);
    difference.added.into_iter().chain(difference.changed).chain(difference.removed).collect()
}

/// What holds of every configuration.
fn check_whole(config: &Config) -> Result<(), TestCaseError> {
    for held in config.listeners.values() {
        prop_assert!(config.groups.contains_key(&held.wanted.forward.target_group), "a forward leads nowhere");
        let mut shown = held.wanted.tls.iter().flat_map(|tls| &tls.certificates);
        prop_assert!(shown.all(|name| config.certificates.contains_key(name)), "a certificate is missing");
    }
    for (object, _, revision) in objects(config) {
        prop_assert!((1..=config.revision).contains(&revision), "{object} has revision {revision}");
        prop_assert_eq!(config.revision_of(&object), Some(revision));
    }
    Ok(())
}

/// What was found stands only where it is asked for.
fn check_found(config: &Config) -> Result<(), TestCaseError> {
    for group in config.groups.values().filter(|group| group.settings.wanted.discovery.is_none()) {
        prop_assert!(group.targets.values().all(|held| held.origin != Origin::Ec2), "found for nobody");
    }
    Ok(())
}

/// What holds of every change that was made.
fn check_made(before: &Config, change: &Change, after: &Config) -> Result<(), TestCaseError> {
    let touched = touched(before, after);
    let expected = before.revision + u64::from(!touched.is_empty());
    prop_assert_eq!(after.revision, expected, "a revision for each change, none for none");
    for (object, _, revision) in objects(after) {
        let now = touched.contains(&object);
        prop_assert_eq!(now, revision == after.revision && !touched.is_empty(), "{} at {}", object, revision);
    }
    let (by, adjusts) = match change {
        Change::PutListener(origin, _)
        | Change::DeleteListener(origin, _)
        | Change::PutCertificate(origin, _)
        | Change::DeleteCertificate(origin, _)
        | Change::PutTargetGroup(origin, _)
        | Change::DeleteTargetGroup(origin, _)
        | Change::PutTarget(origin, ..)
        | Change::DeleteTarget(origin, ..)
        | Change::DeclareTargets(origin, ..)
        | Change::Declare(origin, _) => (Some(*origin), false),
        Change::Drain(..) | Change::Reweigh(..) | Change::Adjust(..) => (None, true),
        Change::PutLoadBalancer(..) | Change::DeleteLoadBalancer(_) => (Some(Origin::Elb), false),
        Change::PutCookieKeys(_) | Change::RotateCookieKey(_) | Change::PutTicketKeys(_) => (None, false),
        Change::PutAcmeAccount(_) | Change::PutIssued(..) => (None, false),
    };
    if let Some(by) = by {
        let of_others: Vec<_> = [Origin::File, Origin::Api].into_iter().filter(|origin| *origin != by).collect();
        for other in of_others {
            prop_assert_eq!(owned_by(before, other), owned_by(after, other));
            prop_assert!(owned_by(before, other).is_disjoint(&touched), "{} touched another's", by);
        }
    }
    if adjusts {
        prop_assert!(touched.len() <= 1 && before.difference(after).added.is_empty());
    }
    if let Change::Declare(origin, declared) = change {
        check_declared(before, *origin, declared, after)?;
    }
    if let Change::DeclareTargets(origin, group, targets) = change {
        let found = |of: &Config, within: bool| -> BTreeSet<_> {
            let is_within = |object: &ObjectRef| matches!(object, ObjectRef::Target(of, _) if of == group) == within;
            owned_by(of, *origin).into_iter().filter(is_within).collect()
        };
        let all = targets.iter().map(|target| ObjectRef::Target(group.clone(), target.id.clone()));
        prop_assert_eq!(found(after, true), all.collect());
        prop_assert_eq!(found(before, false), found(after, false), "another group's targets were touched");
    }
    Ok(())
}

/// After a declaration its origin owns exactly what it declares, and what was adjusted stands on unchanged entries.
fn check_declared(before: &Config, origin: Origin, declared: &Declared, after: &Config) -> Result<(), TestCaseError> {
    let listeners = declared.listeners.iter().map(|listener| ObjectRef::Listener(listener.name.clone()));
    let certificates = declared.certificates.iter().map(|given| ObjectRef::Certificate(given.name.clone()));
    let groups = declared.target_groups.iter().map(|group| ObjectRef::TargetGroup(group.name.clone()));
    let targets = declared.targets.iter().map(|(group, target)| ObjectRef::Target(group.clone(), target.id.clone()));
    let all: BTreeSet<_> = certificates.chain(listeners).chain(groups).chain(targets).collect();
    prop_assert_eq!(owned_by(after, origin), all);
    for (group, target) in &declared.targets {
        let now = after.target(group, &target.id).unwrap();
        prop_assert_eq!(&now.declared, target);
        let was = before.target(group, &target.id).filter(|was| was.declared == *target);
        let stands = was.map(|was| was.adjusted).unwrap_or_default();
        if origin == Origin::File || was.is_some() {
            prop_assert_eq!(now.adjusted, stands);
        }
    }
    Ok(())
}

proptest! {
    #[test]
    fn any_sequence_of_changes_keeps_the_rules(changes in vec(change(), 1..40)) {
        let mut config = Config::default();
        for change in &changes {
            let before = config.clone();
            if let Ok(after) = config.apply(change) {
                check_made(&before, change, &after)?;
                check_whole(&after)?;
                check_found(&after)?;
                prop_assert_eq!(after.apply(change).map(|again| again.revision).unwrap_or(after.revision), after.revision,
                    "the same change again is none");
                config = after;
            } else {
                prop_assert_eq!(&before, &config);
            }
        }
    }

    #[test]
    fn several_changes_are_made_as_one(changes in vec(change(), 1..8)) {
        let config = Config::default();
        let one_by_one = changes.iter().try_fold(config.clone(), |config, change| config.apply(change));
        match (config.apply_all(&changes), one_by_one) {
            (Ok(at_once), Ok(one_by_one)) => {
                prop_assert!(at_once.revision <= 1);
                let names = |config: &Config| objects(config).into_iter().map(|(name, owner, _)| (name, owner)).collect::<Vec<_>>();
                prop_assert_eq!(names(&at_once), names(&one_by_one));
            }
            // What must hold between objects is asked at the end, so more is possible at once.
            (Err(_), Ok(_)) => prop_assert!(false, "what is possible one by one is possible at once"),
            (Ok(_) | Err(_), Err(_)) => {}
        }
    }

    #[test]
    fn faults_of_a_set_are_what_declaring_it_would_refuse(declared in declared()) {
        let refused = Config::default().apply(&Change::Declare(Origin::File, declared.clone())).is_err();
        prop_assert_eq!(refused, !declared.faults().is_empty(), "{:?}", declared.faults());
    }
}

fn api(changes: &[Change]) -> Config {
    Config::default().apply_all(changes).unwrap()
}

fn app() -> GroupName {
    GroupName::parse("app").unwrap()
}

fn some_target(id: &str, weight: u64) -> Target {
    Target {
        id: TargetId::parse(id).unwrap(),
        address: HostPort::parse("10.0.0.1:80").unwrap(),
        weight: Weight::new(weight).unwrap(),
        zone: None,
    }
}

#[test]
fn a_file_that_drops_a_group_with_targets_of_the_api_is_refused_naming_them() {
    let file = |groups: Vec<TargetGroup>| {
        Change::Declare(Origin::File, Declared { target_groups: groups, ..Declared::default() })
    };
    let mut changes = vec![file(vec![TargetGroup::new(app())])];
    changes
        .extend((10..22).map(|number| Change::PutTarget(Origin::Api, app(), some_target(&format!("i-{number}"), 1))));
    let refused = api(&changes).apply(&file(Vec::new())).unwrap_err();
    let names: Vec<_> = (10..20).map(|number| format!("i-{number} (api)")).collect();
    let expected = format!("target group app is still in use by targets {} and 2 more", names.join(", "));
    assert_eq!(refused.to_string(), expected);
}

#[test]
fn a_group_that_a_listener_forwards_to_cannot_go() {
    let web = Listener::new(ListenerName::parse("web").unwrap(), ([127, 0, 0, 1], 80).into(), Forward::to(app()));
    let config =
        api(&[Change::PutListener(Origin::Api, web), Change::PutTargetGroup(Origin::Api, TargetGroup::new(app()))]);
    let refused = config.apply(&Change::DeleteTargetGroup(Origin::Api, app())).unwrap_err();
    assert_eq!(refused, Rejected::InUse { object: ObjectRef::TargetGroup(app()), by: "listener web".to_owned() });
}

#[test]
fn what_the_api_adjusts_stands_until_the_file_says_something_else() {
    let file = |weight| {
        let targets = vec![(app(), some_target("a", weight))];
        Change::Declare(
            Origin::File,
            Declared { target_groups: vec![TargetGroup::new(app())], targets, ..Declared::default() },
        )
    };
    let id = TargetId::parse("a").unwrap();
    let config = api(&[
        file(1),
        Change::Reweigh(app(), id.clone(), Weight::new(7).unwrap()),
        Change::Drain(app(), id.clone(), true),
    ]);
    let of = |config: &Config| {
        let held = config.target(&app(), &id).unwrap();
        (held.weight().get(), held.adjusted.draining)
    };
    assert_eq!(of(&config.apply(&file(1)).unwrap()), (7, true));
    assert_eq!(of(&config.apply(&file(2)).unwrap()), (2, false));
}
