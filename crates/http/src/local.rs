//! Subscribing without HTTP: for whoever embeds the hub and has decided on its own who may read what.

use std::fmt;

use tidewire_core::{Filter, Form, Grant};
use tidewire_engine::driver::pull::PullStream;
use tidewire_engine::{Checkpoint, Marks, Subscription};
use tidewire_log::Start;

use crate::front::{Front, random_u64};
use crate::peer::Transport;
use crate::presence;
use crate::stream::StreamBody;

/// What an embedder subscribes to. Nothing narrows it further.
#[derive(Clone, Debug)]
pub struct Subscribe {
    /// Which events.
    pub filter: Filter,
    /// Where to start.
    pub start: Start,
    /// In which form.
    pub form: Form,
    /// How the stream says where it is.
    pub checkpoint: Checkpoint,
}

/// Why there is no stream. Temporary: trying again helps, unless the hub is ending.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SubscribeError {
    /// As many subscribers are connected as [`crate::Limits::subscribers_max`] allows.
    Subscribers,
    /// The hub is ending.
    Draining,
    /// The log gave no answer.
    Log,
}

impl fmt::Display for SubscribeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Subscribers => "as many subscribers are connected as the hub serves",
            Self::Draining => "the hub is ending",
            Self::Log => "the log does not say where the stream starts",
        })
    }
}

impl std::error::Error for SubscribeError {}

impl Front {
    /// Opens a stream; its body has no HTTP framing. Must be called and polled inside a tokio runtime.
    ///
    /// # Errors
    /// Says why not.
    pub async fn subscribe(&self, subscribe: Subscribe) -> Result<StreamBody, SubscribeError> {
        if self.is_draining() {
            return Err(SubscribeError::Draining);
        }
        let admitted = self.revocations().admit();
        let asked = format!("{:?}", subscribe.start);
        let located = self
            .locate(subscribe.start, subscribe.filter.routing.clone())
            .await;
        let located = located.map_err(|_| SubscribeError::Log)?;
        let slot = self
            .slots()
            .take(subscribe.form, Transport::Embedded)
            .ok_or(SubscribeError::Subscribers)?;
        self.counting().streams.one();
        if located.gap.is_some() {
            self.counting().gaps.one();
        }
        let arrival = self.presence().map(|presence| {
            // Nobody's token says anything of an embedder's own subscriber.
            presence.arrival(&subscribe.filter.routing, &Grant::default())
        });
        let subscription = Subscription {
            feed: self.feed().clone(),
            filter: subscribe.filter,
            from: located.from,
            gap: located.gap.map(|gap| (asked, gap)),
            form: subscribe.form,
            checkpoint: subscribe.checkpoint,
            stream: String::new(),
            ends_ms: None,
            marks: Marks::NONE,
            seen_as: presence::seen_as(arrival.as_deref()),
        };
        let stream = PullStream::new(&self.settings().streams, random_u64(), subscription)
            .counted(self.share());
        let on_end = presence::begin(arrival, None);
        Ok(StreamBody::new(
            self,
            Vec::new(),
            stream,
            slot.until_end(on_end),
            admitted,
        ))
    }
}
