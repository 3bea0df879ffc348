//! Sending clients to https: the answer of a listener that redirects, instead of a target's.

use super::account::Account;
use super::client::{Client, Next};
use super::desk::Desk;
use super::door::Front;
use super::error::Failure;
use super::handle::{may_keep, send_own};
use super::headers;
use crate::http1::{BodyFraming, Connection, Method, host_without_port, write_own_response};
use crate::stream::Stream;
use crate::telemetry::EndReason;

/// The port that an https URL need not name.
const HTTPS_PORT: u16 = 443;

/// Tells a client to ask the same over https at `port`. What it sends of a body is not asked for.
pub(super) async fn redirect<S: Stream>(
    client: &mut Client<S>,
    desk: &mut Desk,
    front: &Front,
    account: &mut Account,
    port: u16,
) -> Result<Next, Failure> {
    let request = &desk.request;
    let bytes = desk.up.buffer.whole();
    let own = || client.io.local_address().map(|address| address.to_string()).unwrap_or_default().into_bytes();
    let host = request.host.map_or_else(own, |host| host.of(bytes).to_vec());
    let location = location(&host, port, request.path_and_query.of(bytes));
    // A client that repeats a POST has to repeat it as a POST.
    let status = if matches!(request.method, Method::Get | Method::Head) { 301 } else { 308 };
    let keeps = request.framing == BodyFraming::None && request.keep_alive && may_keep(client, desk, front);
    let connection = if keeps { headers::connection(request.version, true) } else { Connection::Close };
    let id = desk.request_id.bytes(bytes);
    let fields = [("Location", &location[..]), ("X-Request-Id", id), ("Cache-Control", b"no-store")];
    let is_head = request.method == Method::Head;
    write_own_response(&mut desk.down.out.head, status, connection, &fields, b"", is_head);
    desk.up.buffer.consume(request.head_len);
    account.status = Some(status);
    account.end = EndReason::Refused;
    front.count_own_answer(client.local.worker, status);
    send_own(client, desk).await?;
    Ok(if keeps { Next::Request } else { Next::Linger })
}

/// The same over https. The path is told as it came.
fn location(host: &[u8], port: u16, path: &[u8]) -> Vec<u8> {
    let mut location = b"https://".to_vec();
    location.extend_from_slice(host_without_port(host));
    if port != HTTPS_PORT {
        location.extend_from_slice(format!(":{port}").as_bytes());
    }
    if path.first() != Some(&b'/') {
        location.push(b'/');
    }
    location.extend_from_slice(if path == b"*" { b"" } else { path });
    location
}

#[cfg(test)]
mod tests {
    use super::location;

    #[test]
    fn the_host_keeps_its_name_and_loses_its_port() {
        let told = |host: &str, port, path: &str| {
            String::from_utf8(location(host.as_bytes(), port, path.as_bytes())).expect("text")
        };
        assert_eq!(told("shop.example", 443, "/a?b=c"), "https://shop.example/a?b=c");
        assert_eq!(told("shop.example:8080", 443, "/"), "https://shop.example/");
        assert_eq!(told("[2001:db8::1]:80", 8443, "/"), "https://[2001:db8::1]:8443/");
        assert_eq!(told("[2001:db8::1]", 443, "?x"), "https://[2001:db8::1]/?x");
        assert_eq!(told("shop.example", 443, "*"), "https://shop.example/");
    }
}
