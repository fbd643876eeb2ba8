//! A reconnecting EventSource client: a machine without I/O, and a tokio shell around it
