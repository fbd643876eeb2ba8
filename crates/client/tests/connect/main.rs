//! The shell over TLS, HTTP/2 and proxies, against servers that do exactly what a test says.

#![cfg(feature = "tls")]

mod http2;
mod proxy;
mod server;
mod tls;
