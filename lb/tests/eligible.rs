//! Who is never chosen, whatever the algorithm: through `compile` for those that a snapshot leaves out, and through the
//! pick for those that are tried, full, or have left since.

mod common;

use std::collections::BTreeSet;

use common::balancing::{ALGORITHMS, pick, randoms};
use common::house::{House, now};
use common::{Want, group_name, health, id};
use lb::balance::Pick;
use lb::model::{Change, WhenAllUnhealthy};
use lb::state::{BackendId, Observation, Observed, Pool, Snapshot, TargetState, Verdict, compile};
use proptest::prelude::*;

/// What is the matter with a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Good,
    Unhealthy,
    Unchecked,
    Drained,
    WeightZero,
    Leaving,
    Full,
    Tried,
}

use Fate::{Drained, Full, Good, Leaving, Tried, Unchecked, Unhealthy, WeightZero};

const CONNECTIONS_MAX: usize = 2;

fn fates() -> impl Strategy<Value = Vec<(Fate, u64)>> {
    let any = prop::sample::select(vec![Good, Unhealthy, Unchecked, Drained, WeightZero, Leaving, Full, Tried]);
    let weight = prop_oneof![Just(1), Just(1000), 1u64..=1000];
    prop_oneof![
        3 => prop::collection::vec((any, weight.clone()), 1..40),
        1 => prop::collection::vec((prop::sample::select(vec![Full, Unhealthy]), weight), 1..40),
    ]
}

fn name(index: usize) -> String {
    format!("t{index}")
}

/// A snapshot in which all of that has happened but what a pick decides.
fn snapshot(want: Want, fates: &[(Fate, u64)]) -> Snapshot {
    let mut want = fates.iter().enumerate().fold(want, |want, (index, (fate, weight))| {
        let weight = if *fate == WeightZero { 0 } else { *weight };
        want.weighted("app", &name(index), "127.0.0.1:9", weight)
    });
    let mut observed = Observed::default();
    let now = now();
    let first = compile(&want.wanted(), &observed, None, now);
    for (index, (fate, _)) in fates.iter().enumerate() {
        let backend = first.member(&group_name("app"), &id(&name(index))).expect("registered").backend.id;
        let verdict = match fate {
            Unchecked => continue,
            Unhealthy => Verdict::Unhealthy,
            _ => Verdict::Healthy,
        };
        observed.take_in(Observation::Health(backend, health(verdict)));
    }
    let second = compile(&want.wanted(), &observed, Some(&first), now);
    for (index, (fate, _)) in fates.iter().enumerate() {
        match fate {
            Leaving => want = want.without("app", &name(index)),
            Drained => want = want.with(&Change::Drain(group_name("app"), id(&name(index)), true)),
            _ => {}
        }
    }
    compile(&want.wanted(), &observed, Some(&second), now)
}

fn pool(snapshot: &Snapshot) -> &Pool {
    snapshot.pool_of(&group_name("app")).expect("a group")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn nobody_is_chosen_who_may_not_be(fates in fates(), fails_open in any::<bool>(), seed in any::<u64>()) {
        let when_all_unhealthy =
            if fails_open { WhenAllUnhealthy::FailOpen } else { WhenAllUnhealthy::FailClosed };
        let is_up = |fate: Fate| matches!(fate, Good | Full | Tried);
        let is_any_up = fates.iter().any(|(fate, _)| is_up(*fate));
        for algorithm in ALGORITHMS {
            let want = Want::new().listener("web", "app").set("app", |group| {
                group.algorithm = algorithm;
                group.when_all_unhealthy = when_all_unhealthy;
            });
            let snapshot = snapshot(want, &fates);
            let (mut work, mut tried, mut allowed) = (Vec::new(), Vec::new(), BTreeSet::new());
            for (index, (fate, _)) in fates.iter().enumerate() {
                let member = snapshot.member(&group_name("app"), &id(&name(index))).expect("there");
                match fate {
                    Full => work.extend((0..CONNECTIONS_MAX).map(|_| member.backend.begin(0))),
                    Tried => tried.push(member.backend.id),
                    Good => _ = allowed.insert(member.backend.id),
                    Unhealthy if fails_open && !is_any_up => _ = allowed.insert(member.backend.id),
                    Unhealthy | Unchecked | Drained | WeightZero | Leaving => {}
                }
            }
            for random in randoms(seed).take(200) {
                let hash = Some(random).filter(|random| random % 4 > 0);
                let pick = Pick { tried: &tried, connections_max: CONNECTIONS_MAX, hash, ..pick(random) };
                let chosen = pool(&snapshot).balancer.pick(&pick).map(|candidate| candidate.backend.id);
                prop_assert_eq!(chosen.is_some(), !allowed.is_empty(), "{:?}", algorithm);
                prop_assert!(chosen.is_none_or(|id| allowed.contains(&id)), "{:?} chose {:?}", algorithm, chosen);
            }
        }
    }
}

#[tokio::test]
async fn an_old_snapshot_chooses_nobody_who_has_left_since() {
    for algorithm in ALGORITHMS {
        let want = Want::new().listener("web", "app").set("app", |group| group.algorithm = algorithm);
        let want = (0..6).fold(want, |want, index| want.target("app", &name(index), "127.0.0.1:9"));
        let house = House::start(&want);
        for index in 0..6 {
            house.observer.observe(Observation::Health(house.backend(&name(index)).id, health(Verdict::Healthy)));
        }
        house.until(|snapshot| pool(snapshot).eligible == 6).await;
        let old = house.live.load();
        // What is in flight keeps it in the group.
        let _work = house.backend("t0").begin(0).expect("takes work");
        let want = want.without("app", "t0").with(&Change::Drain(group_name("app"), id("t1"), true));
        let want = want.weighted("app", "t2", "127.0.0.1:9", 0).target("app", "t3", "127.0.0.2:9");
        house.publish(&want).await;
        assert_eq!(house.state("t0"), Some(TargetState::Draining));
        let gone: Vec<_> =
            old.groups().flat_map(|pool| pool.members.iter()).take(4).map(|member| member.backend.id).collect();
        assert!(chosen(pool(&old)).iter().all(|id| !gone.contains(id)), "{algorithm:?}");
        assert_eq!(chosen(pool(&old)).len(), 2, "{algorithm:?}");
    }
}

fn chosen(pool: &Pool) -> BTreeSet<BackendId> {
    randoms(3).take(500).filter_map(|random| Some(pool.balancer.pick(&pick(random))?.backend.id)).collect()
}
