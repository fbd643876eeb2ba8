//! `eventsource-client` of LaunchDarkly, 0.16.
//!
//! "Do not use the stream after it returned an error!", says its documentation of `stream`; and yet its own example ends with the
//! first error, also with that of a connection that it is about to make again. Its stream goes on if it is polled on, as here.

use std::time::Duration;

use eventsource_client::{Client, ClientBuilder, Error, ReconnectOptions, SSE};
use futures_util::StreamExt;

use crate::{Ask, Seen, Sight};

pub async fn run(ask: Ask, sight: Sight) -> Result<(), String> {
    let reconnect = ReconnectOptions::reconnect(!ask.finite)
        .retry_initial(!ask.finite)
        .delay(ask.delay.unwrap_or(Duration::from_secs(1)))
        .build();
    let mut builder = ClientBuilder::for_url(&ask.url)
        .map_err(text)?
        .method(ask.method().to_owned())
        .reconnect(reconnect);
    for (name, value) in &ask.headers {
        builder = builder.header(name, value).map_err(text)?;
    }
    if let Some((name, value)) = ask.secret {
        // Only by its text: a value cannot be marked.
        builder = builder.header(name, value).map_err(text)?;
    }
    if let Some(body) = ask.body {
        builder = builder.body(body);
    }
    if let Some(id) = ask.last_event_id {
        builder = builder.last_event_id(id);
    }
    if let Some(max) = ask.silence_max {
        builder = builder.read_timeout(max);
    }
    let mut stream = builder.build_http().stream();
    while let Some(item) = stream.next().await {
        let is_event = matches!(item, Ok(SSE::Event(_)));
        let seen = match item {
            Ok(SSE::Connected(_)) => Seen::Open,
            Ok(SSE::Event(event)) => Seen::Event {
                id: event.id.unwrap_or_default(),
                kind: event.event_type,
                data: event.data,
            },
            Ok(SSE::Comment(comment)) => Seen::Comment(comment),
            Err(Error::UnexpectedResponse(answer, body)) => {
                let body = body.body_bytes().await.unwrap_or_default();
                let body = String::from_utf8_lossy(&body);
                Seen::Error(format!("{}: {body}", answer.status()))
            }
            // The end of a finite stream is an error by name only. Whether it asks again is then its own doing.
            Err(Error::Eof) if ask.finite => continue,
            Err(error) => Seen::Error(error.to_string()),
        };
        if sight.send(seen).is_err() || (is_event && ask.drop_after_first) {
            break;
        }
        if is_event && ask.close_after_first {
            // There is no `close`; who keeps the stream keeps its connection.
            std::future::pending::<()>().await;
        }
    }
    Ok(())
}

fn text(error: impl ToString) -> String {
    error.to_string()
}
