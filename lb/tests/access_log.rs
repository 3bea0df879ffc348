//! The access log through its public door: what a file holds after records were handed over.

#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use lb::model::{self, AccessLogDestination, AccessLogFormat, GroupName, ListenerName, TargetId};
use lb::telemetry::{AccessLog, AccessLogThread, AccessRecord, EndReason, STREAM_PROTOCOL};
use proptest::prelude::*;

const DEADLINE: Duration = Duration::from_secs(10);

fn record(path: &[u8]) -> AccessRecord {
    AccessRecord {
        time: SystemTime::UNIX_EPOCH + Duration::from_millis(1_700_000_000_123),
        client: "192.0.2.7:4711".parse().unwrap(),
        listener: ListenerName::parse("web").unwrap(),
        load_balancer: None,
        destination: "192.0.2.1:443".parse().unwrap(),
        request_id: b"4fd1"[..].into(),
        method: b"GET"[..].into(),
        host: Some(b"shop.example"[..].into()),
        path: path.into(),
        protocol: "HTTP/1.1",
        tls_version: Some("TLSv1.3"),
        tls_cipher: Some("TLS_AES_128_GCM_SHA256"),
        tls_server_name: Some("shop.example".into()),
        status: Some(200),
        target_status: Some(200),
        received_bytes: 80,
        received_body_bytes: 29,
        sent_bytes: 512,
        sent_body_bytes: 400,
        duration: Duration::from_micros(12_345),
        sent: Some(Duration::from_micros(73)),
        first_byte: Some(Duration::from_micros(9_001)),
        first_sent: Some(Duration::from_micros(9_058)),
        connect: None,
        target_group: Some(GroupName::parse("app").unwrap()),
        target: Some(TargetId::parse("web-1").unwrap()),
        target_address: Some("127.0.0.1:8081".parse().unwrap()),
        attempts: 1,
        user_agent: Some(b"curl/8"[..].into()),
        referer: None,
        end: EndReason::Completed,
    }
}

fn to_file(path: &Path, format: AccessLogFormat) -> model::AccessLog {
    model::AccessLog { destination: AccessLogDestination::File(path.into()), format }
}

fn start(path: &Path, format: AccessLogFormat) -> (AccessLog, AccessLogThread) {
    AccessLog::start(&to_file(path, format)).unwrap()
}

/// What a file holds after these records.
fn written(format: AccessLogFormat, records: Vec<AccessRecord>) -> Vec<u8> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("access.log");
    let (log, thread) = start(&path, format);
    for record in records {
        log.submit(record);
    }
    assert!(thread.stop(DEADLINE), "the thread did not end");
    fs::read(path).unwrap()
}

fn lines_of(path: &Path) -> usize {
    fs::read_to_string(path).map_or(0, |text| text.lines().count())
}

fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + DEADLINE;
    while !holds() {
        assert!(Instant::now() < end, "{what} did not come true");
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn a_json_line_holds_every_field() {
    let text = String::from_utf8(written(AccessLogFormat::Json, vec![record(b"/a?b=c")])).unwrap();
    assert_eq!(
        text,
        concat!(
            r#"{"time":"2023-11-14T22:13:20.123Z","client":"192.0.2.7:4711","listener":"web","request_id":"4fd1","method":"GET","#,
            r#""host":"shop.example","path":"/a?b=c","protocol":"HTTP/1.1","tls_version":"TLSv1.3","#,
            r#""tls_cipher":"TLS_AES_128_GCM_SHA256","tls_server_name":"shop.example","status":200,"received_bytes":80,"#,
            r#""sent_bytes":512,"duration_ms":12.345,"first_byte_ms":9.001,"connect_ms":null,"target_group":"app","#,
            r#""target":"web-1","target_address":"127.0.0.1:8081","attempts":1,"user_agent":"curl/8","referer":null,"#,
            r#""end":"completed"}"#,
            "\n"
        )
    );
}

#[test]
fn a_combined_line_is_as_nginx_writes_it() {
    let text = String::from_utf8(written(AccessLogFormat::Combined, vec![record(b"/a?b=c")])).unwrap();
    let expected = r#"192.0.2.7 - - [14/Nov/2023:22:13:20 +0000] "GET /a?b=c HTTP/1.1" 200 400 "-" "curl/8""#;
    assert_eq!(text, format!("{expected}\n"));
}

/// The one line that a record makes in the format of Classic ELB.
fn elb_line(record: AccessRecord) -> String {
    let text = String::from_utf8(written(AccessLogFormat::ElbClassic, vec![record])).unwrap();
    text.strip_suffix('\n').unwrap().to_owned()
}

#[test]
fn an_elb_classic_line_has_the_fifteen_fields() {
    let of_load_balancer = AccessRecord { load_balancer: Some("my-loadbalancer".into()), ..record(b"/a?b=c") };
    assert_eq!(
        elb_line(of_load_balancer),
        concat!(
            "2023-11-14T22:13:20.123000Z my-loadbalancer 192.0.2.7:4711 127.0.0.1:8081 0.000073 0.008928 0.000057 ",
            "200 200 29 400 \"GET https://shop.example:443/a?b=c HTTP/1.1\" \"curl/8\" TLS_AES_128_GCM_SHA256 TLSv1.3"
        )
    );
    let in_the_clear = AccessRecord { tls_cipher: None, tls_version: None, user_agent: None, ..record(b"/") };
    let line = elb_line(in_the_clear);
    assert!(line.contains(" web 192.0.2.7:4711 "), "a listener of no load balancer is called by its own name: {line}");
    assert!(line.ends_with("\"GET http://shop.example:443/ HTTP/1.1\" \"-\" - -"), "{line}");
}

#[test]
fn an_elb_classic_line_without_an_answer_has_no_times() {
    let refused = AccessRecord {
        status: Some(503),
        target_status: None,
        received_body_bytes: 0,
        sent_body_bytes: 0,
        sent: None,
        first_byte: None,
        first_sent: None,
        ..record(b"/")
    };
    let line = elb_line(refused.clone());
    assert!(line.contains(" 192.0.2.7:4711 - -1 -1 -1 503 0 0 0 \"GET "), "though one was tried: {line}");
    let malformed = AccessRecord { status: Some(400), method: Box::default(), host: None, user_agent: None, ..refused };
    assert!(elb_line(malformed).contains(" - -1 -1 -1 400 0 0 0 \"- - - \" \"-\" "));
}

#[test]
fn an_elb_classic_line_of_a_stream_counts_all_bytes() {
    let stream = AccessRecord {
        protocol: STREAM_PROTOCOL,
        method: Box::default(),
        host: None,
        status: None,
        target_status: None,
        user_agent: None,
        received_bytes: 82,
        sent_bytes: 305,
        sent: Some(Duration::from_micros(1_069)),
        connect: Some(Duration::from_micros(28)),
        first_sent: Some(Duration::from_micros(9_042)),
        ..record(b"")
    };
    let line = elb_line(stream.clone());
    let expected =
        " 127.0.0.1:8081 0.001069 0.000028 0.000041 - - 82 305 \"- - - \" \"-\" TLS_AES_128_GCM_SHA256 TLSv1.3";
    assert!(line.ends_with(expected), "{line}");
    let unconnected = AccessRecord { sent: None, connect: None, first_byte: None, first_sent: None, ..stream };
    assert!(elb_line(unconnected).contains(" - -1 -1 -1 - - 82 305 "));
}

#[test]
fn an_elb_classic_line_names_the_listeners_port() {
    let url = |host: Option<&str>, path: &str| {
        let host = host.map(|host| host.as_bytes().into());
        let line = elb_line(AccessRecord { host, ..record(path.as_bytes()) });
        line.split(' ').nth(12).unwrap().to_owned()
    };
    assert_eq!(url(Some("shop.example:8443"), "/"), "https://shop.example:443/");
    assert_eq!(url(Some("[2001:db8::1]:8443"), "/"), "https://[2001:db8::1]:443/");
    assert_eq!(url(None, "/x"), "https://192.0.2.1:443/x");
    assert_eq!(url(Some("a.example"), "http://a.example/x?y=z://"), "https://a.example:443/x?y=z://");
    assert_eq!(url(Some("a.example"), "http://a.example?x"), "https://a.example:443/?x");
    assert_eq!(url(Some("a.example"), "http://a.example"), "https://a.example:443/");
}

#[test]
fn a_long_user_agent_is_cut_at_8_kb() {
    let long = AccessRecord { user_agent: Some(vec![b'x'; 9000].into()), ..record(b"/") };
    assert_eq!(elb_line(long).split('"').nth(3).unwrap().len(), 8 * 1024);
}

#[test]
fn a_request_that_was_not_understood_has_a_line_too() {
    let broken = AccessRecord {
        method: Box::default(),
        path: Box::default(),
        host: None,
        status: None,
        end: EndReason::ClientLeft,
        ..record(b"")
    };
    let combined = String::from_utf8(written(AccessLogFormat::Combined, vec![broken.clone()])).unwrap();
    assert!(combined.contains(r#"] "" 499 400 "-" "#), "{combined}");
    let json = written(AccessLogFormat::Json, vec![broken]);
    let json: serde_json::Value = serde_json::from_slice(&json).unwrap();
    assert_eq!(json["status"], serde_json::Value::Null);
    assert_eq!(json["end"], "client_left");
}

#[test]
fn an_ipv4_client_of_an_ipv6_socket_is_written_as_one() {
    for format in [AccessLogFormat::Json, AccessLogFormat::Combined] {
        let mapped = AccessRecord { client: "[::ffff:192.0.2.7]:4711".parse().unwrap(), ..record(b"/") };
        assert_eq!(written(format, vec![mapped]), written(format, vec![record(b"/")]));
    }
}

#[test]
fn what_is_queued_is_written_before_the_end() {
    let text = written(AccessLogFormat::Json, (0..5_000).map(|n| record(format!("/{n}").as_bytes())).collect());
    let lines: Vec<_> = std::str::from_utf8(&text).unwrap().lines().collect();
    assert_eq!(lines.len(), 5_000);
    assert!(lines[4_999].contains(r#""path":"/4999""#));
}

#[test]
fn reopening_goes_on_in_a_new_file_and_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (path, moved) = (dir.path().join("access.log"), dir.path().join("access.log.1"));
    let (log, thread) = start(&path, AccessLogFormat::Json);
    for _ in 0..100 {
        log.submit(record(b"/before"));
    }
    fs::rename(&path, &moved).unwrap();
    log.reopen().unwrap();
    for _ in 0..100 {
        log.submit(record(b"/after"));
    }
    assert!(thread.stop(DEADLINE));
    assert_eq!(lines_of(&path) + lines_of(&moved), 200);
    assert!(lines_of(&path) >= 100, "what came after the call is in the new file");
    assert_eq!(log.dropped(), 0);
}

#[test]
fn a_reload_changes_path_and_format_or_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (first, second) = (dir.path().join("first"), dir.path().join("second"));
    let off = model::AccessLog { destination: AccessLogDestination::Off, format: AccessLogFormat::Json };
    let (log, thread) = AccessLog::start(&off).unwrap();
    assert!(!log.enabled());

    log.configure(&to_file(&first, AccessLogFormat::Json)).unwrap();
    assert!(log.enabled());
    log.submit(record(b"/"));
    eventually("a JSON line", || fs::read_to_string(&first).is_ok_and(|text| text.starts_with('{')));

    let error = log.configure(&to_file(&dir.path().join("missing/x"), AccessLogFormat::Combined)).unwrap_err();
    assert!(error.to_string().contains("missing/x"), "{error}");
    log.submit(record(b"/"));
    eventually("the old file in use", || lines_of(&first) == 2);

    log.configure(&to_file(&second, AccessLogFormat::Combined)).unwrap();
    log.submit(record(b"/"));
    eventually("a combined line", || fs::read_to_string(&second).is_ok_and(|text| text.starts_with("192.0.2.7 - -")));
    assert_eq!(lines_of(&first), 2);

    log.configure(&off).unwrap();
    assert!(!log.enabled());
    assert!(thread.stop(DEADLINE));
}

#[test]
fn a_full_disk_counts_every_lost_line() {
    let (log, thread) = start(Path::new("/dev/full"), AccessLogFormat::Json);
    for _ in 0..10 {
        log.submit(record(b"/"));
    }
    assert!(thread.stop(DEADLINE));
    assert_eq!(log.dropped(), 10);
}

#[test]
fn a_writer_that_is_stuck_costs_records_but_no_time() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("fifo");
    rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    // Holding both ends and reading nothing: the pipe fills, and the thread waits in its write.
    let reader = fs::OpenOptions::new().read(true).write(true).open(&path).unwrap();
    let (log, thread) = start(&path, AccessLogFormat::Json);
    let begun = Instant::now();
    for _ in 0..20_000 {
        log.submit(record(b"/"));
    }
    assert!(begun.elapsed() < Duration::from_secs(5), "submitting waited");
    assert!(log.dropped() > 0);
    assert!(!thread.stop(Duration::from_millis(50)), "the thread ended although nobody reads");
    drop(reader);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(64) })]

    #[test]
    fn hostile_bytes_stay_within_one_json_line(
        path in proptest::collection::vec(any::<u8>(), 0..80),
        agent in "\\PC*|[\\x00-\\x1f\"\\\\\u{7f}-\u{9f}]{0,40}",
    ) {
        let hostile = AccessRecord { user_agent: Some(agent.as_bytes().into()), ..record(&path) };
        let text = String::from_utf8(written(AccessLogFormat::Json, vec![hostile])).unwrap();
        let line = text.strip_suffix('\n').unwrap();
        prop_assert!(!line.chars().any(char::is_control), "{line:?}");
        let json: serde_json::Value = serde_json::from_str(line).unwrap();
        prop_assert_eq!(json["user_agent"].as_str(), Some(agent.as_str()));
        prop_assert_eq!(json["path"].as_str(), Some(&*String::from_utf8_lossy(&path)));
    }

    #[test]
    fn hostile_bytes_stay_within_their_quotes_in_a_combined_line(
        path in proptest::collection::vec(any::<u8>(), 1..80),
        agent in proptest::collection::vec(any::<u8>(), 0..80),
    ) {
        let hostile = AccessRecord { user_agent: Some(agent.clone().into()), ..record(&path) };
        let text = String::from_utf8(written(AccessLogFormat::Combined, vec![hostile])).unwrap();
        let line = text.strip_suffix('\n').unwrap();
        prop_assert!(line.bytes().all(|byte| (b' '..=b'~').contains(&byte)), "{line:?}");
        let quoted: Vec<_> = line.split('"').collect();
        prop_assert_eq!(quoted.len(), 7, "{}", line);
        let request = quoted[1].strip_prefix("GET ").unwrap().strip_suffix(" HTTP/1.1").unwrap();
        prop_assert_eq!(unescape(request), path);
        prop_assert_eq!(unescape(quoted[5]), agent);
    }

    #[test]
    fn hostile_bytes_leave_an_elb_classic_line_its_fifteen_fields(
        path in proptest::collection::vec(any::<u8>(), 0..80),
        agent in proptest::collection::vec(any::<u8>(), 0..80),
        host in proptest::collection::vec(any::<u8>(), 0..20),
    ) {
        let hostile = AccessRecord { user_agent: Some(agent.clone().into()), host: Some(host.into()), ..record(&path) };
        let line = elb_line(hostile);
        prop_assert!(line.bytes().all(|byte| (b' '..=b'~').contains(&byte)), "{line:?}");
        let fields = shell_fields(&line);
        prop_assert_eq!(fields.len(), 15, "{}", line);
        prop_assert_eq!(unescape(&fields[12]), agent);
    }
}

/// What a POSIX shell would take for the fields of a line.
fn shell_fields(line: &str) -> Vec<String> {
    let (mut fields, mut field, mut is_quoted) = (Vec::new(), String::new(), false);
    let mut characters = line.chars();
    while let Some(character) = characters.next() {
        match character {
            '"' => is_quoted = !is_quoted,
            // It would take away what follows: quotes then close elsewhere.
            '\\' if is_quoted => match characters.next() {
                Some(next @ ('"' | '\\')) => field.push(next),
                next => field.extend(['\\'].into_iter().chain(next)),
            },
            ' ' if !is_quoted => fields.push(std::mem::take(&mut field)),
            other => field.push(other),
        }
    }
    assert!(!is_quoted, "a quote is left open: {line}");
    fields.push(field);
    fields
}

fn unescape(text: &str) -> Vec<u8> {
    let mut parts = text.split("\\x");
    let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        let (hex, rest) = part.split_at(2);
        bytes.push(u8::from_str_radix(hex, 16).unwrap());
        bytes.extend_from_slice(rest.as_bytes());
    }
    bytes
}
