//! Connections to the admin API: how many, how long they may be silent, and how they end.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;

use super::secure::{Secure, Spoken, use_https};
use super::{AdminContext, Auth, Stopping, router};

/// The most connections at a time; more wait to be accepted.
const CONNECTIONS_MAX: usize = 256;
/// How long a request's head may take, and how long a kept connection may be silent.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// The longest head, in bytes.
const HEAD_BYTES_MAX: usize = 32 * 1024;
/// The most headers of a request.
const HEADERS_MAX: usize = 64;
/// How long a client may leave what it was sent unacknowledged, by not reading for example.
const UNREAD_TIMEOUT_MS: u32 = 30_000;
/// How long requests may take to end after elbow was asked to stop.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);
/// From a failed accept (no file descriptors left, for example) to the next.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);

/// Serves the admin API until `shutdown` is done, then lets requests end. Waits and event streams end at once.
///
/// # Errors
/// When it is open to everyone on an address that is not loopback, or cannot speak TLS.
pub async fn serve(listener: TcpListener, context: AdminContext, shutdown: impl Future<Output = ()>) -> io::Result<()> {
    if matches!(context.auth, Auth::Off) && !listener.local_addr()?.ip().is_loopback() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "an admin API without a token is for loopback only"));
    }
    let (stop, stopping) = watch::channel(false);
    let stopping = Stopping(stopping);
    let secure = context.certificate.clone().map(|name| Secure::new(name, Arc::clone(&context.live))).transpose()?;
    let front = Arc::new(Front { secure, router: router(context, stopping.clone()) });
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut connections = JoinSet::new();
    tokio::pin!(shutdown);
    loop {
        tokio::select! {
            () = &mut shutdown => break,
            (stream, place) = accept(&listener, &places) => {
                connections.spawn(connection(stream, place, Arc::clone(&front), stopping.clone()));
            }
            Some(_) = connections.join_next() => {}
        }
    }
    drop(listener);
    stop.send_replace(true);
    let ended = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(STOP_TIMEOUT, ended).await.is_err() {
        connections.shutdown().await;
    }
    Ok(())
}

/// What connections are met by.
struct Front {
    secure: Option<Secure>,
    router: Router,
}

async fn accept(listener: &TcpListener, places: &Arc<Semaphore>) -> (TcpStream, Option<OwnedSemaphorePermit>) {
    // The semaphore is never closed.
    let place = Arc::clone(places).acquire_owned().await.ok();
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return (stream, place),
            Err(error) => {
                tracing::warn!(%error, "the admin API cannot accept a connection");
                tokio::time::sleep(ACCEPT_AGAIN).await;
            }
        }
    }
}

async fn connection(
    stream: TcpStream,
    _place: Option<OwnedSemaphorePermit>,
    front: Arc<Front>,
    mut stopping: Stopping,
) {
    // Neither is vital: a connection without them is slower, or held longer by a client that does not read.
    let _ = stream.set_nodelay(true);
    let _ = rustix::net::sockopt::set_tcp_user_timeout(&stream, UNREAD_TIMEOUT_MS);
    let Some(secure) = &front.secure else { return speak(stream, front.router.clone(), stopping).await };
    let met = tokio::select! {
        met = secure.meet(stream) => met,
        () = stopping.begun() => return,
    };
    match met {
        Ok(Spoken::Tls(stream)) => speak(stream, front.router.clone(), stopping).await,
        Ok(Spoken::InTheClear(stream)) => speak(stream, Router::new().fallback(use_https), stopping).await,
        Err(error) => tracing::debug!(%error, "a client of the admin API could not shake hands"),
    }
}

/// Speaks HTTP over a connection until either side has had enough.
async fn speak(stream: impl AsyncRead + AsyncWrite + Unpin, router: Router, mut stopping: Stopping) {
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_headers(HEADERS_MAX)
        .max_header_size(HEAD_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    tokio::pin!(serving);
    let ended = tokio::select! {
        ended = serving.as_mut() => ended,
        () = stopping.begun() => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection to the admin API broke");
    }
}
