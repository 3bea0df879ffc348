//! The demo's clients: a steady stream of requests, counted by the server that answered.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::Request;
use http_body_util::{BodyExt, Empty};
use hyper::body::Bytes;
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;
use tokio::time::MissedTickBehavior;

/// From one request to the next, for each client.
const PACE: Duration = Duration::from_millis(40);
/// How long a request may take before it counts as failed.
const PATIENCE: Duration = Duration::from_secs(10);
/// How many clients there are.
const CLIENTS: usize = 2;

/// What was counted since it was last asked for.
#[derive(Debug, Clone, Default)]
pub(super) struct Counts {
    /// Answers, by the first word of each: the server's name.
    answered: BTreeMap<String, u64>,
    /// Requests without an answer, or with one that is no success.
    failed: u64,
    /// Requests that found nobody to ask.
    elbow_down: u64,
}

/// Clients that ask until it is dropped.
#[derive(Debug)]
pub(super) struct Traffic {
    counts: Arc<Mutex<Counts>>,
    _clients: tokio::task::JoinSet<()>,
}

impl Traffic {
    /// Starts the clients.
    pub(super) fn start(address: SocketAddr) -> Self {
        let counts = Arc::new(Mutex::new(Counts::default()));
        let mut clients = tokio::task::JoinSet::new();
        for _ in 0..CLIENTS {
            clients.spawn(ask(address, Arc::clone(&counts)));
        }
        Self { counts, _clients: clients }
    }

    /// What was counted since the last time.
    pub(super) fn take(&self) -> Counts {
        std::mem::take(&mut *lock(&self.counts))
    }
}

impl Counts {
    /// Adds what was counted later.
    pub(super) fn add(&mut self, later: &Self) {
        self.failed += later.failed;
        self.elbow_down += later.elbow_down;
        for (name, count) in &later.answered {
            *self.answered.entry(name.clone()).or_default() += count;
        }
    }

    /// In words: how many, how many of them failed, and who answered how many.
    pub(super) fn in_words(&self) -> String {
        let sum = self.failed + self.elbow_down + self.answered.values().sum::<u64>();
        let down = match self.elbow_down {
            0 => String::new(),
            count => format!(", {count} while elbow was down"),
        };
        let by_server: Vec<_> = self.answered.iter().map(|(name, count)| format!("{name} {count}")).collect();
        format!("{sum} requests, {} failed{down}   {}", self.failed, by_server.join("  "))
    }
}

async fn ask(address: SocketAddr, counts: Arc<Mutex<Counts>>) {
    let client: Client<HttpConnector, Empty<Bytes>> = Client::builder(TokioExecutor::new()).build_http();
    let mut pace = tokio::time::interval(PACE);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        pace.tick().await;
        let answered = tokio::time::timeout(PATIENCE, ask_once(&client, address)).await;
        let mut counts = lock(&counts);
        match answered {
            Ok(Answer::By(name)) => *counts.answered.entry(name).or_default() += 1,
            Ok(Answer::NobodyThere) => counts.elbow_down += 1,
            Ok(Answer::None) | Err(_) => counts.failed += 1,
        }
    }
}

enum Answer {
    /// A server answered; its name.
    By(String),
    /// Nobody takes connections.
    NobodyThere,
    /// Anything else.
    None,
}

async fn ask_once(client: &Client<HttpConnector, Empty<Bytes>>, address: SocketAddr) -> Answer {
    let Ok(request) = Request::get(format!("http://{address}/traffic")).body(Empty::new()) else { return Answer::None };
    let response = match client.request(request).await {
        Ok(response) if response.status().is_success() => response,
        Err(error) if error.is_connect() => return Answer::NobodyThere,
        _ => return Answer::None,
    };
    let body = response.into_body().collect().await.map(|body| body.to_bytes());
    let name = body.ok().and_then(|body| Some(String::from_utf8_lossy(&body).split_whitespace().next()?.to_owned()));
    name.map_or(Answer::None, Answer::By)
}

// Held for an addition only and never across an await, so a std mutex is enough.
fn lock(counts: &Mutex<Counts>) -> std::sync::MutexGuard<'_, Counts> {
    counts.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_add_up_in_words() {
        let mut sum = Counts::default();
        sum.add(&Counts { answered: [("web-1".to_owned(), 2)].into(), failed: 1, elbow_down: 0 });
        sum.add(&Counts {
            answered: [("web-1".to_owned(), 1), ("web-2".to_owned(), 4)].into(),
            failed: 0,
            elbow_down: 3,
        });
        assert_eq!(sum.in_words(), "11 requests, 1 failed, 3 while elbow was down   web-1 3  web-2 4");
    }
}
