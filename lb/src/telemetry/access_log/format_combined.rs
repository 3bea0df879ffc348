//! The combined format of Apache and nginx. Quotes, backslashes and every byte outside of printable ASCII are
//! written as nginx does, `\xHH`.

use std::io::Write;

use time::OffsetDateTime;
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;

use super::{AccessRecord, EndReason, STREAM_PROTOCOL};

const TIME: &[BorrowedFormatItem<'_>] =
    format_description!("[day]/[month repr:short]/[year]:[hour]:[minute]:[second] +0000");

pub(super) fn write_line(line: &mut Vec<u8>, record: &AccessRecord) {
    // Writing to a Vec cannot fail, and the format holds no part that a date lacks.
    let _ = write!(line, "{} - - [", record.client.ip().to_canonical());
    let _ = OffsetDateTime::from(record.time).format_into(line, TIME);
    line.extend_from_slice(b"] \"");
    if record.protocol == STREAM_PROTOCOL {
        line.extend_from_slice(STREAM_PROTOCOL.as_bytes());
    } else if !record.method.is_empty() {
        escape(line, &record.method);
        line.push(b' ');
        escape(line, &record.path);
        line.push(b' ');
        line.extend_from_slice(record.protocol.as_bytes());
    }
    let _ = write!(line, "\" {} {}", status(record), record.sent_body_bytes);
    quoted(line, record.referer.as_deref());
    quoted(line, record.user_agent.as_deref());
    line.push(b'\n');
}

/// The status; of streams and where there is none, the one nginx logs.
fn status(record: &AccessRecord) -> u16 {
    match (record.status, record.end) {
        (Some(status), _) => status,
        (None, EndReason::NoTarget | EndReason::TargetFailed) => 502,
        (None, _) if record.protocol == STREAM_PROTOCOL => 200,
        // The client left before an answer began.
        (None, _) => 499,
    }
}

fn quoted(line: &mut Vec<u8>, value: Option<&[u8]>) {
    line.extend_from_slice(b" \"");
    match value {
        None => line.push(b'-'),
        Some(value) => escape(line, value),
    }
    line.push(b'"');
}

pub(super) fn escape(line: &mut Vec<u8>, value: &[u8]) {
    for &byte in value {
        match byte {
            b'"' | b'\\' | 0..=0x1f | 0x7f.. => {
                let _ = write!(line, "\\x{byte:02X}");
            }
            plain => line.push(plain),
        }
    }
}
