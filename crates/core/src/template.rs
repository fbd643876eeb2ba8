//! URI templates (RFC 6570) as matchers: which topics a template might have been expanded to. Not for expanding them.
//!
//! The rules are those of protocol facts "1.3": what a template matches equals what the reference hub's library makes of it,
//! an anchored regular expression. Here it is matched element by element on the set of places that the elements before it may
//! have come to, so a match costs at most (length of the topic) x (number of elements), whatever the template.

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

    /// Whether it matches the whole of a topic.
    pub(crate) fn matches(&self, topic: &[u8]) -> bool {
        if topic.len() > PLACES_MAX || !topic.starts_with(self.literal_prefix().as_bytes()) {
            return false;
        }
        let mut reached = Places::new();
        reached.add(0);
        for element in &self.elements {
            reached = match element {
                Element::Literal(text) => after_literal(&reached, topic, text.as_bytes()),
                Element::Values(values) => values.after(reached, topic),
            };
            if reached.is_empty() {
                return false;
            }
        }
        reached.has(topic.len())
    }
}

fn after_literal(from: &Places, topic: &[u8], literal: &[u8]) -> Places {
    let mut reached = Places::new();
    from.each(|place| {
        if topic[place..].starts_with(literal) {
            reached.add(place + literal.len());
        }
    });
    reached
}

impl Values {
    fn after(&self, from: Places, topic: &[u8]) -> Places {
        // The whole expression may be left out.
        let mut reached = from;
        let mut came = match self.prefix {
            Some(prefix) => after_byte(&reached, topic, prefix),
            None => reached.clone(),
        };
        came.run(topic, self.first);
        reached.unite(&came);
        // Each round is one more value. A place that an earlier round came to leads nowhere new, so all rounds together look
        // at each place once.
        let mut seen = Places::new();
        for _ in 0..self.more {
            came = after_byte(&came, topic, self.separator);
            came.run(topic, self.rest);
            came.take_out(&seen);
            if came.is_empty() {
                break;
            }
            seen.unite(&came);
            reached.unite(&came);
        }
        reached
    }
}

fn after_byte(from: &Places, topic: &[u8], byte: u8) -> Places {
    let mut reached = Places::new();
    from.each(|place| {
        if topic.get(place) == Some(&byte) {
            reached.add(place + 1);
        }
    });
    reached
}

/// No topic is longer.
const PLACES_MAX: usize = crate::TOPIC_BYTES_MAX;
const WORDS: usize = PLACES_MAX / 64 + 1;

/// A set of places in a topic, its end included.
#[derive(Clone)]
struct Places {
    words: [u64; WORDS],
    /// The lowest place and the one after the highest; all others are not looked at.
    low: usize,
    end: usize,
}

impl Places {
    fn new() -> Self {
        Self {
            words: [0; WORDS],
            low: usize::MAX,
            end: 0,
        }
    }

    fn is_empty(&self) -> bool {
        self.low >= self.end
    }

    fn has(&self, place: usize) -> bool {
        self.words[place / 64] & 1 << (place % 64) != 0
    }

    fn add(&mut self, place: usize) {
        self.words[place / 64] |= 1 << (place % 64);
        self.low = self.low.min(place);
        self.end = self.end.max(place + 1);
    }

    /// The words in which places may stand.
    fn used(&self) -> std::ops::Range<usize> {
        if self.is_empty() {
            return 0..0;
        }
        self.low / 64..(self.end - 1) / 64 + 1
    }

    fn each(&self, mut with: impl FnMut(usize)) {
        for word in self.used() {
            let mut bits = self.words[word];
            while bits != 0 {
                with(word * 64 + bits.trailing_zeros() as usize);
                bits &= bits - 1;
            }
        }
    }

    fn unite(&mut self, other: &Self) {
        for word in other.used() {
            self.words[word] |= other.words[word];
        }
        self.low = self.low.min(other.low);
        self.end = self.end.max(other.end);
    }

    fn take_out(&mut self, other: &Self) {
        let mut left = 0;
        for word in self.used() {
            self.words[word] &= !other.words[word];
            left |= self.words[word];
        }
        if left == 0 {
            *self = Self::new();
        }
    }

    /// Goes on from each place over characters of a class and `%XX`, as far as they go.
    fn run(&mut self, topic: &[u8], class: Class) {
        let mut next = self.first_from(self.low);
        while let Some(place) = next {
            match topic.get(place..) {
                Some([byte, ..]) if class.has(*byte) => self.add(place + 1),
                Some([b'%', a, b, ..]) if a.is_ascii_hexdigit() && b.is_ascii_hexdigit() => {
                    self.add(place + 3);
                }
                _ => {}
            }
            next = self.first_from(place + 1);
        }
    }

    fn first_from(&self, place: usize) -> Option<usize> {
        if place >= self.end {
            return None;
        }
        let mut word = place / 64;
        let mut bits = self.words[word] & (u64::MAX << (place % 64));
        while bits == 0 {
            word += 1;
            if word >= self.end.div_ceil(64) {
                return None;
            }
            bits = self.words[word];
        }
        Some(word * 64 + bits.trailing_zeros() as usize)
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
