//! A connection's bytes, whatever they go through: TCP, TLS, a tunnel, TLS in a tunnel in TLS.

use std::sync::{Arc, OnceLock};

use tokio::io::{AsyncRead, AsyncWrite};

use crate::Error;

pub(super) trait Link: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Link for T {}

/// Dropping it closes the socket below.
pub(super) type Socket = Box<dyn Link>;

/// Why a connection broke, in its own words, if it had any.
pub(super) type Trouble = Arc<OnceLock<Error>>;
