//! Handlers by event type, as `addEventListener` has them. Not here: where the items come from.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use tidewire_codec::Event;

use crate::{Error, Item, Opened};

type OnEvent<'a> = Box<dyn FnMut(&Event) + Send + 'a>;
type OnOpen<'a> = Box<dyn FnMut(&Opened) + Send + 'a>;
type OnReconnecting<'a> = Box<dyn FnMut(&Error, Duration) + Send + 'a>;

/// What to do with the items of a client, by the type of the event.
///
/// An event goes to all handlers of its type, in the order in which they were given, and where there are none to those of
/// [`Dispatcher::otherwise`]. `open` and `error` are types like others here: what happens to the connection has handlers of its own.
///
/// ```
/// use tidewire_client::{Dispatcher, Event, Item};
///
/// let mut orders = Vec::new();
/// let mut dispatcher = Dispatcher::new()
///     .on("order", |event| orders.push(event.data.clone()))
///     .otherwise(|event| eprintln!("{} is new to us", event.event_type));
/// let event = |kind: &str, data: &str| Event {
///     event_type: kind.to_owned(),
///     data: data.to_owned(),
///     last_event_id: String::new(),
/// };
/// dispatcher.dispatch(&Item::Event(event("order", "coffee")));
/// dispatcher.dispatch(&Item::Event(event("weather", "rain")));
/// drop(dispatcher);
/// assert_eq!(orders, ["coffee"]);
/// ```
#[derive(Default)]
#[must_use]
pub struct Dispatcher<'a> {
    by_type: BTreeMap<String, Vec<OnEvent<'a>>>,
    others: Vec<OnEvent<'a>>,
    open: Vec<OnOpen<'a>>,
    reconnecting: Vec<OnReconnecting<'a>>,
}

impl<'a> Dispatcher<'a> {
    /// One without handlers: it drops every item.
    pub fn new() -> Self {
        Self::default()
    }

    /// Calls `handler` for each event of this type; events without a type have the type `message`.
    pub fn on(mut self, event_type: &str, handler: impl FnMut(&Event) + Send + 'a) -> Self {
        let handlers = self.by_type.entry(event_type.to_owned()).or_default();
        handlers.push(Box::new(handler));
        self
    }

    /// Calls `handler` for each event of a type that has no handler.
    pub fn otherwise(mut self, handler: impl FnMut(&Event) + Send + 'a) -> Self {
        self.others.push(Box::new(handler));
        self
    }

    /// Calls `handler` for each stream that is opened.
    pub fn on_open(mut self, handler: impl FnMut(&Opened) + Send + 'a) -> Self {
        self.open.push(Box::new(handler));
        self
    }

    /// Calls `handler` for each connection that was lost or not made, with the delay until the next.
    pub fn on_reconnecting(mut self, handler: impl FnMut(&Error, Duration) + Send + 'a) -> Self {
        self.reconnecting.push(Box::new(handler));
        self
    }

    /// Gives an item to its handlers; false where there is none.
    pub fn dispatch(&mut self, item: &Item) -> bool {
        match item {
            Item::Event(event) => {
                let handlers = self.by_type.get_mut(&event.event_type);
                let handlers = handlers.unwrap_or(&mut self.others);
                handlers.iter_mut().for_each(|handler| handler(event));
                !handlers.is_empty()
            }
            Item::Open(opened) => {
                self.open.iter_mut().for_each(|handler| handler(opened));
                !self.open.is_empty()
            }
            Item::Reconnecting { error, delay } => {
                let handlers = &mut self.reconnecting;
                handlers
                    .iter_mut()
                    .for_each(|handler| handler(error, *delay));
                !handlers.is_empty()
            }
            _ => false,
        }
    }
}

impl fmt::Debug for Dispatcher<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let types: Vec<_> = self.by_type.keys().collect();
        f.debug_struct("Dispatcher")
            .field("types", &types)
            .finish_non_exhaustive()
    }
}
