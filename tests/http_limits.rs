//! Every limit and every timeout of a listener and of a target group bites, and none of them bites the patient.

use std::time::Instant;

use crate::harness::*;

#[tokio::test]
async fn a_request_line_over_its_limit_is_a_414() {
    let upstream = Upstream::answering("ok").await;
    let lb = Setup::targets(&[&upstream]).listener("request_line_max = \"1KiB\"").start().await;
    assert_eq!(lb.get(&format!("/{}", "a".repeat(1000))).await.status, 200);
    let mut client = lb.connect().await;
    client.send(format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "a".repeat(1100))).await;
    client.response().await.assert_made_by_elbow(414);
    client.assert_closed().await;
    let endless = "a".repeat(3000);
    exchange(lb.web(), format!("GET /{endless}")).await.unwrap().assert_made_by_elbow(414);
    assert_eq!(upstream.requests(), 1);
}

#[tokio::test]
async fn headers_over_their_limits_are_a_431() {
    let upstream = Upstream::answering("ok").await;
    let limits = "headers_max = \"2KiB\"\nheader_count_max = 10";
    let lb = Setup::targets(&[&upstream]).listener(limits).start().await;
    let with = |headers: String| exchange(lb.web(), format!("GET / HTTP/1.1\r\nHost: a\r\n{headers}\r\n"));
    let some = |count: usize, length: usize| format!("X-A: {}\r\n", "b".repeat(length)).repeat(count);
    assert_eq!(with(some(9, 100)).await.unwrap().status, 200);
    with(some(10, 1)).await.unwrap().assert_made_by_elbow(431);
    with(some(1, 2100)).await.unwrap().assert_made_by_elbow(431);
    with(some(3, 800)).await.unwrap().assert_made_by_elbow(431);
    let endless = exchange(lb.web(), format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}", "b".repeat(4000))).await;
    endless.unwrap().assert_made_by_elbow(431);
    assert_eq!(upstream.requests(), 1);
}

#[tokio::test]
async fn heads_up_to_the_default_limits_pass() {
    let upstream = Upstream::answering("ok").await;
    let lb = Setup::targets(&[&upstream]).start().await;
    assert_eq!(lb.get(&format!("/{}", "a".repeat(15_000))).await.status, 200);
    let large = format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "b".repeat(60_000));
    assert_eq!(exchange(lb.web(), large).await.unwrap().status, 200);
    let many = format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "X: y\r\n".repeat(127));
    assert_eq!(exchange(lb.web(), many).await.unwrap().status, 200);
    assert_eq!(upstream.seen()[1].header("x").map(str::len), Some(60_000));
}

#[tokio::test]
async fn a_body_over_its_limit_is_a_413_however_it_is_framed() {
    let upstream = Upstream::answering("ok").await;
    let lb = Setup::targets(&[&upstream]).listener("body_max = \"1KiB\"").start().await;
    let sized =
        |length: usize| format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n{}", "b".repeat(length));
    assert_eq!(exchange(lb.web(), sized(1024)).await.unwrap().status, 200);
    exchange(lb.web(), sized(1025)).await.unwrap().assert_made_by_elbow(413);
    assert_eq!(upstream.requests(), 1, "what is known to be too long is not begun");
    let chunked = |chunks: usize| {
        let chunk = format!("100\r\n{}\r\n", "b".repeat(256));
        format!("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{}0\r\n\r\n", chunk.repeat(chunks))
    };
    assert_eq!(exchange(lb.web(), chunked(4)).await.unwrap().status, 200);
    let mut client = lb.connect().await;
    client.send(chunked(5)).await;
    client.response().await.assert_made_by_elbow(413);
    client.assert_closed().await;
}

#[tokio::test]
async fn the_expectation_of_a_body_that_is_too_long_is_refused_at_once() {
    let upstream = Upstream::answering("ok").await;
    let lb = Setup::targets(&[&upstream]).listener("body_max = \"1KiB\"").start().await;
    let mut client = lb.connect().await;
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9999\r\nExpect: 100-continue\r\n\r\n").await;
    client.response().await.assert_made_by_elbow(413);
}

#[tokio::test]
async fn what_a_client_may_send_around_its_chunks_is_limited() {
    let upstream = Upstream::answering("ok").await;
    let lb = Setup::targets(&[&upstream]).start().await;
    let endless = [
        format!("1;{}", "x".repeat(3_000_000)),
        format!("0\r\n{}", "X-Trailer: y\r\n".repeat(200_000)),
        format!("0\r\nX-Trailer: {}", "y".repeat(3_000_000)),
    ];
    for body in endless {
        let mut client = lb.connect().await;
        client.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n").await;
        client.send(body).await;
        match client.try_response().await {
            Ok(response) => assert!(matches!(response.status, 400 | 413 | 431), "{}", response.head.first_line),
            Err(broken) => assert!(matches!(broken, Broken::Closed | Broken::Reset), "{broken:?}"),
        }
    }
    assert_eq!(lb.get("/").await.status, 200);
}

#[tokio::test]
async fn what_a_target_may_send_around_its_answer_is_limited() {
    let upstream = Upstream::answering("ok").await;
    let lb = Setup::targets(&[&upstream]).start().await;
    let heads = [
        format!("HTTP/1.1 200 OK\r\nX-Endless: {}", "y".repeat(3_000_000)),
        format!("HTTP/1.1 200 OK\r\n{}", "X: y\r\n".repeat(100_000)),
        format!("HTTP/1.1 200 {}", "OK".repeat(1_000_000)),
        "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n".repeat(10_000),
    ];
    for head in heads {
        upstream.set(move |_| vec![Act::ReadBody, Act::Write(head.clone().into()), Act::Hold]);
        let mut client = lb.connect().await;
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        let last = loop {
            match client.try_response().await {
                Ok(response) if response.status == 103 => {}
                last => break last,
            }
        };
        match last {
            Ok(response) => response.assert_made_by_elbow(502),
            Err(broken) => assert!(matches!(broken, Broken::Closed | Broken::Reset), "{broken:?}"),
        }
    }
    let around = format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;{}", "x".repeat(3_000_000));
    upstream.set(move |_| vec![Act::Write(around.clone().into()), Act::Hold]);
    let cut = exchange(lb.web(), "GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.map(|response| response.status);
    assert!(matches!(cut, Ok(502) | Err(Broken::Truncated | Broken::Reset)), "{cut:?}");
}

#[tokio::test]
async fn a_head_that_does_not_come_to_its_end_is_a_408() {
    let upstream = Upstream::answering("ok").await;
    let lb = Setup::targets(&[&upstream]).listener("head_timeout = \"400ms\"").start().await;
    let started = Instant::now();
    let mut client = lb.connect().await;
    client.send("GET / HTTP/1.1\r\nHost: a\r\n").await;
    client.response().await.assert_made_by_elbow(408);
    client.assert_closed().await;
    assert!(started.elapsed() >= ms(400), "it was cut after {:?}", started.elapsed());

    // A trickle of bytes does not win time.
    let mut client = lb.connect().await;
    client.send("GET / HTTP/1.1\r\nHost: a\r\nX: ").await;
    let started = Instant::now();
    while started.elapsed() < PATIENCE && client.try_send("x").await.is_ok() {
        pause(ms(50)).await;
    }
    assert!(started.elapsed() < PATIENCE, "it may trickle for ever");
    assert_eq!(upstream.requests(), 0);
}

#[tokio::test]
async fn the_head_of_a_later_request_has_its_own_time_from_its_first_byte() {
    let upstream = Upstream::answering("ok").await;
    let lb = Setup::targets(&[&upstream]).listener("head_timeout = \"500ms\"").start().await;
    let mut client = lb.connect().await;
    assert_eq!(client.get("/").await.status, 200);
    pause(ms(700)).await;
    assert_eq!(client.get("/").await.status, 200, "between requests idle_timeout holds, not head_timeout");
    let started = Instant::now();
    client.send("GET / HTTP/1.1\r\n").await;
    client.response().await.assert_made_by_elbow(408);
    assert!(started.elapsed() >= ms(450), "{:?}", started.elapsed());
}

#[tokio::test]
async fn a_client_that_connects_and_says_nothing_is_cut_off() {
    let upstream = Upstream::answering("ok").await;
    let lb = Setup::targets(&[&upstream]).listener("head_timeout = \"300ms\"").start().await;
    let started = Instant::now();
    let mut client = lb.connect().await;
    let rest = client.rest().await.unwrap();
    assert!(started.elapsed() >= ms(300) && started.elapsed() < PATIENCE, "{:?}", started.elapsed());
    let text = String::from_utf8_lossy(&rest);
    assert!(text.is_empty() || text.starts_with("HTTP/1.1 408 "), "{text}");
}

#[tokio::test]
async fn a_kept_connection_that_stays_silent_is_closed_without_a_word() {
    let upstream = Upstream::answering("ok").await;
    let lb = Setup::targets(&[&upstream]).listener("idle_timeout = \"300ms\"").start().await;
    let mut client = lb.connect().await;
    assert_eq!(client.get("/").await.status, 200);
    let started = Instant::now();
    assert_eq!(client.rest().await.unwrap(), b"", "no answer that a client could take for its next request's");
    assert!(started.elapsed() >= ms(250), "{:?}", started.elapsed());
}

#[tokio::test]
async fn a_slow_upload_completes() {
    let upstream = Upstream::answering("taken").await;
    let limits = "body_rate_min = \"100B\"\nhead_timeout = \"300ms\"\nidle_timeout = \"300ms\"";
    let lb = Setup::targets(&[&upstream]).listener(limits).group("response_timeout = \"400ms\"").start().await;
    let mut client = lb.connect().await;
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2000\r\n\r\n").await;
    for _ in 0..20 {
        pause(ms(100)).await;
        client.send("x".repeat(100)).await;
    }
    assert_eq!(client.response().await.text(), "taken", "longer than any of its timeouts, and always moving");
    assert_eq!(upstream.only_request().body.len(), 2000);
}

#[tokio::test]
async fn a_trickled_body_is_cut_off() {
    let upstream = Upstream::answering("taken").await;
    let lb = Setup::targets(&[&upstream]).listener("body_rate_min = \"1KiB\"").start().await;
    let mut client = lb.connect().await;
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n").await;
    let started = Instant::now();
    while started.elapsed() < PATIENCE && client.try_send("x").await.is_ok() {
        pause(ms(100)).await;
    }
    assert!(started.elapsed() >= ms(4000), "the rate is an average over 5 s, and it bit after {:?}", started.elapsed());
    assert!(started.elapsed() < PATIENCE, "10 bytes per second may go on for ever");
    if let Ok(response) = client.try_response().await {
        response.assert_made_by_elbow(408);
    }
    eventually("nothing in flight", PATIENCE, async || lb.admin().targets("app").await[0]["in_flight"] == 0).await;
}

#[tokio::test]
async fn a_body_that_stops_coming_is_a_408() {
    let upstream = Upstream::answering("taken").await;
    let lb = Setup::targets(&[&upstream]).start().await;
    let mut client = lb.connect().await;
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc").await;
    let started = Instant::now();
    client.response().await.assert_made_by_elbow(408);
    client.assert_closed().await;
    assert!(started.elapsed() >= ms(4000), "{:?}", started.elapsed());
}

#[tokio::test]
async fn body_rate_min_can_be_switched_off() {
    let upstream = Upstream::answering("taken").await;
    let lb = Setup::targets(&[&upstream]).listener("body_rate_min = \"0\"").start().await;
    let mut client = lb.connect().await;
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nabc").await;
    pause(ms(7000)).await;
    client.send("d").await;
    assert_eq!(client.response().await.text(), "taken");
}

#[tokio::test]
async fn an_answer_that_nobody_reads_is_given_up() {
    let piece = vec![b'x'; 64 << 10];
    let upstream = Upstream::start(move |_| {
        let head = "HTTP/1.1 200 OK\r\nContent-Length: 104857600\r\n\r\n";
        vec![Act::Write(head.into()), Act::Repeat(piece.clone(), 1600), Act::Hold]
    })
    .await;
    let lb = Setup::targets(&[&upstream]).start().await;
    let mut client = lb.connect().await;
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let (status, _) = client.response_head().await;
    assert_eq!(status, 200);
    eventually("the unread answer to be given up", PATIENCE, async || {
        lb.metric("elbow_connections_open", &[("listener", "web")]).await == 0.0
    })
    .await;
    assert_eq!(lb.admin().targets("app").await[0]["in_flight"], 0);
}

#[tokio::test]
async fn a_slow_reader_that_moves_is_served() {
    let body: &'static str = "0123456789".repeat(40_000).leak();
    let upstream = Upstream::answering(body).await;
    let limits = "head_timeout = \"300ms\"\nidle_timeout = \"300ms\"";
    let lb = Setup::targets(&[&upstream]).listener(limits).group("response_timeout = \"300ms\"").start().await;
    let mut client = lb.connect().await;
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let (_, head) = client.response_head().await;
    assert_eq!(head.header("content-length"), Some("400000"));
    let mut read = 0;
    while read < 400_000 {
        read += client.read_some().await.expect("the rest of the answer").len();
        pause(ms(120)).await;
    }
}

#[tokio::test]
async fn a_target_that_does_not_answer_is_a_504() {
    let upstream = Upstream::start(|_| vec![Act::ReadBody, Act::Hold]).await;
    let lb = Setup::targets(&[&upstream]).group("response_timeout = \"300ms\"").start().await;
    let started = Instant::now();
    let mut client = lb.connect().await;
    let response = client.get("/").await;
    response.assert_made_by_elbow(504);
    assert_eq!(response.header("proxy-status"), Some("elbow; error=http_response_timeout"));
    assert!(started.elapsed() >= ms(300), "{:?}", started.elapsed());
    eventually("the target's connection to be closed", PATIENCE, async || upstream.gone() == 1).await;
    assert_eq!(upstream.requests(), 1, "a request that may have been acted on is not sent again after a timeout");
    upstream.set(|_| answer(200, "back"));
    assert_eq!(client.get("/").await.text(), "back", "the client's connection lives on");
}

#[tokio::test]
async fn a_target_that_stops_amid_its_answer_is_cut_off() {
    for head in ["Content-Length: 10\r\n\r\nabc", "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", "\r\nabc"] {
        let upstream =
            Upstream::start(move |_| [raw(format!("HTTP/1.1 200 OK\r\n{head}")), vec![Act::Hold]].concat()).await;
        let lb = Setup::targets(&[&upstream]).group("response_timeout = \"300ms\"").start().await;
        let mut client = lb.connect().await;
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        let cut = client.try_response().await.map(|response| response.head.first_line);
        assert!(matches!(cut, Err(Broken::Truncated | Broken::Reset)), "{head:?}: {cut:?}");
        eventually("the target's connection to be closed", PATIENCE, async || upstream.gone() == 1).await;
    }
}

#[tokio::test]
async fn a_target_that_stops_amid_its_head_is_a_504() {
    let upstream = Upstream::start(|_| [raw("HTTP/1.1 200 OK\r\nContent-"), vec![Act::Hold]].concat()).await;
    let lb = Setup::targets(&[&upstream]).group("response_timeout = \"300ms\"").start().await;
    let response = lb.get("/").await;
    assert!(matches!(response.status, 502 | 504), "{}", response.status);
}

#[tokio::test]
async fn a_target_that_does_not_read_is_given_up() {
    let upstream = Upstream::start(|_| vec![Act::Stall]).await;
    let lb = Setup::targets(&[&upstream]).group("response_timeout = \"500ms\"").start().await;
    let mut client = lb.connect().await;
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000000\r\n\r\n").await;
    let piece = vec![b'x'; 256 << 10];
    let writing = async {
        for _ in 0..380 {
            if client.try_send(&piece).await.is_err() {
                break;
            }
        }
        client.try_response().await
    };
    match within("the end of an upload that nobody takes", PATIENCE, writing).await {
        Ok(response) => assert!(matches!(response.status, 408 | 502 | 504), "{}", response.status),
        Err(broken) => assert!(matches!(broken, Broken::Closed | Broken::Reset), "{broken:?}"),
    }
    eventually("nothing in flight", PATIENCE, async || lb.admin().targets("app").await[0]["in_flight"] == 0).await;
}

#[tokio::test]
async fn a_slow_answer_that_moves_is_served() {
    let upstream = Upstream::start(|_| {
        let piece = [Act::Write(b"3\r\nabc\r\n".to_vec()), Act::Wait(ms(150))];
        let body = std::iter::repeat_n(piece, 8).flatten();
        let head = raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
        head.into_iter().chain(body).chain([Act::Write(b"0\r\n\r\n".to_vec())]).collect()
    })
    .await;
    let lb = Setup::targets(&[&upstream]).group("response_timeout = \"600ms\"").start().await;
    assert_eq!(lb.get("/").await.text(), "abc".repeat(8), "silence is timed, not the whole");
}
