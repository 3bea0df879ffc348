//! A panic in the way of a request costs that connection, and nothing else.

use std::sync::Arc;
use std::time::{Instant, SystemTime};

use lb::balance::{Balancer, Candidate, Pick, Trail};
use lb::state::{Frontend, Now, Observed, Pool, Snapshot, compile};

use crate::common::Want;
use crate::house::{House, eventually};
use crate::wire::Wire;

#[derive(Debug)]
struct Panics;

impl Balancer for Panics {
    fn pick(&self, _: &Pick<'_>) -> Option<&Candidate> {
        panic!("a bug, for this test")
    }

    fn pick_watched(&self, pick: &Pick<'_>, _: &mut Trail) -> Option<&Candidate> {
        self.pick(pick)
    }

    fn candidates(&self) -> &[Candidate] {
        &[]
    }
}

/// The snapshot of what is wanted, with a balancer that panics.
fn snapshot(want: &Want) -> Snapshot {
    let now = Now { instant: Instant::now(), wall: SystemTime::now() };
    let mut snapshot = compile(&want.wanted(), &Observed::default(), None, now);
    let frontend = snapshot.frontends.values_mut().next().unwrap();
    let pool = Pool {
        tls: None,
        check_tls: None,
        forward: frontend.pool.forward.clone(),
        group: Arc::clone(&frontend.pool.group),
        used: true,
        members: Arc::clone(&frontend.pool.members),
        balancer: Box::new(Panics),
        affinity: None,
        eligible: 0,
        waiting: false,
        failed_open: false,
        serving_since: None,
        slow_until: None,
        metrics: Arc::clone(&frontend.pool.metrics),
        surge: Arc::default(),
    };
    *frontend = Arc::new(Frontend {
        tls: None,
        listener: Arc::clone(&frontend.listener),
        load_balancer: None,
        socket: Arc::clone(&frontend.socket),
        pool: Arc::new(pool),
        metrics: Arc::clone(&frontend.metrics),
        route: Arc::clone(&frontend.route),
    });
    snapshot
}

#[test]
fn a_panic_costs_one_connection() {
    let want = Want::new().listener("web", "app");
    let house = House::serving(&want, snapshot(&want));
    let mut bystander = Wire::to(house.address("web"));
    for _ in 0..3 {
        let mut client = Wire::to(house.address("web"));
        assert_eq!(client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").rest(), "");
    }
    eventually("each is counted", || house.telemetry.workers.sum(|worker| &worker.panics) == 3);
    assert!(bystander.send("nonsense\r\n\r\n").rest().starts_with("HTTP/1.1 400 "), "others are still served");
    let open = || {
        let snapshot = house.live.load();
        let frontend = snapshot.frontends.values().next().unwrap();
        frontend.metrics.workers.iter().map(|cells| cells.connections_open.get()).sum::<i64>()
    };
    eventually("no connection is left", || open() == 0);
}
