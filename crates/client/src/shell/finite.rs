//! A finite stream in one call: asked for once, read to its end. Not here: how its end is told (see `Ends`).

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use futures_core::Stream;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, Method};
use tidewire_codec::Event;

use super::{Builder, EventSource};
use crate::machine::{Item, Opened};
use crate::{CloseReason, EndMark, Ends, Error, Options};

/// An answer that comes as an event stream and ends: a language model's, a job's progress.
///
/// It is asked for once. Whatever happens, no second request is made (redirects and [`Options::renew`] apart): what was asked for may
/// be under way, and paid for. A connection that breaks is an error, not an end.
///
/// ```no_run
/// # async fn example(key: &str) -> Result<(), tidewire_client::Error> {
/// use tidewire_client::FiniteStream;
///
/// let mut answer = FiniteStream::post("http://127.0.0.1:11434/v1/chat/completions")
///     .bearer_token(key)
///     .json(r#"{"model": "m", "stream": true, "messages": [{"role": "user", "content": "Why?"}]}"#)
///     .ends_at_data("[DONE]")
///     .send()
///     .await?;
/// while let Some(event) = answer.next_event().await? {
///     println!("{}", event.data);
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct FiniteStream {
    source: EventSource,
    opened: Opened,
}

impl FiniteStream {
    /// An answer to a POST.
    pub fn post(url: &str) -> FiniteStreamBuilder {
        FiniteStreamBuilder::new(url).method(Method::POST)
    }

    /// An answer to a GET.
    pub fn get(url: &str) -> FiniteStreamBuilder {
        FiniteStreamBuilder::new(url)
    }

    /// The next event, and `None` once the answer has ended as it should. What the stream says of errors in events of its own
    /// (`event: error`, or data like `{"error": ...}`) are events. `data: [DONE]` is none, but the end. Cancelling it loses nothing.
    ///
    /// # Errors
    /// Once, when the answer broke off; after that, `None`.
    pub async fn next_event(&mut self) -> Result<Option<Event>, Error> {
        std::future::poll_fn(|context| self.poll_event(context))
            .await
            .transpose()
    }

    /// [`FiniteStream::next_event`] for those who poll.
    pub fn poll_event(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Event, Error>>> {
        loop {
            match ready!(self.source.poll_item(context)) {
                Some(Item::Event(event)) => return Poll::Ready(Some(Ok(event))),
                Some(Item::Closed(CloseReason::Failed(error))) => {
                    return Poll::Ready(Some(Err(error)));
                }
                None => return Poll::Ready(None),
                Some(_) => {}
            }
        }
    }

    /// Where the answer came from, after redirects, and its headers.
    #[must_use]
    pub fn opened(&self) -> &Opened {
        &self.opened
    }

    /// The answer's headers: request ids, rate limits.
    #[must_use]
    pub fn headers(&self) -> &HeaderMap {
        &self.opened.headers
    }
}

impl Stream for FiniteStream {
    type Item = Result<Event, Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll_event(context)
    }
}

/// A request for an [`FiniteStream`].
#[derive(Clone, Debug)]
#[must_use]
pub struct FiniteStreamBuilder(Builder);

impl FiniteStreamBuilder {
    fn new(url: &str) -> Self {
        Self(EventSource::builder(url).options(|options| options.ends = Some(Ends::default())))
    }

    /// The method.
    pub fn method(self, method: Method) -> Self {
        Self(self.0.method(method))
    }

    /// Adds a header.
    pub fn header(self, name: &str, value: &str) -> Self {
        Self(self.0.header(name, value))
    }

    /// Sends `Authorization: Bearer <token>`.
    pub fn bearer_token(self, token: &str) -> Self {
        Self(self.0.bearer_token(token))
    }

    /// The body, which is JSON, and says so.
    pub fn json(self, text: impl Into<Bytes>) -> Self {
        let json = HeaderValue::from_static("application/json");
        self.options(|options| {
            options.headers.insert(CONTENT_TYPE, json);
        })
        .body(text)
    }

    /// The body.
    pub fn body(self, body: impl Into<Bytes>) -> Self {
        Self(self.0.body(body))
    }

    /// The answer ends with an event of exactly this data, which is not given: `[DONE]` at OpenAI's chat completions. Without it, it was cut.
    pub fn ends_at_data(self, data: &str) -> Self {
        self.ends_at(EndMark::Data(data.to_owned()))
    }

    /// The answer ends with an event of this type, which is given: `message_stop` at Anthropic; `response.completed`, `response.incomplete`
    /// and `response.failed` at OpenAI's responses. Without any that was named, it was cut.
    pub fn ends_at_type(self, event_type: &str) -> Self {
        self.ends_at(EndMark::Type(event_type.to_owned()))
    }

    fn ends_at(self, mark: EndMark) -> Self {
        self.options(|options| {
            let ends = options.ends.get_or_insert_default();
            ends.marks.push(mark);
            ends.required = true;
        })
    }

    /// Give up when nothing came for this long.
    pub fn silence_max(self, max: Duration) -> Self {
        Self(self.0.silence_max(max))
    }

    /// Changes any other option.
    pub fn options(self, change: impl FnOnce(&mut Options)) -> Self {
        Self(self.0.options(change))
    }

    /// Sends the request and waits for the answer to begin. Cancelling it drops the connection.
    ///
    /// # Errors
    /// Where no event stream comes: [`Error::detail`] then has the beginning of what came instead.
    pub async fn send(self) -> Result<FiniteStream, Error> {
        let mut source = self.0.build()?;
        while let Some(item) = source.next().await {
            match item {
                Item::Open(opened) => return Ok(FiniteStream { source, opened }),
                Item::Closed(CloseReason::Failed(error)) => return Err(error),
                _ => {}
            }
        }
        // With options that made an EventSource of it again.
        Err(Error::NoContent)
    }
}
