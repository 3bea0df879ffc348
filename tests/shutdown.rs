//! How elbow stops: gracefully by its deadline, at once when told twice, and what it leaves behind.

use std::time::Instant;

use rustix::process::Signal;

use crate::harness::*;

async fn held(script: impl Fn(Gate) -> Vec<Act> + Send + Sync + 'static) -> (Upstream, Gate) {
    let gate = Gate::closed();
    let inner = gate.clone();
    (Upstream::start(move |_| script(inner.clone())).await, gate)
}

async fn one_in_flight(lb: &Lb, upstream: &Upstream) -> Client {
    let mut client = lb.connect().await;
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    upstream.wait_for_requests(1).await;
    client
}

#[tokio::test]
async fn what_is_in_flight_finishes_and_the_process_ends_well() {
    for signal in [Signal::TERM, Signal::INT, Signal::QUIT] {
        let (upstream, gate) = held(|gate| [vec![Act::Until(gate)], answer(200, "finished")].concat()).await;
        let mut lb = Setup::targets(&[&upstream]).start().await;
        let mut client = one_in_flight(&lb, &upstream).await;
        let web = lb.web();
        lb.signal(signal);
        eventually("the listener to close", PATIENCE, async || tokio::net::TcpStream::connect(web).await.is_err())
            .await;
        assert!(lb.runs(), "it ended although a request is in flight");
        gate.open();
        let response = client.response().await;
        assert_eq!((response.text().as_str(), response.header("connection")), ("finished", Some("close")));
        let status = lb.wait_for_exit().await;
        assert_eq!(status.code(), Some(0), "{signal:?}");
        assert!(!lb.state_dir().join("run.json").exists(), "run.json is removed on a clean exit");
    }
}

#[tokio::test]
async fn with_nothing_in_flight_it_ends_at_once() {
    let upstream = Upstream::answering("ok").await;
    let mut lb = Setup::targets(&[&upstream]).start().await;
    let mut idle = lb.connect().await;
    assert_eq!(idle.get("/").await.status, 200);
    let started = Instant::now();
    lb.signal(Signal::TERM);
    idle.assert_closed().await;
    assert_eq!(lb.wait_for_exit().await.code(), Some(0));
    assert!(started.elapsed() < ms(10_000), "an idle connection held it up for {:?}", started.elapsed());
}

#[tokio::test]
async fn readyz_fails_a_while_before_listeners_close() {
    let upstream = Upstream::answering("ok").await;
    let mut lb = Setup::targets(&[&upstream]).top("[shutdown]\ndelay = \"2s\"").start().await;
    let ready = lb.admin().without_token("GET", "/readyz", &[], "").await;
    assert_eq!(ready.status, 200, "{}", ready.text());
    let mut kept = lb.connect().await;
    assert_eq!(kept.get("/").await.header("connection"), None);
    let started = Instant::now();
    lb.signal(Signal::TERM);
    eventually("/readyz to fail", PATIENCE, async || {
        lb.admin().without_token("GET", "/readyz", &[], "").await.status == 503
    })
    .await;
    assert_eq!(lb.admin().without_token("GET", "/healthz", &[], "").await.status, 200, "it is alive all the same");
    assert!(started.elapsed() < ms(1500), "the machine is too busy for this test: {:?}", started.elapsed());
    assert_eq!(lb.get("/").await.status, 200, "new connections are still taken");
    let told = kept.get("/").await;
    assert_eq!((told.status, told.header("connection")), (200, Some("close")), "kept connections are told to go");
    assert_eq!(lb.wait_for_exit().await.code(), Some(0));
    assert!(started.elapsed() >= ms(1900), "{:?}", started.elapsed());
}

#[tokio::test]
async fn what_is_still_in_flight_at_the_deadline_is_cut() {
    let (upstream, _gate) = held(|gate| vec![Act::Until(gate)]).await;
    let mut lb = Setup::targets(&[&upstream]).top("[shutdown]\ntimeout = \"600ms\"").start().await;
    let mut client = one_in_flight(&lb, &upstream).await;
    let started = Instant::now();
    lb.signal(Signal::TERM);
    let cut = client.try_response().await.map(|response| response.status);
    assert!(matches!(cut, Err(Broken::Closed | Broken::Reset) | Ok(502..=504)), "{cut:?}");
    lb.wait_for_exit().await;
    assert!(started.elapsed() >= ms(550) && started.elapsed() < ms(10_000), "{:?}", started.elapsed());
}

#[tokio::test]
async fn a_second_interrupt_ends_it_at_once() {
    let (upstream, _gate) = held(|gate| vec![Act::Until(gate)]).await;
    let mut lb = Setup::targets(&[&upstream]).start().await;
    let _client = one_in_flight(&lb, &upstream).await;
    let web = lb.web();
    lb.signal(Signal::INT);
    eventually("the listener to close", PATIENCE, async || tokio::net::TcpStream::connect(web).await.is_err()).await;
    assert!(lb.runs());
    let started = Instant::now();
    lb.signal(Signal::INT);
    lb.wait_for_exit().await;
    assert!(started.elapsed() < ms(5000), "{:?}", started.elapsed());
}

#[tokio::test]
async fn a_websocket_ends_by_the_deadline() {
    let switching = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
    let upstream = Upstream::start(move |_| vec![Act::Write(switching.into()), Act::Echo]).await;
    let mut lb = Setup::targets(&[&upstream]).top("[shutdown]\ntimeout = \"800ms\"").start().await;
    let mut client = lb.connect().await;
    client.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n").await;
    assert_eq!(client.response().await.status, 101);
    lb.signal(Signal::TERM);
    client.send("still here").await;
    client.assert_reads(b"still here").await;
    client.assert_closed().await;
    lb.wait_for_exit().await;
}

#[tokio::test]
async fn the_binary_upgrade_signal_does_no_harm() {
    let upstream = Upstream::answering("ok").await;
    let mut lb = Setup::targets(&[&upstream]).start().await;
    lb.signal(Signal::USR2);
    eventually("a word about it", PATIENCE, async || lb.logs().contains("USR2")).await;
    assert!(lb.runs());
    assert_eq!(lb.get("/").await.status, 200);
}
