//! Waiting for what is live to become so: `?wait=` on registering and deregistering.

use std::time::Duration;

use lb::state::Snapshot;
use utoipa::IntoParams;

use super::Api;
use super::problem::{Kind, Problem};
use crate::schema;

/// How long a wait takes where the query does not say.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long a wait may take.
const PATIENCE_MAX: Duration = Duration::from_secs(3600);

/// What a write may wait for.
#[derive(Debug, serde::Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct WaitFor {
    /// Answer only once this is so: `healthy` on registering, `drained` on deregistering.
    wait: Option<String>,
    /// How long to wait at most, up to `1h`; `30s` if absent. A wait that runs out answers 504; the change stands.
    timeout: Option<String>,
}

/// Why a wait ended without its end.
pub(super) enum Ended {
    /// It ran out.
    RanOut,
    /// elbow stops.
    Stopping,
}

impl WaitFor {
    /// How long to wait, if at all.
    pub(super) fn patience(&self, only: &str) -> Result<Option<Duration>, Problem> {
        let malformed = |detail: String| Problem::new(Kind::Malformed, detail);
        match (&self.wait, &self.timeout) {
            (None, None) => Ok(None),
            (None, Some(_)) => Err(malformed(format!("timeout has a meaning only together with wait={only}"))),
            (Some(wait), _) if wait != only => Err(malformed(format!("wait must be {only} here"))),
            (Some(_), None) => Ok(Some(PATIENCE)),
            (Some(_), Some(text)) => {
                let patience = schema::read_duration(text, PATIENCE_MAX);
                patience.map(Some).map_err(|problem| malformed(format!("timeout: {problem}")))
            }
        }
    }
}

/// Looks at every snapshot until `reached` finds what it looks for and every worker serves by that.
pub(super) async fn until<T>(
    api: &Api,
    patience: Duration,
    mut reached: impl FnMut(&Snapshot) -> Option<T>,
) -> Result<T, Ended> {
    let live = &api.context.live;
    let mut generations = live.subscribe();
    let mut stopping = api.stopping.clone();
    let seen = async {
        loop {
            generations.borrow_and_update();
            let snapshot = api.snapshot();
            if let Some(found) = reached(&snapshot) {
                live.taken_up(snapshot.generation).await;
                return Ok(found);
            }
            generations.changed().await.map_err(|_| Ended::Stopping)?;
        }
    };
    tokio::select! {
        ended = seen => ended,
        () = stopping.begun() => Err(Ended::Stopping),
        () = tokio::time::sleep(patience) => Err(Ended::RanOut),
    }
}
