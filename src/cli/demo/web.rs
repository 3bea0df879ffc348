//! A small web server for the demo: it answers with its name and the request's path, and `/health` with `ok`.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

/// The most connections served at once.
const CONNECTIONS_MAX: usize = 256;

/// Serves until the returned future is dropped.
pub(super) async fn serve(name: String, address: SocketAddr) -> std::io::Result<()> {
    let listener = TcpListener::bind(address).await?;
    let name: Arc<str> = name.into();
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    // Dropping the set with this future ends its connections.
    let mut connections = tokio::task::JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await?;
        while connections.try_join_next().is_some() {}
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else { continue };
        let name = Arc::clone(&name);
        connections.spawn(async move {
            let service = service_fn(move |request| std::future::ready(answer(&name, &request)));
            let mut http = hyper::server::conn::http1::Builder::new();
            http.timer(TokioTimer::new()).header_read_timeout(Duration::from_secs(60));
            // A client that went away is no news here.
            let _ = http.serve_connection(TokioIo::new(stream), service).await;
            drop(place);
        });
    }
}

#[expect(clippy::unnecessary_wraps, reason = "hyper asks for a result")]
fn answer(name: &str, request: &Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let text = match request.uri().path() {
        "/health" => "ok\n".to_owned(),
        path => format!("{name} answers {path}\n"),
    };
    Ok(Response::new(Full::from(text)))
}
