//! The limits at the door, each with a name and a unit (invariant 11).

use std::time::Duration;

use tidewire_core::PatternLimits;

/// What one request may ask for. Beyond it the request is refused with the limit's name.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// The greatest data of one event, in bytes.
    pub event_bytes_max: usize,
    /// How many topics an event may have.
    pub topics_per_event_max: usize,
    /// How many topics a subscriber may ask for.
    pub filters_per_stream_max: usize,
    /// The longest pattern, in bytes.
    pub pattern_bytes_max: usize,
    /// How many bytes all distinct patterns in use may take together.
    pub patterns_bytes_max: usize,
    /// The greatest JSON array of events, in bytes.
    pub array_bytes_max: usize,
    /// The greatest body of a QUERY, in bytes.
    pub query_bytes_max: usize,
    /// How many subscribers are served at once; the streams of one HTTP/2 connection, which share its descriptor, count as one.
    pub subscribers_max: usize,
    /// How many streams one client address may have at once; of IPv6 addresses those that share their first 64 bits count as one. `None`: no
    /// limit of its own.
    pub streams_per_address_max: Option<usize>,
    /// How many streams one subject (a token's `iss` and `sub`) may have at once. Who has none is counted by address alone.
    pub streams_per_subject_max: Option<usize>,
    /// How many events a second one subject may publish; who has none, one address.
    pub publish_rate_max: Option<u32>,
    /// How many bytes of data a second one subject may publish; who has none, one address.
    pub publish_bytes_rate_max: Option<u64>,
    /// What may be published at once is what these rates allow in this time.
    pub publish_burst: Duration,
    /// How many subscription events a second are told, of all subscribers together; ten times as many at once. Whoever may subscribe
    /// writes them, without a right to publish. What comes faster is told later, and who begins and ends meanwhile not at all.
    pub presence_rate_max: Option<u32>,
    /// The greatest head of a request, in bytes; its target included.
    pub head_bytes_max: usize,
    /// How long a request's head may take, and how long an idle connection is kept.
    pub head_time_max: Duration,
    /// How long a TLS handshake may take.
    pub tls_handshake_time_max: Duration,
    /// How many requests and streams one HTTP/2 connection may have at once; the next one is refused (REFUSED_STREAM).
    pub http2_streams_max: u32,
    /// How long an HTTP/2 connection is kept that has neither a stream nor a request.
    pub http2_idle_max: Duration,
    /// How long a publisher may send nothing of a body that it has begun, and how long it may leave its acknowledgements unread.
    pub publish_stall_max: Duration,
    /// How long a publish waits for its commit before it is answered 503 (the event may still be stored then), and a subscribe
    /// for the log to say where it starts.
    pub commit_time_max: Duration,
    /// How many events one page holds at most.
    pub page_events_max: usize,
    /// How long a long poll waits at most.
    pub wait_max: Duration,
    /// How long a signed URL that the hub makes is good at most.
    pub signed_url_life_max: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            event_bytes_max: 1 << 20,
            topics_per_event_max: 1000,
            filters_per_stream_max: 1000,
            pattern_bytes_max: PatternLimits::default().pattern_bytes_max,
            patterns_bytes_max: PatternLimits::default().patterns_bytes_max,
            array_bytes_max: 16 << 20,
            query_bytes_max: 1 << 20,
            subscribers_max: usize::MAX,
            streams_per_address_max: None,
            streams_per_subject_max: None,
            publish_rate_max: None,
            publish_bytes_rate_max: None,
            publish_burst: Duration::from_secs(5),
            presence_rate_max: Some(1000),
            head_bytes_max: 64 << 10,
            head_time_max: Duration::from_secs(30),
            tls_handshake_time_max: Duration::from_secs(10),
            http2_streams_max: 1000,
            http2_idle_max: Duration::from_secs(120),
            publish_stall_max: Duration::from_secs(60),
            commit_time_max: Duration::from_secs(30),
            page_events_max: 1000,
            wait_max: Duration::from_secs(60),
            signed_url_life_max: Duration::from_secs(24 * 3600),
        }
    }
}

impl Limits {
    /// The greatest form body: percent-encoding makes three bytes of one, and the topics come on top.
    pub(crate) fn form_bytes_max(&self) -> usize {
        self.event_bytes_max
            .saturating_mul(3)
            .saturating_add(TOPICS_ROOM)
    }

    pub(crate) fn patterns(&self) -> PatternLimits {
        let mut limits = PatternLimits::default();
        limits.pattern_bytes_max = self.pattern_bytes_max;
        limits.patterns_bytes_max = self.patterns_bytes_max;
        limits
    }

    /// The longest line of NDJSON: an escape makes six bytes of one, and the topics come on top.
    pub(crate) fn line_bytes_max(&self) -> usize {
        self.event_bytes_max
            .saturating_mul(6)
            .saturating_add(TOPICS_ROOM)
    }
}

const TOPICS_ROOM: usize = 256 << 10;
