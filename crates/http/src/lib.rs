//! HTTP for the hub. Thin: a subscribe becomes a grant, a filter and a cursor, and a stream of the engine's; a publish becomes
//! events and an append.
//!
//! This is the only crate that knows a web framework. It reads no configuration and decides on no token itself
//! (`tidewire-auth` does). Start reading at [`router`] for what is answered, at [`serve`] for how connections are.

mod accept;
mod access;
mod access_log;
mod address;
mod ask;
mod body;
mod connection;
mod counters;
mod date;
mod event;
mod fetch;
mod files;
mod front;
mod hook;
mod http1;
mod http2;
mod io;
mod keys;
mod limits;
mod local;
mod manner;
mod metrics;
mod page;
mod peer;
mod place;
mod plain;
mod presence;
mod problem;
mod publish;
mod query;
mod rates;
mod reader;
mod refusal;
mod revocations;
mod router;
mod said;
mod serve;
mod signed;
mod site;
mod slots;
mod start;
mod stream;
mod streams;
mod takeover;
mod tls;
mod token;

pub use access::{Access, Hosts, OriginError, Origins, is_loopback, origin_as_sent};
pub use access_log::{AccessLog, AccessLogCounters, AccessLogFormat};
pub use address::{ForwardedHeader, TrustedProxies};
pub use counters::Counters;
pub use event::NAME_BYTES_MAX;
pub use fetch::{FetchSettings, RemoteUrl, RemoteUrlError};
pub use front::{Clock, Front, Settings};
pub use hook::{HookSettings, HookToken};
pub use keys::{FetchedKeys, KeySource, KeyStatus, KeysFrom, KeysOf, Roles};
pub use limits::Limits;
pub use local::{Subscribe, SubscribeError};
pub use metrics::{AdminAccess, AdminToken, AdminTokenError, admin_router, serve_admin};
pub use place::{HUB_PATH, PlaceError, check_place};
pub use reader::Reader;
pub use revocations::{HubStore, MemoryStore, StoreError};
pub use router::router;
pub use serve::{serve, tend};
pub use stream::StreamBody;
pub use tls::{PemError, Tls, TlsError};
pub use token::is_cookie_name;

pub use axum::Router;
pub use axum::response::Response;
