//! Requests that come at random, targets that work on them, and a clock that jumps from one event to the next.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::time::Duration;

use anyhow::{Context, Result};
use lb::balance::Pick;
use lb::model::Algorithm;
use lb::state::{InFlight, Outcome};

use super::clients::Clients;
use super::figures::Figures;
use super::house::{House, target_of};
use super::scenario::{SERVERS, Scenario, Size, Turn, coldness};
use crate::balancing::Random;

/// When things take their turn, as a part of the time.
const TURN_AT: f64 = 0.2;
/// How long figures are taken after a scale-out: as long as it matters.
const SCALE_OUT_LASTS: Duration = Duration::from_secs(10);
/// How often the loads of targets are compared.
const SAMPLE_EVERY: Duration = Duration::from_millis(10);
/// How long a target that fails takes to say so.
const FAILS_IN: Duration = Duration::from_micros(500);

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Arrives,
    Finishes { target: usize, request: usize },
    Turns,
    Compiles,
    Sampled,
}

#[derive(Debug, Default)]
struct Target {
    working: usize,
    queue: VecDeque<usize>,
    /// Since it was started, if it was not warm from the beginning.
    done: Option<u64>,
}

struct Request {
    came_at: Duration,
    in_flight: InFlight,
}

/// A run of one algorithm in one scenario.
pub(super) struct World<'a> {
    scenario: &'a Scenario,
    size: Size,
    house: House,
    clients: &'a Clients,
    targets: Vec<Target>,
    requests: Vec<Option<Request>>,
    free: Vec<usize>,
    events: BinaryHeap<Reverse<(Duration, u64, Event)>>,
    /// Events so far: what comes at the same moment comes in the order in which it was foreseen.
    foreseen: u64,
    now: Duration,
    has_turned: bool,
    /// Arrivals.
    arrivals: Random,
    /// Work, and choices: of their own, so that every algorithm meets the same arrivals.
    work: Random,
    choices: Random,
    figures: Figures,
}

impl<'a> World<'a> {
    pub(super) fn of(scenario: &'a Scenario, size: Size, algorithm: Algorithm, clients: &'a Clients) -> Result<Self> {
        let slow_start = match scenario.turn {
            Turn::ScaleOut(slow_start) => slow_start,
            _ => Duration::ZERO,
        };
        let house = House::of(algorithm, slow_start, size.targets, size.workers)?;
        Ok(Self {
            scenario,
            size,
            house,
            clients,
            targets: (0..size.targets).map(|_| Target::default()).collect(),
            requests: Vec::new(),
            free: Vec::new(),
            events: BinaryHeap::new(),
            foreseen: 0,
            now: Duration::ZERO,
            has_turned: false,
            arrivals: Random(1),
            work: Random(2),
            choices: Random(3),
            figures: Figures::new()?,
        })
    }

    /// Lets it all happen.
    pub(super) fn run(mut self) -> Result<Figures> {
        let rate = self.scenario.rate(self.size.targets);
        let gap = Duration::from_secs_f64(1.0 / rate);
        let lasting = gap.mul_f64(self.size.requests as f64);
        let turn_at = lasting.mul_f64(TURN_AT);
        let until = match self.scenario.turn {
            Turn::ScaleOut(_) => lasting.min(turn_at + SCALE_OUT_LASTS),
            _ => lasting,
        };
        self.foresee(turn_at, Event::Turns);
        self.foresee(Duration::ZERO, Event::Arrives);
        self.foresee(turn_at, Event::Sampled);
        while let Some(Reverse((at, _, event))) = self.events.pop().filter(|Reverse((at, ..))| *at <= until) {
            self.now = at;
            match event {
                Event::Arrives => {
                    self.arrive()?;
                    let next = gap.mul_f64(self.arrivals.exponential());
                    self.foresee(at + next, Event::Arrives);
                }
                Event::Finishes { target, request } => self.finish(target, request)?,
                Event::Turns => self.turn()?,
                Event::Compiles => {
                    self.house.compile(at);
                    self.foresee_snapshot();
                }
                Event::Sampled => {
                    self.sample();
                    self.foresee(at + SAMPLE_EVERY, Event::Sampled);
                }
            }
        }
        Ok(self.figures)
    }

    fn foresee(&mut self, at: Duration, event: Event) {
        self.foreseen += 1;
        self.events.push(Reverse((at, self.foreseen, event)));
    }

    fn foresee_snapshot(&mut self) {
        if let Some(at) = self.house.wake_at() {
            self.foresee(at, Event::Compiles);
        }
    }

    fn arrive(&mut self) -> Result<()> {
        let pick = Pick {
            worker: self.choices.below(self.size.workers),
            random: self.choices.bits(),
            tried: &[],
            connections_max: 0,
            now: self.house.instant(self.now),
            hash: Some(self.clients.draw(&mut self.choices)),
        };
        let candidate = self.house.pool()?.balancer.pick(&pick).context("nobody to choose")?;
        let in_flight = candidate.backend.begin(0).context("it takes no work")?;
        let target = target_of(candidate.address.port());
        if self.has_turned {
            self.figures.count(self.is_odd(target));
        }
        let request = Request { came_at: self.now, in_flight };
        let index = self.free.pop().unwrap_or(self.requests.len());
        if index == self.requests.len() {
            self.requests.push(None);
        }
        self.requests[index] = Some(request);
        if self.targets[target].working < SERVERS || self.never_queues(target) {
            self.begin(target, index);
        } else {
            self.targets[target].queue.push_back(index);
        }
        Ok(())
    }

    fn begin(&mut self, target: usize, request: usize) {
        let mut work = self.scenario.service.draw(&mut self.work);
        match self.scenario.turn {
            Turn::Slow(more) if self.is_odd(target) => work += more,
            Turn::Failing if self.is_odd(target) => work = FAILS_IN,
            _ => {}
        }
        let target_now = &mut self.targets[target];
        target_now.working += 1;
        work = work.mul_f64(target_now.done.map_or(1.0, coldness));
        self.foresee(self.now + work, Event::Finishes { target, request });
    }

    fn finish(&mut self, target: usize, request: usize) -> Result<()> {
        let Request { came_at, in_flight } = self.requests[request].take().context("finished twice")?;
        self.free.push(request);
        let took = self.now - came_at;
        let has_failed = match self.scenario.turn {
            Turn::Failing => self.is_odd(target),
            Turn::ErrorsEverywhere(one_in) => self.has_turned && self.work.below(one_in) == 0,
            _ => false,
        };
        let outcome = if has_failed { Outcome::Error } else { Outcome::Answered };
        let now = self.house.instant(self.now);
        self.house.pool()?.balancer.learn(in_flight.backend(), outcome, took, now);
        drop(in_flight);
        if self.has_turned && !has_failed {
            self.figures.took(took);
        }
        let target_now = &mut self.targets[target];
        target_now.working -= 1;
        target_now.done = target_now.done.map(|done| done + 1);
        if let Some(next) = target_now.queue.pop_front() {
            self.begin(target, next);
        }
        Ok(())
    }

    fn turn(&mut self) -> Result<()> {
        self.has_turned = true;
        let newcomers = self.scenario.newcomers(self.size.targets);
        if newcomers > 0 {
            self.targets.extend((0..newcomers).map(|_| Target { done: Some(0), ..Target::default() }));
            self.house.add(self.size.targets, newcomers, self.now)?;
            self.foresee_snapshot();
        }
        Ok(())
    }

    /// Whether a target is the one that turned, or one of those that came.
    fn is_odd(&self, target: usize) -> bool {
        self.has_turned
            && match self.scenario.turn {
                Turn::ScaleOut(_) => target >= self.size.targets,
                _ => target == 0,
            }
    }

    /// A target that waits for something else, or fails, is not busy.
    fn never_queues(&self, target: usize) -> bool {
        matches!(self.scenario.turn, Turn::Slow(_) | Turn::Failing) && self.is_odd(target)
    }

    fn sample(&mut self) {
        let is_even = |target: &usize| !self.never_queues(*target);
        let load = |target: usize| self.targets[target].working + self.targets[target].queue.len();
        let loads = (0..self.targets.len()).filter(is_even).map(load);
        let (most, all, count) =
            loads.fold((0, 0, 0), |(most, all, count), load| (load.max(most), all + load, count + 1));
        if all > 0 {
            self.figures.imbalance(most as f64 * f64::from(count) / all as f64);
        }
    }
}
