//! Bodies of any size through bounded memory, both ways.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::harness::*;

const MIB: u64 = 1 << 20;
const SIZE: u64 = 1024 * MIB;
/// What elbow may grow by while the bodies pass: far below one of them.
const GROWTH_KIB_MAX: u64 = 48 << 10;

/// The length of what the bodies repeat: it divides no buffer, so any loss, repetition or mix-up shows.
const PERIOD: usize = 256_271;

/// What the bodies repeat, made once: whoever fills a piece for each write is too busy to read.
static PATTERN: [u8; PERIOD] = pattern();

const fn pattern() -> [u8; PERIOD] {
    let mut bytes = [0; PERIOD];
    let (mut place, mut state) = (0, 1_u32);
    while place < PERIOD {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        bytes[place] = (state >> 24) as u8;
        place += 1;
    }
    bytes
}

/// Where a body was checked up to.
#[derive(Default)]
struct Checked(u64);

impl Checked {
    fn take(&mut self, mut piece: &[u8]) {
        while !piece.is_empty() {
            let expected = &PATTERN[(self.0 % PERIOD as u64) as usize..];
            let count = expected.len().min(piece.len());
            assert!(piece[..count] == expected[..count], "the body differs within {count} bytes from {}", self.0);
            self.0 += count as u64;
            piece = &piece[count..];
        }
    }
}

/// A server that takes a body of [`SIZE`] bytes and sends one, at once.
async fn server() -> (std::net::SocketAddr, Arc<AtomicU64>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let received = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&received);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let count = Arc::clone(&count);
            tokio::spawn(async move {
                let (mut read, mut write) = stream.into_split();
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    match read.read_u8().await {
                        Ok(byte) => head.push(byte),
                        Err(_) => return,
                    }
                }
                let sending = async {
                    write.write_all(format!("HTTP/1.1 200 OK\r\nContent-Length: {SIZE}\r\n\r\n").as_bytes()).await?;
                    send_body(&mut write).await
                };
                let receiving = async {
                    let (mut checked, mut piece) = (Checked::default(), vec![0; 256 << 10]);
                    while head.starts_with(b"POST") && checked.0 < SIZE {
                        match read.read(&mut piece).await {
                            Ok(0) | Err(_) => break,
                            Ok(read) => checked.take(&piece[..read]),
                        }
                    }
                    count.store(checked.0, Ordering::Relaxed);
                };
                let _ = tokio::join!(sending, receiving);
            });
        }
    });
    (address, received)
}

async fn send_body(to: &mut (impl AsyncWriteExt + Unpin)) -> std::io::Result<()> {
    let mut left = SIZE;
    while left > 0 {
        let piece = &PATTERN[..PERIOD.min(left as usize)];
        to.write_all(piece).await?;
        left -= piece.len() as u64;
        // Client and server share this thread, and each of them reads as well as it writes.
        tokio::task::yield_now().await;
    }
    Ok(())
}

#[tokio::test]
async fn a_gibibyte_each_way_at_once_in_bounded_memory() {
    let (address, received) = server().await;
    let lb = Setup::default().target_at("big", address, "").start().await;
    let before = lb.resident_kib();
    let stream = tokio::net::TcpStream::connect(lb.web()).await.unwrap();
    let (mut read, mut write) = stream.into_split();
    let head = format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {SIZE}\r\n\r\n");
    write.write_all(head.as_bytes()).await.unwrap();
    let receiving = async {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(read.read_u8().await.unwrap());
        }
        assert!(head.starts_with(b"HTTP/1.1 200 "), "{}", String::from_utf8_lossy(&head));
        let (mut checked, mut piece, mut peak) = (Checked::default(), vec![0; 256 << 10], 0);
        while checked.0 < SIZE {
            let count = read.read(&mut piece).await.unwrap();
            assert!(count > 0, "cut after {} bytes", checked.0);
            checked.take(&piece[..count]);
            if checked.0 % (16 * MIB) < count as u64 {
                peak = peak.max(lb.resident_kib());
            }
        }
        peak
    };
    let both = async { tokio::join!(send_body(&mut write), receiving) };
    let (sent, peak) = within("a gibibyte each way", PATIENCE * 10, both).await;
    sent.unwrap();
    eventually("all of the upload", PATIENCE, async || received.load(Ordering::Relaxed) == SIZE).await;
    assert!(peak < before + GROWTH_KIB_MAX, "it grew from {before} KiB to {peak} KiB");
}

#[tokio::test]
async fn a_reader_that_stands_still_holds_the_sender_back() {
    let (address, _) = server().await;
    let lb = Setup::default().target_at("big", address, "").listener("body_rate_min = \"0\"").start().await;
    let before = lb.resident_kib();
    let mut clients = Vec::new();
    for _ in 0..20 {
        let mut client = lb.connect().await;
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        clients.push(client);
    }
    for client in &mut clients {
        assert_eq!(client.response_head().await.0, 200);
    }
    // Twenty gibibytes are on offer and nobody reads: what is not held back would be in memory by now.
    pause(ms(1500)).await;
    let after = lb.resident_kib();
    assert!(after < before + GROWTH_KIB_MAX, "it grew from {before} KiB to {after} KiB");
}

#[tokio::test]
async fn a_large_chunked_body_keeps_its_bytes() {
    let piece = PATTERN[..10_000].to_vec();
    let chunk = [format!("{:x}\r\n", piece.len()).into_bytes(), piece.clone(), b"\r\n".to_vec()].concat();
    let script = [
        Act::ReadBody,
        Act::Write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".into()),
        Act::Repeat(chunk.clone(), 2000),
        Act::Write("0\r\n\r\n".into()),
    ];
    let upstream = Upstream::start(move |_| script.to_vec()).await;
    let lb = Setup::targets(&[&upstream]).start().await;
    let mut client = lb.connect().await;
    client.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n").await;
    for _ in 0..200 {
        client.send(&chunk).await;
    }
    client.send("0\r\n\r\n").await;
    let response = client.response().await;
    assert_eq!(response.body.len(), 20_000_000);
    assert!(response.body.chunks(10_000).all(|chunk| chunk == piece));
    let body = upstream.only_request().body;
    assert!(body.len() == 2_000_000 && body.chunks(10_000).all(|chunk| chunk == piece));
}
