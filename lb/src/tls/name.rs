//! Distinguished names as text (RFC 4514), safe to be written into a header or a log: printable ASCII, all else escaped.

use std::fmt::Write;

use x509_parser::objects::{oid_registry, oid2abbrev};
use x509_parser::x509::{AttributeTypeAndValue, X509Name};

/// A distinguished name as text, the most specific part first.
pub(super) fn name_text(name: &X509Name<'_>) -> String {
    let mut text = String::new();
    let parts: Vec<_> = name.iter_rdn().collect();
    for part in parts.into_iter().rev() {
        if !text.is_empty() {
            text.push(',');
        }
        for (index, attribute) in part.iter().enumerate() {
            if index > 0 {
                text.push('+');
            }
            write_attribute(&mut text, attribute);
        }
    }
    text
}

/// The common name in a distinguished name, as it is.
pub(super) fn common_name(name: &X509Name<'_>) -> Option<Box<str>> {
    name.iter_common_name().find_map(|attribute| attribute.as_str().ok()).map(Box::from)
}

/// Writing to a String cannot fail, here and below.
fn write_attribute(text: &mut String, attribute: &AttributeTypeAndValue<'_>) {
    let kind = attribute.attr_type();
    match (oid2abbrev(kind, oid_registry()), attribute.as_str()) {
        (Ok(kind), Ok(value)) => {
            let _ = write!(text, "{kind}=");
            write_value(text, value.as_bytes());
        }
        // What has no short name, or is no text, is told in hexadecimal.
        _ => {
            let _ = write!(text, "{}=#", kind.to_id_string());
            for byte in attribute.as_slice() {
                let _ = write!(text, "{byte:02X}");
            }
        }
    }
}

fn write_value(text: &mut String, value: &[u8]) {
    for (index, &byte) in value.iter().enumerate() {
        let at_edge = index == 0 || index + 1 == value.len();
        match byte {
            b'"' | b'+' | b',' | b';' | b'<' | b'>' | b'\\' => {
                text.push('\\');
                text.push(char::from(byte));
            }
            b' ' if at_edge => text.push_str("\\ "),
            b'#' if index == 0 => text.push_str("\\#"),
            b' '..=b'~' => text.push(char::from(byte)),
            _ => {
                let _ = write!(text, "\\{byte:02X}");
            }
        }
    }
}
