//! Four clients behind one face: given what to ask for, each says what it sees. Not here: what that is worth.
//!
//! Each is driven as its README says, with the options that it has; what it lacks is not made up for, but where
//! [`Ask::by_hand`] asks for it (a parser alone reconnects nothing).

pub mod cases;
pub mod clients;
pub mod judge;
pub mod server;
pub mod table;

use std::time::Duration;

use tokio::sync::mpsc::UnboundedSender;

/// What a client is told. What it has no option for is not done: then the case that asks for it fails, and says so.
#[derive(Clone, Debug, Default)]
pub struct Ask {
    pub url: String,
    /// GET where it is empty.
    pub method: &'static str,
    pub headers: Vec<(&'static str, String)>,
    /// A header that the client is told is secret, where it can be told.
    pub secret: Option<(&'static str, &'static str)>,
    pub body: Option<String>,
    pub last_event_id: Option<String>,
    /// What a client cannot do itself and every program that uses it has to: for the parser alone, the loop that reconnects.
    pub by_hand: bool,
    /// The first delay before a reconnect; the client's own where it is not set.
    pub delay: Option<Duration>,
    /// Give a connection up after so long a silence.
    pub silence_max: Option<Duration>,
    /// Refuse lines and events beyond so many bytes.
    pub bytes_max: Option<usize>,
    /// Ask the program for headers before each connection: `Authorization: Bearer 1`, then 2, ...
    pub renew: bool,
    /// Drop what a server repeats.
    pub dedup: bool,
    /// A stream that ends, and is not asked for again.
    pub finite: bool,
    /// Call `close`, or what is like it, after the first event, and keep the client.
    pub close_after_first: bool,
    /// Drop the client after the first event.
    pub drop_after_first: bool,
}

impl Ask {
    pub fn get(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            ..Self::default()
        }
    }

    fn method(&self) -> &'static str {
        match self.method {
            "" => "GET",
            method => method,
        }
    }
}

/// What a client sees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    Open,
    Event {
        id: String,
        kind: String,
        data: String,
    },
    Comment(String),
    /// An error that the program is told; more may follow.
    Error(String),
}

pub type Sight = UnboundedSender<Seen>;

/// The clients, by the names of their crates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Client {
    Tidewire,
    EventsourceClient,
    ReqwestEventsource,
    EventsourceStream,
}

impl Client {
    pub const ALL: [Self; 4] = [
        Self::Tidewire,
        Self::EventsourceClient,
        Self::ReqwestEventsource,
        Self::EventsourceStream,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::Tidewire => "tidewire-client",
            Self::EventsourceClient => "eventsource-client",
            Self::ReqwestEventsource => "reqwest-eventsource",
            Self::EventsourceStream => "eventsource-stream",
        }
    }

    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|client| client.name() == name)
    }

    /// Runs until the client has ended for good; an error is one that comes before anything is sent.
    pub async fn run(self, ask: Ask, sight: Sight) -> Result<(), String> {
        match self {
            Self::Tidewire => clients::tidewire::run(ask, sight).await,
            Self::EventsourceClient => clients::eventsource_client::run(ask, sight).await,
            Self::ReqwestEventsource => clients::reqwest_eventsource::run(ask, sight).await,
            Self::EventsourceStream => clients::eventsource_stream::run(ask, sight).await,
        }
    }
}
