//! The task that publishes what is durable, waits until every worker serves by it, and answers.
//!
//! While workers take up one snapshot the writer goes on committing; what has gathered is published as one.

use std::sync::Arc;
use std::time::Duration;

use lb::state::{Live, Publisher};
use tokio::sync::mpsc;

use super::Refused;
use super::writer::Committed;

/// How long workers may take to take up a snapshot before whoever waits is told so.
const TAKE_UP_MAX: Duration = Duration::from_secs(30);

/// Publishes until the writer has gone.
pub(super) async fn run(mut committed: mpsc::Receiver<Committed>, publisher: Publisher, live: Arc<Live>) {
    while let Some(Committed { mut wanted, mut waiting }) = committed.recv().await {
        while let Ok(newer) = committed.try_recv() {
            wanted = newer.wanted;
            waiting.extend(newer.waiting);
        }
        let revision = wanted.config.revision;
        let taken_up = async {
            let generation = publisher.publish(wanted).await;
            live.taken_up(generation).await;
        };
        let taken_up = tokio::time::timeout(TAKE_UP_MAX, taken_up).await;
        if taken_up.is_err() {
            tracing::error!(revision, "not every worker has taken up the configuration in time");
        }
        for (applied, answer) in waiting {
            let outcome = taken_up.as_ref().map(|()| applied.clone());
            // Whoever does not wait any more is not told.
            let _ = answer.send(outcome.map_err(|_| Refused::NotTakenUp { revision: applied.revision }));
        }
    }
}
