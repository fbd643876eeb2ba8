//! Positions, epochs, and cursors: where a reader is in a log.

use std::fmt;

/// Where a record stands in one log. Positions strictly increase and are never reused (invariant 1); they are **not**
/// contiguous, so subtracting two of them counts nothing.
///
/// The first record of a log stands at [`Position::FIRST`] or later; `Position(0)` stands before every record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position(pub u64);

impl Position {
    /// The lowest position that a record can have.
    pub const FIRST: Self = Self(1);

    /// The lowest position after this one; the highest stays (a log never gets there, but a forged cursor may).
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    /// The highest position before this one; zero stays zero.
    #[must_use]
    pub fn before(self) -> Self {
        Self(self.0.saturating_sub(1))
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Names one life of a log: a new one starts whenever the log may have forgotten a position that somebody saw.
/// In milliseconds since 1970 when that life began, or one more than the epoch before if that is later.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch(pub u64);

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What a reader has behind it: everything up to and including one position of one epoch. Opaque to its holders.
///
/// Written `#<epoch>-<position>`, both in decimal; that form, with a digit after the `#`, is version 1 of the encoding,
/// and anything else after the `#` is left for later versions. Read with or without the `#`, which URLs and shells eat.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cursor {
    epoch: Epoch,
    seen: Position,
}

impl Cursor {
    /// The cursor of a reader that has everything up to and including `seen`.
    #[must_use]
    pub fn new(epoch: Epoch, seen: Position) -> Self {
        Self { epoch, seen }
    }

    /// The epoch in which it was given out.
    #[must_use]
    pub fn epoch(self) -> Epoch {
        self.epoch
    }

    /// The last position that its reader has behind it.
    #[must_use]
    pub fn seen(self) -> Position {
        self.seen
    }

    /// Reads a cursor; `None` if the text is none (it may be a publisher's id).
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (epoch, seen) = text.strip_prefix('#').unwrap_or(text).split_once('-')?;
        Some(Self {
            epoch: Epoch(decimal(epoch)?),
            seen: Position(decimal(seen)?),
        })
    }
}

/// Written in one piece: every event without an id of its own shows one, and so does the answer to its publisher.
impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = [0; 2 + 2 * DIGITS_MAX];
        let mut at = text.len();
        write_before(&mut text, &mut at, self.seen.0);
        at -= 1;
        text[at] = b'-';
        write_before(&mut text, &mut at, self.epoch.0);
        at -= 1;
        text[at] = b'#';
        f.write_str(std::str::from_utf8(&text[at..]).expect("ASCII"))
    }
}

/// The digits of the largest number.
const DIGITS_MAX: usize = 20;

/// Writes a number in decimal so that it ends before `at`, and moves `at` to where it begins.
fn write_before(text: &mut [u8], at: &mut usize, mut number: u64) {
    loop {
        *at -= 1;
        text[*at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            return;
        }
    }
}

/// ASCII digits only: `u64::from_str` would take a sign as well, and one cursor must have one spelling.
fn decimal(text: &str) -> Option<u64> {
    let canonical = text == "0" || !text.starts_with('0');
    (canonical && text.bytes().all(|b| b.is_ascii_digit()))
        .then(|| text.parse().ok())
        .flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursors_have_one_spelling() {
        let cursor = Cursor::new(Epoch(1_795_250_000_123), Position(42));
        assert_eq!(cursor.to_string(), "#1795250000123-42");
        for text in ["#1795250000123-42", "1795250000123-42"] {
            assert_eq!(Cursor::parse(text), Some(cursor));
        }
        for text in [
            "",
            "#",
            "#-",
            "#1-",
            "#-1",
            "#1-+2",
            "#01-2",
            "#1-02",
            "##1-2",
            "#1-2-3",
            "#1-2 ",
            "#v2.x",
            "urn:uuid:1",
            "#1-99999999999999999999",
        ] {
            assert_eq!(Cursor::parse(text), None, "{text:?}");
        }
        for (epoch, seen, text) in [
            (0, 0, "#0-0"),
            (1, 10, "#1-10"),
            (
                u64::MAX,
                u64::MAX,
                "#18446744073709551615-18446744073709551615",
            ),
        ] {
            let cursor = Cursor::new(Epoch(epoch), Position(seen));
            assert_eq!(cursor.to_string(), text);
            assert_eq!(Cursor::parse(text), Some(cursor));
        }
    }
}
