//! Readers of an embedder: who reads is known by the embedder's own login, which says here what may be read. Everything else about a
//! request for a stream is as on the hub's own paths.
//!
//! Not here: streams without a request ([`crate::Subscribe`]), and tokens.

use axum::response::Response;
use http::request::Parts;
use tidewire_core::{Grant, Matcher, MatcherSet, Topic};
use tidewire_engine::{Marks, Target};

use crate::counters::Reason;
use crate::front::Front;
use crate::revocations::Admitted;
use crate::stream;

/// Who reads, and what: made by [`Front::reader`] before it is looked up who asks, and spent by [`Front::answer`].
///
/// It gets public events of the topics that are named here, and private ones where that is said too.
#[derive(Clone, Debug)]
#[must_use = "a reader gets nothing before it is answered"]
pub struct Reader {
    admitted: Admitted,
    routing: Vec<Matcher>,
    private: Vec<Matcher>,
    grant: Grant,
}

impl Reader {
    /// Gets this topic's public events.
    pub fn topic(self, topic: Topic) -> Self {
        self.matching(Matcher::Exact(topic))
    }

    /// Gets all events of this topic, the private ones too.
    pub fn private_topic(self, topic: Topic) -> Self {
        self.private_matching(Matcher::Exact(topic))
    }

    /// Gets the public events of all topics that match; [`Front::patterns`] makes matchers.
    pub fn matching(mut self, topics: Matcher) -> Self {
        self.routing.push(topics);
        self
    }

    /// Gets all events of all topics that match, the private ones too.
    pub fn private_matching(mut self, topics: Matcher) -> Self {
        self.private.push(topics.clone());
        self.matching(topics)
    }

    /// Who it is: by this name [`Front::end_user`] ends its streams, and they are counted against
    /// [`crate::Limits::streams_per_subject_max`].
    pub fn user(mut self, name: impl Into<String>) -> Self {
        self.grant.subject = Some(name.into());
        self
    }

    /// Its login: by this name [`Front::end_session`] ends its streams. It is kept as a hash only.
    pub fn session(mut self, id: impl Into<String>) -> Self {
        self.grant.token_id = Some(id.into());
        self
    }

    /// When its stream ends, in milliseconds since 1970. A page's EventSource comes again then, and is looked at anew.
    pub fn until_ms(mut self, ends_ms: u64) -> Self {
        self.grant.expires_ms = Some(ends_ms);
        self
    }
}

impl Front {
    /// A reader who gets nothing yet. Make it before you look up who asks: if that user or session is ended while the request is
    /// on its way ([`Front::end_user`], [`Front::end_session`]), so is the stream.
    pub fn reader(&self) -> Reader {
        Reader {
            admitted: self.revocations().admit(),
            routing: Vec::new(),
            private: Vec::new(),
            grant: Grant {
                subscribe: true,
                ..Grant::default()
            },
        }
    }

    /// Answers a request for a stream, on any path of the embedder's. As on the hub's own, `Accept` chooses the form, and a last event
    /// id or `since=` where it begins; of the query it knows `last_event_id`, `since`, `checkpoint`, `label`, `padding`, `limit` and
    /// `wait`, and leaves the rest to the embedder. What cannot be answered is a problem document.
    ///
    /// Only GET and HEAD, for the caller has routed the request. Must be called, and its body polled, inside a tokio runtime.
    pub async fn answer(&self, request: &Parts, reader: Reader) -> Response {
        let mut grant = reader.grant;
        grant.private = MatcherSet::from_iter(reader.private);
        let routing = MatcherSet::from_iter(reader.routing);
        let response = stream::embedded(self, request, routing, &grant, reader.admitted).await;
        if let Some(reason) = response.extensions().get::<Reason>() {
            self.counting().refuse(*reason);
        }
        response
    }

    /// Ends every stream of this user, between frames. Nothing is refused from here on: whoever is to stay away must not be given a
    /// [`Reader`] again.
    pub fn end_user(&self, name: &str) {
        self.end_marked(self.streams().marks(None, Some(name), None));
    }

    /// Ends every stream of this session, as at its logout.
    pub fn end_session(&self, id: &str) {
        self.end_marked(self.streams().marks(None, None, Some(id)));
    }

    fn end_marked(&self, marks: Marks) {
        let target = Target::Marks(marks);
        // First those that are on their way, so that none slips between.
        self.revocations()
            .end_arriving(target.clone(), self.now_ms());
        // All are told now; how many they are would have to be waited for.
        drop(self.streams().end(target));
    }
}
