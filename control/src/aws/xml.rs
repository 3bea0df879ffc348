//! Answers in XML, as a tree of what is in them. What is not whole is refused.

use quick_xml::Reader;
use quick_xml::escape::resolve_predefined_entity;
use quick_xml::events::Event;

/// How deep an answer may be nested. AWS stays below 12.
const DEPTH_MAX: usize = 32;
/// How many elements an answer may have. A page of a hundred instances stays below a tenth of it.
const ELEMENTS_MAX: usize = 500_000;

/// An element: its text, and what is in it. Attributes mean nothing in answers.
#[derive(Debug, Default)]
pub(super) struct Element {
    name: String,
    text: String,
    children: Vec<Element>,
}

impl Element {
    /// Reads a whole document.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
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
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Its children of a name.
    pub(super) fn each<'e>(&'e self, name: &'e str) -> impl Iterator<Item = &'e Self> {
        self.children.iter().filter(move |child| child.name == name)
    }

    /// The children of the first child of a name: the items of a list.
    pub(super) fn items<'e>(&'e self, list: &'e str) -> impl Iterator<Item = &'e Self> {
        self.each(list).take(1).flat_map(|list| &list.children)
    }

    /// The element at the end of a path of first children.
    pub(super) fn at(&self, path: &[&str]) -> Option<&Self> {
        path.iter().try_fold(self, |element, name| element.children.iter().find(|child| child.name == *name))
    }

    /// The text at the end of a path, unless it is empty.
    pub(super) fn text(&self, path: &[&str]) -> Option<&str> {
        Some(self.at(path)?.text.trim()).filter(|text| !text.is_empty())
    }

    /// The first element of a name, however deep.
    pub(super) fn find(&self, name: &str) -> Option<&Self> {
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
