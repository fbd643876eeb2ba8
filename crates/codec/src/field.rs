//! The values of the `id` and `event` fields, checked once where they are made. Not here: how they are written or read.

use std::fmt;
use std::str::FromStr;

/// Why a text cannot be an [`EventId`] or an [`EventType`]. The caller's fault; the same text is refused every time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FieldError {
    /// An event type has at least one character (an absent type means `message`).
    Empty,
    /// The text holds a carriage return, which would end the line and start a field of the sender's making.
    CarriageReturn,
    /// The text holds a line feed, which would end the line and start a field of the sender's making.
    LineFeed,
    /// The text holds U+0000, for which readers ignore an id.
    Nul,
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "must not be empty",
            Self::CarriageReturn => "must not contain a carriage return (U+000D)",
            Self::LineFeed => "must not contain a line feed (U+000A)",
            Self::Nul => "must not contain NUL (U+0000)",
        })
    }
}

impl std::error::Error for FieldError {}

/// WHATWG HTML 9.2.5: a field's value is `any-char`, which excludes CR and LF; 9.2.6: an id with NUL is ignored.
fn check(text: &str) -> Result<(), FieldError> {
    match text.bytes().find(|byte| matches!(byte, b'\r' | b'\n' | 0)) {
        Some(b'\r') => Err(FieldError::CarriageReturn),
        Some(b'\n') => Err(FieldError::LineFeed),
        Some(_) => Err(FieldError::Nul),
        None => Ok(()),
    }
}

/// The value of an `id` field: any text without CR, LF and NUL. The empty id resets a reader's last event id.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventId(Box<str>);

impl EventId {
    /// The id, if `text` may be one.
    pub fn parse(text: &str) -> Result<Self, FieldError> {
        check(text)?;
        Ok(Self(text.into()))
    }

    /// The id as it stands after `id: `.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// True for the id that resets.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// The value of an `event` field: at least one character, without CR, LF and NUL.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventType(Box<str>);

impl EventType {
    /// The type, if `text` may be one.
    pub fn parse(text: &str) -> Result<Self, FieldError> {
        if text.is_empty() {
            return Err(FieldError::Empty);
        }
        check(text)?;
        Ok(Self(text.into()))
    }

    /// The type as it stands after `event: `.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

macro_rules! text_traits {
    ($name:ident) => {
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = FieldError;

            fn from_str(text: &str) -> Result<Self, FieldError> {
                Self::parse(text)
            }
        }

        impl TryFrom<String> for $name {
            type Error = FieldError;

            fn try_from(text: String) -> Result<Self, FieldError> {
                Self::parse(&text)
            }
        }
    };
}

text_traits!(EventId);
text_traits!(EventType);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_text_that_stays_on_its_line_is_taken() {
        let table = [
            ("", Ok(()), Err(FieldError::Empty)),
            ("a", Ok(()), Ok(())),
            (" a: b ", Ok(()), Ok(())),
            ("\u{feff}ü", Ok(()), Ok(())),
            (
                "a\rdata: x",
                Err(FieldError::CarriageReturn),
                Err(FieldError::CarriageReturn),
            ),
            ("a\n", Err(FieldError::LineFeed), Err(FieldError::LineFeed)),
            ("\0", Err(FieldError::Nul), Err(FieldError::Nul)),
        ];
        for (text, id, event_type) in table {
            assert_eq!(EventId::parse(text).map(|_| ()), id, "id {text:?}");
            assert_eq!(
                EventType::parse(text).map(|_| ()),
                event_type,
                "type {text:?}"
            );
        }
    }
}
