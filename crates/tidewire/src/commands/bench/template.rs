//! Texts with holes: URLs with `{topic}` or `{n}`, bodies with `{data}` and `{topic}`.

use serde::{Deserialize, Serialize};

/// What goes into a hole.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Fill<'a> {
    pub(super) topic: &'a str,
    pub(super) data: &'a [u8],
    pub(super) number: usize,
    /// A query parameter to add to a URL.
    pub(super) parameter: Option<(&'a str, &'a str)>,
}

/// How what goes into a hole is written.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Writing {
    /// As it is.
    Plain,
    /// Percent-encoded, as in a URL's path (slashes stay) or an `application/x-www-form-urlencoded` body.
    Percent,
    /// Inside a JSON string.
    Json,
}

#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
enum Piece {
    Text(String),
    Topic,
    Data,
    Number,
}

/// A text with holes.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub(super) struct Template(Vec<Piece>);

impl Template {
    /// Braces around anything but a hole's name are text.
    pub(super) fn parse(text: &str) -> Self {
        let mut pieces = Vec::new();
        let mut plain = String::new();
        let mut rest = text;
        while let Some(first) = rest.chars().next() {
            let hole = [
                ("{topic}", Piece::Topic),
                ("{data}", Piece::Data),
                ("{n}", Piece::Number),
            ];
            match hole.into_iter().find(|(name, _)| rest.starts_with(name)) {
                Some((name, piece)) => {
                    pieces.push(Piece::Text(std::mem::take(&mut plain)));
                    pieces.push(piece);
                    rest = &rest[name.len()..];
                }
                None => {
                    plain.push(first);
                    rest = &rest[first.len_utf8()..];
                }
            }
        }
        pieces.push(Piece::Text(plain));
        pieces.retain(|piece| *piece != Piece::Text(String::new()));
        Self(pieces)
    }

    pub(super) fn has_topic(&self) -> bool {
        self.0.contains(&Piece::Topic)
    }

    pub(super) fn has_data(&self) -> bool {
        self.0.contains(&Piece::Data)
    }

    pub(super) fn has_number(&self) -> bool {
        self.0.contains(&Piece::Number)
    }

    pub(super) fn write(&self, fill: Fill<'_>, writing: Writing, into: &mut Vec<u8>) {
        for piece in &self.0 {
            match piece {
                Piece::Text(text) => into.extend_from_slice(text.as_bytes()),
                Piece::Topic => encode(fill.topic.as_bytes(), writing, into),
                Piece::Data => encode(fill.data, writing, into),
                Piece::Number => into.extend_from_slice(fill.number.to_string().as_bytes()),
            }
        }
    }
}

/// Writes bytes as their place needs it.
pub(super) fn encode(bytes: &[u8], writing: Writing, into: &mut Vec<u8>) {
    for &byte in bytes {
        match (writing, byte) {
            (Writing::Percent, b'/' | b'-' | b'.' | b'_' | b'~') => into.push(byte),
            (Writing::Percent, byte) if !byte.is_ascii_alphanumeric() => {
                into.extend_from_slice(format!("%{byte:02X}").as_bytes());
            }
            (Writing::Json, b'"' | b'\\') => into.extend_from_slice(&[b'\\', byte]),
            (Writing::Json, 0..0x20) => {
                into.extend_from_slice(format!("\\u{byte:04x}").as_bytes());
            }
            _ => into.push(byte),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holes_are_filled_as_the_place_needs_it() {
        let fill = Fill {
            topic: "a/b c",
            data: b"x \"y\"\n",
            number: 7,
            parameter: None,
        };
        for (template, writing, expected) in [
            ("/sub/{topic}?n={n}", Writing::Percent, "/sub/a/b%20c?n=7"),
            (
                "topic={topic}&data={data}",
                Writing::Percent,
                "topic=a/b%20c&data=x%20%22y%22%0A",
            ),
            (
                r#"{"t":"{topic}","d":"{data}"}"#,
                Writing::Json,
                r#"{"t":"a/b c","d":"x \"y\"\u000a"}"#,
            ),
            ("{data}{data}", Writing::Plain, "x \"y\"\nx \"y\"\n"),
            ("{other}", Writing::Plain, "{other}"),
        ] {
            let mut written = Vec::new();
            Template::parse(template).write(fill, writing, &mut written);
            assert_eq!(String::from_utf8(written).unwrap(), expected);
        }
    }
}
