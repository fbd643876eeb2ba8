//! Topics: names that publishers publish to and subscribers ask for.

use std::fmt;
use std::sync::Arc;

/// The longest topic, in bytes of UTF-8.
pub const TOPIC_BYTES_MAX: usize = 4096;

/// A topic's name: 1 to [`TOPIC_BYTES_MAX`] bytes of UTF-8 without control (C0, DEL, C1) or format (`Cf`) characters, and not `*`.
///
/// Compared byte by byte: nothing is normalised. `*` is the matcher of every topic and hence no topic's name.
/// Source: draft-dunglas-mercure-08, the constraints on topics.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Topic(Arc<str>);

/// Why a string is no topic. Always the caller's fault; trying again does not help.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TopicError {
    /// It is empty.
    Empty,
    /// It is longer than [`TOPIC_BYTES_MAX`]; the value is its length in bytes.
    TooLong(usize),
    /// It holds this control or format character.
    Character(char),
    /// It is `*`, which matches every topic and names none.
    Wildcard,
    /// It is not UTF-8.
    Utf8,
}

impl fmt::Display for TopicError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => write!(f, "a topic must not be empty"),
            Self::TooLong(bytes) => write!(
                f,
                "a topic of {bytes} bytes is too long: at most {TOPIC_BYTES_MAX} bytes are taken"
            ),
            Self::Character(c) => write!(
                f,
                "a topic must not hold the control or format character U+{:04X}",
                *c as u32
            ),
            Self::Wildcard => write!(f, "`*` matches every topic and cannot be one"),
            Self::Utf8 => write!(f, "a topic must be valid UTF-8"),
        }
    }
}

impl std::error::Error for TopicError {}

impl Topic {
    /// Checks a name.
    ///
    /// # Errors
    /// Says which rule of [`Topic`] the name breaks.
    pub fn parse(name: &str) -> Result<Self, TopicError> {
        if name.is_empty() {
            return Err(TopicError::Empty);
        }
        if name.len() > TOPIC_BYTES_MAX {
            return Err(TopicError::TooLong(name.len()));
        }
        if name == "*" {
            return Err(TopicError::Wildcard);
        }
        match unseen_character(name) {
            Some(c) => Err(TopicError::Character(c)),
            None => Ok(Self(name.into())),
        }
    }

    /// Checks a name that arrives as bytes.
    ///
    /// # Errors
    /// As [`Topic::parse`], and [`TopicError::Utf8`].
    pub fn parse_bytes(name: &[u8]) -> Result<Self, TopicError> {
        Self::parse(std::str::from_utf8(name).map_err(|_| TopicError::Utf8)?)
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name's bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl fmt::Debug for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Topic({:?})", &*self.0)
    }
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The first control (C0, DEL, C1) or format (`Cf`) character of a text, none of which a topic, an id or a type may hold.
#[must_use]
pub fn unseen_character(text: &str) -> Option<char> {
    // Nearly every text is of plain ASCII, which is seen to at once.
    if text.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
        return None;
    }
    text.chars().find(|c| c.is_control() || is_format(*c))
}

/// Unicode's general category `Cf` (format), as of Unicode 16: invisible characters that make two topics look alike.
const FORMAT: &[(u32, u32)] = &[
    (0x00AD, 0x00AD),
    (0x0600, 0x0605),
    (0x061C, 0x061C),
    (0x06DD, 0x06DD),
    (0x070F, 0x070F),
    (0x0890, 0x0891),
    (0x08E2, 0x08E2),
    (0x180E, 0x180E),
    (0x200B, 0x200F),
    (0x202A, 0x202E),
    (0x2060, 0x2064),
    (0x2066, 0x206F),
    (0xFEFF, 0xFEFF),
    (0xFFF9, 0xFFFB),
    (0x110BD, 0x110BD),
    (0x110CD, 0x110CD),
    (0x13430, 0x1343F),
    (0x1BCA0, 0x1BCA3),
    (0x1D173, 0x1D17A),
    (0xE0001, 0xE0001),
    (0xE0020, 0xE007F),
];

fn is_format(c: char) -> bool {
    let c = c as u32;
    c >= 0xAD && FORMAT.iter().any(|&(first, last)| first <= c && c <= last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked_once() {
        let long = "x".repeat(TOPIC_BYTES_MAX);
        for name in [
            "a",
            "https://example.com/books/1?x=1#y",
            "Größe/日本",
            " ",
            "**",
            &long,
        ] {
            assert_eq!(
                Topic::parse(name).map(|t| t.to_string()),
                Ok(name.to_owned())
            );
        }
        let too_long = "x".repeat(TOPIC_BYTES_MAX + 1);
        let table: [(&[u8], TopicError); 9] = [
            (b"", TopicError::Empty),
            (b"*", TopicError::Wildcard),
            (b"a\nb", TopicError::Character('\n')),
            (b"a\0", TopicError::Character('\0')),
            (b"a\x7f", TopicError::Character('\u{7f}')),
            ("a\u{85}".as_bytes(), TopicError::Character('\u{85}')),
            ("a\u{200b}".as_bytes(), TopicError::Character('\u{200b}')),
            (b"\xff", TopicError::Utf8),
            (
                too_long.as_bytes(),
                TopicError::TooLong(TOPIC_BYTES_MAX + 1),
            ),
        ];
        for (name, why) in table {
            assert_eq!(Topic::parse_bytes(name), Err(why), "{name:?}");
        }
    }
}
