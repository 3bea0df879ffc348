//! What the codec costs: nanoseconds for parsing and writing on a request and its response.
//!
//! `cargo run --release -p lb --example codec`
#![expect(clippy::print_stdout, reason = "it prints what it measured")]

use std::hint::black_box;
use std::time::Instant;

use lb::http1::{
    Connection, Forwarding, HeadLimits, Peer, RequestContext, RequestEdits, RequestHead, ResponseEdits, ResponseHead,
    Version, parse_request, parse_response, write_request_head, write_response_head,
};

const ROUNDS: u32 = 200_000;
const REPEATS: usize = 9;

const SMALL_REQUEST: &str =
    "GET /index.html HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nUser-Agent: bench\r\nAccept: */*\r\n\r\n";
const SMALL_RESPONSE: &str = "HTTP/1.1 200 OK\r\nContent-Length: 128\r\nContent-Type: text/plain\r\n\r\n";
const BROWSER_REQUEST: &str = "GET /assets/app.8f3a1c.js?v=20260114 HTTP/1.1\r\nHost: www.example.com\r\n\
    Connection: keep-alive\r\nsec-ch-ua: \"Chromium\";v=\"124\", \"Google Chrome\";v=\"124\", \"Not-A.Brand\";v=\"99\"\r\n\
    sec-ch-ua-mobile: ?0\r\nsec-ch-ua-platform: \"Windows\"\r\nUser-Agent: Mozilla/5.0 (Windows NT 10.0; Win64; x64) \
    AppleWebKit/537.36 (KHTML, like Gecko) Chrome/124.0.0.0 Safari/537.36\r\nAccept: text/html,application/xhtml+xml,\
    application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8\r\nSec-Fetch-Site: same-origin\r\n\
    Sec-Fetch-Mode: no-cors\r\nSec-Fetch-Dest: script\r\nReferer: https://www.example.com/products/overview\r\n\
    Accept-Encoding: gzip, deflate, br, zstd\r\nAccept-Language: en-GB,en;q=0.9,de;q=0.8\r\n\
    Cookie: session=2f6c1b7e9a3d4f5081726354a1b2c3d4; theme=dark; consent=eyJhbmFseXRpY3MiOnRydWV9; \
    _ga=GA1.2.1234567890.1700000000; _gid=GA1.2.987654321.1700000000; cart=b1946ac92492d2347c6235b4d2611184\r\n\r\n";
const BROWSER_RESPONSE: &str = "HTTP/1.1 200 OK\r\nServer: nginx/1.31.0\r\nDate: Wed, 14 Jan 2026 09:12:31 GMT\r\n\
    Content-Type: application/javascript; charset=utf-8\r\nContent-Length: 5120\r\nConnection: keep-alive\r\n\
    Last-Modified: Tue, 13 Jan 2026 17:02:11 GMT\r\nETag: \"69667f13-1400\"\r\n\
    Cache-Control: public, max-age=31536000, immutable\r\nVary: Accept-Encoding\r\nAccept-Ranges: bytes\r\n\r\n";

fn main() {
    for (name, request, response) in
        [("small", SMALL_REQUEST, SMALL_RESPONSE), ("browser-sized", BROWSER_REQUEST, BROWSER_RESPONSE)]
    {
        println!("{name}: request head {} B, response head {} B", request.len(), response.len());
        measure_request(request.as_bytes());
        measure_response(response.as_bytes());
    }
}

fn measure_request(raw: &[u8]) {
    let limits = HeadLimits::default();
    let mut head = RequestHead::default();
    let mut out = Vec::with_capacity(4096);
    report("parse request", || parse_request(black_box(raw), &limits, &mut head).is_ok());
    let forwarding = Forwarding {
        peer: Peer::Unchecked,
        client_address: "192.0.2.17",
        proto: "http",
        port: "8080",
        certificate: &[],
    };
    report("write request", || {
        let edits = RequestEdits {
            forwarding,
            host_default: "127.0.0.1:8080",
            framing: head.framing.into(),
            connection: Connection::Unsaid,
            request_id: Some(b"4fd1c0ffee00112233445566778899aa"),
            cookies_cut: None,
            fields: &[],
        };
        out.clear();
        write_request_head(&mut out, black_box(raw), black_box(&head), &edits);
        !black_box(&out).is_empty()
    });
}

fn measure_response(raw: &[u8]) {
    let limits = HeadLimits::default();
    let mut head = ResponseHead::default();
    let mut out = Vec::with_capacity(4096);
    report("parse response", || parse_response(black_box(raw), &limits, RequestContext::default(), &mut head).is_ok());
    report("write response", || {
        let framing = head.delivery(Version::Http11).framing;
        let request_id = Some(&b"4fd1c0ffee00112233445566778899aa"[..]);
        let edits = ResponseEdits { framing, connection: Connection::Unsaid, request_id, fields: &[] };
        out.clear();
        write_response_head(&mut out, black_box(raw), black_box(&head), &edits);
        !black_box(&out).is_empty()
    });
}

/// Prints the best and the median of some repeats.
fn report(name: &str, mut once: impl FnMut() -> bool) {
    let mut nanos: Vec<f64> = (0..REPEATS)
        .map(|_| {
            let start = Instant::now();
            for _ in 0..ROUNDS {
                assert!(black_box(once()), "{name} failed");
            }
            start.elapsed().as_nanos() as f64 / f64::from(ROUNDS)
        })
        .collect();
    nanos.sort_by(f64::total_cmp);
    println!("  {name:<15} {:>6.0} ns best, {:>6.0} ns median", nanos[0], nanos[REPEATS / 2]);
}
