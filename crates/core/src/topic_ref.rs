//! A topic as matchers look at it: its bytes, and what patterns need of it, worked out at most once.

use std::cell::OnceCell;
#[cfg(feature = "url-patterns")]
use std::sync::Arc;

#[cfg(feature = "url-patterns")]
use crate::pattern_url::{Base, TopicUrl};
use crate::template::Runs;

/// A topic's bytes. Made for each look at a topic; not kept.
#[derive(Debug)]
pub struct TopicRef<'a> {
    bytes: &'a [u8],
    /// What templates need of it, once one has asked.
    runs: OnceCell<Runs>,
    /// As URL, once somebody has asked: for which base, and what it is.
    #[cfg(feature = "url-patterns")]
    url: OnceCell<(Arc<Base>, Option<TopicUrl>)>,
}

impl<'a> TopicRef<'a> {
    /// Of a topic's bytes.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self {
            bytes,
            runs: OnceCell::new(),
            #[cfg(feature = "url-patterns")]
            url: OnceCell::new(),
        }
    }

    /// The bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &'a [u8] {
        self.bytes
    }

    pub(crate) fn runs(&self) -> &Runs {
        self.runs.get_or_init(|| Runs::new(self.bytes))
    }

    /// Looks at the URL that it is or, relative to a base, leads to; `None` if it leads to none. It is worked out once for the first
    /// base that is asked for: a hub has one.
    #[cfg(feature = "url-patterns")]
    pub(crate) fn with_url<R>(
        &self,
        base: &Arc<Base>,
        look: impl FnOnce(Option<&TopicUrl>) -> R,
    ) -> R {
        let (first, url) = self
            .url
            .get_or_init(|| (Arc::clone(base), base.resolve(self.bytes)));
        if Arc::ptr_eq(first, base) || first == base {
            look(url.as_ref())
        } else {
            look(base.resolve(self.bytes).as_ref())
        }
    }
}
