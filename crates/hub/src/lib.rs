//! A Server-Sent Events hub to embed in your own server
