//! Ejection in virtual time: who is put out and for how long, who comes back and how, and who never goes; and that the
//! publisher looks when a backend has counted enough.

mod common;

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use common::balancing::ALGORITHMS;
use common::course::Course;
use common::house::House;
use common::{Want, group_name, healthy, id};
use lb::model::{Algorithm, Change, Ejection, WhenAllUnhealthy};
use lb::state::{Failed, HealthState, Member, Now, Observation, Standing, Streak, TargetState, Verdict};
use proptest::prelude::*;

const FIVE: Streak = Streak::Failures(5, Failed::Refused);
const ONE: Streak = Streak::Failures(1, Failed::Closed);
const ANSWERED: Streak = Streak::Answers(5);
const SETTINGS: Ejection =
    Ejection { failures: 5, duration: Duration::from_secs(10), duration_max: Duration::from_secs(60) };

/// A group `app` with these targets, all of them healthy.
fn course(targets: &[&str]) -> Course {
    let mut course = Course::with(targets, |group| group.ejection = SETTINGS);
    course.all_healthy();
    course
}

fn is_out(course: &Course, target: &str) -> bool {
    course.state(target) == TargetState::Ejected
}

/// For how long a target is out from now on.
fn out_for(course: &Course, target: &str) -> Duration {
    let Standing::Ejected(ejected) = course.member(target).standing else {
        panic!("{target} is not out: {:?}", course.member(target));
    };
    ejected.ends_at - course.now.instant
}

fn is_on_probation(member: &Member) -> bool {
    matches!(member.standing, Standing::Probation { .. })
}

#[test]
fn failures_in_a_row_put_a_target_out_for_a_while() {
    let mut course = course(&["a", "b", "c"]);
    course.attempts("a", Streak::Failures(4, Failed::Refused));
    assert!(!is_out(&course, "a"), "four are not five");
    course.attempts("a", FIVE);
    let member = course.member("a");
    assert_eq!((member.state, member.since), (TargetState::Ejected, course.now.wall));
    let until = "13:46:51Z";
    let reason = format!(
        "5 attempts in a row failed before an answer (connection refused): takes no traffic until {until}, then a little"
    );
    assert_eq!(&*member.reason, reason);
    assert_eq!((course.pool().eligible, course.share("a")), (2, 0.0));
    assert_eq!(out_for(&course, "a"), SETTINGS.duration);
    assert_eq!(course.snapshot.wake_at, Some(course.now.instant + SETTINGS.duration));
}

#[test]
fn checks_have_no_say_in_it() {
    let mut course = course(&["a", "b", "c"]);
    course.attempts("a", FIVE);
    let since = course.member("a").since;
    course.pass(Duration::from_secs(1));
    course.judge("a", Verdict::Healthy);
    assert!(is_out(&course, "a"), "a passed check ends nothing");
    course.judge("a", Verdict::Unhealthy);
    assert_eq!(course.state("a"), TargetState::Unhealthy, "a failed one is told");
    course.judge("a", Verdict::Healthy);
    assert_eq!((course.state("a"), course.member("a").since), (TargetState::Ejected, since));
    // Its time passes all the same.
    course.judge("a", Verdict::Unhealthy);
    course.pass(SETTINGS.duration);
    assert_eq!(course.state("a"), TargetState::Unhealthy);
    course.judge("a", Verdict::Healthy);
    assert_eq!(course.state("a"), TargetState::Healthy);
    assert!(is_on_probation(course.member("a")));
}

#[test]
fn who_comes_back_gets_a_little_and_all_of_it_after_some_answers() {
    for algorithm in ALGORITHMS {
        let mut course = course(&["a", "b", "c"]);
        course.change(|want| want.set("app", |group| group.algorithm = algorithm));
        course.attempts("a", FIVE);
        course.pass(SETTINGS.duration);
        let member = course.member("a");
        assert_eq!((member.state, member.since), (TargetState::Healthy, course.now.wall));
        let reason = "Healthy; on probation: takes a little until 5 attempts in a row are answered";
        assert_eq!((&*member.reason, course.snapshot.wake_at), (reason, None));
        let (share, expected) = (course.share("a"), 0.1 / 2.1);
        assert!((share - expected).abs() < 0.03, "{algorithm:?}: {share} for {expected}");
        course.attempts("a", Streak::Answers(4));
        assert!(is_on_probation(course.member("a")), "four are not five");
        course.attempts("a", ANSWERED);
        assert_eq!(&*course.member("a").reason, "Healthy");
        let share = course.share("a");
        assert!((share - 1.0 / 3.0).abs() < 0.03, "{algorithm:?}: {share}");
    }
}

#[test]
fn who_fails_on_its_return_is_out_for_twice_as_long() {
    let mut course = course(&["a", "b", "c"]);
    course.attempts("a", FIVE);
    for seconds in [20, 40, 60, 60] {
        course.pass(Duration::from_secs(60));
        assert!(is_on_probation(course.member("a")));
        course.attempts("a", ONE);
        assert_eq!(out_for(&course, "a"), Duration::from_secs(seconds));
        assert!(course.member("a").reason.starts_with("an attempt failed before an answer (connection closed): "));
    }
}

#[test]
fn who_has_served_for_long_enough_begins_anew() {
    let restored = |seconds| {
        let mut course = course(&["a", "b", "c"]);
        for streak in [FIVE, ONE] {
            course.attempts("a", streak);
            course.pass(Duration::from_secs(20));
        }
        course.attempts("a", ANSWERED);
        let since = course.member("a").since;
        course.pass(Duration::from_secs(seconds));
        assert_eq!((course.member("a").since, course.snapshot.wake_at), (since, None));
        course.attempts("a", Streak::Failures(4, Failed::Refused));
        assert!(!is_out(&course, "a"), "one failure is nothing any more");
        course.attempts("a", FIVE);
        out_for(&course, "a")
    };
    assert_eq!(restored(59), Duration::from_secs(40));
    assert_eq!(restored(60), SETTINGS.duration);
}

#[test]
fn a_slow_start_comes_on_top() {
    let mut course = course(&["a", "b", "c"]);
    course.change(|want| want.set("app", |group| group.slow_start = Duration::from_secs(100)));
    course.pass(Duration::from_secs(200));
    course.attempts("a", FIVE);
    course.pass(Duration::from_secs(10));
    assert!(course.share("a") < 0.03, "{}", course.share("a"));
    course.attempts("a", ANSWERED);
    course.pass(Duration::from_secs(50));
    assert!((course.share("a") - 0.5 / 2.5).abs() < 0.03, "{}", course.share("a"));
    course.pass(Duration::from_secs(60));
    assert!((course.share("a") - 1.0 / 3.0).abs() < 0.03, "{}", course.share("a"));
}

#[test]
fn half_of_a_group_stays() {
    for (targets, places) in [(1, 0), (2, 1), (3, 1), (4, 2), (5, 2), (9, 4)] {
        let names = ["a", "b", "c", "d", "e", "f", "g", "h", "i"];
        let mut course = course(&names[..targets]);
        for target in &names[..targets] {
            course.attempts(target, FIVE);
        }
        let out = names[..targets].iter().filter(|target| is_out(&course, target)).count();
        assert_eq!(out, places, "of {targets}");
        assert_eq!(course.pool().eligible, targets - places);
    }
}

#[test]
fn who_finds_no_place_goes_when_there_is_one_if_it_still_fails() {
    for still_fails in [true, false] {
        let mut course = course(&["a", "b"]);
        course.attempts("a", FIVE);
        course.attempts("b", FIVE);
        assert!(is_out(&course, "a") && !is_out(&course, "b"));
        if !still_fails {
            let backend = course.member("b").backend.id;
            course.observed.streaks.remove(&backend);
        }
        course.pass(SETTINGS.duration);
        assert!(is_on_probation(course.member("a")));
        assert_eq!(is_out(&course, "b"), still_fails);
    }
}

#[test]
fn the_last_healthy_one_stays() {
    let mut course = course(&["a", "b", "c", "d"]);
    course.judge("c", Verdict::Unhealthy);
    course.judge("d", Verdict::Unhealthy);
    course.attempts("a", FIVE);
    course.attempts("b", FIVE);
    assert!(is_out(&course, "a") && !is_out(&course, "b"));
    // Who takes no traffic is not put out.
    course.attempts("c", FIVE);
    assert_eq!(course.state("c"), TargetState::Unhealthy);
    assert_eq!(course.member("c").standing, Standing::Good);
}

#[test]
fn who_passes_its_checks_is_called_back_when_nobody_else_does() {
    for when_all_unhealthy in [WhenAllUnhealthy::FailOpen, WhenAllUnhealthy::FailClosed] {
        let mut course = course(&["a", "b", "c"]);
        course.change(|want| want.set("app", |group| group.when_all_unhealthy = when_all_unhealthy));
        course.attempts("a", FIVE);
        course.judge("b", Verdict::Unhealthy);
        assert!(is_out(&course, "a"), "c serves");
        course.judge("c", Verdict::Unhealthy);
        assert!(is_on_probation(course.member("a")));
        assert_eq!((course.pool().eligible, course.pool().failed_open, course.share("a")), (1, false, 1.0));
        // It fails, and stays while it is the last; then it goes.
        course.attempts("a", ONE);
        assert_eq!((course.state("a"), course.pool().eligible), (TargetState::Healthy, 1));
        course.judge("b", Verdict::Healthy);
        assert_eq!(out_for(&course, "a"), Duration::from_secs(20));
    }
}

#[test]
fn the_next_to_come_are_called_back_when_the_group_shrinks() {
    let mut course = course(&["a", "b", "c", "d", "e"]);
    course.attempts("b", FIVE);
    course.pass(Duration::from_secs(1));
    course.attempts("a", FIVE);
    course.change(|want| want.without("app", "e"));
    assert!(is_out(&course, "a") && is_out(&course, "b"), "two of four");
    course.change(|want| want.with(&Change::Drain(group_name("app"), id("d"), true)));
    assert!(is_out(&course, "a") && is_on_probation(course.member("b")), "one of three");
    course.change(|want| want.weighted("app", "c", "127.0.0.1:81", 0).without("app", "d"));
    assert!(is_out(&course, "a"), "one of two");
    course.change(|want| want.without("app", "b"));
    assert!(is_on_probation(course.member("a")), "none of one");
}

#[test]
fn what_is_known_outlasts_weights_and_drains_and_no_more() {
    let mut course = course(&["a", "b", "c", "d"]);
    course.attempts("a", FIVE);
    let known = course.member("a").standing;
    course.change(|want| want.weighted("app", "a", "127.0.0.1:81", 7));
    assert_eq!((course.state("a"), course.member("a").standing), (TargetState::Ejected, known));
    course.change(|want| want.with(&Change::Drain(group_name("app"), id("a"), true)));
    assert_eq!((course.state("a"), course.member("a").standing), (TargetState::Draining, known));
    course.change(|want| want.with(&Change::Drain(group_name("app"), id("a"), false)));
    assert_eq!((course.state("a"), course.member("a").standing), (TargetState::Ejected, known));
    // Deregistered, and registered again before it had left.
    course.change(|want| want.without("app", "a"));
    assert_eq!(course.state("a"), TargetState::Draining);
    course.change(|want| want.target("app", "a", "127.0.0.1:81"));
    assert_eq!((course.state("a"), course.member("a").standing), (TargetState::Ejected, known));
    // Its time may end while it leaves; nobody is woken for that.
    course.change(|want| want.without("app", "a"));
    assert!(course.snapshot.wake_at > Some(course.now.instant + SETTINGS.duration));
    course.pass(SETTINGS.duration);
    course.change(|want| want.target("app", "a", "127.0.0.1:81"));
    assert!(is_on_probation(course.member("a")));
    // Elsewhere it is another one.
    course.attempts("a", ONE);
    course.change(|want| want.target("app", "a", "127.0.0.1:82"));
    assert_eq!((course.state("a"), course.member("a").standing), (TargetState::Initial, Standing::Good));
}

#[test]
fn switched_off_it_lets_everybody_back() {
    let mut course = course(&["a", "b"]);
    course.attempts("a", FIVE);
    course.change(|want| want.set("app", |group| group.ejection.failures = 0));
    assert_eq!((course.state("a"), course.member("a").standing), (TargetState::Healthy, Standing::Good));
    course.attempts("a", FIVE);
    assert_eq!((course.state("a"), course.snapshot.wake_at), (TargetState::Healthy, None));
}

#[test]
fn nothing_is_touched_while_nothing_changes() {
    let mut course = course(&["a", "b"]);
    course.attempts("a", FIVE);
    course.attempts("b", FIVE);
    for _ in 0..2 {
        let before = Arc::clone(course.pool());
        course.pass(Duration::from_secs(1));
        course.compile();
        assert!(Arc::ptr_eq(&before, course.pool()), "rebuilt with one out and one failing");
        course.pass(Duration::from_secs(9));
    }
}

#[derive(Debug, Clone)]
enum Step {
    Attempts(usize, Streak),
    Judge(usize, bool),
    Drain(usize, bool),
    Weight(usize, u64),
    Leave(usize),
    Pass(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let streak = prop_oneof![
        4 => (1..8u32).prop_map(|count| Streak::Failures(count, Failed::TimedOut)),
        1 => (1..8u32).prop_map(Streak::Answers)
    ];
    prop_oneof![
        6 => (0..6usize, streak).prop_map(|(target, streak)| Step::Attempts(target, streak)),
        2 => (0..6usize, any::<bool>()).prop_map(|(target, passes)| Step::Judge(target, passes)),
        1 => (0..6usize, any::<bool>()).prop_map(|(target, drained)| Step::Drain(target, drained)),
        1 => (0..6usize, 0..3u64).prop_map(|(target, weight)| Step::Weight(target, weight)),
        1 => (0..6usize).prop_map(Step::Leave),
        4 => (0..40u64).prop_map(Step::Pass),
    ]
}

const TARGETS: [&str; 6] = ["a", "b", "c", "d", "e", "f"];

fn take(course: &mut Course, step: &Step) {
    let is_there = |course: &Course, target: &str| course.want.config.groups["app"].targets.contains_key(target);
    match *step {
        Step::Attempts(target, streak) if is_there(course, TARGETS[target]) => course.attempts(TARGETS[target], streak),
        Step::Judge(target, true) if is_there(course, TARGETS[target]) => {
            course.judge(TARGETS[target], Verdict::Healthy);
        }
        Step::Judge(target, false) if is_there(course, TARGETS[target]) => {
            course.judge(TARGETS[target], Verdict::Unhealthy);
        }
        Step::Drain(target, drained) if is_there(course, TARGETS[target]) => {
            course.change(|want| want.with(&Change::Drain(group_name("app"), id(TARGETS[target]), drained)));
        }
        Step::Weight(target, weight) => {
            course.change(|want| want.weighted("app", TARGETS[target], "127.0.0.1:81", weight));
        }
        Step::Leave(target) if is_there(course, TARGETS[target]) => {
            course.change(|want| want.without("app", TARGETS[target]));
        }
        Step::Pass(seconds) => course.pass(Duration::from_secs(seconds)),
        _ => {}
    }
}

proptest! {
    #[test]
    fn whatever_happens_half_of_a_group_and_one_healthy_target_stay(steps in prop::collection::vec(step(), 1..60)) {
        let mut course = course(&TARGETS);
        for step in steps {
            take(&mut course, &step);
            let sharing = |member: &&Member| {
                let held = &member.held;
                member.leaves_at.is_none() && held.weight().get() > 0 && !held.adjusted.draining
            };
            let sharing: Vec<_> = course.pool().members.iter().filter(sharing).collect();
            let out = |member: &&&Member| matches!(member.standing, Standing::Ejected(_));
            prop_assert!(sharing.iter().filter(out).count() <= sharing.len() / 2, "{step:?}: {sharing:#?}");
            let passes = |member: &&&Member| {
                let health = course.observed.health.get(&member.backend.id);
                health.is_some_and(|health| health.verdict == Verdict::Healthy)
            };
            let serves = |member: &&&Member| member.state == TargetState::Healthy;
            prop_assert_eq!(sharing.iter().any(|member| serves(&member)), sharing.iter().any(|member| passes(&member)));
            prop_assert!(sharing.iter().filter(passes).all(|member| out(&member) != serves(&member)));
            let healthy = sharing.iter().filter(serves).count();
            prop_assert!(course.pool().failed_open || course.pool().eligible == healthy);
            for member in &sharing {
                if let Standing::Ejected(ejected) = member.standing {
                    let left = ejected.ends_at.saturating_duration_since(course.now.instant);
                    prop_assert!(left > Duration::ZERO && left <= SETTINGS.duration_max);
                }
            }
        }
    }

    #[test]
    fn the_time_out_doubles_up_to_the_longest(times in 1..60u32, seconds in 1..100u64, more in 0..1_000u64) {
        let duration = Duration::from_secs(seconds);
        let settings = Ejection { failures: 5, duration, duration_max: duration + Duration::from_secs(more) };
        let mut now = Now { instant: Instant::now(), wall: SystemTime::UNIX_EPOCH };
        let mut standing = Standing::Good;
        let mut expected = duration;
        for _ in 0..times {
            standing = standing.ejected(Some(FIVE), &settings, now);
            let Standing::Ejected(ejected) = standing else { panic!("{standing:?}") };
            prop_assert_eq!(ejected.ends_at - now.instant, expected);
            prop_assert_eq!(standing.after(Some(ANSWERED), now), standing, "only time ends it");
            now.instant = ejected.ends_at;
            standing = standing.after(None, now);
            prop_assert!(standing.fails(Some(ONE), &settings));
            expected = (expected * 2).min(settings.duration_max);
        }
    }
}

/// A published group of two healthy targets.
async fn house(duration: Duration) -> House {
    let want = Want::new().listener("web", "app").target("app", "a", "127.0.0.1:1").target("app", "b", "127.0.0.1:2");
    let want = want.set("app", |group| {
        group.algorithm = Algorithm::RoundRobin;
        group.ejection = Ejection { failures: 5, duration, duration_max: Duration::from_secs(3_600) };
    });
    let house = House::start(&want);
    for target in ["a", "b"] {
        let health = HealthState { since: SystemTime::now(), ..healthy() };
        house.observer.observe(Observation::Health(house.backend(target).id, health));
        house.until_state(target, TargetState::Healthy).await;
    }
    house
}

fn ejections(house: &House) -> u64 {
    house.live.load().pool_of(&group_name("app")).expect("a group").metrics.ejections.get()
}

#[tokio::test]
async fn the_publisher_looks_when_enough_is_counted() {
    let house = house(Duration::from_millis(50)).await;
    let backend = house.backend("a");
    let fail = |began| backend.failed(Failed::Refused, began, 5);
    assert!((0..4).all(|_| !fail(Instant::now())));
    assert!(fail(Instant::now()), "the fifth is worth a look");
    assert!(!fail(Instant::now()), "and no more after it");
    house.observer.look();
    house.until_state("a", TargetState::Ejected).await;
    assert_eq!((ejections(&house), backend.streak()), (1, None));
    let began_out = Instant::now();
    assert!(!fail(began_out), "nothing is counted while it is out");
    house.until_state("a", TargetState::Healthy).await;
    assert!(!fail(began_out), "what began before says nothing on probation");
    assert!((0..4).all(|_| !backend.answered(Instant::now())));
    assert!(backend.answered(Instant::now()));
    house.observer.look();
    let is_restored = |member: &Member| matches!(member.standing, Standing::Restored { .. });
    house.until(|snapshot| snapshot.member(&group_name("app"), &id("a")).is_some_and(is_restored)).await;
    assert!(!backend.answered(Instant::now()) && backend.streak().is_none());
    assert_eq!(ejections(&house), 1);
}

#[tokio::test]
async fn one_failure_on_probation_is_worth_a_look() {
    let house = house(Duration::from_millis(50)).await;
    let backend = house.backend("a");
    assert_eq!((0..5).filter(|_| backend.failed(Failed::Refused, Instant::now(), 5)).count(), 1);
    house.observer.look();
    house.until_state("a", TargetState::Ejected).await;
    house.until_state("a", TargetState::Healthy).await;
    assert!(backend.failed(Failed::Closed, Instant::now(), 5));
    house.observer.look();
    house.until_state("a", TargetState::Ejected).await;
    assert_eq!(ejections(&house), 2);
}

#[tokio::test]
async fn an_answer_in_time_leaves_nothing_to_see() {
    let house = house(Duration::from_secs(60)).await;
    let backend = house.backend("a");
    assert_eq!((0..5).filter(|_| backend.failed(Failed::Refused, Instant::now(), 5)).count(), 1);
    assert!(!backend.answered(Instant::now()), "nobody need look");
    let generation = house.live.load().generation;
    house.observer.look();
    // Another fact shows that the look is over.
    house.observer.observe(Observation::Resolved("elsewhere".into(), [127, 0, 0, 1].into()));
    house.until(|snapshot| snapshot.generation > generation).await;
    assert_eq!(house.state("a"), Some(TargetState::Healthy));
}

#[tokio::test]
async fn of_many_threads_one_asks_for_the_look() {
    let house = house(Duration::from_secs(60)).await;
    let backend = house.backend("a");
    let fails = || (0..1_000).filter(|_| backend.failed(Failed::Refused, Instant::now(), 3_000)).count();
    let asked: usize = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(fails)).collect();
        threads.into_iter().map(|thread| thread.join().expect("no panic")).sum()
    });
    assert_eq!(asked, 1);
    assert_eq!(backend.streak(), Some(Streak::Failures(4_000, Failed::Refused)));
}
