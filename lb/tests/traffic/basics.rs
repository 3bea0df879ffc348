//! Requests and answers that go well.

use crate::house::eventually;
use crate::wire::{Target, Wire, field};
use crate::{client_of, house_of};

const GET: &str = "GET / HTTP/1.1\r\nHost: a.example\r\n\r\n";

#[test]
fn a_request_is_answered_and_the_connection_kept() {
    let target = Target::echoing("a");
    let house = house_of(&[&target]);
    let mut client = client_of(&house);
    for _ in 0..3 {
        client.send(GET);
        let (head, body) = client.response();
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
        assert!(body.starts_with("GET / HTTP/1.1\r\nHost: a.example\r\n"), "{body}");
        assert_eq!(field(&body, "x-forwarded-for"), Some("127.0.0.1"));
        assert_eq!(field(&body, "x-forwarded-proto"), Some("http"));
        assert_eq!(field(&body, "x-forwarded-port"), Some(&*house.address("web").port().to_string()));
    }
    assert_eq!(target.connections(), 1);
    eventually("nothing is in flight", || house.in_flight() == 0);
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let target = Target::echoing("a");
    let house = house_of(&[&target]);
    let mut client = client_of(&house);
    let requests: String = (0..50).map(|n| format!("GET /{n} HTTP/1.1\r\nHost: a\r\n\r\n")).collect();
    client.send(requests);
    for n in 0..50 {
        let (_, body) = client.response();
        assert!(body.starts_with(&format!("GET /{n} HTTP/1.1\r\n")), "{body}");
    }
}

#[test]
fn a_pipelined_request_after_a_body_keeps_its_place() {
    let target = Target::echoing("a");
    let house = house_of(&[&target]);
    let mut client = client_of(&house);
    client.send("POST /1 HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhelloGET /2 HTTP/1.1\r\nHost: a\r\n\r\n");
    let (_, body) = client.response();
    assert!(body.ends_with("\r\n\r\nhello"), "{body}");
    let (_, body) = client.response();
    assert!(body.starts_with("GET /2 "), "{body}");
}

#[test]
fn a_head_byte_by_byte_is_understood() {
    let target = Target::echoing("a");
    let house = house_of(&[&target]);
    let mut client = client_of(&house);
    for byte in GET.as_bytes() {
        client.send([*byte]);
    }
    assert!(client.response().0.starts_with("HTTP/1.1 200 OK"));
}

#[test]
fn large_heads_pass_both_ways() {
    let target = Target::playing(|mut wire| {
        while let Some(head) = wire.try_head() {
            let big = field(&head, "x-big").unwrap().to_owned();
            wire.send(format!("HTTP/1.1 200 OK\r\nX-Big: {big}\r\nContent-Length: 0\r\n\r\n"));
        }
    });
    let house = house_of(&[&target]);
    let mut client = client_of(&house);
    let big = "x".repeat(50_000);
    for _ in 0..2 {
        client.send(format!("GET / HTTP/1.1\r\nHost: a\r\nX-Big: {big}\r\n\r\n"));
        assert_eq!(field(&client.head(), "x-big"), Some(&*big));
    }
}

#[test]
fn chunked_bodies_are_framed_anew_with_trailers() {
    let target = Target::playing(|mut wire| {
        let head = wire.head();
        assert_eq!(field(&head, "transfer-encoding"), Some("chunked"));
        assert_eq!(field(&head, "content-length"), None);
        wire.expect("7\r\nabcdefg\r\n0\r\nX-Sum: 7\r\n\r\n");
        wire.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;ext=1\r\none\r\n");
        wire.send("0003\r\ntwo\r\n0\r\nX-End: yes\r\n\r\n");
    });
    let house = house_of(&[&target]);
    let mut client = client_of(&house);
    client.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    client.send("3\r\nabc\r\n4;x\r\ndefg\r\n0\r\nX-Sum: 7\r\n\r\n");
    let head = client.head();
    assert_eq!(field(&head, "transfer-encoding"), Some("chunked"));
    let mut data = String::new();
    let trailers = loop {
        let line = line(&mut client);
        let size = usize::from_str_radix(&line, 16).unwrap();
        if size == 0 {
            break client.head();
        }
        data += &String::from_utf8(client.take(size)).unwrap();
        client.expect("\r\n");
    };
    assert_eq!((&*data, &*trailers), ("onetwo", "X-End: yes\r\n\r\n"));
}

fn line(client: &mut Wire) -> String {
    let mut line = String::new();
    while !line.ends_with("\r\n") {
        line += &String::from_utf8(client.take(1)).unwrap();
    }
    line.trim_end().to_owned()
}

#[test]
fn a_client_of_http_1_0_gets_a_body_that_ends_with_the_connection() {
    let target = Target::answering("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n");
    let house = house_of(&[&target]);
    let mut client = client_of(&house);
    client.send("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    let answer = client.rest();
    assert!(answer.ends_with("Connection: close\r\n\r\nhello"), "{answer}");
    assert!(!answer.contains("chunked"), "{answer}");
}

#[test]
fn a_client_of_http_1_0_may_keep_its_connection() {
    let target = Target::echoing("a");
    let house = house_of(&[&target]);
    let mut client = client_of(&house);
    for _ in 0..2 {
        client.send("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
        let (head, body) = client.response();
        assert_eq!(field(&head, "connection"), Some("keep-alive"));
        assert_eq!(field(&body, "host"), Some(&*house.address("web").to_string()));
    }
    client.send("GET / HTTP/1.0\r\n\r\n");
    let answer = client.rest();
    assert!(answer.contains("\r\nConnection: close\r\n"), "{answer}");
}

#[test]
fn an_answer_to_head_has_no_body() {
    let target = Target::answering("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n");
    let house = house_of(&[&target]);
    let mut client = client_of(&house);
    for _ in 0..2 {
        client.send("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(field(&client.head(), "content-length"), Some("1000"));
    }
    assert_eq!(target.connections(), 1);
}

#[test]
fn statuses_without_a_body_have_none() {
    let target = Target::playing(|mut wire| {
        for answer in ["HTTP/1.1 204 No Content\r\n\r\n", "HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n"] {
            wire.head();
            wire.send(answer);
        }
    });
    let house = house_of(&[&target]);
    let mut client = client_of(&house);
    client.send("GET / HTTP/1.1\r\nHost: a\r\nX-Request-Id: 7\r\n\r\n");
    assert_eq!(client.head(), "HTTP/1.1 204 No Content\r\nX-Request-Id: 7\r\n\r\n");
    assert!(client.send(GET).head().starts_with("HTTP/1.1 304 Not Modified\r\n"));
}

#[test]
fn a_body_that_ends_with_the_targets_connection_reaches_the_client_in_chunks() {
    let target = Target::playing(|mut wire| {
        wire.head();
        wire.send("HTTP/1.0 200 OK\r\n\r\nhello");
    });
    let house = house_of(&[&target]);
    let mut client = client_of(&house);
    client.send(GET);
    assert_eq!(field(&client.head(), "transfer-encoding"), Some("chunked"));
    client.expect("5\r\nhello\r\n0\r\n\r\n");
}

#[test]
fn a_client_that_expects_continue_is_told_so_at_once() {
    let target = Target::echoing("a");
    let house = house_of(&[&target]);
    let mut client = client_of(&house);
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n");
    assert_eq!(client.head(), "HTTP/1.1 100 Continue\r\n\r\n");
    client.send("ok");
    let (_, body) = client.response();
    assert!(body.ends_with("ok") && field(&body, "expect").is_none(), "{body}");
}

#[test]
fn interim_answers_are_passed_on() {
    let target = Target::playing(|mut wire| {
        while wire.try_head().is_some() {
            wire.send("HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n");
            wire.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        }
    });
    let house = house_of(&[&target]);
    let mut client = client_of(&house);
    client.send(GET);
    assert_eq!(client.head(), "HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n");
    assert_eq!(client.response().1, "ok");
    let mut old = client_of(&house);
    assert!(old.send("GET / HTTP/1.0\r\n\r\n").head().starts_with("HTTP/1.1 200 OK"));
}

#[test]
fn a_client_that_half_closes_is_answered() {
    let target = Target::echoing("a");
    let house = house_of(&[&target]);
    let mut client = client_of(&house);
    client.send(GET).finish_sending();
    assert!(client.rest().starts_with("HTTP/1.1 200 OK"));
    let mut client = client_of(&house);
    client.send([GET, GET, GET].concat()).finish_sending();
    assert_eq!(client.rest().matches("HTTP/1.1 200 OK").count(), 3);
}

#[test]
fn large_bodies_pass_both_ways_at_once() {
    const SIZE: usize = 8 * 1024 * 1024;
    let target = Target::playing(|mut wire| {
        wire.head();
        wire.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {SIZE}\r\n\r\n"));
        for _ in 0..SIZE / 65536 {
            let part = wire.take(65536);
            wire.send(part);
        }
    });
    let house = house_of(&[&target]);
    let mut client = client_of(&house);
    client.send(format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {SIZE}\r\n\r\n"));
    client.head();
    for n in 0..SIZE / 65536 {
        client.send([n as u8; 65536]);
        assert_eq!(client.take(65536), [n as u8; 65536]);
    }
    client.send(GET);
}

#[test]
fn websockets_are_tunnelled_after_the_targets_101() {
    let target = Target::playing(|mut wire| {
        let head = wire.head();
        assert_eq!(field(&head, "upgrade"), Some("websocket"));
        assert_eq!(field(&head, "connection"), Some("Upgrade"));
        wire.send("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\nhi");
        wire.expect("ping");
        wire.send("pong");
        // Half-close: the other way goes on.
        wire.finish_sending();
        wire.expect("more");
        assert_eq!(wire.rest(), "");
    });
    let house = house_of(&[&target]);
    let mut client = client_of(&house);
    client.send("GET /ws HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n");
    let head = client.head();
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    assert_eq!(field(&head, "upgrade"), Some("websocket"));
    client.expect("hi").send("ping").expect("pong");
    assert_eq!(house.in_flight(), 1);
    assert_eq!(client.rest(), "");
    client.send("more").finish_sending();
    eventually("the tunnel ends", || house.in_flight() == 0);
}
