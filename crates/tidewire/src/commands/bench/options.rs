//! The flags that the benches share, and what they mean together.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

use super::payload::{PAYLOAD_BYTES_MIN, PUBLISHERS_MAX};
use super::tls::Trust;
use crate::failure::{Failure, Outcome};

/// Which server, and how it is asked.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Server")]
pub(super) struct ServerArgs {
    /// A Tidewire hub: subscribe and publish at URL/topics/{topic}
    #[arg(long, value_name = "URL", required_unless_present_any = ["subscribe_url", "publish_url"])]
    pub(super) url: Option<String>,

    /// Where any server's streams are; `{topic}` stands for the topic
    #[arg(long, value_name = "URL")]
    pub(super) subscribe_url: Option<String>,

    /// Where any server takes events; `{topic}` stands for the topic
    #[arg(long, value_name = "URL")]
    pub(super) publish_url: Option<String>,

    /// Body of a publish, with `{data}` and `{topic}`
    #[arg(long, value_name = "TEXT", default_value = "{data}")]
    pub(super) publish_body: String,

    /// Content type of a publish; says how `{data}` and `{topic}` are encoded (form, JSON, else as they are)
    #[arg(long, value_name = "TYPE", default_value = "text/plain")]
    pub(super) publish_type: String,

    /// Header of each publish, as `Name: value`; repeatable
    #[arg(long, value_name = "HEADER")]
    pub(super) publish_header: Vec<String>,

    /// Header of each subscribe, as `Name: value`; repeatable
    #[arg(long, value_name = "HEADER")]
    pub(super) subscribe_header: Vec<String>,

    /// File with a token, sent with each request
    #[arg(long, value_name = "FILE")]
    pub(super) token_file: Option<PathBuf>,

    /// File with more headers for each request, one `Name: value` a line
    #[arg(long, value_name = "FILE")]
    pub(super) header_file: Option<PathBuf>,

    /// What the topics' names begin with; a number follows [default: bench-RUN-, new for each run]
    #[arg(long, value_name = "TEXT")]
    pub(super) topic_prefix: Option<String>,
}

/// Who measures, and what is shown.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Measuring")]
pub(super) struct MachineArgs {
    /// Process of the server, its children included; repeatable [default: who listens, if it is on this machine]
    #[arg(long, value_name = "PID")]
    pub(super) pid: Vec<u32>,

    /// Core that all of the bench runs on
    #[arg(long, value_name = "CORE")]
    pub(super) client_cpu: Option<usize>,

    /// Print one JSON object in place of the table
    #[arg(long)]
    pub(super) json: bool,

    /// Let lost, duplicate and late events pass
    #[arg(long)]
    pub(super) allow_loss: bool,
}

/// Who is connected.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Load")]
pub(super) struct CrowdArgs {
    /// Subscriber processes [default: as few as the file limit allows]
    #[arg(long, value_name = "N")]
    pub(super) processes: Option<usize>,

    /// Connections that are being made at the same time, in each process
    #[arg(long, value_name = "N", default_value_t = 128)]
    pub(super) connecting: usize,

    /// Which subscribers' events are checked for order and loss: all, one in 16, or none (events are counted)
    #[arg(long, value_name = "HOW", default_value = "full")]
    pub(super) check: Check,

    /// Bytes of an event's data
    #[arg(long, value_name = "BYTES", default_value_t = 200, value_parser = payload_bytes)]
    pub(super) payload: usize,

    /// Subscribe over HTTP/2 (without TLS: by prior knowledge)
    #[arg(long)]
    pub(super) http2: bool,

    /// Streams on each HTTP/2 connection
    #[arg(long, value_name = "N", default_value_t = 100, requires = "http2")]
    pub(super) streams: usize,

    /// Take any certificate of an https:// server
    #[arg(long)]
    pub(super) insecure: bool,

    /// File with the certificates (PEM) that an https:// server's must be signed by
    #[arg(long, alias = "ca-file", value_name = "FILE")]
    pub(super) ca: Option<PathBuf>,

    /// Wait after the last connection
    #[arg(long, value_name = "TIME", default_value = "500ms", value_parser = duration)]
    pub(super) settle: Duration,

    /// How long nothing may arrive, with events still missing, until they count as lost
    #[arg(long, value_name = "TIME", default_value = "3s", value_parser = duration)]
    pub(super) patience: Duration,
}

/// How events are published.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Load")]
pub(super) struct PaceArgs {
    /// Events a second, or `max`
    #[arg(long, value_name = "N|max", default_value = "max", value_parser = rate)]
    pub(super) rate: Rate,

    /// How long is measured
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = duration)]
    pub(super) duration: Duration,

    /// How long the same load runs before
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = duration)]
    pub(super) warmup: Duration,

    /// Publishing connections [default: 1 when paced, 32 at `max`]
    #[arg(long, value_name = "N", value_parser = publishers)]
    pub(super) publishers: Option<usize>,

    /// Requests in flight on each publishing connection
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(super) pipeline: usize,

    /// At `max`: events that may be published and not yet delivered to the slowest healthy subscriber
    #[arg(long, value_name = "EVENTS", default_value_t = 1_000)]
    pub(super) window: u64,
}

impl CrowdArgs {
    /// Readers on one HTTP/2 connection; 0 is HTTP/1.1.
    pub(super) fn streams(&self) -> usize {
        match self.http2 {
            true => self.streams.max(1),
            false => 0,
        }
    }

    pub(super) fn trust(&self) -> Trust {
        Trust {
            ca: self.ca.clone(),
            is_insecure: self.insecure,
        }
    }
}

impl PaceArgs {
    pub(super) fn publishers(&self) -> usize {
        self.publishers.unwrap_or(match self.rate {
            Rate::Max => 32,
            Rate::Paced(_) => 1,
        })
    }
}

/// How many events a second.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Rate {
    /// As many as the server delivers.
    Max,
    /// On a schedule that does not wait for the server.
    Paced(f64),
}

impl Rate {
    pub(super) fn per_second(self) -> Option<f64> {
        match self {
            Self::Max => None,
            Self::Paced(rate) => Some(rate),
        }
    }
}

/// Whose events are checked.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum, serde::Deserialize, serde::Serialize)]
pub(super) enum Check {
    Full,
    Sampled,
    Count,
}

impl Check {
    /// Whether a subscriber's events are checked one by one.
    pub(super) fn covers(self, subscriber: usize) -> bool {
        match self {
            Self::Full => true,
            Self::Sampled => subscriber.is_multiple_of(16),
            Self::Count => false,
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Sampled => "sampled",
            Self::Count => "count",
        }
    }
}

fn rate(text: &str) -> Result<Rate, String> {
    if text == "max" {
        return Ok(Rate::Max);
    }
    match text.parse() {
        Ok(rate) if (0.001..=10_000_000.0).contains(&rate) => Ok(Rate::Paced(rate)),
        _ => Err("write a number of events a second, or `max`".to_owned()),
    }
}

/// `500ms`, `10s`, `2m`, or seconds.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let number = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let factor = match &text[number.len()..] {
        "ms" => 0.001,
        "" | "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return Err("write it as 500ms, 10s or 2m".to_owned()),
    };
    let seconds = number.parse::<f64>().ok().map(|number| number * factor);
    seconds
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
        .ok_or_else(|| "write it as 500ms, 10s or 2m".to_owned())
}

fn payload_bytes(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(bytes) if (PAYLOAD_BYTES_MIN..=16 << 20).contains(&bytes) => Ok(bytes),
        _ => Err(format!(
            "write a number from {PAYLOAD_BYTES_MIN} to 16777216"
        )),
    }
}

fn publishers(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(count) if (1..=PUBLISHERS_MAX).contains(&count) => Ok(count),
        _ => Err(format!("write a number from 1 to {PUBLISHERS_MAX}")),
    }
}

/// A header's name and value.
pub(super) fn header(text: &str) -> Outcome<(String, String)> {
    let wrong =
        || Failure::usage(format!("{text:?} is no header")).next("write it as 'Name: value'");
    let (name, value) = text.split_once(':').ok_or_else(wrong)?;
    let (name, value) = (name.trim(), value.trim());
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if name.is_empty() || !name.bytes().all(is_token) || value.bytes().any(|b| b.is_ascii_control())
    {
        return Err(wrong());
    }
    Ok((name.to_owned(), value.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_rates_are_read() {
        for (text, ms) in [
            ("500ms", 500),
            ("10s", 10_000),
            ("3", 3_000),
            ("1.5m", 90_000),
        ] {
            assert_eq!(duration(text).unwrap().as_millis(), ms, "{text}");
        }
        for text in ["", "s", "1d", "-1s", "x"] {
            assert!(duration(text).is_err(), "{text}");
        }
        assert_eq!(rate("max"), Ok(Rate::Max));
        assert_eq!(rate("0.5"), Ok(Rate::Paced(0.5)));
        for text in ["0", "-1", "fast", "nan"] {
            assert!(rate(text).is_err(), "{text}");
        }
    }

    #[test]
    fn headers_are_read() {
        let good = header("X-A:  b: c ").unwrap();
        assert_eq!(good, ("X-A".to_owned(), "b: c".to_owned()));
        for text in ["", "x", ": y", "a b: c", "a: b\r\nc: d"] {
            assert!(header(text).is_err(), "{text:?}");
        }
    }
}
