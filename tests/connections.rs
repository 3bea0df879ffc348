//! How many connections and requests there may be, of clients and to targets, and what becomes of one too many.

use crate::harness::*;

#[tokio::test]
async fn connections_over_the_limit_of_a_listener_wait_or_are_refused() {
    let upstream = Upstream::answering("ok").await;
    let lb = Setup::targets(&[&upstream]).listener("connections_max = 2").start().await;
    let mut first = lb.connect().await;
    let mut second = lb.connect().await;
    assert_eq!((first.get("/").await.status, second.get("/").await.status), (200, 200));
    let mut third = lb.connect().await;
    third.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let early = tokio::time::timeout(ms(200), third.try_response()).await;
    assert!(!matches!(&early, Ok(Ok(response)) if response.status == 200), "a third connection was served");
    assert_eq!(upstream.requests(), 2);
    drop((first, second));
    eventually("room for another connection", PATIENCE, async || {
        matches!(exchange(lb.web(), "GET / HTTP/1.1\r\nHost: a\r\n\r\n").await, Ok(response) if response.status == 200)
    })
    .await;
}

#[tokio::test]
async fn a_connection_ends_after_its_last_request() {
    let upstream = Upstream::answering("ok").await;
    let lb = Setup::targets(&[&upstream]).listener("requests_per_connection_max = 3").start().await;
    let mut client = lb.connect().await;
    for _ in 0..2 {
        assert_eq!(client.get("/").await.header("connection"), None);
    }
    assert_eq!(client.get("/").await.header("connection"), Some("close"), "it is told in time");
    client.assert_closed().await;
}

#[tokio::test]
async fn requests_over_the_limit_of_a_target_go_elsewhere_or_are_a_503() {
    let gate = Gate::closed();
    let held = gate.clone();
    let upstream = Upstream::start(move |_| [vec![Act::Until(held.clone())], answer(200, "ok")].concat()).await;
    let lb = Setup::targets(&[&upstream]).group("connections_max = 2\nsurge_queue_max = 0").start().await;
    let mut clients = [lb.connect().await, lb.connect().await];
    for client in &mut clients {
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    }
    upstream.wait_for_requests(2).await;
    let full = lb.get("/").await;
    full.assert_made_by_elbow(503);
    assert!(full.header("retry-after").is_some(), "it is worth trying again: {:?}", full.head.headers);
    assert_eq!(upstream.requests(), 2);
    gate.open();
    for client in &mut clients {
        assert_eq!(client.response().await.text(), "ok");
    }
    assert_eq!(lb.get("/").await.text(), "ok");
}

#[tokio::test]
async fn idle_connections_to_targets_are_kept_and_dropped_by_their_limits() {
    let upstream = Upstream::answering("ok").await;
    let lb = Setup::targets(&[&upstream]).group("keepalive_timeout = \"300ms\"").one_worker().start().await;
    assert_eq!(lb.get("/").await.status, 200);
    assert_eq!(lb.get("/").await.status, 200);
    assert_eq!(upstream.connections(), 1, "within keepalive_timeout it is used again, by any client of the worker");
    pause(ms(600)).await;
    assert_eq!(lb.get("/").await.status, 200);
    assert_eq!(upstream.connections(), 2, "after keepalive_timeout it is not");

    let upstream = Upstream::answering("ok").await;
    let lb = Setup::targets(&[&upstream]).group("idle_connections_max = 0").one_worker().start().await;
    for count in 1..=3 {
        assert_eq!(lb.get("/").await.status, 200);
        assert_eq!(upstream.connections(), count);
    }
}

#[tokio::test]
async fn the_whole_process_has_a_limit_of_connections() {
    let upstream = Upstream::answering("ok").await;
    let more = "[[listener]]\nname = \"second\"\nbind = \"127.0.0.1:0\"\ntarget_group = \"app\"\n";
    let setup = Setup::targets(&[&upstream]).top("[limits]\nconnections_max = 4").more(more);
    let lb = setup.start().await;
    let mut kept = Vec::new();
    for number in 0..4 {
        let mut client = Client::connect(lb.listener(if number % 2 == 0 { "web" } else { "second" })).await;
        assert_eq!(client.get("/").await.status, 200);
        kept.push(client);
    }
    let request = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    let refused = exchange(lb.listener("second"), request).await;
    assert!(!matches!(&refused, Ok(response) if response.status == 200), "a fifth connection was served");
    assert!(lb.metric("elbow_connections_refused_total", &[]).await >= 1.0);
    kept.pop();
    eventually(
        "room for another",
        PATIENCE,
        async || matches!(exchange(lb.web(), request).await, Ok(response) if response.status == 200),
    )
    .await;
}

#[tokio::test]
async fn running_out_of_files_is_survived() {
    let upstream = Upstream::answering("ok").await;
    let lb = Setup::targets(&[&upstream]).files_max(80).start().await;
    let mut kept = Vec::new();
    for _ in 0..150 {
        let mut client = lb.connect().await;
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        kept.push(client);
    }
    eventually("some of them to be served", PATIENCE, async || upstream.requests() > 5).await;
    drop(kept);
    eventually("room for everybody", PATIENCE, async || {
        matches!(exchange(lb.web(), "GET / HTTP/1.1\r\nHost: a\r\n\r\n").await, Ok(response) if response.status == 200)
    })
    .await;
    assert_eq!(lb.admin().get("/v1/config").await.status, 200, "the admin API has files of its own");
}

#[tokio::test]
async fn idle_connections_to_a_target_that_left_are_closed() {
    let upstream = Upstream::answering("ok").await;
    let lb = Setup::default().group("keepalive_timeout = \"60s\"").start_cold().await;
    lb.admin().register("app", "leaver", upstream.address()).await;
    lb.until("app", "leaver", "healthy").await;
    assert_eq!(lb.get("/").await.status, 200);
    assert_eq!(upstream.open(), 1, "it is kept for the next request");
    assert!(lb.admin().delete("/v1/target-groups/app/targets/leaver").await.status < 300);
    eventually("it to be closed", PATIENCE, async || upstream.open() == 0).await;
}
