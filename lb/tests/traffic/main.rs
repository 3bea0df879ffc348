//! The data plane over real sockets: what a client and a target see of each other.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod attempts;
mod basics;
mod cancellations;
mod changes;
mod choosing;
#[path = "../common/mod.rs"]
mod common;
mod house;
mod limits;
mod panics;
mod stickiness;
mod surge;
mod wire;

use common::Want;
use house::House;
use wire::{Target, Wire};

/// A house with one listener in front of these targets.
fn house_of(targets: &[&Target]) -> House {
    House::with(&want_of(targets))
}

fn want_of(targets: &[&Target]) -> Want {
    let name = |index: usize| ["a", "b", "c", "d"][index];
    let targets = targets.iter().enumerate();
    targets.fold(Want::new().listener("web", "app"), |want, (index, target)| {
        want.target("app", name(index), &target.text())
    })
}

fn client_of(house: &House) -> Wire {
    Wire::to(house.address("web"))
}
