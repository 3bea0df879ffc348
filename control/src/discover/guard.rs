//! How much may be missing at once. An answer that lacks more than half of a group, or all of it, is more likely wrong
//! than true: a lost permission, a filter that means nothing any more. What it lacks stays for a few looks. Pure.

use std::collections::{BTreeMap, HashMap};

use lb::model::{Target, TargetId};

use super::Seen;

/// For how many intervals what is missing stays.
const HELD_INTERVALS: u32 = 3;

/// Remembers for how many answers in a row each target has been missing.
#[derive(Debug, Default)]
pub(super) struct Guard {
    missing: HashMap<TargetId, u32>,
}

/// What is to hold after an answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Verdict {
    /// Every target.
    pub(super) targets: Vec<Target>,
    /// How many of them the answer lacks.
    pub(super) held: usize,
}

impl Guard {
    /// Decides on an answer about a group for which `known` had been found before.
    pub(super) fn judge(&mut self, known: &BTreeMap<TargetId, Target>, seen: Seen) -> Verdict {
        let mut targets: BTreeMap<_, _> = seen.there.into_iter().map(|target| (target.id.clone(), target)).collect();
        let is_missing = |id: &TargetId| !targets.contains_key(id) && !seen.gone.contains(id);
        let missing: Vec<_> = known.iter().filter(|(id, _)| is_missing(id)).collect();
        // What the answer shows as gone is gone all the same: the question is what remains of the rest.
        let rest = known.keys().filter(|id| !seen.gone.contains(*id)).count();
        let is_suspicious = missing.len() * 2 > rest;
        let counted = |id: &TargetId| (id.clone(), self.missing.get(id).map_or(1, |count| count + 1));
        let counts: HashMap<_, _> = missing.iter().map(|(id, _)| counted(id)).collect();
        let mut held = 0;
        if is_suspicious {
            for (id, target) in missing.into_iter().filter(|(id, _)| counts[*id] <= HELD_INTERVALS) {
                targets.insert(id.clone(), target.clone());
                held += 1;
            }
        }
        self.missing = counts;
        Verdict { targets: targets.into_values().collect(), held }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lb::model::{HostPort, Weight};

    fn target(id: &str) -> Target {
        let address = HostPort::parse("127.0.0.1:80").expect("an address");
        Target { id: TargetId::parse(id).expect("an id"), address, weight: Weight::default(), zone: None }
    }

    fn known(ids: &[&str]) -> BTreeMap<TargetId, Target> {
        ids.iter().map(|id| (target(id).id, target(id))).collect()
    }

    fn seen(there: &[&str], gone: &[&str]) -> Seen {
        Seen { there: there.iter().map(|id| target(id)).collect(), gone: gone.iter().map(|id| target(id).id).collect() }
    }

    /// The ids that hold after an answer, and how many of them are held.
    fn judged(guard: &mut Guard, before: &[&str], there: &[&str], gone: &[&str]) -> (Vec<String>, usize) {
        let verdict = guard.judge(&known(before), seen(there, gone));
        (verdict.targets.iter().map(|target| target.id.to_string()).collect(), verdict.held)
    }

    fn ids(ids: &[&str]) -> Vec<String> {
        ids.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn half_may_go_at_once_and_more_may_not() {
        let four = ["a", "b", "c", "d"];
        assert_eq!(judged(&mut Guard::default(), &four, &["a", "b"], &[]), (ids(&["a", "b"]), 0));
        assert_eq!(judged(&mut Guard::default(), &four, &["a"], &[]), (ids(&four), 3));
        assert_eq!(judged(&mut Guard::default(), &["a"], &[], &[]), (ids(&["a"]), 1), "all of one");
        assert_eq!(judged(&mut Guard::default(), &["a", "b"], &["e"], &[]), (ids(&["a", "b", "e"]), 2));
        assert_eq!(judged(&mut Guard::default(), &[], &[], &[]), (ids(&[]), 0));
    }

    #[test]
    fn what_is_shown_as_gone_goes_whatever_it_is() {
        let three = ["a", "b", "c"];
        assert_eq!(judged(&mut Guard::default(), &three, &[], &three), (ids(&[]), 0));
        assert_eq!(judged(&mut Guard::default(), &three, &[], &["a"]), (ids(&["b", "c"]), 2));
        // Of two that are left one is missing: that is half.
        assert_eq!(judged(&mut Guard::default(), &three, &["b"], &["a"]), (ids(&["b"]), 0));
    }

    #[test]
    fn what_stays_missing_goes_after_three_intervals() {
        let (mut guard, two) = (Guard::default(), ["a", "b"]);
        for _ in 0..3 {
            assert_eq!(judged(&mut guard, &two, &[], &[]), (ids(&two), 2));
        }
        assert_eq!(judged(&mut guard, &two, &[], &[]), (ids(&[]), 0));
    }

    #[test]
    fn what_was_seen_in_between_is_waited_for_anew() {
        let (mut guard, two) = (Guard::default(), ["a", "b"]);
        for _ in 0..5 {
            assert_eq!(judged(&mut guard, &two, &[], &[]), (ids(&two), 2));
            assert_eq!(judged(&mut guard, &two, &two, &[]), (ids(&two), 0));
        }
    }
}
