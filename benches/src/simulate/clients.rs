//! Who asks: clients of very different zeal, each with a key of its own.

use crate::balancing::Random;

const CLIENTS: usize = 100_000;
/// How fast zeal falls from the first client to the last (Zipf). The first asks 2 % of all questions.
const EXPONENT: f64 = 0.8;

/// Clients, by their share in all requests.
pub(super) struct Clients {
    /// Where each one's share ends.
    ends: Vec<f64>,
}

impl Clients {
    pub(super) fn new() -> Self {
        let mut end = 0.0;
        let ends = (1..=CLIENTS).map(|rank| {
            end += (rank as f64).powf(-EXPONENT);
            end
        });
        Self { ends: ends.collect() }
    }

    /// The hash of the key of the one who asks next.
    pub(super) fn draw(&self, random: &mut Random) -> u64 {
        let point = self.ends.last().copied().unwrap_or_default() * random.fraction();
        let client = self.ends.partition_point(|end| *end < point);
        lb::balance::hash_of(&client.to_le_bytes())
    }
}
