//! `eventsource-client` of LaunchDarkly, 0.16.
//!
//! "Do not use the stream after it returned an error!", says its documentation of `stream`; and yet its own example ends with the
//! first error, also with that of a connection that it is about to make again. Its stream goes on if it is polled on, as here.

use std::time::Duration;

use eventsource_client::{Client, ClientBuilder, ReconnectOptions, SSE};
use futures_util::StreamExt;

use crate::{Ask, Seen, Sight};

pub async fn run(ask: Ask, sight: Sight) -> Result<(), String> {
    let reconnect = ReconnectOptions::reconnect(true)
        .retry_initial(true)
        .delay(Duration::from_secs(1))
        .build();
    let mut builder = ClientBuilder::for_url(&ask.url)
        .map_err(text)?
        .method(ask.method.to_owned())
        .reconnect(reconnect);
    for (name, value) in &ask.headers {
        builder = builder.header(name, value).map_err(text)?;
    }
    if let Some(body) = ask.body {
        builder = builder.body(body);
    }
    if let Some(id) = ask.last_event_id {
        builder = builder.last_event_id(id);
    }
    let mut stream = builder.build_http().stream();
    while let Some(item) = stream.next().await {
        let seen = match item {
            Ok(SSE::Connected(_)) => Seen::Open,
            Ok(SSE::Event(event)) => Seen::Event {
                id: event.id.unwrap_or_default(),
                kind: event.event_type,
                data: event.data,
            },
            Ok(SSE::Comment(comment)) => Seen::Comment(comment),
            Err(error) => Seen::Error(error.to_string()),
        };
        if sight.send(seen).is_err() {
            break;
        }
    }
    Ok(())
}

fn text(error: impl ToString) -> String {
    error.to_string()
}
