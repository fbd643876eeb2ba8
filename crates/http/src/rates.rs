//! How much each may have: streams open at once, and events and bytes published over time. By the subject that a token names, else by
//! the client's address (of IPv6 its first 64 bits).
//!
//! How streams are counted is [`streams`]'s. Publishing is a token bucket (two: events and bytes); those tables are bounded, and what
//! happens at the bound is said at [`Buckets`].

mod streams;

use std::collections::HashMap;
use std::hash::BuildHasher;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use foldhash::fast::FixedState;
use http::request::Parts;
use tidewire_core::Grant;

use crate::address::site;
use crate::counters::Reason;
use crate::front::random_u64;
use crate::limits::Limits;
use crate::peer::Peer;
use crate::problem::Problem;
use crate::said::Said;
pub(crate) use streams::{Claim, Held};
use streams::{Full, Streams};

/// Tables are cut into so many parts, each with a lock of its own, so that publishes rarely meet.
const PARTS: usize = 32;

/// How many subjects, and how many addresses, a part remembers of those who publish.
const KNOWN_MAX: usize = 2048;

/// By whom something is counted, as a keyed hash: two in 2^64 would share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Who {
    Subject(u64),
    Address(u64),
    /// It has no subject, and its address is not known: an embedder's server does not say.
    Nobody,
}

/// What is counted against the limits, of one hub.
#[derive(Debug)]
pub(crate) struct Rates {
    hasher: FixedState,
    streams: Arc<Streams>,
    publishes: Option<Publishes>,
    said: Said,
}

#[derive(Debug)]
struct Publishes {
    events_per_s: Option<f64>,
    bytes_per_s: Option<f64>,
    burst_s: f64,
    began: Instant,
    subjects: Buckets,
    addresses: Buckets,
}

/// Buckets by key. A part that is full forgets those that are full again, which are as if they had never been; if there is none, a
/// newcomer shares one bucket with all other newcomers of that part. So strangers with very many addresses slow down newcomers, and
/// nobody who has published lately; subjects have tables of their own.
#[derive(Debug)]
struct Buckets([Mutex<Part>; PARTS]);

#[derive(Debug)]
struct Part {
    known: HashMap<u64, Bucket, FixedState>,
    strangers: Bucket,
    swept_s: f64,
}

/// What may be published at once: it fills over time. Below nothing: what was taken in advance.
#[derive(Clone, Copy, Debug)]
struct Bucket {
    at_s: f64,
    events: f64,
    bytes: f64,
}

/// When a stream that was one too many may be tried again.
const STREAM_RETRY_S: u32 = 5;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing that may panic runs while one of these is held half-changed.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn part_of(key: u64) -> usize {
    // The map takes its own bits.
    (key >> 40) as usize % PARTS
}

impl Rates {
    pub(crate) fn new(limits: &Limits) -> Self {
        let hasher = FixedState::with_seed(random_u64());
        let is_limited =
            limits.publish_rate_max.is_some() || limits.publish_bytes_rate_max.is_some();
        let buckets = || {
            Buckets(std::array::from_fn(|_| {
                Mutex::new(Part {
                    known: HashMap::with_hasher(FixedState::with_seed(random_u64())),
                    strangers: Bucket::FULL,
                    swept_s: 0.0,
                })
            }))
        };
        Self {
            streams: Streams::new(limits),
            publishes: is_limited.then(|| Publishes {
                events_per_s: limits.publish_rate_max.map(f64::from),
                bytes_per_s: limits.publish_bytes_rate_max.map(|bytes| bytes as f64),
                burst_s: limits.publish_burst.as_secs_f64(),
                began: Instant::now(),
                subjects: buckets(),
                addresses: buckets(),
            }),
            hasher,
            said: Said::default(),
        }
    }

    /// Whether anything is counted by address.
    pub(crate) fn need_addresses(&self) -> bool {
        self.publishes.is_some() || self.streams.are_counted()
    }

    /// Who publishes, if that matters.
    pub(crate) fn publisher(&self, request: &Parts, grant: &Grant) -> Who {
        match self.publishes {
            None => Who::Nobody,
            Some(_) => self.subject(grant).map_or_else(
                || self.address(request).map_or(Who::Nobody, Who::Address),
                Who::Subject,
            ),
        }
    }

    fn subject(&self, grant: &Grant) -> Option<u64> {
        let subject = grant.subject.as_ref()?;
        Some(self.hasher.hash_one((1_u8, &grant.issuer, subject)))
    }

    fn address(&self, request: &Parts) -> Option<u64> {
        let address = Peer::ip_of(request)?;
        Some(self.hasher.hash_one((2_u8, site(address))))
    }

    /// Counts one more stream, if there may be one. Who has no subject counts by address alone.
    pub(crate) fn hold(&self, request: &Parts, grant: &Grant) -> Result<Option<Held>, Problem> {
        if !self.streams.are_counted() {
            return Ok(None);
        }
        let held = self
            .streams
            .hold(self.address(request), self.subject(grant));
        held.map(Some).map_err(|full| self.refuse_stream(full))
    }

    /// What is to be counted if a stream that is nobody's becomes this grant's. An error is none yet: it may be this grant's already.
    pub(crate) fn claim(&self, grant: &Grant) -> Result<Claim, Full> {
        self.streams.claim(self.subject(grant))
    }

    /// One stream more than there may be.
    pub(crate) fn refuse_stream(&self, full: Full) -> Problem {
        let Full { reason, max } = full;
        let whose = match reason {
            Reason::StreamsAddress => "address",
            _ => "subject",
        };
        let detail = format!(
            "as many streams of this {whose} are open as may be ({max}, {}); end one, or try again later",
            reason.as_str()
        );
        self.refuse(reason, detail, STREAM_RETRY_S)
    }

    /// Whether so much may be published now; if so, it is taken.
    pub(crate) fn admit(&self, who: Who, events: usize, bytes: usize) -> Result<(), Problem> {
        let Some(publishes) = &self.publishes else {
            return Ok(());
        };
        match publishes.with(who, |bucket| publishes.admit(bucket, events, bytes)) {
            None | Some(Ok(())) => Ok(()),
            Some(Err((reason, wait_s))) => {
                let detail = format!(
                    "more is published than may be ({}); nothing was stored. Try again in {wait_s:.1} s",
                    reason.as_str()
                );
                Err(self.refuse(reason, detail, wait_s.ceil().clamp(1.0, 3600.0) as u32))
            }
        }
    }

    /// Takes so much, and says how long to wait before it is used. For what runs already: it is slowed down, never refused.
    pub(crate) fn take(&self, who: Who, events: usize, bytes: usize) -> Duration {
        let Some(publishes) = &self.publishes else {
            return Duration::ZERO;
        };
        let wait_s = publishes.with(who, |bucket| publishes.take(bucket, events, bytes));
        Duration::from_secs_f64(wait_s.unwrap_or(0.0).clamp(0.0, 3600.0))
    }

    fn refuse(&self, reason: Reason, detail: String, retry_s: u32) -> Problem {
        if let Some(unsaid) = self.said.may_say() {
            tracing::warn!(reason = reason.as_str(), unsaid, "refused by a limit");
        }
        Problem::too_many(reason, detail, retry_s)
    }
}

impl Bucket {
    const FULL: Self = Self {
        at_s: f64::NEG_INFINITY,
        events: f64::INFINITY,
        bytes: f64::INFINITY,
    };
}

impl Publishes {
    /// Looks at somebody's bucket, filled up to now.
    fn with<T>(&self, who: Who, look: impl FnOnce(&mut Bucket) -> T) -> Option<T> {
        let (buckets, key) = match who {
            Who::Subject(key) => (&self.subjects, key),
            Who::Address(key) => (&self.addresses, key),
            Who::Nobody => return None,
        };
        let now_s = self.began.elapsed().as_secs_f64();
        let mut part = lock(&buckets.0[part_of(key)]);
        if part.known.len() >= KNOWN_MAX && !part.known.contains_key(&key) {
            self.sweep(&mut part, now_s);
        }
        let Part {
            known, strangers, ..
        } = &mut *part;
        let bucket = match known.len() < KNOWN_MAX || known.contains_key(&key) {
            true => known.entry(key).or_insert(Bucket::FULL),
            false => strangers,
        };
        self.fill(bucket, now_s);
        Some(look(bucket))
    }

    /// Forgets who is as if never seen; at most once a second, so that a flood of strangers does not buy a sweep each.
    fn sweep(&self, part: &mut Part, now_s: f64) {
        if now_s - part.swept_s < 1.0 {
            return;
        }
        part.swept_s = now_s;
        part.known.retain(|_, bucket| {
            self.fill(bucket, now_s);
            let full =
                |have: f64, rate: Option<f64>| rate.is_none_or(|rate| have >= rate * self.burst_s);
            !(full(bucket.events, self.events_per_s) && full(bucket.bytes, self.bytes_per_s))
        });
    }

    fn fill(&self, bucket: &mut Bucket, now_s: f64) {
        let past_s = (now_s - bucket.at_s).max(0.0);
        let filled = |have: f64, rate: Option<f64>| {
            rate.map_or(0.0, |rate| (have + past_s * rate).min(rate * self.burst_s))
        };
        *bucket = Bucket {
            at_s: now_s,
            events: filled(bucket.events, self.events_per_s),
            bytes: filled(bucket.bytes, self.bytes_per_s),
        };
    }

    /// What is larger than a bucket is let through when that is full, and paid for afterwards.
    fn admit(&self, bucket: &mut Bucket, events: usize, bytes: usize) -> Result<(), (Reason, f64)> {
        let lacks = |have: f64, rate: Option<f64>, cost: f64| {
            rate.map_or(0.0, |rate| (cost.min(rate * self.burst_s) - have) / rate)
        };
        let (events, bytes) = (events as f64, bytes as f64);
        let wait = [
            (
                Reason::PublishRate,
                lacks(bucket.events, self.events_per_s, events),
            ),
            (
                Reason::PublishBytes,
                lacks(bucket.bytes, self.bytes_per_s, bytes),
            ),
        ];
        let longest = wait.into_iter().max_by(|a, b| a.1.total_cmp(&b.1));
        // A hair's breadth is rounding, not a debt.
        if let Some(longest) = longest.filter(|(_, wait_s)| *wait_s > 1e-9) {
            return Err(longest);
        }
        bucket.events -= events;
        bucket.bytes -= bytes;
        Ok(())
    }

    fn take(&self, bucket: &mut Bucket, events: usize, bytes: usize) -> f64 {
        bucket.events -= events as f64;
        bucket.bytes -= bytes as f64;
        let owed = |have: f64, rate: Option<f64>| rate.map_or(0.0, |rate| (-have / rate).max(0.0));
        owed(bucket.events, self.events_per_s).max(owed(bucket.bytes, self.bytes_per_s))
    }
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn request(address: &str) -> Parts {
        let mut request = Request::new(()).into_parts().0;
        request.extensions.insert(Peer {
            address: Some(address.parse().unwrap()),
            is_tls: false,
        });
        request
    }

    fn grant(subject: Option<&str>) -> Grant {
        Grant {
            subject: subject.map(str::to_owned),
            ..Grant::default()
        }
    }

    fn limits(change: impl FnOnce(&mut Limits)) -> Limits {
        let mut limits = Limits::default();
        change(&mut limits);
        limits
    }

    #[test]
    fn streams_are_counted_by_address_and_by_subject() {
        let rates = Rates::new(&limits(|limits| {
            limits.streams_per_address_max = Some(2);
            limits.streams_per_subject_max = Some(1);
        }));
        let hold =
            |address: &str, subject: Option<&str>| rates.hold(&request(address), &grant(subject));
        let one = hold("1.1.1.1:1", None).unwrap();
        let two = hold("1.1.1.1:2", Some("a")).unwrap();
        let reason = |held: Result<Option<Held>, Problem>| held.unwrap_err().reason();
        assert_eq!(reason(hold("1.1.1.1:3", None)), Reason::StreamsAddress);
        assert_eq!(reason(hold("2.2.2.2:1", Some("a"))), Reason::StreamsSubject);
        // What a refusal had taken already is given back.
        let [three, four] = [1, 2].map(|port| hold(&format!("2.2.2.2:{port}"), None).unwrap());
        drop((one, two));
        let again = hold("1.1.1.1:4", Some("a")).unwrap();
        let six = ["[2001:db8::1]:1", "[2001:db8::2:0:0:1]:1"].map(|one| hold(one, None).unwrap());
        assert_eq!(
            reason(hold("[2001:db8::ffff]:1", None)),
            Reason::StreamsAddress
        );
        assert!(hold("[2001:db8:0:1::1]:1", None).is_ok());
        drop((three, four, again, six));
        assert_eq!(
            rates.streams.remembered(),
            0,
            "nobody who has no stream is remembered"
        );
    }

    #[test]
    fn without_limits_nothing_is_counted() {
        let rates = Rates::new(&Limits::default());
        assert!(
            rates
                .hold(&request("1.1.1.1:1"), &grant(None))
                .unwrap()
                .is_none()
        );
        assert!(!rates.need_addresses());
        assert_eq!(
            rates.publisher(&request("1.1.1.1:1"), &grant(Some("a"))),
            Who::Nobody
        );
        assert!(rates.admit(Who::Nobody, 1 << 40, 1 << 40).is_ok());
    }

    fn publishes(events_per_s: Option<f64>, bytes_per_s: Option<f64>) -> Publishes {
        let rates = Rates::new(&limits(|limits| {
            limits.publish_rate_max = Some(1);
        }));
        Publishes {
            events_per_s,
            bytes_per_s,
            burst_s: 2.0,
            ..rates.publishes.unwrap()
        }
    }

    #[test]
    fn a_bucket_lets_a_burst_through_and_then_its_rate() {
        let publishes = publishes(Some(10.0), Some(1000.0));
        let mut bucket = Bucket::FULL;
        let mut admit = |at_s: f64, events, bytes| {
            publishes.fill(&mut bucket, at_s);
            let admitted = publishes.admit(&mut bucket, events, bytes);
            admitted.map_err(|(reason, wait_s)| (reason, (wait_s * 1000.0).round()))
        };
        #[rustfmt::skip]
        let table = [
            // at, events, bytes, refused for what and how many milliseconds
            (0.0, 19, 100,  Ok(())),
            (0.0, 1,  100,  Ok(())),
            (0.0, 1,  1,    Err((Reason::PublishRate, 100.0))),
            (0.1, 1,  1,    Ok(())),
            (0.1, 1,  1,    Err((Reason::PublishRate, 100.0))),
            (9.0, 1,  2000, Ok(())),
            (9.0, 1,  500,  Err((Reason::PublishBytes, 500.0))),
            (9.5, 1,  500,  Ok(())),
            // More than a bucket holds: once it is full, and then there is a debt.
            (19.0, 30, 0,   Ok(())),
            (19.0, 30, 0,   Err((Reason::PublishRate, 3000.0))),
            (21.9, 30, 0,   Err((Reason::PublishRate, 100.0))),
            (22.0, 30, 0,   Ok(())),
        ];
        for (at_s, events, bytes, want) in table {
            assert_eq!(admit(at_s, events, bytes), want, "{at_s} {events} {bytes}");
        }
    }

    #[test]
    fn who_runs_already_is_slowed_down() {
        let publishes = publishes(Some(10.0), None);
        let mut bucket = Bucket::FULL;
        publishes.fill(&mut bucket, 0.0);
        assert!(publishes.take(&mut bucket, 20, 1 << 30).abs() < 1e-9);
        assert!((publishes.take(&mut bucket, 5, 0) - 0.5).abs() < 1e-9);
    }

    /// A stranger with a network of addresses fills the table: memory stays, and only strangers share.
    #[test]
    fn a_flood_of_strangers_is_bounded_and_slows_strangers_alone() {
        let rates = Rates::new(&limits(|limits| {
            limits.publish_rate_max = Some(1);
            limits.publish_burst = Duration::from_secs(3600);
        }));
        let who = |n: u32| {
            let address = std::net::Ipv4Addr::from_bits(n);
            rates.publisher(&request(&format!("{address}:1")), &grant(None))
        };
        let known = who(0);
        rates.admit(known, 1000, 1).unwrap();
        let mut refused = 0;
        for n in 1..200_000 {
            refused += u32::from(rates.admit(who(n), 100, 1).is_err());
        }
        assert!(refused > 1000, "strangers share what they may: {refused}");
        let Some(publishes) = &rates.publishes else {
            panic!("limited");
        };
        let sizes = publishes
            .addresses
            .0
            .iter()
            .map(|part| lock(part).known.len());
        assert!(sizes.into_iter().all(|size| size <= KNOWN_MAX));
        assert!(
            rates.admit(known, 2500, 1).is_ok(),
            "who was known is not slowed"
        );
        let subject = rates.publisher(&request("9.9.9.9:1"), &grant(Some("a")));
        assert!(
            rates.admit(subject, 3000, 1).is_ok(),
            "nor whoever has a token"
        );
    }
}
