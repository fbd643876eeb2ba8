//! `reqwest-eventsource` 0.6: reqwest's requests, made again.

use futures_util::StreamExt;
use reqwest_eventsource::{Event, RequestBuilderExt};

use crate::{Ask, Seen, Sight};

pub async fn run(ask: Ask, sight: Sight) -> Result<(), String> {
    let mut source = request(&reqwest::Client::new(), &ask)?
        .eventsource()
        .map_err(|error| error.to_string())?;
    while let Some(item) = source.next().await {
        let seen = match item {
            Ok(Event::Open) => Seen::Open,
            Ok(Event::Message(event)) => Seen::Event {
                id: event.id,
                kind: event.event,
                data: event.data,
            },
            Err(error) => Seen::Error(error.to_string()),
        };
        if sight.send(seen).is_err() {
            break;
        }
    }
    Ok(())
}

/// A request of reqwest; an initial id is a header like others.
pub(super) fn request(
    client: &reqwest::Client,
    ask: &Ask,
) -> Result<reqwest::RequestBuilder, String> {
    let method = ask
        .method
        .parse()
        .map_err(|_| format!("{} is no method", ask.method))?;
    let mut request = client.request(method, &ask.url);
    for (name, value) in &ask.headers {
        request = request.header(*name, value);
    }
    if let Some(id) = &ask.last_event_id {
        request = request.header("last-event-id", id);
    }
    if let Some(body) = &ask.body {
        request = request.body(body.clone());
    }
    Ok(request)
}
