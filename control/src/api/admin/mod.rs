//! The admin API: what is wanted and what is live as JSON over HTTP, errors as RFC 9457 problems, and metrics.
//!
//! One file a resource: [`listeners`], [`certificates`], [`target_groups`], [`targets`], [`config`], [`state`], [`cookie_keys`],
//! [`reload`], [`events`], [`explain`], [`probes`] (alive, ready, metrics). They share [`problem`] (every refusal), [`guard`] (who may ask), [`tags`]
//! (`ETag`, `If-Match`), [`extract`] (bodies, names, queries), [`wait`] and [`views`] (what representations hold).
//! [`serve()`] runs it, behind TLS where that is asked for ([`secure`]), on the control side's runtime, never on a worker.

mod certificates;
mod config;
mod cookie_keys;
mod documented;
mod events;
mod explain;
mod explain_views;
mod extract;
mod guard;
mod listeners;
mod openapi;
mod probes;
mod problem;
mod reload;
mod root;
mod secure;
mod serve;
mod state;
mod tags;
mod target_groups;
mod targets;
mod views;
mod wait;

use std::sync::Arc;

use axum::{Router, middleware};
use lb::explain::Explainer;
use lb::model::CertificateName;
use lb::state::{Live, Snapshot};
use lb::telemetry::Telemetry;
use tokio::sync::{Semaphore, watch};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::api::elb::Elb;
use crate::file::Reloader;
use crate::readiness::Readiness;
use crate::secrets::AdminToken;
use crate::store::Store;

pub use serve::serve;

/// How many event streams may be open; each holds a connection.
const EVENT_STREAMS_MAX: usize = 64;

/// What the admin API reads and changes.
#[derive(Debug)]
pub struct AdminContext {
    /// Takes changes.
    pub store: Store,
    /// What is live.
    pub live: Arc<Live>,
    /// Reads the configuration file again.
    pub reloader: Arc<Reloader>,
    /// Whether elbow is ready to take traffic.
    pub readiness: Readiness,
    /// What is counted for the whole process.
    pub telemetry: Arc<Telemetry>,
    /// Asks the workers what they remember.
    pub explainer: Explainer,
    /// The ELB API, served at the root.
    pub elb: Elb,
    /// Who may ask.
    pub auth: Auth,
    /// The certificate that it shows; absent: it is spoken to in the clear.
    pub certificate: Option<CertificateName>,
}

/// Who may use the admin API.
#[derive(Debug)]
pub enum Auth {
    /// Whoever presents this token.
    Token(AdminToken),
    /// Anyone who reaches it, which must be loopback only.
    Off,
}

/// What every request handler has at hand.
#[derive(Debug)]
struct Api {
    context: AdminContext,
    stopping: Stopping,
    event_streams: Arc<Semaphore>,
    /// Rendering metrics of many targets takes some CPU time, and is open to all: one at a time.
    rendering: Semaphore,
    openapi: String,
}

/// Tells when elbow stops: waits and event streams end then.
#[derive(Debug, Clone)]
struct Stopping(watch::Receiver<bool>);

impl Stopping {
    /// Returns once elbow stops.
    async fn begun(&mut self) {
        // If the sender is gone, whoever serves is gone too, which means the same.
        let _ = self.0.wait_for(|stopping| *stopping).await;
    }
}

impl Api {
    /// How URLs of this API begin.
    fn scheme(&self) -> &'static str {
        if self.context.certificate.is_some() { "https" } else { "http" }
    }

    fn snapshot(&self) -> Arc<Snapshot> {
        self.context.live.load()
    }
}

/// The whole API as a service.
fn router(context: AdminContext, stopping: Stopping) -> Router {
    let (routes, described) = routes().split_for_parts();
    let openapi = openapi::complete(described, context.telemetry.build);
    let api = Arc::new(Api {
        context,
        stopping,
        event_streams: Arc::new(Semaphore::new(EVENT_STREAMS_MAX)),
        rendering: Semaphore::new(1),
        openapi,
    });
    routes
        .fallback(guard::no_such_resource)
        .method_not_allowed_fallback(guard::no_such_method)
        .layer(middleware::from_fn_with_state(Arc::clone(&api), guard::admit))
        .layer(middleware::from_fn(guard::survive_panics))
        .with_state(api)
}

fn routes() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::with_openapi(openapi::base())
        .routes(routes!(probes::healthz))
        .routes(routes!(probes::readyz))
        .routes(routes!(probes::metrics))
        .routes(routes!(openapi::document))
        .routes(routes!(config::get))
        .routes(routes!(listeners::list))
        .routes(routes!(listeners::get, listeners::put, listeners::delete))
        .routes(routes!(certificates::list))
        .routes(routes!(certificates::get, certificates::put, certificates::delete))
        .routes(routes!(target_groups::list))
        .routes(routes!(target_groups::get, target_groups::put, target_groups::delete))
        .routes(routes!(targets::list))
        .routes(routes!(targets::get, targets::put, targets::delete))
        .routes(routes!(targets::drain))
        .routes(routes!(targets::undrain))
        .routes(routes!(reload::reload))
        .routes(routes!(state::export, state::import))
        .routes(routes!(cookie_keys::list))
        .routes(routes!(cookie_keys::rotate))
        .routes(routes!(events::follow))
        .routes(routes!(explain::request, explain::dry_run))
        .route("/", axum::routing::get(root::pass_on).post(root::pass_on))
}
