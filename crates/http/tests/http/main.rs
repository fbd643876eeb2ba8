//! The HTTP contract, tried with real sockets: a listener on port 0, the memory log, and clients that write raw bytes.

mod access_log;
mod alike;
mod backend;
mod batches;
mod certificates;
mod connections;
mod dialects;
mod door;
mod fetched_keys;
mod hook;
mod http2;
mod injection;
mod kinds;
mod metrics;
mod pages;
mod plain;
mod presence;
mod publishing;
mod reference;
mod renewing;
mod revoking;
mod secrecy;
mod server;
mod subscribing;
mod tls;
mod troubles;
