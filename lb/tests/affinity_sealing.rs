//! The values of cookies that bind: what opens, and what does not.

mod common;

use std::collections::HashSet;

use common::{group_name, id};
use lb::affinity::{Binding, Fingerprint, SEALED_BYTES, Seal, SealedKind};
use lb::model::{COOKIE_KEYS_MAX, CookieKey, CookieKeys};
use proptest::prelude::*;

fn key(id: u32) -> CookieKey {
    CookieKey { id, secret: [id as u8 ^ 0x5a; 32] }
}

fn keys(ids: impl IntoIterator<Item = u32>) -> CookieKeys {
    CookieKeys::new(ids.into_iter().map(key))
}

fn seal(ids: impl IntoIterator<Item = u32>) -> Seal {
    Seal::new(&keys(ids), &group_name("app"), SealedKind::LbCookie)
}

fn binding() -> Binding {
    let target = Fingerprint::of(&group_name("app"), &id("web-1"));
    Binding { target, session: 0x0123_4567_89ab_cdef, until_unix_s: Some(1_800_000_000) }
}

proptest! {
    #[test]
    fn what_is_sealed_opens_and_nothing_else_does(
        session: u64,
        until in proptest::option::of(1u64..),
        target: [u8; 16],
        index in 0..SEALED_BYTES,
        byte: u8,
    ) {
        let binding = Binding { target: Fingerprint::from_bytes(target), session, until_unix_s: until };
        let value = seal([1]).seal(&binding).expect("there is a key");
        prop_assert_eq!(seal([1]).open(&value), Some(binding));
        let mut other = value;
        other[index] = byte;
        prop_assert_eq!(seal([1]).open(&other), (other == value).then_some(binding));
    }

    #[test]
    fn what_is_not_sealed_does_not_open(value in proptest::collection::vec(any::<u8>(), 0..200)) {
        prop_assert_eq!(seal([1]).open(&value), None);
    }
}

#[test]
fn every_change_of_a_single_bit_voids_a_value() {
    let seal = seal([1]);
    let value = seal.seal(&binding()).expect("there is a key");
    for index in 0..value.len() {
        for bit in 0..8 {
            let mut other = value;
            other[index] ^= 1 << bit;
            assert_eq!(seal.open(&other), None, "bit {bit} of byte {index}");
        }
    }
    assert_eq!(seal.open(&value[..value.len() - 1]), None);
    assert_eq!(seal.open(&[&value[..], b"A"].concat()), None);
    assert_eq!(seal.open(&[&value[..], b"="].concat()), None, "there is no padding");
}

#[test]
fn a_value_is_worth_nothing_in_another_group_or_as_another_cookie() {
    let value = seal([1]).seal(&binding()).expect("there is a key");
    let with = |group, kind| Seal::new(&keys([1]), &group_name(group), kind);
    assert_eq!(with("app", SealedKind::LbCookie).open(&value), Some(binding()));
    assert_eq!(with("app", SealedKind::AppCookie).open(&value), None);
    assert_eq!(with("api", SealedKind::LbCookie).open(&value), None);
    let other = CookieKeys::new([CookieKey { id: 1, secret: [9; 32] }]);
    assert_eq!(Seal::new(&other, &group_name("app"), SealedKind::LbCookie).open(&value), None, "another key");
}

#[test]
fn a_value_tells_nothing_of_its_target() {
    let seal = seal([1]);
    let values: HashSet<_> = (0..1_000).map(|_| seal.seal(&binding()).expect("there is a key")).collect();
    assert_eq!(values.len(), 1_000, "no two are alike, were they of the same client");
    let text = |value: &[u8; SEALED_BYTES]| String::from_utf8(value.to_vec()).expect("text");
    let is_cookie_octet = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    assert!(values.iter().map(text).all(|value| value.chars().all(is_cookie_octet)));
}

#[test]
fn rotations_lose_nobody_until_there_are_too_many() {
    let old = seal([1]).seal(&binding()).expect("there is a key");
    let mut all = keys([1]);
    for round in 2..20 {
        all = all.rotated(key(round));
        let opens = Seal::new(&all, &group_name("app"), SealedKind::LbCookie).open(&old).is_some();
        assert_eq!(opens, round <= COOKIE_KEYS_MAX as u32, "after {} rotations", round - 1);
    }
    let sealed = Seal::new(&keys([2, 1]), &group_name("app"), SealedKind::LbCookie).seal(&binding());
    assert!(seal([2]).open(&sealed.expect("there is a key")).is_some(), "the newest seals");
    assert_eq!(seal([]).seal(&binding()), None);
}

#[test]
fn two_keys_of_one_id_are_told_apart_by_trying() {
    let (one, other) = (key(1), CookieKey { id: 1, secret: [7; 32] });
    let with =
        |keys: &[CookieKey]| Seal::new(&CookieKeys::new(keys.to_vec()), &group_name("app"), SealedKind::LbCookie);
    let value = with(std::slice::from_ref(&one)).seal(&binding()).expect("there is a key");
    assert_eq!(with(&[other, one]).open(&value), Some(binding()));
}

#[test]
fn a_value_for_one_port_is_worth_nothing_on_another() {
    let on = |port| Seal::on_port(&keys([1]), &group_name("app"), SealedKind::LbCookie, port);
    let binding = Binding { target: Fingerprint::from_bytes([7; 16]), session: 1, until_unix_s: None };
    let value = on(Some(80)).seal(&binding).expect("a key");
    assert_eq!(on(Some(80)).open(&value), Some(binding));
    assert_eq!((on(Some(81)).open(&value), on(None).open(&value)), (None, None));
}
