//! URI templates (RFC 6570) as matchers: which topics a template might have been expanded to. Not for expanding them.
//!
//! The rules are those of protocol facts "1.3": what a template matches equals what the reference hub's library makes of it,
//! an anchored regular expression. Here it is matched element by element on the set of places that the elements before it may
//! have come to, 64 places at a time, so a match costs at most (length of the topic) x (number of elements), whatever the template.

use crate::TopicRef;

/// The most expressions (`{...}`) that a template may have: what bounds the cost of a match besides the topic's length.
pub const TEMPLATE_EXPRESSIONS_MAX: usize = 64;

/// A template, parsed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Template {
    elements: Box<[Element]>,
}

/// Why a text is no template.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TemplateError {
    /// It does not follow the syntax, and so it is a plain string (1.3).
    Plain,
    /// It has more expressions than [`TEMPLATE_EXPRESSIONS_MAX`].
    Expressions,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Element {
    Literal(Box<str>),
    Values(Values),
}

/// An expression, as far as matching goes: `(prefix first* (separator rest*){0,more})?`, where `first` and `rest` are classes of
/// characters.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Values {
    pub(crate) prefix: Option<u8>,
    separator: u8,
    first: Class,
    rest: Class,
    more: u32,
}

/// Which characters may stand in a value, besides `%XX`. Bits of [`CLASSES`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Class(u8);

/// RFC 6570, 1.5: unreserved characters; and the comma that joins values.
const PLAIN: Class = Class(1);
/// Those and `=`, for named and exploded values.
const NAMED: Class = Class(2);
/// Unreserved and reserved characters.
const RESERVED: Class = Class(4);

const CLASSES: [u8; 256] = {
    let mut classes = [0; 256];
    let mut byte = 0;
    while byte < 128 {
        let unreserved =
            (byte as u8).is_ascii_alphanumeric() || matches!(byte as u8, b'-' | b'.' | b'_' | b'~');
        let reserved = matches!(
            byte as u8,
            b'!' | b'#' | b'$' | b'&'
                ..=b',' | b'/' | b':' | b';' | b'=' | b'?' | b'@' | b'[' | b']'
        );
        if unreserved || byte as u8 == b',' {
            classes[byte] |= PLAIN.0 | NAMED.0;
        }
        if byte as u8 == b'=' {
            classes[byte] |= NAMED.0;
        }
        if unreserved || reserved {
            classes[byte] |= RESERVED.0;
        }
        byte += 1;
    }
    classes
};

impl Class {
    fn has(self, byte: u8) -> bool {
        CLASSES[usize::from(byte)] & self.0 != 0
    }
}

impl Values {
    /// Whether a value may hold slashes.
    pub(crate) fn holds_slashes(&self) -> bool {
        self.first == RESERVED || self.prefix == Some(b'/') || self.separator == b'/'
    }
}

impl Template {
    /// Reads a template. Whatever has no expression is none.
    pub(crate) fn parse(text: &str) -> Result<Self, TemplateError> {
        let mut elements = Vec::new();
        let mut rest = text;
        while let Some(at) = rest.find('{') {
            literal(&rest[..at], &mut elements)?;
            let end = rest[at..].find('}').ok_or(TemplateError::Plain)? + at;
            elements.push(Element::Values(
                expression(&rest[at + 1..end]).ok_or(TemplateError::Plain)?,
            ));
            rest = &rest[end + 1..];
        }
        literal(rest, &mut elements)?;
        let is_expression = |element: &&Element| matches!(element, Element::Values(_));
        match elements.iter().filter(is_expression).count() {
            0 => Err(TemplateError::Plain),
            1..=TEMPLATE_EXPRESSIONS_MAX => Ok(Self {
                elements: elements.into(),
            }),
            _ => Err(TemplateError::Expressions),
        }
    }

    pub(crate) fn elements(&self) -> &[Element] {
        &self.elements
    }

    /// What every topic that it matches begins with.
    pub(crate) fn literal_prefix(&self) -> &str {
        match self.elements.first() {
            Some(Element::Literal(text)) => text,
            _ => "",
        }
    }

    /// How many bytes it takes, about.
    pub(crate) fn bytes(&self) -> usize {
        let of = |element: &Element| match element {
            Element::Literal(text) => text.len(),
            Element::Values(_) => 0,
        };
        size_of_val(&*self.elements) + self.elements.iter().map(of).sum::<usize>()
    }

    /// How many steps over a topic a match takes at most: what a match costs is this times the topic's length.
    pub(crate) fn steps(&self) -> usize {
        let of = |element: &Element| match element {
            Element::Literal(_) => 1,
            Element::Values(values) => values.steps(),
        };
        self.elements.iter().map(of).sum()
    }

    /// Whether it matches the whole of a topic.
    pub(crate) fn matches(&self, topic: &TopicRef<'_>) -> bool {
        let text = topic.as_bytes();
        if text.len() > PLACES_MAX || !text.starts_with(self.literal_prefix().as_bytes()) {
            return false;
        }
        let runs = topic.runs();
        let mut reached = Places::new(text);
        reached.add(0);
        for element in &self.elements {
            match element {
                Element::Literal(literal) => reached.go_over(text, literal.as_bytes()),
                Element::Values(values) => values.go_over(&mut reached, runs),
            }
            if reached.is_empty() {
                return false;
            }
        }
        reached.has(text.len())
    }
}

impl Values {
    fn steps(&self) -> usize {
        // A separator that may also stand in a value, or one of any number, is run over with the values.
        let rounds = if self.more == u32::MAX || self.rest.has(self.separator) {
            1
        } else {
            self.more as usize
        };
        2 + rounds
    }

    /// From each place to wherever this expression may end.
    fn go_over(&self, reached: &mut Places, runs: &Runs) {
        let mut came = reached.clone();
        if let Some(prefix) = self.prefix {
            came.step_over(runs.of(prefix));
        }
        came.run(runs, self.first, None);
        // The whole expression may be left out.
        reached.unite(&came);
        if self.more == u32::MAX {
            // Any number of values with a separator before each: a separator, then whatever is either.
            came.keep(runs.of(self.separator));
            came.run(runs, self.rest, Some(self.separator));
            return reached.unite(&came);
        }
        // Each round is one more value. A place that an earlier round came to leads nowhere new.
        let mut seen = Places::empty_like(reached);
        for _ in 0..self.more {
            came.step_over(runs.of(self.separator));
            came.run(runs, self.rest, None);
            came.take_out(&seen);
            if came.is_empty() {
                break;
            }
            seen.unite(&came);
            reached.unite(&came);
        }
    }
}

/// No topic is longer.
const PLACES_MAX: usize = crate::TOPIC_BYTES_MAX;

/// The bytes by which values are told from each other and from what stands before them.
const MARKS: [u8; 7] = *b",#./;?&";

/// Where in a topic characters of each class stand, and each of [`MARKS`]: a bit a place, so that a match goes over 64 places at a
/// time. Made once a topic.
#[derive(Debug)]
pub(crate) struct Runs {
    words: usize,
    /// For each class, then for each mark; then where a `%XX` goes on.
    bits: Box<[u64]>,
}

const CLASS_ROWS: [Class; 3] = [PLAIN, NAMED, RESERVED];
const MARK_ROW: usize = CLASS_ROWS.len();
const INSIDE_ROW: usize = MARK_ROW + MARKS.len();

impl Runs {
    pub(crate) fn new(topic: &[u8]) -> Self {
        let words = words_of(topic);
        let mut runs = Self {
            words,
            bits: vec![0; words * (INSIDE_ROW + 1)].into(),
        };
        for (place, &byte) in topic.iter().enumerate() {
            for (row, class) in CLASS_ROWS.into_iter().enumerate() {
                if class.has(byte) {
                    runs.set(row, place);
                }
            }
            if let Some(mark) = MARKS.iter().position(|mark| *mark == byte) {
                runs.set(MARK_ROW + mark, place);
            }
            if let [b'%', a, b, ..] = topic[place..]
                && a.is_ascii_hexdigit()
                && b.is_ascii_hexdigit()
            {
                (0..CLASS_ROWS.len()).for_each(|row| runs.set(row, place));
                runs.set(INSIDE_ROW, place + 1);
            }
        }
        runs
    }

    fn set(&mut self, row: usize, place: usize) {
        self.bits[row * self.words + place / 64] |= 1 << (place % 64);
    }

    fn row(&self, row: usize) -> &[u64] {
        &self.bits[row * self.words..][..self.words]
    }

    /// Where one of [`MARKS`] stands.
    fn of(&self, mark: u8) -> &[u64] {
        let row = MARKS.iter().position(|known| *known == mark);
        self.row(MARK_ROW + row.expect("operators have no other marks"))
    }

    /// Where characters of a class stand, and the percent signs of `%XX`.
    fn of_class(&self, class: Class) -> &[u64] {
        let row = CLASS_ROWS.iter().position(|known| *known == class);
        self.row(row.expect("a class"))
    }

    /// The first digits of `%XX`.
    fn inside(&self) -> &[u64] {
        self.row(INSIDE_ROW)
    }
}

/// Words for the places of a topic, its end included.
fn words_of(topic: &[u8]) -> usize {
    topic.len() / 64 + 1
}

/// A set of places in a topic, its end included.
#[derive(Clone)]
struct Places(Box<[u64]>);

impl Places {
    fn new(topic: &[u8]) -> Self {
        Self(vec![0; words_of(topic)].into())
    }

    fn empty_like(other: &Self) -> Self {
        Self(vec![0; other.0.len()].into())
    }

    fn is_empty(&self) -> bool {
        self.0.iter().all(|word| *word == 0)
    }

    fn has(&self, place: usize) -> bool {
        self.0[place / 64] & 1 << (place % 64) != 0
    }

    fn add(&mut self, place: usize) {
        self.0[place / 64] |= 1 << (place % 64);
    }

    fn each(&self, mut with: impl FnMut(usize)) {
        for (word, &bits) in self.0.iter().enumerate() {
            let mut bits = bits;
            while bits != 0 {
                with(word * 64 + bits.trailing_zeros() as usize);
                bits &= bits - 1;
            }
        }
    }

    fn unite(&mut self, other: &Self) {
        for (word, other) in self.0.iter_mut().zip(&other.0) {
            *word |= other;
        }
    }

    fn take_out(&mut self, other: &Self) {
        for (word, other) in self.0.iter_mut().zip(&other.0) {
            *word &= !other;
        }
    }

    /// Those where a byte stands.
    fn keep(&mut self, places: &[u64]) {
        for (word, keep) in self.0.iter_mut().zip(places) {
            *word &= keep;
        }
    }

    /// From each place where a byte stands to the one after it.
    fn step_over(&mut self, places: &[u64]) {
        let mut carry = 0;
        for (word, places) in self.0.iter_mut().zip(places) {
            let from = *word & places;
            *word = from << 1 | carry;
            carry = from >> 63;
        }
    }

    /// Adds wherever characters of a class, `%XX` and perhaps one more byte lead to, as far as they go.
    ///
    /// Adding the places to the row of characters carries each of them through its run and one further (Myers, 1999); what that
    /// crosses inside of a `%XX` was not come to.
    fn run(&mut self, runs: &Runs, class: Class, also: Option<u8>) {
        let class = runs.of_class(class);
        let also = also.map(|also| runs.of(also));
        let inside = runs.inside();
        let (mut carry, mut inside_before, mut began_inside_before) = (false, 0, 0);
        for (at, word) in self.0.iter_mut().enumerate() {
            let from = *word;
            let run = class[at] | also.map_or(0, |also| also[at]);
            let (sum, over) = run.overflowing_add(from & run);
            let (sum, over_again) = sum.overflowing_add(u64::from(carry));
            carry = over || over_again;
            // Both digits of each `%XX`; and the second where a place was the first.
            let digits = inside[at] | inside[at] << 1 | inside_before;
            let began_inside = from & inside[at];
            let second = began_inside << 1 | began_inside_before;
            *word = (sum ^ run) & !digits | from | second;
            inside_before = inside[at] >> 63;
            began_inside_before = began_inside >> 63;
        }
    }

    /// From each place where a literal stands to the one after it.
    fn go_over(&mut self, topic: &[u8], literal: &[u8]) {
        let mut reached = Self::empty_like(self);
        let places: usize = self.0.iter().map(|word| word.count_ones() as usize).sum();
        if places * literal.len() <= 4 * (topic.len() + literal.len()) {
            self.each(|place| {
                if topic[place..].starts_with(literal) {
                    reached.add(place + literal.len());
                }
            });
        } else {
            each_occurrence(topic, literal, |place| {
                if self.has(place) {
                    reached.add(place + literal.len());
                }
            });
        }
        *self = reached;
    }
}

/// Where a text occurs in another, also overlapping itself; linear in both (Knuth, Morris and Pratt).
fn each_occurrence(topic: &[u8], literal: &[u8], mut with: impl FnMut(usize)) {
    // How long the longest proper border of each prefix is.
    let mut borders = vec![0; literal.len()];
    let mut have = 0;
    for at in 1..literal.len() {
        while have > 0 && literal[at] != literal[have] {
            have = borders[have - 1];
        }
        have += usize::from(literal[at] == literal[have]);
        borders[at] = have;
    }
    have = 0;
    for (at, byte) in topic.iter().enumerate() {
        while have > 0 && literal[have] != *byte {
            have = borders[have - 1];
        }
        have += usize::from(literal[have] == *byte);
        if have == literal.len() {
            with(at + 1 - have);
            have = borders[have - 1];
        }
    }
}

/// RFC 6570, 2.1: what may stand outside of expressions. The apostrophe may (erratum 6937), as in the reference hub's library.
fn literal(text: &str, elements: &mut Vec<Element>) -> Result<(), TemplateError> {
    if text.is_empty() {
        return Ok(());
    }
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let length = match c {
            '%' => triplet(rest).ok_or(TemplateError::Plain)?,
            c if is_literal(c) => c.len_utf8(),
            _ => return Err(TemplateError::Plain),
        };
        rest = &rest[length..];
    }
    elements.push(Element::Literal(text.into()));
    Ok(())
}

fn is_literal(c: char) -> bool {
    let c = c as u32;
    match c {
        0x21
        | 0x23..=0x24
        | 0x26..=0x3B
        | 0x3D
        | 0x3F..=0x5B
        | 0x5D
        | 0x5F
        | 0x61..=0x7A
        | 0x7E => true,
        // ucschar and iprivate: everything but the ends of the planes.
        0xA0..=0xD7FF | 0xE000..=0xFDCF | 0xFDF0..=0xFFEF => true,
        0x1_0000..=0xD_FFFF | 0xF_0000..=0x10_FFFF => c & 0xFFFF <= 0xFFFD,
        0xE_1000..=0xE_FFFD => true,
        _ => false,
    }
}

/// The length of `%XX`, if that is what a text begins with.
fn triplet(text: &str) -> Option<usize> {
    match text.as_bytes() {
        [b'%', a, b, ..] if a.is_ascii_hexdigit() && b.is_ascii_hexdigit() => Some(3),
        _ => None,
    }
}

/// What stands between braces: an operator, then variables.
fn expression(text: &str) -> Option<Values> {
    let (operator, list) = match text.as_bytes().first()? {
        operator @ (b'+' | b'#' | b'.' | b'/' | b';' | b'?' | b'&') => {
            (Some(*operator), &text[1..])
        }
        _ => (None, text),
    };
    let exploded: Vec<bool> = list.split(',').map(variable).collect::<Option<_>>()?;
    let (prefix, separator) = match operator {
        None | Some(b'+') => (None, b','),
        Some(b'#') => (Some(b'#'), b','),
        Some(b'?') => (Some(b'?'), b'&'),
        Some(operator) => (Some(operator), operator),
    };
    let class = |is_exploded| match operator {
        Some(b'+' | b'#') => RESERVED,
        Some(b';' | b'?' | b'&') => NAMED,
        _ if is_exploded => NAMED,
        _ => PLAIN,
    };
    let any_exploded = exploded.contains(&true);
    Some(Values {
        prefix,
        separator,
        first: class(exploded[0]),
        rest: class(any_exploded),
        more: if any_exploded {
            u32::MAX
        } else {
            u32::try_from(exploded.len() - 1).ok()?
        },
    })
}

/// A variable's name and modifier; answers whether it is exploded. The name and the length of a prefix are checked but not
/// matched (1.3).
fn variable(text: &str) -> Option<bool> {
    let (name, modifier) = match text.find([':', '*']) {
        Some(at) => text.split_at(at),
        None => (text, ""),
    };
    let is_fine = match modifier.as_bytes() {
        [] | b"*" => true,
        [b':', digits @ ..] => {
            let length = digits
                .iter()
                .all(u8::is_ascii_digit)
                .then_some(&modifier[1..]);
            // RFC 6570, 2.4.1: 1 to 9999.
            digits.first() != Some(&b'0')
                && length
                    .and_then(|digits| digits.parse::<u16>().ok())
                    .is_some_and(|length| length <= 9999)
        }
        _ => false,
    };
    (is_fine && is_name(name)).then_some(modifier == "*")
}

/// RFC 6570, 2.3: letters, digits, underscores and triplets, with single dots between them.
fn is_name(name: &str) -> bool {
    let is_part = |part: &str| {
        let mut rest = part;
        while let Some(byte) = rest.bytes().next() {
            let length = match byte {
                b'%' => triplet(rest).unwrap_or(0),
                b'_' => 1,
                byte if byte.is_ascii_alphanumeric() => 1,
                _ => 0,
            };
            if length == 0 {
                return false;
            }
            rest = &rest[length..];
        }
        !part.is_empty()
    };
    name.split('.').all(is_part)
}

#[cfg(test)]
mod tests;
