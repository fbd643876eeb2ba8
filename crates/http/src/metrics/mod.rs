//! Metrics: everything that is counted, as Prometheus and OpenMetrics read it.
//!
//! Here is what is shown and under which name; the rest of the folder is about how. Nothing is kept for a scrape: numbers are
//! read where they are counted. Labels have values from a short list, never one that a client sent.

mod admin;
mod asking;
mod page;
mod process;

use std::sync::atomic::Ordering;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::registry::{Registry, Unit};
use tidewire_engine::EndReason;
use tidewire_log::GapReason;

use crate::counters::{PublishKind, Reason};
use crate::front::Front;
use crate::peer::Transport;
use crate::slots::{FORMS, Kind, form_name};
use page::Page;

pub use admin::{AdminAccess, AdminToken, AdminTokenError, admin_router, serve_admin};

impl Front {
    /// Every metric of the hub and of this process, in the OpenMetrics text format.
    #[must_use]
    pub fn metrics(&self) -> String {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(Hub(self.clone())));
        registry.register_collector(Box::new(process::Process));
        let mut text = String::with_capacity(16 << 10);
        prometheus_client::encoding::text::encode(&mut text, &registry)
            .expect("a string takes what is written to it");
        text
    }
}

struct Hub(Front);

impl std::fmt::Debug for Hub {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Hub")
    }
}

impl Collector for Hub {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> std::fmt::Result {
        let page = &mut Page::new(encoder);
        build(page)?;
        subscribers(&self.0, page)?;
        deliveries(&self.0, page)?;
        connections(&self.0, page)?;
        publishes(&self.0, page)?;
        refusals(&self.0, page)?;
        asking::keys(&self.0, page)?;
        asking::hook(&self.0, page)?;
        log(&self.0, page)?;
        presence(&self.0, page)?;
        access_log(&self.0, page)?;
        mercure(&self.0, page)
    }
}

fn build(page: &mut Page<'_>) -> std::fmt::Result {
    page.info(
        "tidewire_build",
        "What runs here.",
        &[("version", env!("CARGO_PKG_VERSION"))],
    )
}

/// A value for each form and transport.
fn by_kind(
    front: &Front,
    value: impl Fn(&Kind) -> u64,
) -> impl Iterator<Item = ([(&'static str, &'static str); 2], u64)> {
    FORMS.into_iter().flat_map(move |form| {
        let labelled = Transport::ALL.map(|over| {
            let labels = [("form", form_name(form)), ("transport", over.as_str())];
            (labels, value(front.slots().kind(form, over)))
        });
        labelled.into_iter()
    })
}

fn subscribers(front: &Front, page: &mut Page<'_>) -> std::fmt::Result {
    let slots = front.slots();
    page.gauges(
        "tidewire_subscribers",
        None,
        "Streams that are open.",
        by_kind(front, |kind| kind.open.load(Ordering::Relaxed)),
    )?;
    page.gauge(
        "tidewire_subscriber_places",
        None,
        "Places that are taken: one a stream or a page that waits, but one for all streams of an HTTP/2 connection.",
        slots.taken() as u64,
    )?;
    if slots.max() < usize::MAX {
        page.gauge(
            "tidewire_subscribers_max",
            None,
            "How many places there are.",
            slots.max() as u64,
        )?;
    }
    page.counters(
        "tidewire_streams_opened",
        None,
        "Streams that began.",
        by_kind(front, |kind| kind.opened.now()),
    )?;
    let ended = Transport::ALL.into_iter().flat_map(|over| {
        EndReason::ALL.map(|reason| {
            let of = |form| slots.kind(form, over).ended(reason);
            let labels = [("transport", over.as_str()), ("reason", reason.as_str())];
            (labels, FORMS.map(of).iter().sum())
        })
    });
    page.counters(
        "tidewire_streams_ended",
        None,
        "Streams that ended; stalled: cut, for they took no byte until the stall deadline.",
        ended,
    )?;
    page.counter(
        "tidewire_streams_opened_with_gap",
        None,
        "Streams that could not begin where they were asked to.",
        front.counting().gaps.now(),
    )?;
    page.gauge(
        "tidewire_pages_waiting",
        None,
        "Pages that wait for an event (long polls).",
        slots.waiting().open.load(Ordering::Relaxed),
    )?;
    page.counter(
        "tidewire_pages",
        None,
        "Pages asked for.",
        front.counting().pages.now(),
    )
}

fn deliveries(front: &Front, page: &mut Page<'_>) -> std::fmt::Result {
    let streams = front.stream_counters();
    page.counter(
        "tidewire_delivered_events",
        None,
        "Events that subscribers' sockets took.",
        streams.deliveries,
    )?;
    page.counter(
        "tidewire_delivered",
        Some(Unit::Bytes),
        "Bytes of all frames that subscribers' sockets took, as HTTP/1.1 chunks; heads of responses, TLS and HTTP/2 not counted.",
        streams.bytes,
    )?;
    page.counter(
        "tidewire_offers",
        None,
        "Times that frames were offered to a subscriber: one write each, unless very many frames were ready.",
        streams.offers,
    )?;
    page.counter(
        "tidewire_offers_full",
        None,
        "Offers that a socket took only in part: the subscriber stands still until it is writable.",
        streams.offers_full,
    )?;
    page.counters(
        "tidewire_gaps",
        None,
        "Gaps that running streams were told.",
        GapReason::ALL.map(|reason| ([("reason", reason.as_str())], streams.gaps(reason))),
    )?;
    page.counter(
        "tidewire_checkpoints",
        None,
        "Checkpoints sent: at openings, with heartbeats and after gaps.",
        streams.checkpoints,
    )?;
    page.counter(
        "tidewire_heartbeats",
        None,
        "Heartbeats sent as a comment.",
        streams.heartbeats,
    )?;
    page.counter(
        "tidewire_steps",
        None,
        "Steps of the streams' shards: each reads the log once for all who want the same.",
        streams.steps,
    )?;
    let reads = [
        ("batch", streams.reads_batch),
        ("at_tail", streams.reads_at_tail),
        ("loading", streams.reads_loading),
        ("gap", streams.reads_gap),
    ];
    page.counters(
        "tidewire_log_reads",
        None,
        "Reads of the log for streams, by answer.",
        reads.map(|(answer, count)| ([("answer", answer)], count)),
    )
}

fn connections(front: &Front, page: &mut Page<'_>) -> std::fmt::Result {
    let counting = front.counting();
    // A stream of HTTP/1 has its connection to itself, which is not served any more.
    let handed_over = FORMS.iter().flat_map(|form| {
        [Transport::Plain, Transport::Tls].map(|over| front.slots().kind(*form, over))
    });
    let streams: u64 = handed_over
        .map(|kind| kind.open.load(Ordering::Relaxed))
        .sum();
    page.gauge(
        "tidewire_connections",
        None,
        "Connections that are open.",
        counting.serving.now() + streams,
    )?;
    page.counter(
        "tidewire_connections_accepted",
        None,
        "Connections accepted.",
        counting.connections.now(),
    )?;
    page.counter(
        "tidewire_accept_errors",
        None,
        "Times that accepting failed, for want of descriptors mostly.",
        counting.accept_errors.now(),
    )?;
    if front.settings().tls.is_none() {
        return Ok(());
    }
    let handshakes = [
        ("done", counting.tls_handshakes.now()),
        ("failed", counting.tls_failed.now()),
        ("plain_http", counting.plain_on_tls.now()),
    ];
    page.counters(
        "tidewire_tls_handshakes",
        None,
        "TLS handshakes; plain_http: the client spoke HTTP without TLS, and was told so.",
        handshakes.map(|(outcome, count)| ([("outcome", outcome)], count)),
    )
}

fn publishes(front: &Front, page: &mut Page<'_>) -> std::fmt::Result {
    let counting = front.counting();
    page.counters(
        "tidewire_publish_requests",
        None,
        "Publish requests, by how their events are written.",
        PublishKind::ALL.map(|kind| {
            let count = counting.publishes[kind as usize].now();
            ([("body", kind.as_str())], count)
        }),
    )?;
    page.counter(
        "tidewire_publish_requests_refused",
        None,
        "Publish requests refused, and batches that ended with an error.",
        counting.publishes_refused.now(),
    )?;
    page.counter(
        "tidewire_publish_batches_cut",
        None,
        "Batches cut because their acknowledgements were not read.",
        counting.batches_cut.now(),
    )?;
    page.counter(
        "tidewire_published_events",
        None,
        "Events published and committed.",
        counting.events.now(),
    )?;
    page.counter(
        "tidewire_published_duplicates",
        None,
        "Events that were stored before, by their idempotency key.",
        counting.duplicates.now(),
    )?;
    page.counter(
        "tidewire_published",
        Some(Unit::Bytes),
        "Bytes of data of events published and committed, duplicates among them.",
        counting.event_bytes.now(),
    )?;
    page.histogram(
        "tidewire_commit_duration",
        "From an append to its commit, at the configured durability.",
        &counting.commit.observed(),
    )
}

fn refusals(front: &Front, page: &mut Page<'_>) -> std::fmt::Result {
    let counting = front.counting();
    page.counters(
        "tidewire_refusals",
        None,
        "Requests refused, and batches that ended with an error.",
        Reason::ALL.map(|reason| {
            let count = counting.refusals.of(reason).now();
            ([("reason", reason.as_str())], count)
        }),
    )?;
    page.counter(
        "tidewire_refusals_soft",
        None,
        "Of these, the ones told by a stream that ends at once, for an EventSource would not try again otherwise.",
        counting.refused_softly.now(),
    )
}

fn log(front: &Front, page: &mut Page<'_>) -> std::fmt::Result {
    let log = front.log();
    let bounds = log.bounds();
    let gauges = [
        (
            "tidewire_log_up",
            "Whether the log takes events: 1 or 0.",
            u64::from(log.health().is_ok()),
        ),
        (
            "tidewire_log_epoch",
            "The log's present life: milliseconds since 1970 when it began.",
            bounds.epoch.0,
        ),
        (
            "tidewire_log_head_position",
            "The oldest position that can be read.",
            bounds.head.0,
        ),
        (
            "tidewire_log_tail_position",
            "The next position to be written.",
            bounds.tail.0,
        ),
        (
            "tidewire_log_events",
            "Events that are kept.",
            bounds.records,
        ),
    ];
    for (name, help, value) in gauges {
        page.gauge(name, None, help, value)?;
    }
    page.gauge(
        "tidewire_log_size",
        Some(Unit::Bytes),
        "What the kept events take, in memory or on disk.",
        bounds.bytes,
    )?;
    let Some(counted) = log.counters() else {
        return Ok(());
    };
    page.counter(
        "tidewire_log_commits",
        None,
        "Groups of events committed.",
        counted.commits,
    )?;
    page.counter(
        "tidewire_log_syncs",
        None,
        "Times that data was made durable (fsync).",
        counted.syncs,
    )?;
    page.counter(
        "tidewire_log_sync",
        Some(Unit::Seconds),
        "How long that took in all.",
        counted.sync_time.as_secs_f64(),
    )
}

fn presence(front: &Front, page: &mut Page<'_>) -> std::fmt::Result {
    let Some(presence) = front.presence() else {
        return Ok(());
    };
    let (listed, waiting) = presence.levels();
    page.gauge(
        "tidewire_presence_subscriptions",
        None,
        "Subscriptions that the API shows: one a matcher of each stream.",
        listed as u64,
    )?;
    page.gauge(
        "tidewire_presence_waiting",
        None,
        "Beginnings and ends of subscriptions that wait to be told.",
        waiting as u64,
    )?;
    page.counter(
        "tidewire_presence_events",
        None,
        "Subscription events appended to the log.",
        presence.counts.told.now(),
    )?;
    page.counters(
        "tidewire_presence_untold",
        None,
        "Beginnings and ends of subscriptions that no event tells; refused: by the log; overload: both of one that was too short while too many waited, or came.",
        [
            ([("reason", "refused")], presence.counts.dropped.now()),
            ([("reason", "overload")], presence.counts.unsaid.now()),
        ],
    )?;
    page.counter(
        "tidewire_presence_late",
        None,
        "Subscription events that were told later than they could have been, for more came than presence_rate_max.",
        presence.counts.late.now(),
    )
}

fn access_log(front: &Front, page: &mut Page<'_>) -> std::fmt::Result {
    let Some(log) = &front.settings().access_log else {
        return Ok(());
    };
    let counted = log.counters();
    page.counter(
        "tidewire_access_log_lines",
        None,
        "Lines of the access log that were written.",
        counted.written,
    )?;
    page.counter(
        "tidewire_access_log_dropped",
        None,
        "Lines that were dropped, for writing was too slow or failed.",
        counted.dropped,
    )
}

/// The three metrics of the reference hub (mercure.md), for dashboards that know them.
fn mercure(front: &Front, page: &mut Page<'_>) -> std::fmt::Result {
    let sum = |value: fn(&Kind) -> u64| by_kind(front, value).map(|(_, value)| value).sum::<u64>();
    page.gauge(
        "mercure_subscribers_connected",
        None,
        "As tidewire_subscribers, under Mercure's name.",
        sum(|kind| kind.open.load(Ordering::Relaxed)),
    )?;
    page.counter(
        "mercure_subscribers",
        None,
        "As tidewire_streams_opened_total, under Mercure's name.",
        sum(|kind| kind.opened.now()),
    )?;
    page.counter(
        "mercure_updates",
        None,
        "As tidewire_published_events_total, under Mercure's name.",
        front.counting().events.now(),
    )
}
