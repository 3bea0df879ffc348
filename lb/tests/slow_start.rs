//! Slow start in virtual time: who starts slowly, how its share grows, and what a step leaves alone.

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::balancing::ALGORITHMS;
use common::course::Course;
use common::{group_name, id};
use lb::model::{Algorithm, Change};
use lb::state::{Observation, TargetState, Verdict};

const RAMP: Duration = Duration::from_secs(60);

/// A group `app` that starts slowly with these targets, of which nothing is known.
fn course(targets: &[&str], algorithm: Algorithm) -> Course {
    Course::with(targets, |group| {
        group.algorithm = algorithm;
        group.slow_start = RAMP;
    })
}

fn is_slow(course: &Course, target: &str) -> bool {
    assert_eq!(course.state(target), TargetState::Healthy);
    course.member(target).slow_since.is_some()
}

#[test]
fn shares_follow_the_ramp() {
    for algorithm in ALGORITHMS {
        for others in [1, 2, 9] {
            let names = ["a", "b", "c", "d", "e", "f", "g", "h", "i"];
            let mut course = course(&names[..others], algorithm);
            course.all_healthy();
            course.pass(Duration::from_secs(5));
            course.change(|want| want.target("app", "new", "127.0.0.9:81"));
            course.judge("new", Verdict::Healthy);
            let before = course.snapshots;
            for _ in 0..22 {
                let age = course.now.instant - course.member("new").slow_since.expect("it starts slowly");
                let part = (age.as_secs_f64() / RAMP.as_secs_f64()).min(1.0);
                let (expected, share) = (part / (others as f64 + part), course.share("new"));
                assert!((share - expected).abs() < 0.05, "{algorithm:?} at {age:?}: {share} for {expected}");
                course.pass(Duration::from_secs(3));
            }
            assert!(course.snapshots - before <= 21, "{} snapshots", course.snapshots - before);
            assert_eq!(course.snapshot.wake_at, None);
        }
    }
}

#[test]
fn weights_grow_to_what_they_are_when_the_ramp_ends() {
    let mut course = course(&["a"], Algorithm::RoundRobin);
    course.all_healthy();
    course.change(|want| want.weighted("app", "new", "127.0.0.9:81", 4));
    course.judge("new", Verdict::Healthy);
    course.pass(RAMP / 2);
    // Half of four beside one.
    assert!((course.share("new") - 2.0 / 3.0).abs() < 0.05, "{}", course.share("new"));
    // A change of weight loses nothing of it.
    course.change(|want| want.weighted("app", "new", "127.0.0.9:81", 2));
    assert!((course.share("new") - 1.0 / 2.0).abs() < 0.05, "{}", course.share("new"));
    course.pass(RAMP);
    assert!((course.share("new") - 2.0 / 3.0).abs() < 0.001, "{}", course.share("new"));
}

#[test]
fn a_new_group_starts_at_once() {
    let mut course = course(&["a", "b", "c"], Algorithm::RoundRobin);
    course.all_healthy();
    assert!(["a", "b", "c"].iter().all(|target| !is_slow(&course, target)));
    assert_eq!(course.snapshot.wake_at, None);
    // Who is registered once it serves does not.
    course.change(|want| want.target("app", "d", "127.0.0.9:81"));
    course.judge("d", Verdict::Healthy);
    assert!(is_slow(&course, "d"));
}

#[test]
fn names_that_resolve_one_by_one_are_a_new_group_all_the_same() {
    let mut course = course(&["a"], Algorithm::RoundRobin);
    course.change(|want| want.target("app", "b", "b.internal:81"));
    course.pass(Duration::from_secs(1));
    course.judge("a", Verdict::Healthy);
    course.pass(Duration::from_secs(1));
    course.observed.take_in(Observation::Resolved("b.internal".into(), [127, 0, 0, 2].into()));
    course.compile();
    course.judge("b", Verdict::Healthy);
    assert!(!is_slow(&course, "b"));
}

#[test]
fn who_stood_by_for_too_long_starts_slowly() {
    let mut course = course(&["a", "b"], Algorithm::RoundRobin);
    course.judge("a", Verdict::Healthy);
    course.pass(RAMP * 2);
    course.judge("b", Verdict::Healthy);
    assert!(is_slow(&course, "b"));
}

#[test]
fn who_recovers_while_others_serve_starts_slowly() {
    let mut course = course(&["a", "b"], Algorithm::RoundRobin);
    course.all_healthy();
    course.judge("a", Verdict::Unhealthy);
    course.judge("a", Verdict::Healthy);
    assert!(is_slow(&course, "a") && !is_slow(&course, "b"));
    course.change(|want| want.with(&Change::Drain(group_name("app"), id("b"), true)));
    course.change(|want| want.with(&Change::Drain(group_name("app"), id("b"), false)));
    assert!(is_slow(&course, "b"));
    // Deregistered and registered again before it had left.
    course.change(|want| want.without("app", "a"));
    course.change(|want| want.target("app", "a", "127.0.0.1:81"));
    assert!(is_slow(&course, "a"));
}

#[test]
fn a_group_that_was_down_is_new_again() {
    let mut course = course(&["a", "b", "c"], Algorithm::RoundRobin);
    course.all_healthy();
    course.pass(RAMP * 2);
    for target in ["a", "b", "c"] {
        course.judge(target, Verdict::Unhealthy);
        course.pass(Duration::from_secs(1));
    }
    course.all_healthy();
    assert!(["a", "b", "c"].iter().all(|target| !is_slow(&course, target)));
}

#[test]
fn without_slow_start_nobody_is_slow() {
    let mut course = course(&["a"], Algorithm::RoundRobin);
    course.change(|want| want.set("app", |group| group.slow_start = Duration::ZERO));
    course.all_healthy();
    course.change(|want| want.target("app", "new", "127.0.0.9:81"));
    course.judge("new", Verdict::Healthy);
    assert!(!is_slow(&course, "new") && course.snapshot.wake_at.is_none());
    assert!((course.share("new") - 0.5).abs() < 0.001);
    // Nor does switching it on make those slow that are healthy already.
    course.change(|want| want.set("app", |group| group.slow_start = RAMP));
    assert!(!is_slow(&course, "new"));
}

#[test]
fn a_step_touches_its_own_pool_only_and_nothing_between_steps() {
    let mut course = course(&["a"], Algorithm::RoundRobin);
    course.change(|want| want.listener("other", "idle").target("idle", "x", "127.0.0.1:82"));
    course.all_healthy();
    course.change(|want| want.target("app", "new", "127.0.0.9:81"));
    course.judge("new", Verdict::Healthy);
    let idle = |course: &Course| Arc::clone(course.snapshot.pool_of(&group_name("idle")).expect("a group"));
    let (before, idle_before) = (Arc::clone(course.pool()), idle(&course));
    course.pass(Duration::from_secs(1));
    course.compile();
    assert!(Arc::ptr_eq(&before, course.pool()), "rebuilt between two steps");
    course.pass(RAMP / 20);
    assert!(!Arc::ptr_eq(&before, course.pool()), "no step was taken");
    assert!(Arc::ptr_eq(&before.members, &course.pool().members), "a step changes no member");
    assert!(Arc::ptr_eq(&idle_before, &idle(&course)), "another pool was rebuilt");
}
