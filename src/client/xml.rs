//! Answers in XML, as a tree. What is not whole, or is more than an answer can be, is refused.
//!
//! Attributes, namespaces and comments mean nothing in answers and are passed over; a document type is refused, so that
//! no entity can be declared.

use anyhow::{Context, bail};
use quick_xml::Reader;
use quick_xml::escape::resolve_predefined_entity;
use quick_xml::events::Event;

/// How deep an answer may be nested; that of elbow is below 10.
const DEPTH_MAX: usize = 32;

/// An element: its text, and the elements in it.
#[derive(Debug, Default)]
pub struct Element {
    name: String,
    text: String,
    inside: Vec<Element>,
}

impl Element {
    /// Reads a whole document.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn read(text: &str) -> anyhow::Result<Self> {
        let mut reader = Reader::from_str(text);
        // The document itself stands around its root.
        let mut open = vec![Self::default()];
        loop {
            match reader.read_event()? {
                Event::Start(start) => {
                    if open.len() > DEPTH_MAX {
                        bail!("it is nested more than {DEPTH_MAX} deep");
                    }
                    open.push(Self::named(start.local_name().into_inner()));
                }
                Event::Empty(empty) => add(&mut open, Self::named(empty.local_name().into_inner()))?,
                Event::End(_) => {
                    let element = open.pop().context("an element ends that never began")?;
                    add(&mut open, element)?;
                }
                Event::Text(text) => characters(&mut open, &text),
                Event::CData(text) => characters(&mut open, &text),
                Event::GeneralRef(entity) => match entity.resolve_char_ref()? {
                    Some(character) => characters(&mut open, character.encode_utf8(&mut [0; 4])),
                    None => characters(&mut open, resolve_predefined_entity(&entity).context("an unknown entity")?),
                },
                Event::DocType(_) => bail!("it declares a document type"),
                Event::Decl(_) | Event::PI(_) | Event::Comment(_) => {}
                Event::Eof => break,
            }
        }
        let document = open.pop().filter(|_| open.is_empty()).context("it broke off")?;
        match document.inside.into_iter().next() {
            Some(root) => Ok(root),
            None => bail!("nothing is in it"),
        }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The first element of a name in it.
    pub fn get(&self, name: &str) -> Option<&Self> {
        self.inside.iter().find(|element| element.name == name)
    }

    /// As [`Self::get`], taken out of it.
    pub fn take(&mut self, name: &str) -> Option<Self> {
        let index = self.inside.iter().position(|element| element.name == name)?;
        Some(self.inside.swap_remove(index))
    }

    /// The text of the first element of a name in it; empty without one.
    pub fn text(&self, name: &str) -> &str {
        self.get(name).map_or("", Self::own_text)
    }

    /// What is in a list of this name.
    pub fn members(&self, list: &str) -> impl Iterator<Item = &Self> {
        self.get(list).into_iter().flat_map(|list| &list.inside)
    }

    /// Its own text.
    pub fn own_text(&self) -> &str {
        self.text.trim()
    }

    fn named(name: &str) -> Self {
        Self { name: name.to_owned(), ..Self::default() }
    }
}

fn add(open: &mut [Element], element: Element) -> anyhow::Result<()> {
    let around = open.last_mut().context("an element ends that never began")?;
    around.inside.push(element);
    Ok(())
}

fn characters(open: &mut [Element], text: &str) {
    if let Some(element) = open.last_mut() {
        element.text.push_str(text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_a_tree() {
        let text =
            "<?xml version=\"1.0\"?>\n<A xmlns=\"x\"><L><member><I>i-1 &amp; &#x41;</I></member><member/></L></A>";
        let root = Element::read(text).expect("an answer");
        assert_eq!(root.name(), "A");
        let texts: Vec<_> = root.members("L").map(|member| member.text("I")).collect();
        assert_eq!(texts, ["i-1 & A", ""]);
    }

    #[test]
    fn what_is_no_answer_is_refused() {
        let deep = "<a>".repeat(100_000);
        let bomb = "<!DOCTYPE a [<!ENTITY b \"bb\">]><a>&b;</a>";
        for text in ["", "hello", "<a>", "<a></b>", "</a>", "<a>&nothing;</a>", bomb, &deep, "{\"a\": 1}"] {
            assert!(Element::read(text).is_err(), "{text:.40}");
        }
    }
}
