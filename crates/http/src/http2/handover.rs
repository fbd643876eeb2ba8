//! How a subscribe becomes a stream of its connection's shard: the slot in which the request leaves what has to be opened.

use std::sync::{Arc, Mutex};

use http::HeaderMap;
use tidewire_engine::Subscription;
use tidewire_engine::driver::OnEnd;

use crate::presence::Arrival;
use crate::revocations::Admitted;
use crate::slots::{Seat, SharedPlace};

/// A stream to be opened.
pub(crate) struct Opening {
    /// The answer's headers, all of them but the date.
    pub(crate) headers: HeaderMap,
    /// What comes before everything that the shard says.
    pub(crate) first: Vec<u8>,
    pub(crate) subscription: Subscription,
    pub(crate) admitted: Admitted,
    pub(crate) seat: Seat,
    /// Whom others will see, if presence is on.
    pub(crate) arrival: Option<Box<Arrival>>,
    pub(crate) on_end: Option<OnEnd>,
}

/// Where a request's service tells its connection what to open; the service then never answers. In the extensions of each
/// request of an HTTP/2 connection.
#[derive(Clone)]
pub(crate) struct Handover {
    opening: Arc<Mutex<Option<Box<Opening>>>>,
    place: Arc<SharedPlace>,
}

impl Handover {
    pub(super) fn new(place: &Arc<SharedPlace>) -> Self {
        Self {
            opening: Arc::default(),
            place: Arc::clone(place),
        }
    }

    /// The place that the connection's subscribers share.
    pub(crate) fn place(&self) -> &SharedPlace {
        &self.place
    }

    pub(crate) fn hand(&self, opening: Box<Opening>) {
        *self.opening.lock().expect("nobody panics with this lock") = Some(opening);
    }

    pub(super) fn take(&self) -> Option<Box<Opening>> {
        self.opening
            .lock()
            .expect("nobody panics with this lock")
            .take()
    }
}
