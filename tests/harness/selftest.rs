//! The harness tests itself: a test that cannot fail, or that fails for its own reasons, is worse than none.

use super::*;

#[tokio::test]
async fn the_client_and_the_upstream_speak_http() {
    let upstream = Upstream::start(|request| answer(200, format!("{} {}", request.method(), request.path()))).await;
    let mut client = Client::connect(upstream.address()).await;
    client.send("POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nT: 1\r\n\r\n").await;
    assert_eq!(client.response().await.text(), "POST /a");
    assert_eq!(client.get("/b").await.text(), "GET /b");
    let seen = upstream.seen();
    assert_eq!((seen[0].body.as_slice(), seen[0].trailers.len()), (&b"abc"[..], 1));
    assert_eq!(seen[1].connection, 0, "both came on one connection");
    assert_eq!((upstream.connections(), upstream.requests()), (1, 2));
}

#[tokio::test]
async fn the_client_tells_a_cut_response_from_a_whole_one() {
    let upstream = Upstream::start(|_| {
        let mut acts = raw("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc");
        acts.push(Act::Close);
        acts
    })
    .await;
    let cut = exchange(upstream.address(), "GET / HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert_eq!(cut.unwrap_err(), Broken::Truncated);
    upstream.set(|_| vec![Act::Reset]);
    let reset = exchange(upstream.address(), "GET / HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert_eq!(reset.unwrap_err(), Broken::Reset);
    upstream.set(|_| raw("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx"));
    let doubled = exchange(upstream.address(), "GET / HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert!(matches!(doubled, Err(Broken::Malformed(_))), "{doubled:?}");
}

#[tokio::test]
async fn a_stopped_upstream_refuses_and_comes_back_where_it_was() {
    let mut upstream = Upstream::answering("up").await;
    let address = upstream.address();
    upstream.stop().await;
    let refused = tokio::net::TcpStream::connect(address).await.unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
    upstream.start_again();
    assert_eq!(get(address, "/").await.text(), "up");
}

#[tokio::test]
#[should_panic(expected = "a scripted upstream failed: no such path")]
async fn a_panic_in_a_script_fails_the_test() {
    let upstream = Upstream::start(|_| panic!("no such {}", "path")).await;
    let answer = exchange(upstream.address(), "GET / HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert!(answer.is_err());
}

#[tokio::test]
async fn a_gate_holds_an_answer_back() {
    let gate = Gate::closed();
    let held = gate.clone();
    let upstream = Upstream::start(move |_| [vec![Act::Until(held.clone())], answer(200, "late")].concat()).await;
    let mut client = Client::connect(upstream.address()).await;
    client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n").await;
    upstream.wait_for_requests(1).await;
    let mut response = Box::pin(client.response());
    let early = tokio::time::timeout(ms(20), &mut response).await;
    assert!(early.is_err(), "it was answered before the gate opened");
    gate.open();
    assert_eq!(response.await.text(), "late");
}

#[test]
fn series_are_summed_by_their_labels() {
    let text = "# HELP a b\na{x=\"1\",y=\"2\"} 3\na{x=\"1\",y=\"3\"} 4\nab{x=\"1\"} 9\nb 5\n";
    assert_eq!(lb::sum_of_series(text, "a", &[("x", "1")]), 7.0);
    assert_eq!(lb::sum_of_series(text, "a", &[("y", "3"), ("x", "1")]), 4.0);
    assert_eq!(lb::sum_of_series(text, "b", &[]), 5.0);
}
