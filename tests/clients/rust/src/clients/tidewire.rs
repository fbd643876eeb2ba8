//! `tidewire-client`: ours.

use tidewire_client::{CloseReason, EventSource, Item};

use crate::{Ask, Seen, Sight};

pub async fn run(ask: Ask, sight: Sight) -> Result<(), String> {
    let mut builder = EventSource::builder(&ask.url)
        .method(ask.method.parse().map_err(text)?)
        .comments(true);
    for (name, value) in &ask.headers {
        builder = builder.header(name, value);
    }
    if let Some(body) = ask.body {
        builder = builder.body(body);
    }
    if let Some(id) = &ask.last_event_id {
        builder = builder.last_event_id(id);
    }
    let mut source = builder.build().map_err(text)?;
    while let Some(item) = source.next().await {
        let seen = match item {
            Item::Open(_) => Seen::Open,
            Item::Event(event) => Seen::Event {
                id: event.last_event_id,
                kind: event.event_type,
                data: event.data,
            },
            Item::Comment(comment) => Seen::Comment(comment),
            Item::Reconnecting { error, .. } | Item::Closed(CloseReason::Failed(error)) => {
                Seen::Error(error.to_string())
            }
            _ => continue,
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
