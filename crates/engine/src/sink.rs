//! Sinks: where a subscriber's frames go. The engine's only way out; what is behind one (a socket, a stream of an HTTP/2
//! connection, a body that is pulled) is the driver's business.

use tidewire_core::Frame;

/// Takes a subscriber's frames.
pub trait Sink {
    /// Takes frames, in order. A frame begun is a frame taken: of one that could be written only in part the sink keeps a
    /// copy of the rest, bounded by that one frame (invariant 3), and answers [`Offer::Full`].
    ///
    /// `frames` may be empty: then the sink only says whether more may be offered (at a stream's opening).
    fn offer(&mut self, frames: &[Frame<'_>]) -> Offer;
}

/// What a sink did with the frames it was offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offer {
    /// Took all of them; more may be offered.
    Taken,
    /// Took the first `taken`, perhaps all; nothing more may be offered before [`crate::Shard::handle_writable`].
    Full {
        /// How many it took.
        taken: usize,
    },
    /// Is gone: the far end closed, or writing failed.
    Closed,
}
