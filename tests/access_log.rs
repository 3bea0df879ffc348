//! The access log: one record a request, in the format asked for, reopened when it is rotated.

use rustix::process::Signal;

use crate::harness::*;

fn logged(upstream: &Upstream, keys: &str) -> Setup {
    Setup::targets(&[upstream]).top(&format!("[access_log]\n{keys}"))
}

async fn lines(count: usize, read: impl Fn() -> String) -> Vec<String> {
    eventually(&format!("{count} lines of access log"), PATIENCE, async || read().lines().count() >= count).await;
    let lines: Vec<_> = read().lines().map(str::to_owned).collect();
    assert_eq!(lines.len(), count, "{lines:#?}");
    lines
}

#[tokio::test]
async fn json_has_a_record_for_each_request() {
    let upstream = Upstream::answering("0123456789").await;
    let lb = logged(&upstream, "path = \"-\"").start().await;
    let mut client = lb.connect().await;
    client
        .send(
            "GET /a?b=\"c\" HTTP/1.1\r\nHost: shop.test\r\nUser-Agent: test \"quoted\"\r\nReferer: http://r/\r\n\r\n"
                .replace("\"c\"", "c"),
        )
        .await;
    client.response().await;
    client.send("GET /bad HTTP/1.1\r\n\r\n").await;
    client.response().await;
    let records: Vec<serde_json::Value> =
        lines(2, || lb.stdout()).await.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    let (good, bad) = (&records[0], &records[1]);
    let ids: Vec<_> = records.iter().map(|record| record["request_id"].as_str().unwrap().to_owned()).collect();
    assert_eq!(upstream.seen()[0].header("x-request-id"), Some(&*ids[0]));
    assert!(ids[1].len() == 32 && ids[0] != ids[1], "{ids:?}");
    let text = good.to_string();
    for told in ["/a?b=c", "shop.test", "test \\\"quoted\\\"", "127.0.0.1", "web", "app", "t0", "GET"] {
        assert!(text.contains(told), "{told} is missing in {text}");
    }
    assert_eq!((&good["status"], &bad["status"]), (&200.into(), &400.into()), "{good} {bad}");
}

#[tokio::test]
async fn combined_reads_as_apaches() {
    let upstream = Upstream::answering("0123456789").await;
    let lb = logged(&upstream, "path = \"-\"\nformat = \"combined\"").start().await;
    let request = "GET /a HTTP/1.1\r\nHost: a\r\nUser-Agent: ua \"x\"\r\nReferer: http://r/\r\n\r\n";
    assert_eq!(exchange(lb.web(), request).await.unwrap().status, 200);
    let line = lines(1, || lb.stdout()).await.remove(0);
    let (start, rest) = line.split_once(" [").unwrap();
    assert_eq!(start, "127.0.0.1 - -");
    let (time, rest) = rest.split_once("] ").unwrap();
    assert!(time.len() == 26 && time.as_bytes()[2] == b'/' && time.contains(":"), "{time}");
    assert!(rest.starts_with("\"GET /a HTTP/1.1\" 200 10 \"http://r/\" \"ua "), "{rest}");
    assert!(
        !rest.contains(" \"x\"\"") || rest.contains("\\\"x\\\"") || rest.contains("\\x22x\\x22"),
        "quotes are escaped: {rest}"
    );
}

/// The fields of a line of Classic ELB; quoted ones without their quotes.
fn elb_fields(line: &str) -> Vec<String> {
    let parts = line.split('"').enumerate().flat_map(|(index, part)| match index % 2 {
        0 => part.split_ascii_whitespace().collect(),
        _ => vec![part],
    });
    let fields: Vec<_> = parts.map(str::to_owned).collect();
    assert_eq!(fields.len(), 15, "{line}");
    fields
}

#[tokio::test]
async fn elb_classic_tells_when_what_came() {
    let said = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n0123456789";
    let upstream = Upstream::start(move |_| vec![Act::ReadBody, Act::Wait(ms(80)), Act::Write(said.into())]).await;
    let setup = logged(&upstream, "path = \"-\"\nformat = \"elb-classic\"").group("response_timeout = \"300ms\"");
    let lb = setup.more("[[listener]]\nname = \"six\"\nbind = \"[::1]:0\"\ntarget_group = \"app\"").start().await;
    let mut client = Client::connect(lb.listener("six")).await;
    for _ in 0..2 {
        assert_eq!(client.get("/kept").await.status, 200);
    }
    // The body is late, and belongs to the time of the request.
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhel").await;
    pause(ms(100)).await;
    client.send("lo").await;
    assert_eq!(client.response().await.status, 200);
    upstream.set(|_| vec![Act::Hold]);
    assert_eq!(exchange(lb.listener("six"), "GET /late HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap().status, 504);
    let lines = lines(4, || lb.stdout()).await;
    let lines: Vec<_> = lines.iter().map(|line| elb_fields(line)).collect();
    let seconds = |line: usize, field: usize| lines[line][field].parse::<f64>().unwrap();
    for (number, line) in lines[..3].iter().enumerate() {
        assert!(line[1] == "six" && line[2].starts_with("[::1]:"), "{line:?}");
        assert!((0.07..10.0).contains(&seconds(number, 5)), "the target took 80 ms: {line:?}");
        assert!((0.0..5.0).contains(&seconds(number, 6)), "{line:?}");
    }
    assert!(seconds(1, 4) < 5.0 && seconds(2, 4) >= 0.09, "{lines:?}");
    assert_eq!(lines[2][7..11], ["200", "200", "5", "10"]);
    assert_eq!(lines[3][3..11], ["-", "-1", "-1", "-1", "504", "0", "0", "0"]);
}

#[tokio::test]
async fn elb_classic_names_cipher_and_version() {
    let (secure, upstream) = (Secure::shop(), Upstream::answering("hello").await);
    for (protocol, group) in [("https", "http"), ("tls", "tcp")] {
        let setup = logged(&upstream, "path = \"-\"\nformat = \"elb-classic\"");
        let setup = setup.group(&format!("protocol = \"{group}\""));
        let lb = secure.before(setup, protocol, "").start().await;
        let output = secure.curl(lb.web(), "/hello", &["--tlsv1.2", "--tls-max", "1.2"]).await;
        assert_eq!(output.stdout, b"hello", "{output:?}");
        let line = elb_fields(&lines(1, || lb.stdout()).await[0]);
        assert_eq!(line[3], upstream.address().to_string());
        assert_eq!(line[13..], ["ECDHE-ECDSA-AES128-GCM-SHA256", "TLSv1.2"]);
        if protocol == "https" {
            let url = format!("GET https://shop.example:{}/hello HTTP/1.1", lb.web().port());
            assert_eq!((&*line[11], &line[7..11]), (&*url, &["200", "200", "0", "5"].map(str::to_owned)[..]));
        } else {
            assert_eq!((&*line[11], &*line[7]), ("- - - ", "-"));
            assert!(line[9].parse::<u64>().unwrap() > 40 && line[10].parse::<u64>().unwrap() > 40, "{line:?}");
        }
    }
}

#[tokio::test]
async fn what_a_client_sends_cannot_forge_a_line() {
    let upstream = Upstream::answering("ok").await;
    for format in ["json", "combined"] {
        let lb = logged(&upstream, &format!("path = \"-\"\nformat = \"{format}\"")).start().await;
        let request = "GET /%0a?\" HTTP/1.1\r\nHost: a\r\nUser-Agent: x\\\"\t\" 200 1 \\\r\n\r\n".replace("?\"", "?q");
        assert_eq!(exchange(lb.web(), request).await.unwrap().status, 200);
        let line = lines(1, || lb.stdout()).await.remove(0);
        assert!(!line.contains('\t'), "{line:?}");
        if format == "json" {
            serde_json::from_str::<serde_json::Value>(&line).unwrap();
        }
    }
}

#[tokio::test]
async fn a_rotated_file_is_reopened_on_usr1() {
    let upstream = Upstream::answering("ok").await;
    let directory = tempfile::tempdir().unwrap();
    let (path, rotated) = (directory.path().join("access.log"), directory.path().join("access.log.1"));
    let lb = logged(&upstream, &format!("path = \"{}\"", path.display())).start().await;
    let read = |path: &std::path::Path| std::fs::read_to_string(path).unwrap_or_default();
    assert_eq!(lb.get("/first").await.status, 200);
    lines(1, || read(&path)).await;
    std::fs::rename(&path, &rotated).unwrap();
    assert_eq!(lb.get("/second").await.status, 200);
    lines(2, || read(&rotated)).await;
    lb.signal(Signal::USR1);
    eventually("the new file", PATIENCE, async || path.exists()).await;
    assert_eq!(lb.get("/third").await.status, 200);
    assert!(lines(1, || read(&path)).await[0].contains("/third"));
    assert_eq!(read(&rotated).lines().count(), 2);
}

#[tokio::test]
async fn a_log_that_cannot_be_written_stops_nobody_and_is_counted() {
    let upstream = Upstream::answering("ok").await;
    let lb = logged(&upstream, "path = \"/dev/full\"").start().await;
    for _ in 0..50 {
        assert_eq!(lb.get("/").await.status, 200);
    }
    eventually("what was lost to be counted", PATIENCE, async || {
        lb.metric("elbow_access_log_dropped_total", &[]).await == 50.0
    })
    .await;
}

#[tokio::test]
async fn the_log_says_how_each_request_ended() {
    let upstream = Upstream::answering("ok").await;
    let lb = logged(&upstream, "path = \"-\"").group("response_timeout = \"300ms\"").start().await;
    let cut = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc";
    let scripts = [
        ("completed", answer(200, "ok")),
        ("target_timeout", vec![Act::Hold]),
        ("target_failed", vec![Act::ReadBody, Act::Close]),
        ("target_failed", [raw(cut), vec![Act::Close]].concat()),
    ];
    for (count, (end, script)) in scripts.into_iter().enumerate() {
        upstream.set(move |_| script.clone());
        let _ = exchange(lb.web(), "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n").await;
        let line = lines(count + 1, || lb.stdout()).await.pop().unwrap();
        assert!(line.contains(&format!("\"{end}\"")), "{end}: {line}");
    }
}

#[tokio::test]
async fn without_being_asked_nothing_is_logged() {
    let upstream = Upstream::answering("ok").await;
    let mut lb = Setup::targets(&[&upstream]).start().await;
    assert_eq!(lb.get("/").await.status, 200);
    lb.stop().await;
    assert_eq!(lb.stdout(), "");
}
