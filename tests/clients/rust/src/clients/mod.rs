//! One module a client.

pub mod eventsource_client;
pub mod eventsource_stream;
pub mod reqwest_eventsource;
pub mod tidewire;
