//! Whether elbow is ready to take traffic: what `/readyz` answers and who may want to wait for.
//!
//! Not here: whether the targets are (that is `lb::state`). Ready means that the listeners are bound, the workers
//! serve the first snapshot, and nobody asked elbow to stop.

use std::sync::Arc;

use tokio::sync::watch;

/// Says whether elbow is ready. Cheap to clone; every clone says the same.
#[derive(Debug, Clone)]
pub struct Readiness {
    phase: watch::Sender<Phase>,
}

/// How far elbow is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Phase {
    /// Not there yet.
    Starting,
    /// Takes traffic.
    Ready,
    /// About to stop; for the reason given. There is no way back.
    Draining(Arc<str>),
}

impl Default for Readiness {
    fn default() -> Self {
        Self { phase: watch::Sender::new(Phase::Starting) }
    }
}

impl Readiness {
    /// Traffic may come. Nothing happens when elbow is about to stop already.
    pub fn ready(&self) {
        self.phase.send_if_modified(|phase| {
            let starting = *phase == Phase::Starting;
            if starting {
                *phase = Phase::Ready;
            }
            starting
        });
    }

    /// No more traffic should come, because elbow is about to stop. The first reason stands.
    pub fn draining(&self, reason: &str) {
        self.phase.send_if_modified(|phase| {
            let first = !matches!(phase, Phase::Draining(_));
            if first {
                *phase = Phase::Draining(reason.into());
            }
            first
        });
    }

    /// How far elbow is now.
    pub fn now(&self) -> Phase {
        self.phase.borrow().clone()
    }

    /// Tells of every change.
    pub fn subscribe(&self) -> watch::Receiver<Phase> {
        self.phase.subscribe()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draining_is_final_and_keeps_its_first_reason() {
        let readiness = Readiness::default();
        assert_eq!(readiness.now(), Phase::Starting);
        readiness.ready();
        assert_eq!(readiness.now(), Phase::Ready);
        readiness.draining("TERM was received");
        readiness.draining("another");
        readiness.ready();
        assert_eq!(readiness.now(), Phase::Draining("TERM was received".into()));
    }

    #[tokio::test]
    async fn whoever_subscribed_is_told() {
        let readiness = Readiness::default();
        let mut phases = readiness.subscribe();
        readiness.ready();
        let phase = phases.wait_for(|phase| *phase == Phase::Ready).await;
        assert!(phase.is_ok());
    }
}
