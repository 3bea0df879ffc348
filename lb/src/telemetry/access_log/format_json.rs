//! One JSON object a line. What is not UTF-8 becomes U+FFFD; control characters are escaped, so that a line is a
//! line whatever a client sent.

use std::io::Write;
use std::net::SocketAddr;
use std::time::Duration;

use time::OffsetDateTime;
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;

use super::AccessRecord;

const TIME: &[BorrowedFormatItem<'_>] =
    format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");

pub(super) fn write_line(line: &mut Vec<u8>, record: &AccessRecord) {
    line.extend_from_slice(b"{\"time\":\"");
    // Writing to a Vec cannot fail, and the format holds no part that a date lacks.
    let _ = OffsetDateTime::from(record.time).format_into(line, TIME);
    line.push(b'"');
    display(line, "client", Some(SocketAddr::new(record.client.ip().to_canonical(), record.client.port())));
    text(line, "listener", Some(record.listener.as_str().as_bytes()));
    text(line, "request_id", Some(&record.request_id));
    text(line, "method", Some(&record.method));
    text(line, "host", record.host.as_deref());
    text(line, "path", Some(&record.path));
    text(line, "protocol", Some(record.protocol.as_bytes()));
    text(line, "tls_version", record.tls_version.map(str::as_bytes));
    text(line, "tls_cipher", record.tls_cipher.map(str::as_bytes));
    text(line, "tls_server_name", record.tls_server_name.as_deref().map(str::as_bytes));
    number(line, "status", record.status);
    number(line, "received_bytes", Some(record.received_bytes));
    number(line, "sent_bytes", Some(record.sent_bytes));
    milliseconds(line, "duration_ms", Some(record.duration));
    milliseconds(line, "first_byte_ms", record.first_byte);
    milliseconds(line, "connect_ms", record.connect);
    text(line, "target_group", record.target_group.as_ref().map(|name| name.as_str().as_bytes()));
    text(line, "target", record.target.as_ref().map(|id| id.as_str().as_bytes()));
    display(line, "target_address", record.target_address);
    number(line, "attempts", Some(record.attempts));
    text(line, "user_agent", record.user_agent.as_deref());
    text(line, "referer", record.referer.as_deref());
    text(line, "end", Some(record.end.as_str().as_bytes()));
    line.extend_from_slice(b"}\n");
}

fn key(line: &mut Vec<u8>, name: &str) {
    line.extend_from_slice(b",\"");
    line.extend_from_slice(name.as_bytes());
    line.extend_from_slice(b"\":");
}

fn text(line: &mut Vec<u8>, name: &str, value: Option<&[u8]>) {
    key(line, name);
    match value {
        None => line.extend_from_slice(b"null"),
        Some(value) => {
            line.push(b'"');
            escape(line, value);
            line.push(b'"');
        }
    }
}

/// For values whose text needs no escape.
fn display(line: &mut Vec<u8>, name: &str, value: Option<impl std::fmt::Display>) {
    key(line, name);
    // Writing to a Vec cannot fail.
    let _ = match value {
        None => line.write_all(b"null"),
        Some(value) => write!(line, "\"{value}\""),
    };
}

fn number(line: &mut Vec<u8>, name: &str, value: Option<impl std::fmt::Display>) {
    key(line, name);
    // Writing to a Vec cannot fail.
    let _ = match value {
        None => line.write_all(b"null"),
        Some(value) => write!(line, "{value}"),
    };
}

fn milliseconds(line: &mut Vec<u8>, name: &str, value: Option<Duration>) {
    let us = value.map(|value| value.as_micros());
    number(line, name, us.map(|us| format!("{}.{:03}", us / 1000, us % 1000)));
}

fn escape(line: &mut Vec<u8>, value: &[u8]) {
    for chunk in value.utf8_chunks() {
        for character in chunk.valid().chars() {
            match character {
                '"' | '\\' => line.extend_from_slice(&[b'\\', character as u8]),
                // Control characters, DEL and the C1 range among them, which terminals obey.
                control if control.is_control() => {
                    let _ = write!(line, "\\u{:04x}", u32::from(control));
                }
                other => line.extend_from_slice(other.encode_utf8(&mut [0; 4]).as_bytes()),
            }
        }
        if !chunk.invalid().is_empty() {
            line.extend_from_slice(char::REPLACEMENT_CHARACTER.encode_utf8(&mut [0; 4]).as_bytes());
        }
    }
}
