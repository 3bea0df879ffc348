//! Answers of AWS and of the ELB API in XML, as a tree of what is in them. What is not whole, or is more than an answer
//! can be, is refused; so is a document type, so that no entity can be declared. Not here: writing XML (`api::elb`).

use quick_xml::Reader;
use quick_xml::escape::resolve_predefined_entity;
use quick_xml::events::Event;

/// How deep an answer may be nested. AWS stays below 12.
const DEPTH_MAX: usize = 32;
/// How many elements an answer may have. A page of a hundred instances stays below a tenth of it.
const ELEMENTS_MAX: usize = 500_000;

/// An element: its text, and what is in it. Attributes mean nothing in answers.
#[derive(Debug, Default)]
pub struct Element {
    name: String,
    text: String,
    children: Vec<Element>,
}

impl Element {
    /// Reads a whole document.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut reader = Reader::from_str(text);
        let (mut open, mut root, mut count) = (Vec::<Self>::new(), None, 0);
        loop {
            match reader.read_event().map_err(|error| error.to_string())? {
                Event::Start(start) => {
                    count += 1;
                    if open.len() >= DEPTH_MAX || count > ELEMENTS_MAX || root.is_some() {
                        return Err("it is nested too deep, too large, or goes on behind its end".to_owned());
                    }
                    open.push(Self::named(start.local_name().into_inner()));
                }
                Event::Empty(empty) => close(Self::named(empty.local_name().into_inner()), &mut open, &mut root)?,
                Event::End(_) => {
                    let element = open.pop().ok_or("an element ends that has not begun")?;
                    close(element, &mut open, &mut root)?;
                }
                Event::Text(text) => add(&mut open, &text),
                Event::CData(text) => add(&mut open, &text),
                Event::GeneralRef(reference) => {
                    match reference.resolve_char_ref().map_err(|error| error.to_string())? {
                        Some(character) => add(&mut open, character.encode_utf8(&mut [0; 4])),
                        None => add(&mut open, resolve_predefined_entity(&reference).ok_or("an entity is not known")?),
                    }
                }
                Event::DocType(_) => return Err("it declares a document type".to_owned()),
                Event::Eof => break,
                Event::Decl(_) | Event::PI(_) | Event::Comment(_) => {}
            }
        }
        match root {
            Some(root) if open.is_empty() => Ok(root),
            _ => Err("it ends too early".to_owned()),
        }
    }

    /// Its name, without a prefix.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its children of a name.
    pub fn each<'e>(&'e self, name: &'e str) -> impl Iterator<Item = &'e Self> {
        self.children.iter().filter(move |child| child.name == name)
    }

    /// The items of a list: the children of its first element of this name.
    pub fn members<'e>(&'e self, list: &'e str) -> impl Iterator<Item = &'e Self> {
        self.each(list).take(1).flat_map(|list| &list.children)
    }

    /// The first child of a name.
    pub fn get(&self, name: &str) -> Option<&Self> {
        self.children.iter().find(|child| child.name == name)
    }

    /// As [`Self::get`], taken out of it.
    pub fn take(&mut self, name: &str) -> Option<Self> {
        let index = self.children.iter().position(|child| child.name == name)?;
        Some(self.children.swap_remove(index))
    }

    /// The element at the end of a path of first children.
    pub fn at(&self, path: &[&str]) -> Option<&Self> {
        path.iter().try_fold(self, |element, name| element.get(name))
    }

    /// The text at the end of a path, unless it is empty.
    pub fn text_at(&self, path: &[&str]) -> Option<&str> {
        Some(self.at(path)?.own_text()).filter(|text| !text.is_empty())
    }

    /// The text of the first child of a name; empty without one.
    pub fn text(&self, name: &str) -> &str {
        self.get(name).map_or("", Self::own_text)
    }

    /// Its own text.
    pub fn own_text(&self) -> &str {
        self.text.trim()
    }

    /// The first element of a name, however deep.
    pub fn find(&self, name: &str) -> Option<&Self> {
        if self.name == name { Some(self) } else { self.children.iter().find_map(|child| child.find(name)) }
    }

    fn named(name: &str) -> Self {
        Self { name: name.to_owned(), ..Self::default() }
    }
}

fn add(open: &mut [Element], text: &str) {
    if let Some(element) = open.last_mut() {
        element.text.push_str(text);
    }
}

fn close(element: Element, open: &mut [Element], root: &mut Option<Element>) -> Result<(), String> {
    match open.last_mut() {
        Some(parent) => parent.children.push(element),
        None if root.is_none() => *root = Some(element),
        None => return Err("it has two roots".to_owned()),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_a_tree() {
        let text =
            "<?xml version=\"1.0\"?>\n<A xmlns=\"x\"><L><member><I>i-1 &amp; &#x41;</I></member><member/></L></A>";
        let root = Element::parse(text).expect("an answer");
        assert_eq!(root.name(), "A");
        let texts: Vec<_> = root.members("L").map(|member| member.text("I")).collect();
        assert_eq!(texts, ["i-1 & A", ""]);
    }

    #[test]
    fn what_is_no_answer_is_refused() {
        let deep = "<a>".repeat(100_000);
        let bomb = "<!DOCTYPE a [<!ENTITY b \"bb\">]><a>&b;</a>";
        for text in ["", "hello", "<a>", "<a></b>", "</a>", "<a>&nothing;</a>", bomb, &deep, "{\"a\": 1}"] {
            assert!(Element::parse(text).is_err(), "{text:.40}");
        }
    }
}
