//! Grams: short texts that a pattern's topics have to hold. By one of them an index finds the patterns that are slow to try: a topic
//! without a pattern's gram need not be tried on it. They never say that a pattern does match.

use crate::template::{Element, Template};

/// How many grams of one pattern are known at most, and how many of one literal in it.
const GRAMS_MAX: usize = 64;
const LITERAL_GRAMS_MAX: usize = 16;

/// One to [`Gram::BYTES_MAX`] bytes of text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Gram(u32);

impl Gram {
    /// The longest has so many bytes.
    pub const BYTES_MAX: usize = 4;

    /// The first bytes of a text, as many as fit; `None` of an empty one.
    #[must_use]
    pub fn first_of(text: &[u8]) -> Option<Self> {
        let mut bytes = [0; Self::BYTES_MAX];
        let length = text.len().min(Self::BYTES_MAX);
        bytes[..length].copy_from_slice(&text[..length]);
        (length > 0).then_some(Self(u32::from_le_bytes(bytes)))
    }

    /// No more than its first bytes.
    #[must_use]
    pub fn cut(self, bytes: usize) -> Self {
        match bytes {
            Self::BYTES_MAX.. => self,
            _ => Self(self.0 & ((1 << (8 * bytes)) - 1)),
        }
    }

    /// How many bytes it has. No text of a topic holds a zero byte.
    #[must_use]
    #[expect(
        clippy::len_without_is_empty,
        reason = "none is empty: `first_of` makes none of nothing"
    )]
    pub fn len(self) -> usize {
        Self::BYTES_MAX - self.0.leading_zeros() as usize / 8
    }

    /// As a number: of no gram of UTF-8 is it the greatest.
    #[must_use]
    pub fn to_number(self) -> u32 {
        self.0
    }

    /// Back from [`Gram::to_number`].
    #[must_use]
    pub fn from_number(number: u32) -> Self {
        Self(number)
    }
}

/// Gathers grams of the literals that a topic has to hold, those first that tell most.
#[derive(Debug, Default)]
pub(crate) struct Grams(Vec<Gram>);

impl Grams {
    pub(crate) fn of_template(template: &Template) -> Box<[Gram]> {
        let mut grams = Self::default();
        for element in template.elements() {
            if let Element::Literal(text) = element {
                grams.add(text.as_bytes());
            }
        }
        grams.done()
    }

    /// Adds a literal: its grams of full length, or all of it if it is shorter. What can stand in no topic has none.
    pub(crate) fn add(&mut self, literal: &[u8]) {
        if literal.contains(&0) || std::str::from_utf8(literal).is_err() {
            return;
        }
        let rows = literal.len().saturating_sub(Gram::BYTES_MAX) + 1;
        // As many as that are next to each other, or still every byte of a literal that is not very long.
        let apart = rows.div_ceil(LITERAL_GRAMS_MAX);
        for at in (0..rows).step_by(apart) {
            if let Some(gram) = Gram::first_of(&literal[at..])
                && self.0.len() < GRAMS_MAX
                && !self.0.contains(&gram)
            {
                self.0.push(gram);
            }
        }
    }

    pub(crate) fn done(self) -> Box<[Gram]> {
        self.0.into()
    }
}

/// The literals of a regular expression that stand in whatever it matches.
#[cfg(feature = "url-patterns")]
pub(crate) fn add_literals(of: &regex_syntax::hir::Hir, grams: &mut Grams) {
    let mut run = Vec::new();
    gather(of, &mut run, grams);
    grams.add(&run);
}

/// Goes on with a run of bytes that stand next to each other, and adds it where it ends.
#[cfg(feature = "url-patterns")]
fn gather(hir: &regex_syntax::hir::Hir, run: &mut Vec<u8>, grams: &mut Grams) {
    use regex_syntax::hir::HirKind;
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => return,
        HirKind::Literal(literal) => return run.extend_from_slice(&literal.0),
        HirKind::Capture(capture) => return gather(&capture.sub, run, grams),
        HirKind::Concat(parts) => {
            return parts.iter().for_each(|part| gather(part, run, grams));
        }
        _ => {}
    }
    grams.add(&std::mem::take(run));
    if let HirKind::Repetition(repeated) = hir.kind()
        && repeated.min > 0
    {
        gather(&repeated.sub, run, grams);
        grams.add(&std::mem::take(run));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gram_is_up_to_four_bytes() {
        let gram = |text: &str| Gram::first_of(text.as_bytes());
        assert_eq!(gram(""), None);
        for (text, length) in [("a", 1), ("ab", 2), ("abc", 3), ("abcd", 4)] {
            let known = gram(text).unwrap();
            assert_eq!(known.len(), length);
            assert_eq!(gram("abcdef").unwrap().cut(length), known);
            assert_eq!(Gram::from_number(known.to_number()), known);
        }
        assert_eq!(gram("abcdef"), gram("abcd"));
        assert_ne!(gram("abcd"), gram("abce"));
    }

    #[test]
    fn every_byte_of_a_literal_is_in_a_gram_unless_it_is_very_long() {
        for length in [1, 3, 4, 5, 19, 20, 21, 60, 64] {
            let literal: Vec<u8> = (0..length).map(|at| b'0' + at).collect();
            let mut grams = Grams::default();
            grams.add(&literal);
            let grams = grams.done();
            assert!(grams.len() <= LITERAL_GRAMS_MAX, "{length}");
            let held = |byte: &u8| {
                let held = |gram: &Gram| gram.to_number().to_le_bytes().contains(byte);
                grams.iter().any(held)
            };
            // But for up to three at the end.
            let sure = literal.len() - 3.min(literal.len() - 1);
            assert!(literal[..sure].iter().all(held), "{length}");
        }
        let mut grams = Grams::default();
        for none in [&b""[..], b"\0", b"a\0", b"\xff\xff\xff\xff"] {
            grams.add(none);
        }
        assert!(grams.done().is_empty());
        let mut grams = Grams::default();
        (0..100).for_each(|n| grams.add(format!("{n:04}").as_bytes()));
        assert_eq!(grams.done().len(), GRAMS_MAX);
    }
}
