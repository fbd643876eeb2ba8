//! A field's value: a place in the fed text for as long as that stands, its own copy afterwards.

use std::ops::Range;

#[derive(Debug, Default)]
enum Place {
    #[default]
    Absent,
    Text(Range<usize>),
    Own,
}

#[derive(Debug, Default)]
pub(super) struct Slot {
    place: Place,
    /// Kept when empty, so that its memory is used again.
    own: String,
}

impl Slot {
    #[inline]
    pub(super) fn is_present(&self) -> bool {
        !matches!(self.place, Place::Absent)
    }

    #[inline]
    pub(super) fn clear(&mut self) {
        self.place = Place::Absent;
    }

    #[inline]
    pub(super) fn set(&mut self, value: Range<usize>) {
        self.place = Place::Text(value);
    }

    pub(super) fn set_own(&mut self, value: &str) {
        self.own.clear();
        self.own.push_str(value);
        self.place = Place::Own;
    }

    pub(super) fn capacity(&self) -> usize {
        self.own.capacity()
    }

    /// The value; empty where it is absent.
    #[inline]
    pub(super) fn as_str<'a>(&'a self, text: &'a str) -> &'a str {
        match &self.place {
            Place::Absent => "",
            Place::Text(range) => &text[range.clone()],
            Place::Own => &self.own,
        }
    }

    /// Makes the value independent of `text`.
    pub(super) fn spill(&mut self, text: &str) {
        if let Place::Text(range) = &self.place {
            self.own.clear();
            self.own.push_str(&text[range.clone()]);
            self.place = Place::Own;
        }
    }

    /// Adds a line: the first stays where it is, a second moves all into the own copy.
    #[inline]
    pub(super) fn push_line(&mut self, line: Range<usize>, text: &str) {
        if !self.is_present() {
            self.place = Place::Text(line);
            return;
        }
        self.spill(text);
        self.own.push('\n');
        self.own.push_str(&text[line]);
    }
}
