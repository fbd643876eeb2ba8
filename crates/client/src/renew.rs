//! Headers that are asked for anew before each connection. Not here: when (see `machine`), and who runs the callback.

use std::error::Error as StdError;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use http::StatusCode;
use http::header::{AUTHORIZATION, HeaderMap, HeaderValue};

use crate::BuildError;

/// Why headers are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Renewal {
    /// A connection is about to be made.
    Connect,
    /// The server refused the headers given last: 401 or 403. The same ones again will not do.
    Refused(StatusCode),
}

/// What a callback's answer is awaited as.
pub type Renewed = Pin<Box<dyn Future<Output = Result<HeaderMap, RenewError>> + Send>>;

/// A callback that gives the headers of the next connection.
#[derive(Clone)]
pub struct RenewHeaders(Arc<dyn Fn(Renewal) -> Renewed + Send + Sync>);

impl RenewHeaders {
    /// The callback `renew`.
    pub fn new<F, R>(renew: F) -> Self
    where
        F: Fn(Renewal) -> R + Send + Sync + 'static,
        R: Future<Output = Result<HeaderMap, RenewError>> + Send + 'static,
    {
        Self(Arc::new(move |why| Box::pin(renew(why))))
    }

    /// Asks it.
    #[must_use]
    pub fn ask(&self, why: Renewal) -> Renewed {
        self.0(why)
    }
}

impl fmt::Debug for RenewHeaders {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RenewHeaders(..)")
    }
}

/// `Authorization: Bearer <token>`, as what a callback gives.
///
/// # Errors
/// When the token cannot be sent in a header; that is final.
pub fn bearer(token: &str) -> Result<HeaderMap, RenewError> {
    let mut headers = HeaderMap::new();
    headers.insert(AUTHORIZATION, bearer_value(token)?);
    Ok(headers)
}

/// A bearer token as a value that `Debug` does not show and that never goes to another origin.
pub(crate) fn bearer_value(token: &str) -> Result<HeaderValue, BuildError> {
    let value = HeaderValue::from_str(&format!("Bearer {token}"));
    let mut value = value.map_err(|_| BuildError::Header("authorization".to_owned()))?;
    value.set_sensitive(true);
    Ok(value)
}

/// A callback could give no headers. It says itself whether asking it again may help.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RenewError {
    cause: String,
    temporary: bool,
}

impl RenewError {
    /// Asking again may help: whoever issues tokens could not be reached. The client waits and asks again.
    pub fn temporary(cause: impl fmt::Display) -> Self {
        Self {
            cause: cause.to_string(),
            temporary: true,
        }
    }

    /// Asking again does not help: the user has signed out. The client stops for good.
    pub fn last(cause: impl fmt::Display) -> Self {
        Self {
            cause: cause.to_string(),
            temporary: false,
        }
    }

    /// True when asking again may help.
    #[must_use]
    pub fn is_temporary(&self) -> bool {
        self.temporary
    }
}

impl fmt::Display for RenewError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no headers for the request: {}", self.cause)
    }
}

impl StdError for RenewError {}

impl From<BuildError> for RenewError {
    fn from(error: BuildError) -> Self {
        Self::last(error)
    }
}
