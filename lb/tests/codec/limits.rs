//! Heads that are too large are refused as soon as that shows, and never sooner.

use lb::http1::{
    FieldFault, HeadLimits, Parsed, RequestHead, RequestRefusal, ResponseHead, ResponseRefusal, parse_request,
    parse_response,
};

use super::GET;

const LIMITS: HeadLimits = HeadLimits { line_bytes_max: 40, headers_bytes_max: 100, header_count_max: 4 };

/// Feeds ever longer beginnings of `raw`, as a slow client would, and tells at how many bytes there was an outcome.
fn trickled(raw: &str, limits: &HeadLimits) -> (usize, Result<Parsed, RequestRefusal>) {
    let mut head = RequestHead::default();
    for len in 0..=raw.len() {
        match parse_request(&raw.as_bytes()[..len], limits, &mut head) {
            Ok(Parsed::Partial) => {}
            outcome => return (len, outcome),
        }
    }
    (raw.len(), Ok(Parsed::Partial))
}

fn line_of(len: usize) -> String {
    format!("GET /{} HTTP/1.1", "a".repeat(len - "GET / HTTP/1.1".len()))
}

fn fields_of(len: usize) -> String {
    format!("Host: a\r\nX: {}\r\n", "b".repeat(len - "Host: a\r\nX: \r\n".len()))
}

#[test]
fn a_request_line_may_be_as_long_as_allowed() {
    let fits = format!("{}\r\nHost: a\r\n\r\n", line_of(40));
    assert_eq!(trickled(&fits, &LIMITS), (fits.len(), Ok(Parsed::Complete)));
    let too_long = format!("{}\r\nHost: a\r\n\r\n", line_of(41));
    assert_eq!(whole(&too_long, &LIMITS), Err(RequestRefusal::RequestLineTooLong));
    assert_eq!(trickled(&too_long, &LIMITS), (42, Err(RequestRefusal::RequestLineTooLong)), "before its end is there");
    assert_eq!(RequestRefusal::RequestLineTooLong.status(), 414);
}

#[test]
fn headers_may_be_as_large_as_allowed() {
    let fits = format!("GET / HTTP/1.1\r\n{}\r\n", fields_of(100));
    assert_eq!(trickled(&fits, &LIMITS), (fits.len(), Ok(Parsed::Complete)));
    let too_large = format!("GET / HTTP/1.1\r\n{}\r\n", fields_of(101));
    assert_eq!(whole(&too_large, &LIMITS), Err(FieldFault::TooLarge.into()));
    assert_eq!(trickled(&too_large, &LIMITS).1, Err(FieldFault::TooLarge.into()));
    let endless = format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}", "b".repeat(10_000));
    assert_eq!(whole(&endless, &LIMITS), Err(FieldFault::TooLarge.into()), "refused while incomplete");
    assert!(trickled(&endless, &LIMITS).0 <= LIMITS.head_bytes_max());
    assert_eq!(RequestRefusal::from(FieldFault::TooLarge).status(), 431);
}

#[test]
fn there_may_be_as_many_headers_as_allowed() {
    let of = |count: usize| format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "x: y\r\n".repeat(count - 1));
    assert_eq!(whole(&of(4), &LIMITS), Ok(Parsed::Complete));
    assert_eq!(whole(&of(5), &LIMITS), Err(FieldFault::TooMany.into()));
    assert_eq!(whole(&of(128), &HeadLimits::default()), Ok(Parsed::Complete));
    assert_eq!(whole(&of(129), &HeadLimits::default()), Err(FieldFault::TooMany.into()));
    let many = HeadLimits { header_count_max: 1000, ..HeadLimits::default() };
    assert_eq!(whole(&of(1000), &many), Ok(Parsed::Complete), "beyond what fits on the stack");
    assert_eq!(whole(&of(1001), &many), Err(FieldFault::TooMany.into()));
    assert_eq!(RequestRefusal::from(FieldFault::TooMany).status(), 431);
}

#[test]
fn a_body_behind_the_head_is_not_counted() {
    let raw = format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5000\r\n\r\n{}", "z".repeat(5000));
    assert_eq!(whole(&raw, &LIMITS), Ok(Parsed::Complete));
}

#[test]
fn connection_options_are_bounded() {
    let of = |count: usize| format!("GET / HTTP/1.1\r\nHost: a\r\nConnection: {}\r\n\r\n", "o,".repeat(count));
    assert_eq!(whole(&of(64), &HeadLimits::default()), Ok(Parsed::Complete));
    assert_eq!(whole(&of(65), &HeadLimits::default()), Err(FieldFault::TooManyConnectionOptions.into()));
}

#[test]
fn a_large_head_byte_by_byte_is_parsed_in_linear_time() {
    // Looking at 64 KiB of head anew for every byte would be two billion bytes looked at: minutes in a debug build.
    let line = format!("x: {}\r\n", "y".repeat(500));
    let raw = format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", line.repeat(120));
    assert_eq!(trickled(&raw, &HeadLimits::default()), (raw.len(), Ok(Parsed::Complete)));
}

#[test]
fn what_can_never_become_a_head_is_refused_early() {
    assert_eq!(trickled("GET /\r\nHost: a", &HeadLimits::default()), (7, Err(RequestRefusal::RequestLine)));
    assert_eq!(trickled("\x16\x03\x01", &HeadLimits::default()), (1, Err(RequestRefusal::RequestLine)));
}

#[test]
fn a_given_up_head_leaves_no_trace() {
    let mut head = RequestHead::default();
    let begun = format!("GET /{} HTTP/1.1\r\nHost", "a".repeat(100));
    assert_eq!(parse_request(begun.as_bytes(), &HeadLimits::default(), &mut head), Ok(Parsed::Partial));
    head.clear();
    let raw = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    assert_eq!(parse_request(raw, &HeadLimits::default(), &mut head), Ok(Parsed::Complete));
}

#[test]
fn responses_are_held_to_the_same_limits() {
    let outcome = |raw: String| parse_response(raw.as_bytes(), &LIMITS, GET, &mut ResponseHead::default());
    assert_eq!(outcome(format!("HTTP/1.1 200 {}\r\n\r\n", "a".repeat(40))), Err(ResponseRefusal::StatusLineTooLong));
    assert_eq!(outcome(format!("HTTP/1.1 200 {}", "a".repeat(400))), Err(ResponseRefusal::StatusLineTooLong));
    assert_eq!(outcome(format!("HTTP/1.1 200 OK\r\n{}\r\n", fields_of(101))), Err(FieldFault::TooLarge.into()));
    assert_eq!(outcome(format!("HTTP/1.1 200 OK\r\n{}\r\n", "x: y\r\n".repeat(5))), Err(FieldFault::TooMany.into()));
    assert_eq!(outcome(format!("HTTP/1.1 200 OK\r\n{}\r\n", fields_of(100))), Ok(Parsed::Complete));
}

fn whole(raw: &str, limits: &HeadLimits) -> Result<Parsed, RequestRefusal> {
    parse_request(raw.as_bytes(), limits, &mut RequestHead::default())
}
