//! How a finite stream ends. Not here: what follows from it (see `machine`).

/// What ends a stream that is an answer and no subscription: it is asked for once and never again.
///
/// The end of the answer as HTTP has it is one; a mark in the stream may come before. Where a mark is [required], a stream that
/// ends without is reported as cut ([`Error::Unfinished`](crate::Error::Unfinished)): behind a proxy, or where the
/// answer ends with its connection, HTTP alone cannot tell an end from a crash.
///
/// [required]: Ends::required
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Ends {
    /// Each of these ends the stream.
    pub marks: Vec<EndMark>,
    /// Only a mark ends it well.
    pub required: bool,
}

/// An event that ends a finite stream.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EndMark {
    /// An event with exactly this data. It says nothing else, and is not given to the program.
    Data(String),
    /// An event of this type, which is given to the program, as the last one.
    Type(String),
}

impl Default for Ends {
    /// `data: [DONE]`, as OpenAI has it and many others after it, or the end of the answer.
    fn default() -> Self {
        Self {
            marks: vec![EndMark::Data("[DONE]".to_owned())],
            required: false,
        }
    }
}

impl Ends {
    /// The mark that an event is, if any.
    pub(crate) fn mark(&self, event_type: &str, data: &str) -> Option<&EndMark> {
        self.marks.iter().find(|mark| match mark {
            EndMark::Data(end) => end == data,
            EndMark::Type(end) => end == event_type,
        })
    }
}
