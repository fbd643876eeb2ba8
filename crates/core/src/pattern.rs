//! Patterns: matchers of more than one topic. Each text is compiled once a hub, shared by whoever uses it, counted in bytes and
//! let go with its last user.
//!
//! What the two kinds mean is said in `template` and `pattern_url`; how an index finds them without trying each is the matter of
//! [`Shape`].

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use crate::pattern_grams::{Gram, Grams};
use crate::pattern_shape::{Shape, Space};
#[cfg(feature = "url-patterns")]
use crate::pattern_url::{Base, UrlPattern};
use crate::template::{TEMPLATE_EXPRESSIONS_MAX, Template, TemplateError};
use crate::topic_ref::TopicRef;
use crate::{Matcher, Topic, TopicError, unseen_character};

/// What patterns may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PatternLimits {
    /// The longest text of one pattern, in bytes.
    pub pattern_bytes_max: usize,
    /// How many bytes all patterns in use may take together, compiled; each distinct one counts once.
    pub patterns_bytes_max: usize,
}

impl Default for PatternLimits {
    fn default() -> Self {
        Self {
            pattern_bytes_max: 4096,
            patterns_bytes_max: 64 << 20,
        }
    }
}

/// Of which kind a pattern is, and so by which rules its text is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum PatternKind {
    /// A URI template (RFC 6570), as the legacy Mercure protocol has them. It also matches itself as a string.
    Template,
    /// A URL pattern (WHATWG), as the modern Mercure protocol has them. Needs the feature `url-patterns`.
    Url,
}

/// Why a text makes no matcher.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PatternError {
    /// It has to be a topic, and is none. The caller's fault.
    Topic(TopicError),
    /// It is empty. The caller's fault.
    Empty,
    /// It is longer than [`PatternLimits::pattern_bytes_max`]. The caller's fault.
    TooLong {
        /// Its length.
        bytes: usize,
        /// The limit.
        bytes_max: usize,
    },
    /// It holds this control or format character. The caller's fault.
    Character(char),
    /// It is a template with more than [`TEMPLATE_EXPRESSIONS_MAX`] expressions. The caller's fault.
    Expressions,
    /// It is no URL pattern. The caller's fault.
    Url {
        /// Where, in bytes, if that is known.
        at: Option<usize>,
        /// What is wrong with it.
        why: &'static str,
    },
    /// All patterns in use take as much as [`PatternLimits::patterns_bytes_max`] allows. Trying again later helps.
    Full {
        /// The limit.
        bytes_max: usize,
    },
}

impl PatternError {
    /// Whether trying again later helps.
    #[must_use]
    pub fn is_temporary(&self) -> bool {
        matches!(self, Self::Full { .. })
    }
}

impl fmt::Display for PatternError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Topic(error) => error.fmt(f),
            Self::Empty => write!(f, "a pattern must not be empty"),
            Self::TooLong { bytes, bytes_max } => write!(
                f,
                "a pattern of {bytes} bytes is too long: at most {bytes_max} are taken (pattern_bytes_max)"
            ),
            Self::Character(c) => write!(
                f,
                "a pattern must not hold the control or format character U+{:04X}",
                *c as u32
            ),
            Self::Expressions => write!(
                f,
                "a template may have at most {TEMPLATE_EXPRESSIONS_MAX} expressions"
            ),
            Self::Url { at: Some(at), why } => write!(f, "no URL pattern: {why}, at byte {at}"),
            Self::Url { at: None, why } => write!(f, "no URL pattern: {why}"),
            Self::Full { bytes_max } => write!(
                f,
                "the patterns in use take all of the {bytes_max} bytes that they may (patterns_bytes_max)"
            ),
        }
    }
}

impl std::error::Error for PatternError {}

impl From<TopicError> for PatternError {
    fn from(error: TopicError) -> Self {
        Self::Topic(error)
    }
}

/// A pattern in use. Cheap to clone; equal texts of one kind from one [`Patterns`] are one and the same.
#[derive(Clone)]
pub struct Pattern(Arc<Inner>);

struct Inner {
    kind: PatternKind,
    text: Arc<str>,
    rule: Rule,
    /// What a topic that it matches has to hold, as far as that is known.
    grams: Box<[Gram]>,
    is_quick: bool,
    bytes: usize,
    home: Arc<Shared>,
}

enum Rule {
    Template(Template, Box<[Shape]>),
    #[cfg(feature = "url-patterns")]
    Url(Box<UrlPattern>, Box<[Shape]>),
}

/// The patterns of a hub: what makes them, and what they may take together. Cheap to clone.
#[derive(Clone)]
pub struct Patterns(Arc<Shared>);

struct Shared {
    limits: PatternLimits,
    #[cfg(feature = "url-patterns")]
    base: Arc<Base>,
    table: Mutex<Table>,
}

#[derive(Default)]
struct Table {
    templates: BTreeMap<Arc<str>, Weak<Inner>>,
    urls: BTreeMap<Arc<str>, Weak<Inner>>,
    bytes: usize,
}

impl Table {
    fn of(&mut self, kind: PatternKind) -> &mut BTreeMap<Arc<str>, Weak<Inner>> {
        match kind {
            PatternKind::Template => &mut self.templates,
            PatternKind::Url => &mut self.urls,
        }
    }
}

impl Default for Patterns {
    fn default() -> Self {
        Self::new(PatternLimits::default())
    }
}

impl Patterns {
    /// None yet. Relative URL patterns and topics resolve against a place that nobody else names.
    #[must_use]
    pub fn new(limits: PatternLimits) -> Self {
        Self(Arc::new(Shared {
            limits,
            #[cfg(feature = "url-patterns")]
            base: Arc::default(),
            table: Mutex::default(),
        }))
    }

    /// None yet. Relative URL patterns and topics resolve against this URL, the hub's own (mercure.md, 2.11).
    ///
    /// # Errors
    /// If it is no URL that others can be relative to.
    #[cfg(feature = "url-patterns")]
    pub fn with_base(limits: PatternLimits, base: &str) -> Result<Self, PatternError> {
        Ok(Self(Arc::new(Shared {
            limits,
            base: Arc::new(Base::parse(base)?),
            table: Mutex::default(),
        })))
    }

    /// What they may take.
    #[must_use]
    pub fn limits(&self) -> PatternLimits {
        self.0.limits
    }

    /// How many bytes those in use take.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.0.table().bytes
    }

    /// How many distinct ones are in use.
    #[must_use]
    pub fn count(&self) -> usize {
        let table = self.0.table();
        table.templates.len() + table.urls.len()
    }

    /// `*`, or one topic.
    ///
    /// # Errors
    /// If it is neither.
    pub fn exact(text: &str) -> Result<Matcher, PatternError> {
        match text {
            "*" => Ok(Matcher::Any),
            text => Ok(Matcher::Exact(Topic::parse(text)?)),
        }
    }

    /// A selector of the legacy Mercure protocol (mercure.md, 1.2 and 1.3): `*`, a topic, or a template, which also matches itself
    /// as a string. What has a brace but is no template is a topic.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub fn selector(&self, text: &str) -> Result<Matcher, PatternError> {
        if !text.contains('{') {
            return Self::exact(text);
        }
        if let Some(pattern) = self.known(PatternKind::Template, text) {
            return Ok(Matcher::Pattern(pattern));
        }
        let template = match Template::parse(text) {
            Ok(template) => template,
            Err(TemplateError::Plain) => return Self::exact(text),
            Err(TemplateError::Expressions) => return Err(PatternError::Expressions),
        };
        self.check(text)?;
        let (shapes, is_whole) = Shape::of_template(&template, text);
        let is_quick = is_whole && template.steps() <= QUICK_STEPS_MAX;
        let grams = Grams::of_template(&template);
        let rule = Rule::Template(template, shapes);
        self.intern(PatternKind::Template, text, rule, grams, is_quick)
    }

    /// A URL pattern of the modern Mercure protocol (mercure.md, 2.11), or `*` (2.6).
    ///
    /// # Errors
    /// Says what is wrong with it.
    #[cfg(feature = "url-patterns")]
    pub fn url_pattern(&self, text: &str) -> Result<Matcher, PatternError> {
        if text == "*" {
            return Ok(Matcher::Any);
        }
        if let Some(pattern) = self.known(PatternKind::Url, text) {
            return Ok(Matcher::Pattern(pattern));
        }
        self.check(text)?;
        let (pattern, grams) = UrlPattern::parse(text, &self.0.base)?;
        let (shape, is_whole) = pattern.shape();
        let is_quick = shape.is_some() && is_whole;
        let rule = Rule::Url(Box::new(pattern), shape.into_iter().collect());
        self.intern(PatternKind::Url, text, rule, grams, is_quick)
    }

    fn check(&self, text: &str) -> Result<(), PatternError> {
        let bytes_max = self.0.limits.pattern_bytes_max;
        if text.is_empty() {
            return Err(PatternError::Empty);
        }
        if text.len() > bytes_max {
            return Err(PatternError::TooLong {
                bytes: text.len(),
                bytes_max,
            });
        }
        match unseen_character(text) {
            Some(c) => Err(PatternError::Character(c)),
            None => Ok(()),
        }
    }

    fn known(&self, kind: PatternKind, text: &str) -> Option<Pattern> {
        let mut table = self.0.table();
        table.of(kind).get(text)?.upgrade().map(Pattern)
    }

    fn intern(
        &self,
        kind: PatternKind,
        text: &str,
        rule: Rule,
        grams: Box<[Gram]>,
        is_quick: bool,
    ) -> Result<Matcher, PatternError> {
        let text: Arc<str> = text.into();
        // Who is quick is found by its shape.
        let grams = if is_quick { Box::default() } else { grams };
        let bytes =
            size_of::<Inner>() + ENTRY_BYTES + text.len() + rule.bytes() + size_of_val(&*grams);
        let mut table = self.0.table();
        // Somebody else may have been faster.
        if let Some(known) = table.of(kind).get(&text).and_then(Weak::upgrade) {
            return Ok(Matcher::Pattern(Pattern(known)));
        }
        let bytes_max = self.0.limits.patterns_bytes_max;
        if table.bytes.saturating_add(bytes) > bytes_max {
            return Err(PatternError::Full { bytes_max });
        }
        table.bytes += bytes;
        let inner = Arc::new(Inner {
            kind,
            text: Arc::clone(&text),
            rule,
            grams,
            is_quick,
            bytes,
            home: Arc::clone(&self.0),
        });
        table.of(kind).insert(text, Arc::downgrade(&inner));
        Ok(Matcher::Pattern(Pattern(inner)))
    }
}

/// What a table of patterns and an index's lists, by gram or by segment, take for one, about.
const ENTRY_BYTES: usize = 384;

/// A template of more steps is slow, whatever its shape: about eight expressions.
const QUICK_STEPS_MAX: usize = 32;

impl Shared {
    fn table(&self) -> MutexGuard<'_, Table> {
        // Nothing that may panic runs while it is held half-changed.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Its last user is gone.
impl Drop for Inner {
    fn drop(&mut self) {
        let mut table = self.home.table();
        table.bytes -= self.bytes;
        let known = table.of(self.kind);
        // Meanwhile the text may have been compiled anew.
        if known
            .get(&self.text)
            .is_some_and(|entry| entry.strong_count() == 0)
        {
            known.remove(&self.text);
        }
    }
}

impl Rule {
    fn bytes(&self) -> usize {
        let (rule, shapes) = match self {
            Self::Template(template, shapes) => (template.bytes(), shapes),
            #[cfg(feature = "url-patterns")]
            Self::Url(pattern, shapes) => (pattern.bytes(), shapes),
        };
        rule + shapes.iter().map(Shape::bytes).sum::<usize>()
    }
}

impl Pattern {
    /// Of which kind it is.
    #[must_use]
    pub fn kind(&self) -> PatternKind {
        self.0.kind
    }

    /// Its text, as it was asked for.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0.text
    }

    /// Whether it matches this topic.
    #[must_use]
    pub fn matches(&self, topic: &TopicRef<'_>) -> bool {
        match &self.0.rule {
            // mercure.md, 1.2: equality first.
            Rule::Template(template, _) => {
                self.0.text.as_bytes() == topic.as_bytes() || template.matches(topic)
            }
            #[cfg(feature = "url-patterns")]
            Rule::Url(pattern, _) => topic.with_url(&self.0.home.base, |url| {
                url.is_some_and(|url| pattern.matches(url))
            }),
        }
    }

    /// The shapes by which an index finds it: what it matches has one of them. None: it has to be tried.
    #[must_use]
    pub fn shapes(&self) -> &[Shape] {
        match &self.0.rule {
            Rule::Template(_, shapes) => shapes,
            #[cfg(feature = "url-patterns")]
            Rule::Url(_, shapes) => shapes,
        }
    }

    /// Of a pattern that is not quick, by what an index finds it: a topic that it matches holds all of these in the text of its space
    /// ([`Space::text`]). Those that tell most come first. None: it has to be tried on every topic.
    #[must_use]
    pub fn grams(&self) -> &[Gram] {
        &self.0.grams
    }

    /// Whether a topic that has one of its shapes nearly always matches, and finding out costs little. What is not quick may be tried
    /// in vain, at a cost of up to [`Pattern::effort`]: a delivery that must be quick is not held up by it.
    #[must_use]
    pub fn is_quick(&self) -> bool {
        self.0.is_quick
    }

    /// What trying it on a topic of so many bytes costs at most, in units of about a nanosecond.
    #[must_use]
    pub fn effort(&self, topic_bytes: usize) -> usize {
        match &self.0.rule {
            Rule::Template(template, _) => {
                40 + template.steps() * (10 + topic_bytes / 4) + topic_bytes / 2
            }
            #[cfg(feature = "url-patterns")]
            Rule::Url(pattern, _) => {
                // Most of it is waiting for memory: others have driven the pattern out of the processor's.
                300 + pattern.automata() * (300 + topic_bytes * 2) + topic_bytes / 4
            }
        }
    }

    /// Of what the segments of its shapes are segments.
    #[must_use]
    pub fn space(&self) -> Space {
        match &self.0.rule {
            Rule::Template(..) => Space::Text,
            #[cfg(feature = "url-patterns")]
            Rule::Url(..) => Space::Url(Arc::clone(&self.0.home.base)),
        }
    }

    /// What every topic that it matches begins with; empty if that cannot be told.
    #[must_use]
    pub fn literal_prefix(&self) -> &str {
        match &self.0.rule {
            Rule::Template(template, _) => template.literal_prefix(),
            #[cfg(feature = "url-patterns")]
            Rule::Url(..) => "",
        }
    }

    fn key(&self) -> (PatternKind, &str, &str) {
        #[cfg(feature = "url-patterns")]
        let base = match self.0.kind {
            PatternKind::Template => "",
            PatternKind::Url => self.0.home.base.as_str(),
        };
        #[cfg(not(feature = "url-patterns"))]
        let base = "";
        (self.0.kind, &self.0.text, base)
    }
}

/// By kind and text, and for URL patterns by what relative ones resolve against.
impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.key() == other.key()
    }
}

impl Eq for Pattern {}

impl PartialOrd for Pattern {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Pattern {
    fn cmp(&self, other: &Self) -> Ordering {
        if Arc::ptr_eq(&self.0, &other.0) {
            return Ordering::Equal;
        }
        self.key().cmp(&other.key())
    }
}

impl Hash for Pattern {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.key().hash(state);
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}({:?})", self.0.kind, self.as_str())
    }
}

impl fmt::Debug for Patterns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Patterns")
            .field("limits", &self.0.limits)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
