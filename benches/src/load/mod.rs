//! The load: clients and targets in one event loop on one thread, so that one core saturates any proxy on another.
//! It checks every answer and ends with an error on the first that is wrong. Not what the proxy costs (`measure`).

mod clients;
mod pace;
mod secure;
mod targets;

use std::io;
use std::iter;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use hdrhistogram::Histogram;
use mio::{Events, Poll, Token};

use clients::Clients;
use targets::Targets;

use crate::workload::Workload;

pub(crate) use pace::Pace;
pub(crate) use secure::SERVER_NAME;
pub(crate) use targets::TARGETS;

const SCRATCH_BYTES: usize = 256 * 1024;
/// A request that takes longer than this is an error: nothing here takes a hundredth of it.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);
/// The time a proxy has from its first connection until every client has an answer.
const FIRST_ANSWERS_WITHIN: Duration = Duration::from_secs(10);

/// Tokens: listeners of targets from 0, clients, those of a storm and connections to targets from here.
const CLIENTS_FROM: usize = 1 << 16;
const STORM_FROM: usize = 1 << 24;
const CONNECTIONS_FROM: usize = 1 << 32;

pub(crate) struct Load {
    poll: Poll,
    events: Events,
    scratch: Vec<u8>,
    targets: Targets,
    clients: Clients,
    storm: Option<Clients>,
}

/// Clients beside those that are measured.
#[derive(Debug)]
pub(crate) enum Storm {
    /// As many as the workload has, each of which asks again at once.
    AtOnce(Workload),
    /// As many as it takes for this pace.
    Paced(Workload, Pace),
}

/// What happened in one run.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) requests: u64,
    pub(crate) elapsed: Duration,
    pub(crate) latency_ns: Histogram<u64>,
    /// In an open loop whose clients are all there before: what was due and had no client up to the end.
    pub(crate) unasked: u64,
    /// By target.
    pub(crate) answered: [u64; TARGETS],
    /// Of the storm beside them.
    pub(crate) storm_requests: u64,
    pub(crate) storm_latency_ns: Histogram<u64>,
}

impl Load {
    /// Opens the targets. No client is at work before `connect`.
    pub(crate) fn new(workload: &Workload) -> Result<Self> {
        Self::with(workload, Clients::new(workload, CLIENTS_FROM)?, None)
    }

    /// The same in an open loop.
    pub(crate) fn paced(workload: &Workload, pace: Pace) -> Result<Self> {
        Self::with(workload, Clients::paced(&Workload { clients: 0, ..*workload }, CLIENTS_FROM, pace)?, None)
    }

    /// Clients in an open loop on connections that are there before, and a storm of others beside them.
    pub(crate) fn beside(workload: &Workload, pace: Pace, storm: Option<Storm>) -> Result<Self> {
        let clients = |storm: Storm| match storm {
            Storm::AtOnce(workload) => Clients::new(&workload, STORM_FROM),
            Storm::Paced(workload, pace) => Clients::paced(&Workload { clients: 0, ..workload }, STORM_FROM, pace),
        };
        let storm = storm.map(clients).transpose()?;
        Self::with(workload, Clients::paced(workload, CLIENTS_FROM, pace)?, storm)
    }

    fn with(workload: &Workload, clients: Clients, storm: Option<Clients>) -> Result<Self> {
        let poll = Poll::new()?;
        let targets = Targets::bind(poll.registry(), workload)?;
        let (events, scratch) = (Events::with_capacity(1024), vec![0; SCRATCH_BYTES]);
        Ok(Self { poll, events, scratch, targets, clients, storm })
    }

    pub(crate) fn target_addresses(&self) -> [SocketAddr; TARGETS] {
        self.targets.addresses()
    }

    /// Sends all clients to `proxy`; they ask until the load is dropped, as long as somebody turns the loop.
    pub(crate) fn connect(&mut self, proxy: SocketAddr) -> Result<()> {
        for clients in self.crowds() {
            clients.pause(false);
        }
        let registry = self.poll.registry();
        self.clients.connect(registry, proxy)?;
        self.storm.iter_mut().try_for_each(|storm| storm.connect(registry, proxy))
    }

    /// Lets a target wait for so long before each answer from now on.
    pub(crate) fn delay(&mut self, target: usize, delay: Duration) {
        self.targets.delay(target, delay);
    }

    /// Runs for `time`, and until every client has had an answer.
    pub(crate) fn warm_up(&mut self, time: Duration) -> Result<()> {
        let started = Instant::now();
        while started.elapsed() < time || !self.crowds().all(|clients| clients.each_has_an_answer()) {
            ensure!(
                started.elapsed() < FIRST_ANSWERS_WITHIN,
                "some clients have no answer after {FIRST_ANSWERS_WITHIN:?}"
            );
            self.turn()?;
        }
        Ok(())
    }

    /// Runs for `time` and says what happened in it. In an open loop all that was asked is answered at the end.
    pub(crate) fn run(&mut self, time: Duration) -> Result<Outcome> {
        let elapsed = self.ask_for(time)?;
        let (requests, latency_ns) = self.clients.tally();
        ensure!(requests > 0, "not one answer in {elapsed:?}");
        // In an open loop a target may well be left alone.
        if !self.clients.is_paced() {
            self.targets.check_each_was_asked()?;
        }
        let (storm_requests, storm_latency_ns) = match &self.storm {
            Some(storm) => storm.tally(),
            None => (0, Histogram::new(3)?),
        };
        let in_flight_max = self.crowds().map(|clients| clients.count()).sum();
        let answered = self.targets.check_answered(requests + storm_requests, in_flight_max)?;
        let unasked = self.clients.unasked();
        Ok(Outcome { requests, elapsed, latency_ns, unasked, answered, storm_requests, storm_latency_ns })
    }

    /// All clients.
    fn crowds(&mut self) -> impl Iterator<Item = &mut Clients> {
        iter::once(&mut self.clients).chain(&mut self.storm)
    }

    fn ask_for(&mut self, time: Duration) -> Result<Duration> {
        self.finish()?;
        for clients in self.crowds() {
            clients.pause(false);
            clients.start_tally();
        }
        self.targets.start_tally();
        let started = Instant::now();
        while started.elapsed() < time {
            self.turn()?;
        }
        let elapsed = started.elapsed();
        self.finish()?;
        for clients in self.crowds() {
            clients.check_none_waits_longer_than(ANSWER_WITHIN)?;
        }
        Ok(elapsed)
    }

    /// In an open loop: asks no more, and waits for all answers.
    fn finish(&mut self) -> Result<()> {
        self.crowds().for_each(|clients| clients.pause(true));
        let started = Instant::now();
        while self.crowds().any(|clients| clients.waits()) {
            ensure!(started.elapsed() < ANSWER_WITHIN, "an answer takes longer than {ANSWER_WITHIN:?}");
            self.turn()?;
        }
        Ok(())
    }

    /// Never sleeps: a load that sleeps has to be woken by the proxy's sends, at the proxy's cost. No network card asks
    /// that of a proxy, and on a virtual machine a wake-up can cost as much as half a request.
    fn turn(&mut self) -> Result<()> {
        for clients in iter::once(&mut self.clients).chain(&mut self.storm) {
            clients.ask_what_is_due(self.poll.registry()).context("a client")?;
        }
        self.targets.answer_what_is_due().context("a target")?;
        match self.poll.poll(&mut self.events, Some(Duration::ZERO)) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(()),
            polled => polled?,
        }
        let registry = self.poll.registry();
        for event in &self.events {
            match event.token() {
                Token(listener @ ..CLIENTS_FROM) => self.targets.accept(registry, listener).context("a target")?,
                Token(client @ CLIENTS_FROM..CONNECTIONS_FROM) => {
                    let storm = self.storm.as_mut().filter(|_| client >= STORM_FROM);
                    let clients = storm.unwrap_or(&mut self.clients);
                    clients.ready(registry, event, &mut self.scratch).context("a client")?;
                }
                Token(connection) => {
                    self.targets.ready(connection - CONNECTIONS_FROM, &mut self.scratch).context("a target")?;
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::{ClientConnection, Through, WORKLOADS};

    const MINIMAL: Workload = Workload {
        name: "test",
        about: "",
        clients: 4,
        through: Through::Http,
        client_connection: ClientConnection::Kept,
        request_headers: &["X-Forwarded-For: 127.0.0.1"],
        answer_headers: &[],
        answer_body_bytes: 300 * 1024,
    };

    /// Without a proxy: the clients ask one target of the same loop.
    fn run_against_itself(load: &mut Load) -> Result<Outcome> {
        load.connect(load.target_addresses()[0])?;
        load.warm_up(Duration::ZERO)?;
        load.run(Duration::from_millis(50))
    }

    #[test]
    fn a_target_that_is_never_asked_is_an_error() {
        let error = run_against_itself(&mut Load::new(&MINIMAL).expect("targets")).expect_err("two targets were idle");
        assert!(format!("{error:#}").contains("never asked"), "{error:#}");
    }

    #[test]
    fn a_request_without_forwarding_header_is_an_error() {
        let error = run_against_itself(&mut Load::new(&WORKLOADS[0]).expect("targets")).expect_err("nothing added it");
        assert!(format!("{error:#}").contains("X-Forwarded-For"), "{error:#}");
    }

    #[test]
    fn an_answer_of_the_wrong_length_is_an_error() {
        let shorter = Workload { answer_body_bytes: MINIMAL.answer_body_bytes - 1, ..MINIMAL };
        let mut load = Load::new(&MINIMAL).expect("targets");
        load.clients = Clients::new(&shorter, CLIENTS_FROM).expect("clients");
        let error = run_against_itself(&mut load).expect_err("one byte too many");
        assert!(format!("{error:#}").contains("Content-Length"), "{error:#}");
    }

    #[test]
    fn in_an_open_loop_slow_answers_put_nothing_off() {
        let mut load = Load::paced(&MINIMAL, Pace::of(1_000)).expect("targets");
        load.connect(load.target_addresses()[0]).expect("a first connection");
        load.warm_up(Duration::from_millis(10)).expect("answers");
        load.delay(0, Duration::from_millis(50));
        load.ask_for(Duration::from_millis(200)).expect("answers");
        let (answers, latency_ns) = load.clients.tally();
        assert!((100..400).contains(&answers), "{answers} of some 200");
        assert!(latency_ns.min() >= 49_000_000, "{} ns", latency_ns.min());
    }

    #[test]
    fn in_an_open_loop_with_no_more_clients_what_is_due_waits_or_is_counted() {
        let pace = Pace::of(1_000).without_more_clients();
        let mut load = Load::beside(&Workload { clients: 1, ..MINIMAL }, pace, None).expect("targets");
        load.connect(load.target_addresses()[0]).expect("a first connection");
        load.warm_up(Duration::from_millis(10)).expect("answers");
        load.delay(0, Duration::from_millis(50));
        load.ask_for(Duration::from_millis(200)).expect("answers");
        let (answers, latency_ns) = load.clients.tally();
        assert!(answers <= 5, "one client had {answers} answers of 50 ms in 200 ms");
        assert!(latency_ns.max() >= 99_000_000, "what was due waited as well: {} ns", latency_ns.max());
        assert!((100..400).contains(&(load.clients.unasked() + answers)), "{} of some 200", load.clients.unasked());
    }

    #[test]
    fn a_proxy_that_closes_early_is_an_error() {
        let mut load = Load::new(&MINIMAL).expect("targets");
        let closing = std::net::TcpListener::bind("127.0.0.1:0").expect("a listener");
        load.connect(closing.local_addr().expect("its address")).expect("connections");
        drop(closing);
        assert!(load.warm_up(Duration::ZERO).is_err());
    }
}
