//! `eventsource-stream` 0.2 over reqwest: a parser. All else is the program's; [`Ask::by_hand`] writes the least of it.

use std::time::Duration;

use eventsource_stream::Eventsource;
use futures_util::StreamExt;

use super::reqwest_eventsource::{client, request};
use crate::{Ask, Seen, Sight};

pub async fn run(mut ask: Ask, sight: Sight) -> Result<(), String> {
    let client = client(&ask)?;
    loop {
        if let Err(error) = once(&client, &mut ask, &sight).await {
            let _ = sight.send(Seen::Error(error));
        }
        if !ask.by_hand || sight.is_closed() {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

async fn once(client: &reqwest::Client, ask: &mut Ask, sight: &Sight) -> Result<(), String> {
    let answer = request(client, ask)?.send().await;
    let answer = answer.map_err(|error| error.to_string())?;
    if !answer.status().is_success() {
        let status = answer.status();
        let body = answer.text().await.unwrap_or_default();
        return Err(format!("{status}: {body}"));
    }
    let _ = sight.send(Seen::Open);
    let mut events = answer.bytes_stream().eventsource();
    while let Some(event) = events.next().await {
        let event = event.map_err(|error| error.to_string())?;
        if ask.by_hand && !event.id.is_empty() {
            ask.last_event_id = Some(event.id.clone());
        }
        let seen = Seen::Event {
            id: event.id,
            kind: event.event,
            data: event.data,
        };
        if sight.send(seen).is_err() || ask.drop_after_first {
            break;
        }
        if ask.close_after_first {
            // There is no `close`; who keeps the stream keeps its connection.
            std::future::pending::<()>().await;
        }
    }
    Ok(())
}
