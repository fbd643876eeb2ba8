//! The far end of a request's connection, and what the connection is made of.

use std::net::{IpAddr, SocketAddr};

use http::Version;
use http::request::Parts;

/// What a stream runs over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transport {
    /// HTTP/1 without TLS.
    Plain,
    /// HTTP/1 over TLS.
    Tls,
    /// HTTP/2, over TLS or not.
    Http2,
    /// A server that is not ours.
    Embedded,
}

impl Transport {
    pub(crate) const ALL: [Self; 4] = [Self::Plain, Self::Tls, Self::Http2, Self::Embedded];

    pub(crate) fn of(request: &Parts) -> Self {
        match request.extensions.get::<Peer>() {
            None => Self::Embedded,
            Some(_) if request.version == Version::HTTP_2 => Self::Http2,
            Some(Peer { is_tls: true, .. }) => Self::Tls,
            Some(_) => Self::Plain,
        }
    }

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Tls => "tls",
            Self::Http2 => "http2",
            Self::Embedded => "embedded",
        }
    }
}

/// The far end of the connection that a request came by. In the extensions of each request that our own server serves.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer {
    /// `None` if the system does not know it any more.
    pub(crate) address: Option<SocketAddr>,
    pub(crate) is_tls: bool,
}

impl Peer {
    /// The client's address, as the connection or trusted hops tell it; one of IPv4 however it is written.
    pub(crate) fn ip_of(request: &Parts) -> Option<IpAddr> {
        let address = request.extensions.get::<Self>()?.address?;
        Some(address.ip().to_canonical())
    }
}
