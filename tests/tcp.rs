//! TCP streams: bytes both ways, ends and resets carried across, and what happens around them.

use std::time::Instant;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::harness::*;

/// So many bytes that every buffer on the way overflows.
const MUCH: usize = 10 << 20;

/// Bytes of a stream that never repeats within what is sent here.
fn pattern(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed | 1;
    let word = |_| {
        state = state.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(23) ^ 0x5851_f42d_4c95_7f2d;
        state.to_le_bytes()
    };
    let mut bytes: Vec<u8> = (0..length.div_ceil(8)).flat_map(word).collect();
    bytes.truncate(length);
    bytes
}

/// A stream through elbow to a target, both ends in hand.
async fn through(lb: &Lb, target: &StreamTarget) -> (Stream, Stream) {
    let client = Stream::connect(lb.web()).await;
    let target = target.accept().await;
    (client, target)
}

#[tokio::test]
async fn bytes_are_passed_on_as_they_are() {
    let target = StreamTarget::start().await;
    let lb = Setup::streams(&[&target]).start().await;
    let (mut client, mut server) = through(&lb, &target).await;
    // Whoever speaks first.
    server.send("220 ready\r\n").await;
    client.assert_reads("220 ready\r\n").await;
    for bytes in ["GET / HTTP/1.1\r\n\r\n", "\0\r\n\r\n", "x"] {
        client.send(bytes).await;
        server.assert_reads(bytes).await;
        server.send(bytes).await;
        client.assert_reads(bytes).await;
    }
    drop(client);
    server.assert_ended().await;
}

#[tokio::test]
async fn an_end_is_carried_across_while_the_other_way_goes_on() {
    let target = StreamTarget::start().await;
    let lb = Setup::streams(&[&target]).start().await;
    let (mut client, mut server) = through(&lb, &target).await;
    client.send("all I say").await;
    client.half_close().await;
    assert_eq!(server.rest().await.unwrap(), b"all I say");
    let answer = pattern(1, MUCH);
    let (_, read) = tokio::join!(async { (server.send(&answer).await, drop(server)) }, client.rest());
    assert!(read.unwrap() == answer, "what was sent after the end came whole");

    let (mut client, mut server) = through(&lb, &target).await;
    server.send("all I say").await;
    server.half_close().await;
    assert_eq!(client.rest().await.unwrap(), b"all I say");
    let (_, read) = tokio::join!(async { (client.send(&answer).await, drop(client)) }, server.rest());
    assert!(read.unwrap() == answer);
    let completed = [("listener", "web"), ("target_group", "app"), ("end", "completed")];
    eventually("both streams to be counted", PATIENCE, async || {
        lb.metric("elbow_connections_ended_total", &completed).await == 2.0
    })
    .await;
}

#[tokio::test]
async fn a_reset_is_carried_across_as_a_reset() {
    let target = StreamTarget::start().await;
    let lb = Setup::streams(&[&target]).start().await;
    let (mut client, mut server) = through(&lb, &target).await;
    client.send("hello").await;
    server.assert_reads("hello").await;
    client.reset();
    server.assert_reset().await;

    let (mut client, mut server) = through(&lb, &target).await;
    server.send("hello").await;
    client.assert_reads("hello").await;
    server.reset();
    client.assert_reset().await;

    // After an end, too, when nobody reads or writes any more.
    let (client, mut server) = through(&lb, &target).await;
    server.half_close().await;
    pause(ms(50)).await;
    client.reset();
    server.until_reset().await;
    let (mut client, server) = through(&lb, &target).await;
    client.half_close().await;
    pause(ms(50)).await;
    server.reset();
    client.until_reset().await;
}

#[tokio::test]
async fn what_a_target_said_before_it_left_arrives() {
    let target = StreamTarget::start().await;
    let lb = Setup::streams(&[&target]).start().await;
    let (mut client, mut server) = through(&lb, &target).await;
    // It answers, and closes with unread input: the kernel sends a reset behind what it has sent.
    client.send("a request of which the target reads nothing").await;
    server.send("no\r\n").await;
    pause(ms(50)).await;
    drop(server);
    client.assert_reads("no\r\n").await;
}

#[tokio::test]
async fn much_in_both_directions_at_once_arrives_whole() {
    let target = StreamTarget::start().await;
    let lb = Setup::streams(&[&target]).start().await;
    let (client, server) = through(&lb, &target).await;
    let (up, down) = (pattern(1, MUCH), pattern(2, MUCH));
    let talk = async |stream: Stream, says: &[u8], hears: &[u8]| {
        let (mut read, mut write) = stream.0.into_split();
        let mut heard = vec![0; hears.len()];
        let (sent, received) = tokio::join!(write.write_all(says), read.read_exact(&mut heard));
        sent.unwrap();
        received.unwrap();
        assert!(heard == hears, "what came is what was sent");
    };
    let both = async { tokio::join!(talk(client, &up, &down), talk(server, &down, &up)) };
    within("both ways to be through", PATIENCE, both).await;
    let much = MUCH as f64;
    eventually("the bytes to be counted", PATIENCE, async || {
        lb.metric("elbow_received_bytes_total", &[("listener", "web")]).await == much
            && lb.metric("elbow_sent_bytes_total", &[("listener", "web")]).await == much
    })
    .await;
}

#[tokio::test]
async fn slow_readers_cost_bounded_memory() {
    let target = StreamTarget::start().await;
    let lb = Setup::streams(&[&target]).one_worker().start().await;
    let mut readers = Vec::new();
    let before_kib = lb.resident_kib();
    for _ in 0..200 {
        let (client, mut server) = through(&lb, &target).await;
        // As much as fits on the way, and then nobody reads.
        let _ = tokio::time::timeout(ms(20), server.0.write_all(&vec![7; MUCH])).await;
        readers.push((client, server));
    }
    let grown_kib = lb.resident_kib().saturating_sub(before_kib);
    assert!(grown_kib < 64 << 10, "200 slow readers cost {grown_kib} KiB");
    // They are still served.
    let (client, _server) = &mut readers[150];
    client.assert_reads([7; 1000]).await;
}

#[tokio::test]
async fn a_stream_on_which_both_are_silent_ends() {
    let target = StreamTarget::start().await;
    let lb = Setup::streams(&[&target]).listener("idle_timeout = \"1s\"").start().await;
    let (mut client, mut server) = through(&lb, &target).await;
    for _ in 0..4 {
        pause(ms(400)).await;
        server.send("x").await;
        client.assert_reads("x").await;
    }
    let started = Instant::now();
    client.assert_reset().await;
    server.assert_reset().await;
    assert!(started.elapsed() >= ms(900), "{:?}", started.elapsed());
    assert_eq!(lb.metric("elbow_connections_ended_total", &[("end", "idle")]).await, 1.0);
}

#[tokio::test]
async fn a_target_that_refuses_is_passed_over() {
    let (mut dead, alive) = (StreamTarget::start().await, StreamTarget::echoing().await);
    dead.refuse_streams();
    let lb = Setup::streams(&[&dead, &alive]).group("algorithm = \"round_robin\"").start().await;
    for _ in 0..10 {
        let mut client = Stream::connect(lb.web()).await;
        client.send("hello").await;
        client.assert_reads("hello").await;
    }
    let retries = lb.metric("elbow_retries_total", &[("result", "success")]).await;
    assert!(retries > 0.0);
    assert_eq!(lb.metric("elbow_target_connections_total", &[("target", "t0")]).await, 0.0);
    assert_eq!(lb.metric("elbow_target_connections_total", &[("target", "t1")]).await, 10.0);
    assert_eq!(lb.metric("elbow_backend_connection_errors_total", &[]).await, retries);
}

#[tokio::test]
async fn where_no_target_takes_it_a_connection_is_reset() {
    let mut dead = StreamTarget::start().await;
    let lb = Setup::streams(&[&dead]).start().await;
    dead.refuse_streams();
    Stream::assert_turned_away(lb.web()).await;
    dead.fail_checks().await;
    let lb = Setup::streams(&[&dead]).group("when_all_unhealthy = \"fail_closed\"").start().await;
    Stream::assert_turned_away(lb.web()).await;
    assert_eq!(lb.metric("elbow_connections_ended_total", &[("end", "no_target")]).await, 1.0);
}

#[tokio::test]
async fn a_connection_waits_while_nobody_has_been_checked() {
    let mut target = StreamTarget::start().await;
    target.fail_checks().await;
    let check = StreamTarget::health_check().replace("unhealthy_threshold = 2", "unhealthy_threshold = 10");
    let lb = Setup::streams(&[&target]).health_check(&check).group("initial_wait = \"20s\"").start_cold().await;
    let mut client = Stream::connect(lb.web()).await;
    client.send("hello").await;
    pause(ms(100)).await;
    target.pass_checks().await;
    let mut server = target.accept().await;
    server.assert_reads("hello").await;
}

#[tokio::test]
async fn a_stream_counts_as_in_flight_until_its_last_byte() {
    let target = StreamTarget::start().await;
    let lb = Setup::streams(&[&target]).group("connections_max = 1\nsurge_queue_max = 0").start().await;
    let in_flight = async || lb.admin().targets("app").await[0]["in_flight"].as_u64().unwrap();
    let (mut client, mut server) = through(&lb, &target).await;
    assert_eq!(in_flight().await, 1);
    Stream::assert_turned_away(lb.web()).await;
    assert_eq!(lb.metric("elbow_spillover_total", &[]).await, 1.0);
    client.half_close().await;
    server.assert_ended().await;
    assert_eq!(in_flight().await, 1, "the target may still speak");
    drop(server);
    client.assert_ended().await;
    eventually("nothing to be in flight", PATIENCE, async || in_flight().await == 0).await;
    through(&lb, &target).await;
}

#[tokio::test]
async fn a_deregistered_target_keeps_its_streams_until_its_time_is_over() {
    let (leaving, staying) = (StreamTarget::start().await, StreamTarget::start().await);
    let keys = "deregistration_delay = \"1s\"\nalgorithm = \"round_robin\"";
    let lb = Setup::streams(&[&staying]).group(keys).one_worker().start().await;
    let put = format!("{{\"address\": \"{}\"}}", leaving.address());
    let response = lb.admin().put("/v1/target-groups/app/targets/leaving?wait=healthy", &put).await;
    assert_eq!(response.status, 201, "{}", response.text());
    let mut ends = Vec::new();
    for _ in 0..2 {
        let mut client = Stream::connect(lb.web()).await;
        client.send("hello").await;
        ends.push(client);
    }
    let mut to_leaving = leaving.accept().await;
    let mut to_staying = staying.accept().await;
    to_leaving.assert_reads("hello").await;
    to_staying.assert_reads("hello").await;
    let deleted = Instant::now();
    lb.admin().delete("/v1/target-groups/app/targets/leaving").await;
    for _ in 0..4 {
        let _client = Stream::connect(lb.web()).await;
        staying.accept().await;
    }
    to_leaving.send("still here").await;
    to_leaving.assert_reset().await;
    assert!(deleted.elapsed() >= ms(900), "{:?}", deleted.elapsed());
    to_staying.send("and I stay").await;
}

#[tokio::test]
async fn a_stop_lets_streams_finish_until_its_timeout() {
    let target = StreamTarget::start().await;
    let mut lb = Setup::streams(&[&target]).top("[shutdown]\ntimeout = \"1s\"").start().await;
    let (mut client, mut server) = through(&lb, &target).await;
    let (mut other, mut other_server) = through(&lb, &target).await;
    let started = Instant::now();
    lb.signal(rustix::process::Signal::TERM);
    eventually("the listener to close", PATIENCE, async || tokio::net::TcpStream::connect(lb.web()).await.is_err())
        .await;
    client.send("still").await;
    server.assert_reads("still").await;
    drop(client);
    server.assert_ended().await;
    other_server.assert_reset().await;
    other.assert_reset().await;
    assert!(started.elapsed() >= ms(900), "{:?}", started.elapsed());
    assert!(lb.wait_for_exit().await.success());
}

#[tokio::test]
async fn streams_of_a_target_that_goes_down_are_kept_or_reset() {
    for (keys, is_kept) in [("", true), ("on_down = \"reset\"", false)] {
        let mut target = StreamTarget::start().await;
        let lb = Setup::streams(&[&target]).group(keys).start().await;
        let (mut client, mut server) = through(&lb, &target).await;
        target.fail_checks().await;
        lb.until("app", "t0", "unhealthy").await;
        if is_kept {
            client.send("still").await;
            server.assert_reads("still").await;
            continue;
        }
        client.assert_reset().await;
        server.assert_reset().await;
        assert_eq!(lb.metric("elbow_connections_ended_total", &[("end", "target_down")]).await, 1.0);
        // The group fails open: what comes now goes there all the same, and stays while nothing changes.
        let (mut client, mut server) = through(&lb, &target).await;
        let response = lb.admin().post("/v1/target-groups/app/targets/t0/drain", "").await;
        assert_eq!(response.status, 200, "{}", response.text());
        client.send("still").await;
        server.assert_reads("still").await;
    }
}

#[tokio::test]
async fn one_source_goes_to_one_target() {
    let targets = [StreamTarget::echoing().await, StreamTarget::echoing().await, StreamTarget::echoing().await];
    let keys = "algorithm = \"consistent_hash\"";
    let lb = Setup::streams(&[&targets[0], &targets[1], &targets[2]]).group(keys).start().await;
    for _ in 0..12 {
        let mut client = Stream::connect(lb.web()).await;
        client.send("hello").await;
        client.assert_reads("hello").await;
    }
    let mut counts = Vec::new();
    for target in ["t0", "t1", "t2"] {
        counts.push(lb.metric("elbow_target_connections_total", &[("target", target)]).await);
    }
    counts.sort_by(f64::total_cmp);
    assert_eq!(counts, [0.0, 0.0, 12.0]);
}

#[tokio::test]
async fn each_stream_has_its_line_in_the_access_log() {
    let target = StreamTarget::start().await;
    for format in ["json", "combined"] {
        let lb = Setup::streams(&[&target]);
        let lb = lb.top(&format!("[access_log]\npath = \"-\"\nformat = \"{format}\"")).start().await;
        let (mut client, mut server) = through(&lb, &target).await;
        let port = client.address().port();
        client.send("four").await;
        server.assert_reads("four").await;
        server.send("eleven byte").await;
        client.assert_reads("eleven byte").await;
        drop(client);
        server.assert_ended().await;
        drop(server);
        eventually("the line", PATIENCE, async || lb.stdout().ends_with('\n')).await;
        let line = lb.stdout();
        if format == "combined" {
            assert!(line.starts_with("127.0.0.1 - - ["), "{line}");
            assert!(line.ends_with("] \"TCP\" 200 11 \"-\" \"-\"\n"), "{line}");
            continue;
        }
        let line: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(line["client"], format!("127.0.0.1:{port}"));
        assert_eq!((&line["protocol"], &line["end"]), (&"TCP".into(), &"completed".into()));
        assert_eq!((&line["received_bytes"], &line["sent_bytes"]), (&4.into(), &11.into()));
        assert_eq!((&line["target"], &line["attempts"]), (&"t0".into(), &1.into()));
        assert!(line["status"].is_null() && line["connect_ms"].is_number() && line["first_byte_ms"].is_number());
    }
}

#[tokio::test]
async fn listeners_and_groups_must_speak_the_same() {
    let upstream = Upstream::answering("hello").await;
    for (listener, group, hint) in [("tcp", "http", "tcp"), ("http", "tcp", "http")] {
        let setup = Setup::targets(&[&upstream]).listener(&format!("protocol = \"{listener}\""));
        let output = setup.group(&format!("protocol = \"{group}\"")).start_refused().await;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains(&format!("write protocol = \"{hint}\" for app")), "{said}");
    }
    let lb = Setup::targets(&[&upstream]).start().await;
    let response =
        lb.admin().put("/v1/listeners/raw", r#"{"bind": "127.0.0.1:0", "protocol": "tcp", "target_group": "app"}"#);
    let response = response.await;
    assert_eq!(
        (response.status, response.json()["pointer"].as_str()),
        (409, Some("/target_group")),
        "{}",
        response.text()
    );
}
