//! URL patterns (WHATWG URLPattern) as matchers. The `urlpattern` crate reads them; here they are matched.
//!
//! That crate would compile a regular expression for each of the eight parts of a URL, about 110 KB. Most parts are a literal, one
//! wildcard or a path of literal and wild segments: those are compared directly. What is left becomes a small automaton, so every
//! match is linear in the topic, and a pattern whose automaton would be large is refused.
//!
//! mercure.md, 2.11: case is not ignored; relative patterns and topics resolve against the hub's URL; a topic that is no URL
//! reference matches nothing.

use std::cell::OnceCell;
use std::fmt;
use std::ops::Deref;

use regex_automata::util::syntax;
use url::{Position, Url};
use urlpattern::component::Component;
use urlpattern::matcher::{InnerMatcher, Matcher};
use urlpattern::regexp::RegExp;
use urlpattern::{Error, RegexSyntax, UrlPatternInit};

use crate::PatternError;
use crate::automaton::{Automaton, byte_syntax};
use crate::pattern_grams::{Gram, Grams, add_literals};
use crate::pattern_shape::{Segment, Shape};

/// Which URL relative ones resolve against: the hub's own.
#[derive(PartialEq, Eq)]
pub struct Base(Url);

impl Base {
    pub(crate) fn parse(text: &str) -> Result<Self, PatternError> {
        match Url::parse(text) {
            Ok(url) if !url.cannot_be_a_base() => Ok(Self(url)),
            _ => Err(PatternError::Url {
                at: None,
                why: "the hub's URL has to be absolute, like https://example.com/.well-known/mercure",
            }),
        }
    }

    pub(crate) fn as_str(&self) -> &str {
        self.0.as_str()
    }

    pub(crate) fn resolve(&self, topic: &[u8]) -> Option<TopicUrl> {
        let text = std::str::from_utf8(topic).ok()?;
        let url = Url::options().base_url(Some(&self.0)).parse(text).ok()?;
        Some(TopicUrl {
            is_at_base: place(&url) == place(&self.0),
            url,
        })
    }
}

/// A place that nobody else names (RFC 6761, 6.4), so that relative patterns match relative topics alone.
impl Default for Base {
    fn default() -> Self {
        Self::parse("http://hub.invalid/.well-known/mercure").expect("a URL")
    }
}

impl fmt::Debug for Base {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Base({})", self.0)
    }
}

/// A topic as URL.
#[derive(Debug)]
pub(crate) struct TopicUrl {
    url: Url,
    /// Whether its scheme, host and port are those of the base, as those of most topics are.
    is_at_base: bool,
}

impl Deref for TopicUrl {
    type Target = Url;

    fn deref(&self) -> &Url {
        &self.url
    }
}

/// Scheme, host and port.
fn place(url: &Url) -> [&str; 3] {
    [url.scheme(), url.host_str().unwrap_or_default(), port(url)]
}

/// What shapes of URL patterns are made of: scheme, host, port, then the path's segments. None of a URL without such a path.
pub(crate) fn segments(url: &TopicUrl, mut with: impl FnMut(&[u8])) {
    let Some(path) = url.path().strip_prefix('/') else {
        return;
    };
    with(url.scheme().as_bytes());
    with(url.host_str().unwrap_or_default().as_bytes());
    with(port(url).as_bytes());
    path.split('/').for_each(|segment| with(segment.as_bytes()));
}

fn port(url: &Url) -> &str {
    &url[Position::BeforePort..Position::AfterPort]
}

/// A pattern. What nearly every match looks at stands first; the rest is apart, where a look at it costs as much again.
pub(crate) struct UrlPattern {
    pathname: Part,
    /// Scheme, host and port have to be the base's.
    is_at_base: bool,
    /// Query, fragment, user name and password may be any.
    is_any_beyond: bool,
    /// About how many automata a match runs through.
    automata: usize,
    rest: Box<Rest>,
}

/// Its other parts.
struct Rest {
    protocol: Part,
    username: Part,
    password: Part,
    hostname: Part,
    port: Part,
    search: Part,
    hash: Part,
    /// How its path begins, where that is no row of plain segments as a whole.
    path_start: Box<[Segment]>,
}

impl UrlPattern {
    /// A pattern, and what each URL that it matches has to hold.
    pub(crate) fn parse(text: &str, base: &Base) -> Result<(Self, Box<[Gram]>), PatternError> {
        if let Some(at) = closes_unopened(text) {
            return Err(PatternError::Url {
                at: Some(at),
                why: "a bracket closes that was not opened; in a path it is written %5D",
            });
        }
        // What has a scheme is not relative. Only else a base is given: it would change paths like that of `urn\:a`.
        let init = match read(text, None) {
            Err(Error::BaseUrlRequired) => read(text, Some(base.0.clone())),
            init => init,
        };
        let parsed =
            init.and_then(|init| urlpattern::UrlPattern::<Text>::parse(init, Default::default()));
        let parsed = parsed.map_err(|error| said(&error))?;
        let path_start = plain_start(&parsed.pathname.pattern_string);
        // Most patterns of a hub name the same scheme and host: those tell least.
        let mut grams = Grams::default();
        let pathname = Part::of_path(parsed.pathname, &mut grams)?;
        let search = Part::of(parsed.search, &mut grams)?;
        let hash = Part::of(parsed.hash, &mut grams)?;
        let hostname = Part::of(parsed.hostname, &mut grams)?;
        let port = Part::of(parsed.port, &mut grams)?;
        let username = Part::of(parsed.username, &mut grams)?;
        let password = Part::of(parsed.password, &mut grams)?;
        let protocol = Part::of(parsed.protocol, &mut grams)?;
        let rest = Rest {
            protocol,
            username,
            password,
            hostname,
            port,
            search,
            hash,
            path_start,
        };
        let literals = rest.place().map(|part| match part {
            Part::Literal(text) => Some(&**text),
            _ => None,
        });
        let is_at_base = literals == place(&base.0).map(Some);
        let is_any_beyond = rest.beyond_shapes().all(Part::is_any);
        let pattern = Self {
            is_at_base,
            is_any_beyond,
            automata: rest.automata() + usize::from(pathname.is_automaton()),
            pathname,
            rest: Box::new(rest),
        };
        Ok((pattern, grams.done()))
    }

    pub(crate) fn matches(&self, url: &TopicUrl) -> bool {
        let is_there = match self.is_at_base {
            true => url.is_at_base,
            false => self.rest.is_there(url),
        };
        is_there
            && self.pathname.matches(url.path())
            && (self.is_any_beyond || self.rest.matches_beyond(url))
    }

    /// Its shape, and whether that says all: scheme, host and port, each literal or wild, then the path's segments as far as they
    /// are plain.
    pub(crate) fn shape(&self) -> (Option<Shape>, bool) {
        let mut is_whole = self.is_any_beyond;
        let mut segments = Vec::new();
        for part in self.rest.place() {
            is_whole &= matches!(part, Part::Any | Part::Literal(_));
            segments.push(match part {
                Part::Literal(text) => Segment::Literal(text.as_bytes().into()),
                _ => Segment::Any,
            });
        }
        let before_path = segments.len();
        let rest = match &self.pathname {
            Part::Literal(path) => {
                let Some(path) = path.strip_prefix('/') else {
                    return (None, false);
                };
                let literal = |text: &str| Segment::Literal(text.as_bytes().into());
                segments.extend(path.split('/').map(literal));
                false
            }
            Part::Segments { path, rest } => {
                segments.extend(path.iter().cloned());
                *rest
            }
            _ => {
                is_whole = false;
                segments.extend(self.rest.path_start.iter().cloned());
                true
            }
        };
        // Other URLs may have a path without a slash, and those have no segments.
        if segments.len() == before_path && !rest_has_slash(&self.rest.protocol, &self.pathname) {
            return (None, false);
        }
        (Shape::new(segments, rest), is_whole)
    }

    /// About how many automata a match runs through.
    pub(crate) fn automata(&self) -> usize {
        self.automata
    }

    pub(crate) fn bytes(&self) -> usize {
        size_of::<Self>() + self.pathname.bytes() + self.rest.bytes()
    }
}

impl Rest {
    /// Scheme, host and port.
    fn place(&self) -> [&Part; 3] {
        [&self.protocol, &self.hostname, &self.port]
    }

    /// The parts of which shapes know nothing.
    fn beyond_shapes(&self) -> impl Iterator<Item = &Part> {
        [&self.search, &self.hash, &self.username, &self.password].into_iter()
    }

    fn is_there(&self, url: &Url) -> bool {
        self.place()
            .into_iter()
            .zip(place(url))
            .all(|(part, text)| part.matches(text))
    }

    fn matches_beyond(&self, url: &Url) -> bool {
        self.search.matches(url.query().unwrap_or_default())
            && self.hash.matches(url.fragment().unwrap_or_default())
            && self.username.matches(url.username())
            && self.password.matches(url.password().unwrap_or_default())
    }

    fn automata(&self) -> usize {
        let parts = self.place().into_iter().chain(self.beyond_shapes());
        parts.filter(|part| part.is_automaton()).count()
    }

    fn bytes(&self) -> usize {
        let parts = self.place().into_iter().chain(self.beyond_shapes());
        let path_start = self.path_start.iter().map(|segment| match segment {
            Segment::Literal(text) => size_of::<Segment>() + text.len(),
            Segment::Any => size_of::<Segment>(),
        });
        size_of::<Self>() + parts.map(Part::bytes).sum::<usize>() + path_start.sum::<usize>()
    }
}

/// Where a bracket closes that was not opened. The crate that reads patterns counts those of IPv6 addresses below zero (0.6.0).
fn closes_unopened(text: &str) -> Option<usize> {
    let mut open = 0_usize;
    text.bytes().position(|byte| match byte {
        b'[' => {
            open += 1;
            false
        }
        b']' if open == 0 => true,
        b']' => {
            open -= 1;
            false
        }
        _ => false,
    })
}

fn read(text: &str, base: Option<Url>) -> Result<UrlPatternInit, Error> {
    UrlPatternInit::parse_constructor_string::<Text>(text, base)
}

/// How one part of a URL is matched.
enum Part {
    Any,
    Literal(Box<str>),
    /// A path: a slash, then these segments between slashes, of which wild ones are not empty; then, if anything may follow,
    /// a slash and that.
    Segments {
        path: Box<[Segment]>,
        rest: bool,
    },
    /// Something between two literals.
    Between {
        prefix: Box<str>,
        suffix: Box<str>,
        inner: Inner,
    },
}

enum Inner {
    /// Text without this character, perhaps empty.
    Wild {
        without: Option<char>,
        empty: bool,
    },
    Automaton(Automaton),
}

impl Part {
    fn of(component: Component<Text>, grams: &mut Grams) -> Result<Self, PatternError> {
        if component.pattern_string == "*" {
            return Ok(Self::Any);
        }
        let Matcher {
            prefix,
            suffix,
            inner,
            ..
        } = component.matcher;
        let inner = match inner {
            InnerMatcher::Literal { literal } => {
                grams.add(literal.as_bytes());
                return Ok(Self::Literal(literal.into()));
            }
            InnerMatcher::SingleCapture {
                filter,
                allow_empty,
            } => Inner::Wild {
                without: filter,
                empty: allow_empty,
            },
            InnerMatcher::RegExp { regexp } => {
                let regexp = regexp.map_err(|error| said(&error))?;
                if let Ok(hir) = syntax::parse_with(&regexp.text, &byte_syntax()) {
                    add_literals(&hir, grams);
                }
                Inner::Automaton(regexp.into_automaton()?)
            }
        };
        grams.add(prefix.as_bytes());
        grams.add(suffix.as_bytes());
        Ok(Self::Between {
            prefix: prefix.into(),
            suffix: suffix.into(),
            inner,
        })
    }

    fn of_path(component: Component<Text>, grams: &mut Grams) -> Result<Self, PatternError> {
        let Some((path, rest)) = path_segments(&component.pattern_string) else {
            return Self::of(component, grams);
        };
        for segment in &path {
            if let Segment::Literal(text) = segment {
                grams.add(&[b"/", &**text].concat());
            }
        }
        Ok(Self::Segments { path, rest })
    }

    fn is_any(&self) -> bool {
        matches!(self, Self::Any)
    }

    fn is_automaton(&self) -> bool {
        let Self::Between { inner, .. } = self else {
            return false;
        };
        matches!(inner, Inner::Automaton(_))
    }

    fn matches(&self, text: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Literal(literal) => **literal == *text,
            Self::Segments { path, rest } => text
                .strip_prefix('/')
                .is_some_and(|text| match_segments(path, *rest, text)),
            Self::Between {
                prefix,
                suffix,
                inner,
            } => {
                let inside = text
                    .strip_prefix(&**prefix)
                    .and_then(|text| text.strip_suffix(&**suffix));
                inside.is_some_and(|text| inner.matches(text))
            }
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Self::Any => 0,
            Self::Literal(text) => text.len(),
            Self::Segments { path, .. } => {
                let of = |segment: &Segment| match segment {
                    Segment::Literal(text) => text.len(),
                    Segment::Any => 0,
                };
                size_of_val(&**path) + path.iter().map(of).sum::<usize>()
            }
            Self::Between {
                prefix,
                suffix,
                inner,
            } => {
                let inner = match inner {
                    Inner::Wild { .. } => 0,
                    Inner::Automaton(automaton) => automaton.bytes(),
                };
                prefix.len() + suffix.len() + inner
            }
        }
    }
}

impl Inner {
    fn matches(&self, text: &str) -> bool {
        match self {
            Self::Wild { without, empty } => {
                (*empty || !text.is_empty())
                    && without.is_none_or(|without| !text.contains(without))
            }
            Self::Automaton(automaton) => automaton.matches(text),
        }
    }
}

fn match_segments(path: &[Segment], rest: bool, text: &str) -> bool {
    let mut left = Some(text);
    for segment in path {
        let Some(text) = left else {
            return false;
        };
        let (have, after) = match text.split_once('/') {
            Some((have, after)) => (have, Some(after)),
            None => (text, None),
        };
        let fits = match segment {
            Segment::Literal(literal) => **literal == *have.as_bytes(),
            Segment::Any => !have.is_empty(),
        };
        if !fits {
            return false;
        }
        left = after;
    }
    left.is_some() == rest
}

/// The segments of a path pattern in its canonical spelling, if each is a literal or a name alone, and the last perhaps a star.
/// Of a path without any wildcard none: it is a literal as a whole.
fn path_segments(pattern: &str) -> Option<(Box<[Segment]>, bool)> {
    let pieces = pattern.strip_prefix('/')?;
    let (pieces, rest) = match pieces.strip_suffix('*') {
        Some("") => return Some((Box::default(), true)),
        Some(before) => (before.strip_suffix('/')?, true),
        None => (pieces, false),
    };
    let segments: Box<[_]> = pieces.split('/').map(path_segment).collect::<Option<_>>()?;
    (rest || segments.contains(&Segment::Any)).then_some((segments, rest))
}

/// The plain segments with which a path pattern begins: what comes before the first piece that is more than a literal or a name.
/// The slash before that piece may be optional with it, and what follows then goes on with the segment before.
fn plain_start(pattern: &str) -> Box<[Segment]> {
    let Some(mut left) = pattern.strip_prefix('/') else {
        return Box::default();
    };
    let mut segments = Vec::new();
    while let Some((piece, after)) = left.split_once('/')
        && let Some(segment) = path_segment(piece)
    {
        segments.push(segment);
        left = after;
    }
    if left.contains(['?', '*', '{']) {
        segments.pop();
    }
    segments.into()
}

/// Whether a URL with such a scheme, and a path of which nothing more is known, has a path that begins with a slash.
fn rest_has_slash(protocol: &Part, pathname: &Part) -> bool {
    const SPECIAL: [&str; 6] = ["http", "https", "ws", "wss", "ftp", "file"];
    let is_special = matches!(protocol, Part::Literal(scheme) if SPECIAL.contains(&&**scheme));
    is_special || matches!(pathname, Part::Segments { .. })
}

fn path_segment(piece: &str) -> Option<Segment> {
    if let Some(name) = piece.strip_prefix(':') {
        // Whatever is not ASCII can only be part of a name here: in a literal it is percent-encoded.
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '$' || !c.is_ascii();
        return (!name.is_empty() && name.chars().all(is_name)).then_some(Segment::Any);
    }
    let mut literal = Vec::new();
    let mut bytes = piece.bytes();
    while let Some(byte) = bytes.next() {
        literal.push(match byte {
            b'\\' => bytes.next()?,
            b'+' | b'*' | b'?' | b':' | b'{' | b'}' | b'(' | b')' => return None,
            byte => byte,
        });
    }
    Some(Segment::Literal(literal.into()))
}

/// The text of a regular expression, which is compiled only where it is needed.
#[derive(Debug)]
struct Text {
    text: String,
    automaton: OnceCell<Result<Automaton, PatternError>>,
}

impl Text {
    fn into_automaton(self) -> Result<Automaton, PatternError> {
        let known = self.automaton.into_inner();
        known.unwrap_or_else(|| Automaton::parse(&self.text))
    }
}

impl RegExp for Text {
    fn syntax() -> RegexSyntax {
        RegexSyntax::Rust
    }

    fn parse(pattern: &str, _flags: &str, _force_eval: bool) -> Result<Self, ()> {
        Ok(Self {
            text: pattern.to_owned(),
            automaton: OnceCell::new(),
        })
    }

    /// Asked for the scheme alone, whether it may be one of the special ones.
    fn matches<'a>(&self, text: &'a str) -> Option<Vec<Option<&'a str>>> {
        let known = self.automaton.get_or_init(|| Automaton::parse(&self.text));
        known.as_ref().ok()?.matches(text).then(Vec::new)
    }

    fn pattern_string(&self) -> &str {
        &self.text
    }
}

/// No more of the reader's insides than helps (mercure.md, 2.4).
fn said(error: &Error) -> PatternError {
    use urlpattern::Error::{Parser, RegExp, Tokenizer, Url};
    let (at, why) = match error {
        Tokenizer(_, at) => (
            Some(*at),
            "a name, an escape or a group in parentheses is not finished or not allowed",
        ),
        Parser(_) => (None, "braces do not pair, or a name stands twice"),
        Url(_) => (None, "a literal part cannot stand in a URL there"),
        RegExp(()) => (None, "a group in parentheses is no regular expression"),
        _ => (None, "it cannot be read"),
    };
    PatternError::Url { at, why }
}

#[cfg(test)]
mod tests;
