//! `reqwest-eventsource` 0.6: reqwest's requests, made again.

use futures_util::StreamExt;
use reqwest_eventsource::retry::{ExponentialBackoff, Never};
use reqwest_eventsource::{Error, Event, RequestBuilderExt};

use crate::{Ask, Seen, Sight};

pub async fn run(ask: Ask, sight: Sight) -> Result<(), String> {
    let mut source = request(&client(&ask)?, &ask)?
        .eventsource()
        .map_err(|error| error.to_string())?;
    if let Some(delay) = ask.delay {
        let policy = ExponentialBackoff::new(delay, 2., None, None);
        source.set_retry_policy(Box::new(policy));
    }
    if ask.finite {
        source.set_retry_policy(Box::new(Never));
    }
    while let Some(item) = source.next().await {
        let is_event = matches!(item, Ok(Event::Message(_)));
        let seen = match item {
            Ok(Event::Open) => Seen::Open,
            Ok(Event::Message(event)) => Seen::Event {
                id: event.id,
                kind: event.event,
                data: event.data,
            },
            Err(Error::InvalidStatusCode(status, answer)) => {
                let body = answer.text().await.unwrap_or_default();
                Seen::Error(format!("{status}: {body}"))
            }
            // The end of a finite stream is an error by name only.
            Err(Error::StreamEnded) if ask.finite => continue,
            Err(error) => Seen::Error(error.to_string()),
        };
        if sight.send(seen).is_err() || (is_event && ask.drop_after_first) {
            break;
        }
        if is_event && ask.close_after_first {
            source.close();
            while source.next().await.is_some() {}
            std::future::pending::<()>().await;
        }
    }
    Ok(())
}

/// A client of reqwest; its limit of silence is its read timeout.
pub(super) fn client(ask: &Ask) -> Result<reqwest::Client, String> {
    let mut builder = reqwest::Client::builder();
    if let Some(max) = ask.silence_max {
        builder = builder.read_timeout(max);
    }
    builder.build().map_err(|error| error.to_string())
}

/// A request of reqwest; an initial id is a header like others.
pub(super) fn request(
    client: &reqwest::Client,
    ask: &Ask,
) -> Result<reqwest::RequestBuilder, String> {
    let method = ask.method();
    let method = method
        .parse()
        .map_err(|_| format!("{method} is no method"))?;
    let mut request = client.request(method, &ask.url);
    for (name, value) in &ask.headers {
        request = request.header(*name, value);
    }
    if let Some((name, value)) = ask.secret {
        let mut value = reqwest::header::HeaderValue::from_static(value);
        value.set_sensitive(true);
        request = request.header(name, value);
    }
    if let Some(id) = &ask.last_event_id {
        request = request.header("last-event-id", id);
    }
    if let Some(body) = &ask.body {
        request = request.body(body.clone());
    }
    Ok(request)
}
