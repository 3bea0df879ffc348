//! A client of the admin API.

use std::fmt::Write as _;
use std::net::SocketAddr;

use super::client::{Client, Response};

/// A client of the admin API.
#[derive(Debug, Clone)]
pub struct Admin {
    /// Where it listens.
    pub address: SocketAddr,
    /// The bearer token.
    pub token: String,
}

impl Admin {
    /// A GET with the token.
    pub async fn get(&self, path: &str) -> Response {
        self.request("GET", path, &[], "").await
    }

    /// A PUT of JSON with the token.
    pub async fn put(&self, path: &str, body: &str) -> Response {
        self.request("PUT", path, &[], body).await
    }

    /// A POST of JSON with the token.
    pub async fn post(&self, path: &str, body: &str) -> Response {
        self.request("POST", path, &[], body).await
    }

    /// A DELETE with the token.
    pub async fn delete(&self, path: &str) -> Response {
        self.request("DELETE", path, &[], "").await
    }

    /// Any request with the token and more headers.
    pub async fn request(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Response {
        let mut client = Client::connect(self.address).await;
        client.send(self.with_token(method, path, headers, body)).await;
        client.response_to(method).await
    }

    /// A request with the token as bytes, for a test that sends it itself.
    pub fn bytes(&self, method: &str, path: &str, body: &str) -> Vec<u8> {
        self.with_token(method, path, &[], body).into_bytes()
    }

    /// Any request with just these headers.
    pub async fn without_token(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Response {
        let mut client = Client::connect(self.address).await;
        client.send(self.head(method, path, headers, body) + body).await;
        client.response_to(method).await
    }

    /// The targets of a group as the API shows them.
    pub async fn targets(&self, group: &str) -> Vec<serde_json::Value> {
        let response = self.get(&format!("/v1/target-groups/{group}/targets")).await;
        assert_eq!(response.status, 200, "{}", response.text());
        response.json().as_array().expect("lists are bare arrays").clone()
    }

    /// Registers a target, or changes it, and expects that to be taken.
    pub async fn register(&self, group: &str, id: &str, address: SocketAddr) -> Response {
        let path = format!("/v1/target-groups/{group}/targets/{id}");
        let response = self.put(&path, &format!("{{\"address\": \"{address}\"}}")).await;
        assert!(matches!(response.status, 200 | 201), "{} {}", response.status, response.text());
        response
    }

    fn with_token(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> String {
        let token = format!("Bearer {}", self.token);
        let mut all = vec![("Authorization", token.as_str())];
        all.extend_from_slice(headers);
        self.head(method, path, &all, body) + body
    }

    fn head(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> String {
        let mut head = format!("{method} {path} HTTP/1.1\r\n");
        if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
            let _ = write!(head, "Host: {}\r\n", self.address);
        }
        for (name, value) in headers {
            let _ = write!(head, "{name}: {value}\r\n");
        }
        if !body.is_empty() && !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-type")) {
            head.push_str("Content-Type: application/json\r\n");
        }
        let _ = write!(head, "Content-Length: {}\r\n\r\n", body.len());
        head
    }
}
