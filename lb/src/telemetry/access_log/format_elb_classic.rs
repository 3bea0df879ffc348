//! The fifteen fields of Classic ELB, separated by spaces. Quotes, backslashes and every byte outside of printable
//! ASCII are written as `\xHH`, as is a space within a URL: a line has its fifteen fields, and a request its three
//! parts, whatever a client sent.

use std::io::Write;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use time::OffsetDateTime;
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;

use super::format_combined::escape;
use super::{AccessRecord, STREAM_PROTOCOL};
use crate::http1::host_without_port;

const TIME: &[BorrowedFormatItem<'_>] =
    format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:6]Z");

/// A user agent longer than this is cut.
const USER_AGENT_BYTES_MAX: usize = 8 * 1024;

/// What stands for a request that is none, or was not understood. The last space belongs to it.
const NO_REQUEST: &[u8] = b"- - - ";

pub(super) fn write_line(line: &mut Vec<u8>, record: &AccessRecord) {
    let is_stream = record.protocol == STREAM_PROTOCOL;
    // Writing to a Vec cannot fail, and the format holds no part that a date lacks.
    let _ = OffsetDateTime::from(record.time).format_into(line, TIME);
    let name = record.load_balancer.as_deref().unwrap_or(record.listener.as_str());
    let _ = write!(line, " {name} {}", canonical(record.client));
    let times = times(record, is_stream);
    match record.target_address.filter(|_| times.is_some()) {
        Some(address) => drop(write!(line, " {}", canonical(address))),
        None => line.extend_from_slice(b" -"),
    }
    match times {
        Some(times) => times.iter().for_each(|time| seconds(line, *time)),
        None => line.extend_from_slice(b" -1 -1 -1"),
    }
    if is_stream {
        let _ = write!(line, " - - {} {}", record.received_bytes, record.sent_bytes);
    } else {
        let (status, target_status) = (record.status.unwrap_or(0), record.target_status.unwrap_or(0));
        let _ = write!(line, " {status} {target_status} {} {}", record.received_body_bytes, record.sent_body_bytes);
    }
    line.extend_from_slice(b" \"");
    if is_stream || record.method.is_empty() {
        line.extend_from_slice(NO_REQUEST);
    } else {
        request(line, record);
    }
    line.extend_from_slice(b"\" \"");
    match record.user_agent.as_deref() {
        None => line.push(b'-'),
        Some(agent) => escape(line, &agent[..agent.len().min(USER_AGENT_BYTES_MAX)]),
    }
    let _ = writeln!(line, "\" {} {}", record.tls_cipher.unwrap_or("-"), record.tls_version.unwrap_or("-"));
}

/// The times of request, target and answer; none, when no target was reached that began to answer.
fn times(record: &AccessRecord, is_stream: bool) -> Option<[Duration; 3]> {
    let first_byte = record.first_byte;
    let answering = || Some(record.first_sent?.saturating_sub(first_byte?));
    let sent = record.sent?;
    Some(match is_stream {
        true => [sent, record.connect?, answering().unwrap_or_default()],
        false => [sent, first_byte?.saturating_sub(sent), answering()?],
    })
}

fn seconds(line: &mut Vec<u8>, time: Duration) {
    let _ = write!(line, " {}.{:06}", time.as_secs(), time.subsec_micros());
}

fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

/// `METHOD scheme://host:listener-port/path?query HTTP/x.y`.
fn request(line: &mut Vec<u8>, record: &AccessRecord) {
    escape(line, &record.method);
    line.extend_from_slice(if record.tls_version.is_some() { b" https://" } else { b" http://" });
    match (record.host.as_deref(), record.destination.ip().to_canonical()) {
        (Some(host), _) => escape(line, host_without_port(host)),
        (None, IpAddr::V4(own)) => drop(write!(line, "{own}")),
        (None, IpAddr::V6(own)) => drop(write!(line, "[{own}]")),
    }
    let _ = write!(line, ":{}", record.destination.port());
    let path = path_and_query(&record.path);
    if path.first() != Some(&b'/') {
        line.push(b'/');
    }
    for (index, part) in path.split(|byte| *byte == b' ').enumerate() {
        line.extend_from_slice(if index > 0 { b"\\x20" } else { b"" });
        escape(line, part);
    }
    line.push(b' ');
    line.extend_from_slice(record.protocol.as_bytes());
}

/// Of a target as it was sent: without scheme and authority, where it had those.
fn path_and_query(target: &[u8]) -> &[u8] {
    let scheme_ends = target.windows(3).position(|bytes| bytes == b"://");
    let Some(scheme_ends) = scheme_ends.filter(|_| target.first() != Some(&b'/')) else { return target };
    let rest = &target[scheme_ends + 3..];
    let path_begins = rest.iter().position(|byte| matches!(byte, b'/' | b'?'));
    path_begins.map_or(b"", |begins| &rest[begins..])
}
