//! `X-Request-Id`: passed on where a client gives a good one, made where not, and told to everyone who takes part.

use crate::harness::*;

const ANSWER: &str = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n";

/// The ids that the target and the client of one request saw.
async fn ids(upstream: &Upstream, client: &mut Client, lines: &str) -> (String, String) {
    client.send(format!("GET / HTTP/1.1\r\nHost: a\r\n{lines}\r\n")).await;
    let response = client.response().await;
    assert_eq!(response.status, 200, "{}", response.text());
    let seen = upstream.seen();
    let sent = seen.last().unwrap().head.all("x-request-id");
    assert_eq!(sent.len(), 1, "{lines:?} became {sent:?}");
    (sent.concat(), response.header("x-request-id").unwrap().to_owned())
}

fn is_ours(id: &str) -> bool {
    id.len() == 32 && id.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

#[tokio::test]
async fn a_good_id_is_passed_on_and_told_to_the_client() {
    let upstream = Upstream::start(|_| raw(format!("{ANSWER}\r\n"))).await;
    let lb = Setup::targets(&[&upstream]).start().await;
    let mut client = lb.connect().await;
    let longest = "x".repeat(128);
    for id in ["a", "b5e4c0ff-ee00-4a1b-8c2d-0123456789ab", "!~;,=\"{}", &longest] {
        assert_eq!(ids(&upstream, &mut client, &format!("x-request-id: {id}\r\n")).await, (id.into(), id.into()));
    }
}

#[tokio::test]
async fn where_there_is_no_good_id_one_is_made_and_what_came_is_dropped() {
    let upstream = Upstream::start(|_| raw(format!("{ANSWER}\r\n"))).await;
    let lb = Setup::targets(&[&upstream]).start().await;
    let mut client = lb.connect().await;
    let too_long = format!("X-Request-Id: {}\r\n", "x".repeat(129));
    let mut made = std::collections::BTreeSet::new();
    for lines in [
        "",
        "X-Request-Id:\r\n",
        "X-Request-Id: a b\r\n",
        "X-Request-Id: a\tb\r\n",
        "X-Request-Id: caf\u{e9}\r\n",
        "X-Request-Id: a\r\nX-Request-Id: b\r\n",
        "X-Request-Id: a\r\nx-request-id: a\r\n",
        "X_Request_Id: a\r\n",
        &too_long,
    ] {
        let (sent, told) = ids(&upstream, &mut client, lines).await;
        assert!(is_ours(&sent) && sent == told, "{lines:?} became {sent:?} and {told:?}");
        assert!(upstream.seen().last().unwrap().header("x_request_id").is_none());
        assert!(made.insert(sent), "{made:?}");
    }
}

#[tokio::test]
async fn an_id_cannot_be_taken_away_by_a_connection_option() {
    let upstream = Upstream::start(|_| raw(format!("{ANSWER}\r\n"))).await;
    let lb = Setup::targets(&[&upstream]).start().await;
    let mut client = lb.connect().await;
    let sent = ids(&upstream, &mut client, "X-Request-Id: a\r\nConnection: X-Request-Id\r\n").await;
    assert_eq!(sent, ("a".into(), "a".into()));
}

#[tokio::test]
async fn what_a_target_calls_its_answer_is_left_as_it_is() {
    let upstream = Upstream::start(|_| raw(format!("{ANSWER}X-Request-ID: the targets\r\n\r\n"))).await;
    let lb = Setup::targets(&[&upstream]).start().await;
    let (sent, told) = ids(&upstream, &mut lb.connect().await, "X-Request-Id: mine\r\n").await;
    assert_eq!((&*sent, &*told), ("mine", "the targets"));
}

#[tokio::test]
async fn what_elbow_answers_itself_carries_an_id() {
    let lb = Setup::default().start_cold().await;
    let unserved = exchange(lb.web(), "GET / HTTP/1.1\r\nHost: a\r\nX-Request-Id: mine\r\n\r\n").await.unwrap();
    unserved.assert_made_by_elbow(503);
    assert_eq!(unserved.header("x-request-id"), Some("mine"));
    let malformed = exchange(lb.web(), "GET / HTTP/1.1\r\nX-Request-Id: mine\r\n\r\n").await.unwrap();
    malformed.assert_made_by_elbow(400);
    assert!(is_ours(malformed.header("x-request-id").unwrap()), "of a head that was refused nothing is believed");
}
