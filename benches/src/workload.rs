//! What is asked and answered: one row a workload. Not how it is sent (`load`) nor what is measured (`measure`).

use anyhow::{Context, Result};

/// A workload: every client asks the same thing, every target gives the same answer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Workload {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    /// Clients at work at any time, each with one request in flight.
    pub(crate) clients: usize,
    pub(crate) through: Through,
    pub(crate) client_connection: ClientConnection,
    pub(crate) request_headers: &'static [&'static str],
    pub(crate) answer_headers: &'static [&'static str],
    pub(crate) answer_body_bytes: usize,
}

/// As what the proxy passes it on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Through {
    /// As requests: it understands what it passes on.
    Http,
    /// As requests that come to it over TLS, and leave it in the clear.
    Https(Key),
    /// As bytes of a TCP stream, to a target of its own for each client connection.
    Tcp,
}

/// The key of the certificate that the proxy shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Key {
    EcdsaP256,
    Rsa2048,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ClientConnection {
    /// One connection for all requests of a client.
    Kept,
    /// A new connection for each request, which says `Connection: close`.
    NewPerRequest,
}

pub(crate) const WORKLOADS: [Workload; 12] = [
    Workload {
        name: "small",
        about: "kept connections, minimal heads, 128 B answers",
        clients: 64,
        through: Through::Http,
        client_connection: ClientConnection::Kept,
        request_headers: &[],
        answer_headers: MINIMAL_ANSWER,
        answer_body_bytes: 128,
    },
    Workload {
        name: "browser",
        about: "kept connections, 0.9 KB of request headers, 10 answer headers, 128 B answers",
        clients: 64,
        through: Through::Http,
        client_connection: ClientConnection::Kept,
        request_headers: BROWSER_REQUEST,
        answer_headers: BROWSER_ANSWER,
        answer_body_bytes: 128,
    },
    Workload {
        name: "body_100k",
        about: "kept connections, minimal heads, 100 KiB answers",
        clients: 64,
        through: Through::Http,
        client_connection: ClientConnection::Kept,
        request_headers: &[],
        answer_headers: MINIMAL_ANSWER,
        answer_body_bytes: 100 * 1024,
    },
    Workload {
        name: "body_1m",
        about: "kept connections, minimal heads, 1 MiB answers",
        clients: 16,
        through: Through::Http,
        client_connection: ClientConnection::Kept,
        request_headers: &[],
        answer_headers: MINIMAL_ANSWER,
        answer_body_bytes: 1024 * 1024,
    },
    Workload {
        name: "new_connection",
        about: "a new client connection per request, minimal heads, 128 B answers",
        clients: 64,
        through: Through::Http,
        client_connection: ClientConnection::NewPerRequest,
        request_headers: &[],
        answer_headers: MINIMAL_ANSWER,
        answer_body_bytes: 128,
    },
    Workload {
        name: "https_small",
        about: "as `small`, over TLS",
        clients: 64,
        through: Through::Https(Key::EcdsaP256),
        client_connection: ClientConnection::Kept,
        request_headers: &[],
        answer_headers: MINIMAL_ANSWER,
        answer_body_bytes: 128,
    },
    Workload {
        name: "https_browser",
        about: "as `browser`, over TLS",
        clients: 64,
        through: Through::Https(Key::EcdsaP256),
        client_connection: ClientConnection::Kept,
        request_headers: BROWSER_REQUEST,
        answer_headers: BROWSER_ANSWER,
        answer_body_bytes: 128,
    },
    Workload {
        name: "https_100k",
        about: "as `body_100k`, over TLS",
        clients: 64,
        through: Through::Https(Key::EcdsaP256),
        client_connection: ClientConnection::Kept,
        request_headers: &[],
        answer_headers: MINIMAL_ANSWER,
        answer_body_bytes: 100 * 1024,
    },
    Workload {
        name: "tls_handshake",
        about: "a new client connection and a full TLS 1.3 handshake (P-256, X25519) per request, 128 B answers",
        clients: 64,
        through: Through::Https(Key::EcdsaP256),
        client_connection: ClientConnection::NewPerRequest,
        request_headers: &[],
        answer_headers: MINIMAL_ANSWER,
        answer_body_bytes: 128,
    },
    Workload {
        name: "tcp_1m",
        about: "TCP streams: a new one for each answer of 1 MiB",
        clients: 16,
        through: Through::Tcp,
        client_connection: ClientConnection::NewPerRequest,
        request_headers: &[],
        answer_headers: MINIMAL_ANSWER,
        answer_body_bytes: 1024 * 1024,
    },
    Workload {
        name: "tcp_small",
        about: "TCP streams that are kept, 128 B answers",
        clients: 64,
        through: Through::Tcp,
        client_connection: ClientConnection::Kept,
        request_headers: &[],
        answer_headers: MINIMAL_ANSWER,
        answer_body_bytes: 128,
    },
    Workload {
        name: "tcp_new",
        about: "TCP streams: a new one for each 128 B answer",
        clients: 64,
        through: Through::Tcp,
        client_connection: ClientConnection::NewPerRequest,
        request_headers: &[],
        answer_headers: MINIMAL_ANSWER,
        answer_body_bytes: 128,
    },
];

const MINIMAL_ANSWER: &[&str] = &["Date: Sun, 01 Nov 2026 12:00:00 GMT", "Content-Type: text/plain"];

const BROWSER_REQUEST: &[&str] = &[
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36",
    "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8",
    "Accept-Encoding: gzip, deflate, br, zstd",
    "Accept-Language: en-GB,en;q=0.9,de;q=0.8,fr;q=0.7",
    "Cache-Control: max-age=0",
    "Cookie: session=6f1d2c3b4a59687786958473625140f0; theme=dark; consent=necessary%2Canalytics; \
     _ga=GA1.1.1234567890.1761990000; _ga_X1Y2Z3=GS1.1.1761990000.3.1.1761990123.60.0.0; cart=eyJpdGVtcyI6W3siaWQiOjQyLCJuIjoxfV19",
    "Priority: u=0, i",
    "Referer: https://shop.bench.internal/catalogue/garden/tools?page=2&sort=price",
    "Sec-Ch-Ua: \"Chromium\";v=\"142\", \"Not_A Brand\";v=\"99\"",
    "Sec-Ch-Ua-Mobile: ?0",
    "Sec-Ch-Ua-Platform: \"Linux\"",
    "Sec-Fetch-Dest: document",
    "Sec-Fetch-Mode: navigate",
    "Sec-Fetch-Site: same-origin",
    "Sec-Fetch-User: ?1",
    "Upgrade-Insecure-Requests: 1",
];

/// With `Content-Length` these are ten.
const BROWSER_ANSWER: &[&str] = &[
    "Date: Sun, 01 Nov 2026 12:00:00 GMT",
    "Server: bench",
    "Content-Type: text/html; charset=utf-8",
    "Cache-Control: private, max-age=0, must-revalidate",
    "ETag: \"5f3c-61a2b3c4d5e6f\"",
    "Last-Modified: Sat, 31 Oct 2026 08:15:00 GMT",
    "Vary: Accept-Encoding, Cookie",
    "Strict-Transport-Security: max-age=31536000; includeSubDomains",
    "X-Content-Type-Options: nosniff",
];

impl Workload {
    /// The row of that name.
    pub(crate) fn named(name: &str) -> Result<&'static Self> {
        let known = || WORKLOADS.map(|row| row.name).join(", ");
        WORKLOADS
            .iter()
            .find(|row| row.name == name)
            .with_context(|| format!("no workload is called {name}: {}", known()))
    }

    /// The bytes a client sends.
    pub(crate) fn request(&self) -> Vec<u8> {
        let mut lines = vec!["GET /index.html HTTP/1.1", "Host: shop.bench.internal"];
        lines.extend(self.request_headers);
        if self.client_connection == ClientConnection::NewPerRequest {
            lines.push("Connection: close");
        }
        head(&lines)
    }

    /// The bytes a target sends.
    pub(crate) fn answer(&self) -> Vec<u8> {
        let length = format!("Content-Length: {}", self.answer_body_bytes);
        let mut lines = vec!["HTTP/1.1 200 OK"];
        lines.extend(self.answer_headers);
        lines.push(&length);
        let mut answer = head(&lines);
        answer.resize(answer.len() + self.answer_body_bytes, b'x');
        answer
    }
}

fn head(lines: &[&str]) -> Vec<u8> {
    let mut head = lines.join("\r\n");
    head.push_str("\r\n\r\n");
    head.into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn browser_heads_have_the_size_they_promise() {
        let browser = WORKLOADS.iter().find(|workload| workload.name == "browser").expect("a row");
        let headers: usize = browser.request_headers.iter().map(|line| line.len() + 2).sum();
        assert!((850..=950).contains(&headers), "{headers} bytes of request headers");
        assert_eq!(browser.answer_headers.len() + 1, 10);
    }
}
