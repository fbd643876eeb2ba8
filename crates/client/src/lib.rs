//! A reconnecting EventSource (WHATWG HTML, section 9.2) for programs.
//!
//! [`machine`] holds every rule and does no I/O: it is told what happened and when, and says what to do. `EventSource`
//! (feature `tokio`, on by default) is a shell around it: HTTP/1.1 and HTTP/2, over TLS (feature `tls`, on by default), through
//! proxies ([`connect`]); polled by its owner, no task spawned, so that dropping it closes the connection.
//!
//! ```no_run
//! # #[cfg(feature = "tokio")]
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use tidewire_client::{EventSource, Item};
//!
//! let mut source = EventSource::builder("http://127.0.0.1:8080/topics/clock").last_event_id("#1-42").build()?;
//! while let Some(item) = source.next().await {
//!     match item {
//!         Item::Event(event) => println!("{}: {}", event.last_event_id, event.data),
//!         Item::Reconnecting { error, delay } => eprintln!("{error}; again in {delay:?}"),
//!         Item::Closed(reason) => eprintln!("{reason}"),
//!         _ => {}
//!     }
//! }
//! # Ok(())
//! # }
//! ```
//!
//! `FiniteStream` is for streams that end, such as a language model's answer: asked for once, read to the end.
//!
//! What a browser's EventSource does and this does too: 204 ends for good, so does any other refusal or content type;
//! a lost connection is made again after `retry`, with `Last-Event-ID`. What it does besides: 429, 502, 503 and 504 are
//! tried again (with `Retry-After`), delays are jittered and grow, silence can be given a limit, headers can be renewed by a callback,
//! events go to handlers by type ([`Dispatcher`]), repeats can be dropped. [`Options`] has all of it, with the defaults.

mod backoff;
pub mod connect;
mod dispatch;
mod ends;
mod error;
mod head;
pub mod machine;
mod options;
mod renew;
#[cfg(feature = "tokio")]
mod shell;

pub use dispatch::Dispatcher;
pub use ends::{EndMark, Ends};
pub use error::{BuildError, CloseReason, Error, RedirectError};
pub use machine::{Item, Opened, State};
pub use options::Options;
pub use renew::{RenewError, RenewHeaders, Renewal, Renewed, bearer};
#[cfg(feature = "tls")]
pub use shell::tls_config;
#[cfg(feature = "tokio")]
pub use shell::{
    Answer, Body, Builder, Closer, Dialer, Driver, EventSource, FiniteStream, FiniteStreamBuilder,
    Sender,
};
pub use tidewire_codec::{Event, Limits};

/// The examples of README.md are tests.
#[cfg(all(doctest, feature = "tokio"))]
#[doc = include_str!("../README.md")]
struct Readme;
