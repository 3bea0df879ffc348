//! Load balancers of the ELB API in what is wanted: made whole, changed whole, gone whole, and nobody else's to change.

mod common;

use std::sync::Arc;

use common::{group_name, id, target};
use lb::model::{
    Change, Config, Forward, Listener, ListenerName, LoadBalancerId, LoadBalancerParts, ObjectRef, Origin, Rejected,
    TargetGroup,
};

fn web(region: &str) -> LoadBalancerId {
    LoadBalancerId { account: "1".into(), region: region.into(), name: "web".into() }
}

/// The parts of a load balancer with these instances, and a listener for each of these ports.
fn parts(group: &str, instances: &[&str], ports: &[u16]) -> LoadBalancerParts {
    let listener = |port: &u16| {
        let forward = Forward { port: Some(*port), ..Forward::to(group_name(group)) };
        let name = ListenerName::parse(&format!("{group}:{port}")).expect("a legal name");
        Listener::new(name, ([127, 0, 0, 1], *port).into(), forward)
    };
    LoadBalancerParts {
        target_group: TargetGroup::new(group_name(group)),
        targets: instances.iter().map(|instance| target(instance, "10.0.0.1:80", 1)).collect(),
        listeners: ports.iter().map(listener).collect(),
    }
}

fn put(region: &str, parts: LoadBalancerParts, facts: &str) -> Change {
    Change::PutLoadBalancer(web(region), parts, facts.into())
}

fn made() -> Config {
    Config::default().apply(&put("here", parts("web", &["i-1", "i-2"], &[80, 81]), "{}")).expect("a load balancer")
}

#[test]
fn it_is_made_changed_and_removed_whole() {
    let first = made();
    assert_eq!(first.listeners.len(), 2);
    assert_eq!(first.groups[&group_name("web")].targets.len(), 2);
    assert_eq!(first.apply(&put("here", parts("web", &["i-1", "i-2"], &[80, 81]), "{}")), Ok(first.clone()));

    let second = first.apply(&put("here", parts("web", &["i-2", "i-3"], &[81, 82]), "{}")).expect("another");
    let ports: Vec<_> = second.listeners.values().map(|held| held.wanted.bind.port()).collect();
    assert_eq!(ports, [81, 82]);
    let targets: Vec<_> = second.groups[&group_name("web")].targets.keys().map(ToString::to_string).collect();
    assert_eq!(targets, ["i-2", "i-3"]);
    // What stayed the same was not touched.
    let listener = ListenerName::parse("web:81").unwrap();
    assert!(Arc::ptr_eq(&first.listeners[&listener], &second.listeners[&listener]));

    let none = second.apply(&Change::DeleteLoadBalancer(web("here"))).expect("none");
    assert!(none.load_balancers.is_empty() && none.listeners.is_empty() && none.groups.is_empty());
    let again = none.apply(&Change::DeleteLoadBalancer(web("here")));
    assert_eq!(again, Err(Rejected::NotFound(ObjectRef::LoadBalancer(web("here")))));
}

#[test]
fn what_is_kept_of_it_alone_is_a_change_too() {
    let first = made();
    let second =
        first.apply(&put("here", parts("web", &["i-1", "i-2"], &[80, 81]), "{\"tags\":[]}")).expect("a change");
    assert_eq!(second.revision, first.revision + 1);
    let difference = first.difference(&second);
    assert_eq!(difference.changed, [ObjectRef::LoadBalancer(web("here"))]);
    assert!(difference.added.is_empty() && difference.removed.is_empty());
}

#[test]
fn its_parts_are_nobody_elses_to_change() {
    let config = made();
    let listener = config.listeners[&ListenerName::parse("web:80").unwrap()].wanted.clone();
    for origin in [Origin::Api, Origin::File] {
        for change in [
            Change::PutListener(origin, listener.clone()),
            Change::DeleteListener(origin, listener.name.clone()),
            Change::PutTargetGroup(origin, TargetGroup::new(group_name("web"))),
            Change::DeleteTargetGroup(origin, group_name("web")),
            Change::PutTarget(origin, group_name("web"), target("i-1", "10.0.0.9:80", 1)),
            Change::DeleteTarget(origin, group_name("web"), id("i-1")),
        ] {
            let refused = config.apply(&change).expect_err("it is not theirs");
            assert!(refused.to_string().contains("belongs to a load balancer of the ELB API"), "{refused}");
        }
    }
    // But what may be adjusted on any target may be here.
    let drained = config.apply(&Change::Drain(group_name("web"), id("i-1"), true)).expect("a drain");
    // It stands while the load balancer says the same of the instance.
    let again = drained.apply(&put("here", parts("web", &["i-1"], &[80]), "{}")).expect("a change");
    assert!(again.target(&group_name("web"), &id("i-1")).unwrap().adjusted.draining);
}

#[test]
fn two_do_not_take_each_others_parts() {
    let config = made();
    let refused = config.apply(&put("there", parts("web", &[], &[]), "{}"));
    assert_eq!(refused, Err(Rejected::Taken { object: ObjectRef::TargetGroup(group_name("web")) }));
    let mut other = parts("web.2", &[], &[80]);
    other.listeners[0].name = ListenerName::parse("web:80").unwrap();
    let refused = config.apply(&put("there", other, "{}"));
    let object = ObjectRef::Listener(ListenerName::parse("web:80").unwrap());
    assert_eq!(refused, Err(Rejected::Taken { object }));
}

#[test]
fn what_others_registered_in_its_group_stays_with_it_and_goes_with_it() {
    let theirs = Change::PutTarget(Origin::Api, group_name("web"), target("mine", "10.0.0.9:80", 1));
    let config = made().apply(&theirs).expect("a target");
    let config = config.apply(&put("here", parts("web", &[], &[80]), "{}")).expect("a change");
    let targets: Vec<_> = config.groups[&group_name("web")].targets.keys().map(ToString::to_string).collect();
    assert_eq!(targets, ["mine"]);
    let config = config.apply(&Change::DeleteLoadBalancer(web("here"))).expect("none");
    assert!(config.groups.is_empty());
}
