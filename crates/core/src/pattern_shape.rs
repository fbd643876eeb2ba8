//! Shapes: what of a pattern an index can be keyed by. A shape says which topics the pattern may match, never fewer than it does;
//! whether it does match is for the pattern to say.

#[cfg(feature = "url-patterns")]
use std::sync::Arc;

#[cfg(feature = "url-patterns")]
use crate::pattern_url::Base;
use crate::template::{Element, Template};
use crate::topic_ref::TopicRef;

/// Patterns of more segments are not found by shape: an index need not be this deep.
const SHAPE_SEGMENTS_MAX: usize = 32;

/// A row of segments.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Shape {
    /// The segments, from the first on.
    pub segments: Box<[Segment]>,
    /// Whether any number of segments may follow, none included.
    pub rest: bool,
}

/// One segment of a shape.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Segment {
    /// This text.
    Literal(Box<[u8]>),
    /// Any text, also the empty one.
    Any,
}

/// What topics are cut into.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Space {
    /// Their text, at slashes.
    Text,
    /// The URL that they are or, relative to a base, lead to: scheme, host and port, then the path at slashes.
    #[cfg(feature = "url-patterns")]
    Url(Arc<Base>),
}

impl Space {
    /// The segments of a topic, one by one; none if it cannot be cut so, and then no pattern of this space with a shape matches it.
    pub fn segments(&self, topic: &TopicRef<'_>, with: impl FnMut(&[u8])) {
        match self {
            Self::Text => topic.as_bytes().split(|byte| *byte == b'/').for_each(with),
            #[cfg(feature = "url-patterns")]
            Self::Url(base) => topic.with_url(base, |url| {
                if let Some(url) = url {
                    crate::pattern_url::segments(url, with);
                }
            }),
        }
    }

    /// The text of a topic in which its patterns' grams stand: the topic itself, or the URL that it leads to. Empty if it leads to
    /// none: then no pattern of this space matches it.
    pub fn text<R>(&self, topic: &TopicRef<'_>, with: impl FnOnce(&[u8]) -> R) -> R {
        match self {
            Self::Text => with(topic.as_bytes()),
            #[cfg(feature = "url-patterns")]
            Self::Url(base) => topic.with_url(base, |url| {
                with(url.map_or(&[], |url| url.as_str().as_bytes()))
            }),
        }
    }
}

impl Shape {
    pub(crate) fn new(segments: Vec<Segment>, rest: bool) -> Option<Self> {
        let is_literal =
            |segment: &Segment| matches!(segment, Segment::Literal(text) if !text.is_empty());
        // Without a literal it would be looked at for every topic, as one that has none is.
        let is_fit = segments.len() <= SHAPE_SEGMENTS_MAX && segments.iter().any(is_literal);
        is_fit.then(|| Self {
            segments: segments.into(),
            rest,
        })
    }

    /// How many bytes it takes here and in an index, about.
    pub(crate) fn bytes(&self) -> usize {
        let of = |segment: &Segment| match segment {
            Segment::Literal(text) => text.len(),
            Segment::Any => 0,
        };
        // An index has a node and an edge for a segment.
        self.segments.len() * (size_of::<Segment>() + 128)
            + self.segments.iter().map(of).sum::<usize>()
    }

    /// The shapes of a template, and whether they say all but which characters a segment has. As a template also matches its own
    /// text, that has to fit too.
    pub(crate) fn of_template(template: &Template, text: &str) -> (Box<[Self]>, bool) {
        let (shape, is_whole) = Self::try_of_template(template);
        let Some(shape) = shape else {
            return (Box::default(), false);
        };
        if shape.fits(text.split('/').map(str::as_bytes)) {
            return ([shape].into(), is_whole);
        }
        let own = text
            .split('/')
            .map(|piece| Segment::Literal(piece.as_bytes().into()));
        match Self::new(own.collect(), false) {
            Some(own) => ([shape, own].into(), is_whole),
            None => (Box::default(), false),
        }
    }

    /// Segments that are literal, and wild ones; from the first expression that may hold slashes on, anything.
    fn try_of_template(template: &Template) -> (Option<Self>, bool) {
        let mut pieces = Pieces::default();
        let elements = template.elements();
        for (at, element) in elements.iter().enumerate() {
            match element {
                Element::Literal(text) => pieces.literal(text),
                Element::Values(values) if values.holds_slashes() => {
                    let is_last = at + 1 == elements.len();
                    // What follows could go on with a segment that it did not end.
                    if is_last && values.prefix == Some(b'/') {
                        let is_whole = !pieces.mixed;
                        return (Self::new(pieces.ended(), true), is_whole);
                    }
                    let is_whole = is_last && !pieces.mixed && pieces.last == Last::Empty;
                    return (Self::new(pieces.done, true), is_whole);
                }
                Element::Values(_) => pieces.any(),
            }
        }
        let is_whole = !pieces.mixed;
        (Self::new(pieces.ended(), false), is_whole)
    }

    pub(crate) fn fits<'a>(&self, mut segments: impl Iterator<Item = &'a [u8]>) -> bool {
        let all = self
            .segments
            .iter()
            .all(|segment| match (segment, segments.next()) {
                (Segment::Literal(text), Some(have)) => **text == *have,
                (Segment::Any, Some(_)) => true,
                (_, None) => false,
            });
        all && (self.rest || segments.next().is_none())
    }
}

/// Segments, and the one that is being put together.
#[derive(Default)]
struct Pieces {
    done: Vec<Segment>,
    /// The piece since the last slash.
    last: Last,
    /// Some piece is literal and wild.
    mixed: bool,
}

#[derive(Default, PartialEq)]
enum Last {
    #[default]
    Empty,
    Literal(Box<[u8]>),
    Any,
}

impl Pieces {
    fn literal(&mut self, text: &str) {
        for (index, piece) in text.split('/').enumerate() {
            if index > 0 {
                self.done.push(std::mem::take(&mut self.last).into());
            }
            if !piece.is_empty() {
                self.last = match self.last {
                    Last::Empty => Last::Literal(piece.as_bytes().into()),
                    Last::Literal(_) | Last::Any => {
                        self.mixed = true;
                        Last::Any
                    }
                };
            }
        }
    }

    fn any(&mut self) {
        self.mixed |= matches!(self.last, Last::Literal(_));
        self.last = Last::Any;
    }

    fn ended(mut self) -> Vec<Segment> {
        self.done.push(self.last.into());
        self.done
    }
}

impl From<Last> for Segment {
    fn from(last: Last) -> Self {
        match last {
            Last::Empty => Self::Literal(Box::default()),
            Last::Literal(text) => Self::Literal(text),
            Last::Any => Self::Any,
        }
    }
}
