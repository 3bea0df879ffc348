//! What is simulated: how long targets work on a request, what goes wrong with one of them, and how many there are.

use std::time::Duration;

use crate::balancing::Random;

/// What a request costs a target on average.
pub(super) const SERVICE_MEAN: Duration = Duration::from_millis(5);
/// How many requests a target works on at once; more wait there, first come, first served.
pub(super) const SERVERS: usize = 4;

/// One world.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scenario {
    pub(super) name: &'static str,
    pub(super) says: &'static str,
    pub(super) service: Service,
    pub(super) turn: Turn,
    /// Which part of what the first targets can do is asked of them.
    pub(super) load: f64,
}

/// How the work of requests is distributed, always with the same mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Service {
    Exponential,
    /// Bounded Pareto: most requests are small, and some a thousand times the smallest.
    HeavyTail,
}

/// What happens after a fifth of the time. Figures are taken from then on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    Nothing,
    /// The first target begins to wait for something of its own on every request.
    Slow(Duration),
    /// The first target begins to answer every request with an error, at once.
    Failing,
    /// Every target begins to answer one request in so many with an error: it is the requests' fault.
    ErrorsEverywhere(usize),
    /// Half as many targets more become healthy. They are cold, and start as slowly as this.
    ScaleOut(Duration),
}

/// How many there are of what.
#[derive(Debug, Clone, Copy)]
pub(super) struct Size {
    pub(super) targets: usize,
    pub(super) workers: usize,
    pub(super) requests: usize,
}

const fn scenario(name: &'static str, says: &'static str, service: Service, turn: Turn, load: f64) -> Scenario {
    Scenario { name, says, service, turn, load }
}

pub(super) const SCENARIOS: [Scenario; 7] = [
    scenario("even", "exponential work, 70 % load", Service::Exponential, Turn::Nothing, 0.7),
    scenario("heavy tail", "bounded Pareto work, 70 % load", Service::HeavyTail, Turn::Nothing, 0.7),
    scenario(
        "one slow",
        "one target turns 200 ms slower, 50 % load",
        Service::Exponential,
        Turn::Slow(Duration::from_millis(200)),
        0.5,
    ),
    scenario("one failing", "one target turns to errors at once, 50 % load", Service::Exponential, Turn::Failing, 0.5),
    scenario(
        "errors everywhere",
        "one answer in 200 is an error, 70 % load",
        Service::Exponential,
        Turn::ErrorsEverywhere(200),
        0.7,
    ),
    scenario(
        "scale-out",
        "half as many cold targets more, 85 % load before",
        Service::Exponential,
        Turn::ScaleOut(Duration::ZERO),
        0.85,
    ),
    scenario(
        "scale-out, slow_start",
        "the same with slow_start = \"10s\"",
        Service::Exponential,
        Turn::ScaleOut(Duration::from_secs(10)),
        0.85,
    ),
];

pub(super) const SIZES: [Size; 4] = [
    Size { targets: 3, workers: 1, requests: 500_000 },
    Size { targets: 3, workers: 16, requests: 500_000 },
    Size { targets: 100, workers: 4, requests: 2_000_000 },
    Size { targets: 1_000, workers: 16, requests: 9_000_000 },
];

/// How slow a cold target is at first, and over how many requests it warms up.
const COLD: (f64, f64) = (4.0, 300.0);

impl Service {
    /// The work of one request.
    pub(super) fn draw(self, random: &mut Random) -> Duration {
        const SHAPE: f64 = 1.5;
        const RANGE: f64 = 1_000.0;
        let part = match self {
            Self::Exponential => random.exponential(),
            Self::HeavyTail => {
                let tail = 1.0 - RANGE.powf(-SHAPE);
                let mean = SHAPE / (SHAPE - 1.0) * (1.0 - RANGE.powf(1.0 - SHAPE)) / tail;
                (1.0 - random.fraction() * tail).powf(-1.0 / SHAPE) / mean
            }
        };
        SERVICE_MEAN.mul_f64(part)
    }
}

/// By how much a target that has done so many requests since it was started is slower than a warm one.
pub(super) fn coldness(done: u64) -> f64 {
    let (slowest, warm_after) = COLD;
    (slowest - (slowest - 1.0) * done as f64 / warm_after).max(1.0)
}

impl Scenario {
    /// Requests per second of so many targets.
    pub(super) fn rate(&self, targets: usize) -> f64 {
        self.load * (targets * SERVERS) as f64 / SERVICE_MEAN.as_secs_f64()
    }

    /// How many targets come later.
    pub(super) fn newcomers(&self, targets: usize) -> usize {
        match self.turn {
            Turn::ScaleOut(_) => targets.div_ceil(2),
            _ => 0,
        }
    }
}
