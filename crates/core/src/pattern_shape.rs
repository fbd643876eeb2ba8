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

    /// The shapes of a template: segments that are literal, segments that are expressions alone, and expressions that may hold
    /// slashes at the very end. As a template also matches its own text, that has to fit too.
    pub(crate) fn of_template(template: &Template, text: &str) -> Box<[Self]> {
        let Some(shape) = Self::try_of_template(template) else {
            return Box::default();
        };
        if shape.fits(text.split('/').map(str::as_bytes)) {
            return [shape].into();
        }
        let own = text
            .split('/')
            .map(|piece| Segment::Literal(piece.as_bytes().into()));
        match Self::new(own.collect(), false) {
            Some(own) => [shape, own].into(),
            None => Box::default(),
        }
    }

    fn try_of_template(template: &Template) -> Option<Self> {
        let mut pieces = Pieces::default();
        let (last, before) = template.elements().split_last()?;
        for element in before {
            match element {
                Element::Literal(text) => pieces.literal(text)?,
                Element::Values(values) if values.holds_slashes() => return None,
                Element::Values(_) => pieces.any()?,
            }
        }
        match last {
            Element::Literal(text) => pieces.literal(text)?,
            Element::Values(values) if values.prefix == Some(b'/') => {
                return Self::new(pieces.ended(), true);
            }
            Element::Values(values) if values.holds_slashes() => {
                return Self::new(pieces.before()?, true);
            }
            Element::Values(_) => pieces.any()?,
        }
        Self::new(pieces.ended(), false)
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
}

#[derive(Default, PartialEq)]
enum Last {
    #[default]
    Empty,
    Literal(Box<[u8]>),
    Any,
}

impl Pieces {
    /// `None` once there is a piece of both kinds.
    fn literal(&mut self, text: &str) -> Option<()> {
        for (index, piece) in text.split('/').enumerate() {
            if index > 0 {
                self.done.push(std::mem::take(&mut self.last).into());
            }
            if !piece.is_empty() {
                if self.last != Last::Empty {
                    return None;
                }
                self.last = Last::Literal(piece.as_bytes().into());
            }
        }
        Some(())
    }

    fn any(&mut self) -> Option<()> {
        match self.last {
            Last::Literal(_) => return None,
            Last::Empty | Last::Any => self.last = Last::Any,
        }
        Some(())
    }

    fn ended(mut self) -> Vec<Segment> {
        self.done.push(self.last.into());
        self.done
    }

    /// The segments before the one that is being put together, which must not have begun with a literal.
    fn before(self) -> Option<Vec<Segment>> {
        (!matches!(self.last, Last::Literal(_))).then_some(self.done)
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
