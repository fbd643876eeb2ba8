//! `tidewire-client`: ours.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use reqwest::header::HeaderValue;
use tidewire_client::{
    Builder, CloseReason, Error, Event, EventSource, FiniteStream, Item, Limits, bearer,
};

use crate::{Ask, Seen, Sight};

pub async fn run(ask: Ask, sight: Sight) -> Result<(), String> {
    if ask.finite {
        return finite(ask, sight).await;
    }
    let mut builder = EventSource::builder(&ask.url)
        .method(ask.method().parse().map_err(text)?)
        .comments(true);
    for (name, value) in &ask.headers {
        builder = builder.header(name, value);
    }
    if let Some(body) = &ask.body {
        builder = builder.body(body.clone());
    }
    if let Some(id) = &ask.last_event_id {
        builder = builder.last_event_id(id);
    }
    let mut source = options(builder, &ask).build().map_err(text)?;
    while let Some(item) = source.next().await {
        let is_event = matches!(item, Item::Event(_));
        let seen = match item {
            Item::Open(_) => Seen::Open,
            Item::Event(event) => of(event),
            Item::Comment(comment) => Seen::Comment(comment),
            Item::Reconnecting { error, .. } | Item::Closed(CloseReason::Failed(error)) => {
                failed(&error)
            }
            _ => continue,
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

fn options(mut builder: Builder, ask: &Ask) -> Builder {
    if let Some(delay) = ask.delay {
        builder = builder.retry(delay);
    }
    if let Some(max) = ask.silence_max {
        builder = builder.silence_max(max);
    }
    if let Some(max) = ask.bytes_max {
        builder = builder.limits(Limits {
            line_bytes_max: max,
            event_bytes_max: max,
        });
    }
    if let Some((name, value)) = ask.secret {
        let mut value = HeaderValue::from_static(value);
        value.set_sensitive(true);
        builder = builder.options(|options| {
            options.headers.insert(name, value);
        });
    }
    if ask.dedup {
        builder = builder.dedup(100);
    }
    if ask.renew {
        let count = Arc::new(AtomicU32::new(0));
        builder = builder.renew(move |_| {
            let number = count.fetch_add(1, Ordering::Relaxed) + 1;
            async move { bearer(&number.to_string()) }
        });
    }
    builder
}

async fn finite(ask: Ask, sight: Sight) -> Result<(), String> {
    let mut request = FiniteStream::get(&ask.url).method(ask.method().parse().map_err(text)?);
    for (name, value) in &ask.headers {
        request = request.header(name, value);
    }
    if let Some(body) = &ask.body {
        request = request.body(body.clone());
    }
    let mut answer = match request.send().await {
        Ok(answer) => answer,
        Err(error) => {
            let _ = sight.send(failed(&error));
            return Ok(());
        }
    };
    let _ = sight.send(Seen::Open);
    loop {
        match answer.next_event().await {
            Ok(Some(event)) => drop(sight.send(of(event))),
            Ok(None) => return Ok(()),
            Err(error) => drop(sight.send(failed(&error))),
        }
    }
}

fn of(event: Event) -> Seen {
    Seen::Event {
        id: event.last_event_id,
        kind: event.event_type,
        data: event.data,
    }
}

fn failed(error: &Error) -> Seen {
    Seen::Error(error.to_string())
}

fn text(error: impl ToString) -> String {
    error.to_string()
}
