//! Answers in XML, as clients of the Query API read them: elements and text, no attributes but the namespace.

use super::error::Refusal;

/// What clients written for it expect of every document.
const NAMESPACE: &str = "http://elasticloadbalancing.amazonaws.com/doc/2012-06-01/";

/// A document, or a part of one, being written.
#[derive(Debug, Default)]
pub(super) struct Xml(String);

impl Xml {
    /// An element with what `inside` writes. One with nothing in it is there all the same: clients index lists that are
    /// empty, and lose keys that are absent.
    pub(super) fn element(&mut self, name: &str, inside: impl FnOnce(&mut Self)) {
        self.0.extend(["<", name, ">"]);
        let begin = self.0.len();
        inside(self);
        if self.0.len() == begin {
            self.0.truncate(begin - 1);
            self.0.push_str("/>");
        } else {
            self.0.extend(["</", name, ">"]);
        }
    }

    /// An element with a text.
    #[expect(clippy::needless_pass_by_value, reason = "numbers and texts are told apart by nobody")]
    pub(super) fn text(&mut self, name: &str, value: impl ToString) {
        self.element(name, |xml| xml.characters(&value.to_string()));
    }

    /// An element with a text, where there is one.
    pub(super) fn optional(&mut self, name: &str, value: Option<impl ToString>) {
        if let Some(value) = value {
            self.text(name, value);
        }
    }

    /// A list of structures.
    pub(super) fn list<T>(&mut self, name: &str, items: impl IntoIterator<Item = T>, each: impl Fn(&mut Self, T)) {
        self.element(name, |xml| {
            for item in items {
                xml.element("member", |xml| each(xml, item));
            }
        });
    }

    /// A list of texts.
    pub(super) fn texts(&mut self, name: &str, items: impl IntoIterator<Item = impl ToString>) {
        self.list(name, items, |xml, item| xml.characters(&item.to_string()));
    }

    /// Text, without what XML 1.0 has no characters for.
    fn characters(&mut self, text: &str) {
        for character in text.chars() {
            match character {
                '&' => self.0.push_str("&amp;"),
                '<' => self.0.push_str("&lt;"),
                '>' => self.0.push_str("&gt;"),
                '\t' | '\n' | ' '..='\u{FFFD}' | '\u{10000}'.. => self.0.push(character),
                '\r' => self.0.push_str("&#13;"),
                _ => {}
            }
        }
    }
}

/// The answer of an action that was carried out.
pub(super) fn answer(action: &str, request_id: &str, result: &Xml) -> String {
    let mut xml = Xml::default();
    xml.element(&format!("{action}Result"), |xml| xml.0.push_str(&result.0));
    xml.element("ResponseMetadata", |xml| xml.text("RequestId", request_id));
    format!("<{action}Response xmlns=\"{NAMESPACE}\">{}</{action}Response>\n", xml.0)
}

/// The answer to a request that was refused.
pub(super) fn refusal(refusal: &Refusal, request_id: &str) -> String {
    let mut xml = Xml::default();
    xml.element("Error", |xml| {
        xml.text("Type", if refusal.code.status().is_server_error() { "Receiver" } else { "Sender" });
        xml.text("Code", refusal.code.name());
        xml.text("Message", &refusal.message);
    });
    xml.text("RequestId", request_id);
    format!("<ErrorResponse xmlns=\"{NAMESPACE}\">{}</ErrorResponse>\n", xml.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::elb::error::Code;

    #[test]
    fn whose_fault_it_was_stands_in_an_error() {
        for (code, written, status) in [
            (Code::InternalFailure, "<Type>Receiver</Type><Code>InternalFailure</Code>", 500),
            (Code::ServiceUnavailable, "<Type>Receiver</Type><Code>ServiceUnavailable</Code>", 503),
            (Code::Throttling, "<Type>Sender</Type><Code>Throttling</Code>", 400),
            (Code::InvalidConfigurationRequest, "<Type>Sender</Type><Code>InvalidConfigurationRequest</Code>", 409),
        ] {
            let expected = format!(
                "<ErrorResponse xmlns=\"{NAMESPACE}\"><Error>{written}<Message>a &lt; b</Message></Error>\
                 <RequestId>1-2</RequestId></ErrorResponse>\n"
            );
            assert_eq!(refusal(&Refusal::new(code, "a < b"), "1-2"), expected);
            assert_eq!(code.status().as_u16(), status);
        }
    }
}
