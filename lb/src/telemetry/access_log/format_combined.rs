//! The combined format of Apache and nginx. Quotes, backslashes and every byte outside of printable ASCII are
//! written as nginx does, `\xHH`.

use std::io::Write;

use time::OffsetDateTime;
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;

use super::AccessRecord;

const TIME: &[BorrowedFormatItem<'_>] =
    format_description!("[day]/[month repr:short]/[year]:[hour]:[minute]:[second] +0000");

pub(super) fn write_line(line: &mut Vec<u8>, record: &AccessRecord) {
    // Writing to a Vec cannot fail, and the format holds no part that a date lacks.
    let _ = write!(line, "{} - - [", record.client.ip().to_canonical());
    let _ = OffsetDateTime::from(record.time).format_into(line, TIME);
    line.extend_from_slice(b"] \"");
    if !record.method.is_empty() {
        escape(line, &record.method);
        line.push(b' ');
        escape(line, &record.path);
        line.push(b' ');
        line.extend_from_slice(record.protocol.as_bytes());
    }
    // A client that left before an answer began: 499, as nginx logs it.
    let _ = write!(line, "\" {} {}", record.status.unwrap_or(499), record.sent_body_bytes);
    quoted(line, record.referer.as_deref());
    quoted(line, record.user_agent.as_deref());
    line.push(b'\n');
}

fn quoted(line: &mut Vec<u8>, value: Option<&[u8]>) {
    line.extend_from_slice(b" \"");
    match value {
        None => line.push(b'-'),
        Some(value) => escape(line, value),
    }
    line.push(b'"');
}

fn escape(line: &mut Vec<u8>, value: &[u8]) {
    for &byte in value {
        match byte {
            b'"' | b'\\' | 0..=0x1f | 0x7f.. => {
                let _ = write!(line, "\\x{byte:02X}");
            }
            plain => line.push(plain),
        }
    }
}
