//! Lines: what was seen of a request and what became of it, as bytes. Pure.
//!
//! A client chooses much of what stands here. Nothing it sends can begin a line, leave its field, or reach a terminal as
//! anything but printable characters.

use std::fmt::Write as _;
use std::net::SocketAddr;

use http::Version;
use tidewire_engine::driver::StreamEnd;
use time::OffsetDateTime;

use super::AccessLogFormat;
use crate::peer::Transport;

/// How much of a target is written, in bytes; before anything is escaped.
pub(super) const TARGET_BYTES_MAX: usize = 2048;
/// How much of a header's value is written, in bytes; before anything is escaped.
pub(super) const HEADER_BYTES_MAX: usize = 512;

/// What a line says of a request. Without any secret: [`crate::token::redacted`] has been there.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) remote: Option<SocketAddr>,
    pub(super) transport: Transport,
    pub(super) method: Box<str>,
    pub(super) target: Box<[u8]>,
    pub(super) version: Version,
    pub(super) referer: Option<Box<[u8]>>,
    pub(super) agent: Option<Box<[u8]>>,
    pub(super) forwarded: Option<Box<[u8]>>,
}

/// What became of it.
#[derive(Debug)]
pub(super) enum What {
    /// It was answered.
    Request {
        status: u16,
        bytes: u64,
        life_ms: u64,
    },
    /// It began a stream.
    Open { stream: u64 },
    /// The stream that it began is over.
    End { stream: u64, end: StreamEnd },
}

pub(super) struct Line<'a> {
    pub(super) seen: &'a Seen,
    /// When the request came; of a stream's end: when that was. Milliseconds since 1970.
    pub(super) time_ms: u64,
    pub(super) what: What,
}

/// The first so many bytes, and a mark where there were more.
pub(super) fn bounded(mut bytes: Vec<u8>, bytes_max: usize) -> Box<[u8]> {
    if bytes.len() > bytes_max {
        bytes.truncate(bytes_max);
        bytes.extend_from_slice(b"...");
    }
    bytes.into()
}

impl Line<'_> {
    /// One line, its end included.
    pub(super) fn encode(&self, format: AccessLogFormat) -> Vec<u8> {
        let text = match format {
            AccessLogFormat::Combined => self.combined(),
            AccessLogFormat::Json => self.json(),
        };
        text.into_bytes()
    }

    /// Apache's `%h %l %u %t "%r" %>s %b "%{Referer}i" "%{User-agent}i"` (mod_log_config). What a stream's line adds stands in
    /// `%l`, the identity of RFC 1413 that nobody asks for any more: it takes letters, digits, `.`, `-` and `_`.
    fn combined(&self) -> String {
        let seen = self.seen;
        let (identity, status, bytes) = match &self.what {
            What::Request { status, bytes, .. } => ("-".to_owned(), *status, *bytes),
            What::Open { .. } => ("open".to_owned(), 200, 0),
            What::End { end, .. } => {
                let reason = end.reason.as_str();
                let (life_ms, events) = (end.life_ms, end.events);
                let identity = format!("end-{reason}-{life_ms}ms-{events}events");
                (identity, 200, end.bytes)
            }
        };
        let remote = seen
            .remote
            .map_or_else(|| "-".to_owned(), |remote| remote.ip().to_string());
        let mut line = format!("{remote} {identity} - [{}] \"", clf_time(self.time_ms));
        escape_as_apache(&mut line, seen.method.as_bytes());
        line.push(' ');
        escape_as_apache(&mut line, &seen.target);
        let _ = write!(line, " {:?}\" {status} ", seen.version);
        // `%b`: none is a dash.
        match bytes {
            0 => line.push('-'),
            bytes => _ = write!(line, "{bytes}"),
        }
        for value in [&seen.referer, &seen.agent] {
            line.push_str(" \"");
            escape_as_apache(&mut line, value.as_deref().unwrap_or(b"-"));
            line.push('"');
        }
        line.push('\n');
        line
    }

    fn json(&self) -> String {
        let seen = self.seen;
        let event = match &self.what {
            What::Request { .. } => "request",
            What::Open { .. } => "open",
            What::End { .. } => "end",
        };
        let mut object = Object::new();
        object.text("time", rfc3339(self.time_ms).as_bytes());
        object.text("event", event.as_bytes());
        if let Some(remote) = seen.remote {
            object.text("remote", remote.ip().to_string().as_bytes());
            object.number("port", remote.port().into());
        }
        object.text("transport", seen.transport.as_str().as_bytes());
        object.text("method", seen.method.as_bytes());
        object.text("target", &seen.target);
        object.text("protocol", format!("{:?}", seen.version).as_bytes());
        match &self.what {
            What::Request {
                status,
                bytes,
                life_ms,
            } => {
                object.number("status", u64::from(*status));
                object.number("bytes", *bytes);
                object.number("duration_ms", *life_ms);
            }
            What::Open { stream } => {
                object.number("status", 200);
                object.number("stream", *stream);
            }
            What::End { stream, end } => {
                object.number("status", 200);
                object.number("stream", *stream);
                object.text("reason", end.reason.as_str().as_bytes());
                object.number("events", end.events);
                object.number("bytes", end.bytes);
                object.number("duration_ms", end.life_ms);
            }
        }
        for (name, value) in [
            ("referer", &seen.referer),
            ("user_agent", &seen.agent),
            ("forwarded_for", &seen.forwarded),
        ] {
            if let Some(value) = value {
                object.text(name, value);
            }
        }
        object.end()
    }
}

/// Says in the log's own form how many lines it has lost here.
pub(super) fn dropped(format: AccessLogFormat, now_ms: u64, lines: u64) -> Vec<u8> {
    let text = match format {
        AccessLogFormat::Combined => {
            let time = clf_time(now_ms);
            format!("- - - [{time}] \"-\" 503 - \"-\" \"tidewire: {lines} lines dropped\"\n")
        }
        AccessLogFormat::Json => {
            let mut object = Object::new();
            object.text("time", rfc3339(now_ms).as_bytes());
            object.text("event", b"dropped");
            object.number("lines", lines);
            object.end()
        }
    };
    text.into_bytes()
}

fn moment(time_ms: u64) -> OffsetDateTime {
    let seconds = i64::try_from(time_ms / 1000).unwrap_or_default();
    OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

/// `%t`, in UTC: `10/Oct/2000:13:55:36 +0000`.
fn clf_time(time_ms: u64) -> String {
    let at = moment(time_ms);
    let month = at.month().to_string();
    format!(
        "{:02}/{}/{:04}:{:02}:{:02}:{:02} +0000",
        at.day(),
        &month[..3],
        at.year(),
        at.hour(),
        at.minute(),
        at.second()
    )
}

fn rfc3339(time_ms: u64) -> String {
    let at = moment(time_ms);
    format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z",
        at.year(),
        u8::from(at.month()),
        at.day(),
        at.hour(),
        at.minute(),
        at.second(),
        time_ms % 1000
    )
}

/// As Apache escapes what clients send (`ap_escape_logitem`, since 2.0.46): quote and backslash with a backslash, some control
/// characters as C does, everything else that is not printable ASCII as `\xhh`.
fn escape_as_apache(line: &mut String, bytes: &[u8]) {
    for byte in bytes {
        match byte {
            b'"' => line.push_str("\\\""),
            b'\\' => line.push_str("\\\\"),
            0x08 => line.push_str("\\b"),
            b'\n' => line.push_str("\\n"),
            b'\r' => line.push_str("\\r"),
            b'\t' => line.push_str("\\t"),
            0x0b => line.push_str("\\v"),
            b' '..=b'~' => line.push(char::from(*byte)),
            other => _ = write!(line, "\\x{other:02x}"),
        }
    }
}

/// A JSON object (RFC 8259) on a line of its own.
struct Object(String);

impl Object {
    fn new() -> Self {
        Self(String::with_capacity(256))
    }

    fn name(&mut self, name: &str) {
        self.0.push(if self.0.is_empty() { '{' } else { ',' });
        let _ = write!(self.0, "\"{name}\":");
    }

    fn number(&mut self, name: &str, value: u64) {
        self.name(name);
        let _ = write!(self.0, "{value}");
    }

    /// Bytes that are no UTF-8 become the replacement character. RFC 8259, section 7, wants quote, backslash and the first 32
    /// characters escaped; the other control characters, which terminals obey as well, and what breaks or turns lines are
    /// escaped too.
    fn text(&mut self, name: &str, value: &[u8]) {
        self.name(name);
        self.0.push('"');
        for character in String::from_utf8_lossy(value).chars() {
            match character {
                '"' => self.0.push_str("\\\""),
                '\\' => self.0.push_str("\\\\"),
                other if is_obeyed(other) => _ = write!(self.0, "\\u{:04x}", u32::from(other)),
                other => self.0.push(other),
            }
        }
        self.0.push('"');
    }

    fn end(mut self) -> String {
        self.0.push_str("}\n");
        self.0
    }
}

/// Control characters, line and paragraph separators, and what changes the direction of the text around it.
fn is_obeyed(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use tidewire_engine::EndReason;

    use super::*;

    fn seen(target: &[u8], agent: Option<&[u8]>) -> Seen {
        Seen {
            remote: Some("192.0.2.7:54321".parse().unwrap()),
            transport: Transport::Plain,
            method: "GET".into(),
            target: target.into(),
            version: Version::HTTP_11,
            referer: None,
            agent: agent.map(Into::into),
            forwarded: None,
        }
    }

    fn encode(seen: &Seen, what: What, format: AccessLogFormat) -> String {
        let line = Line {
            seen,
            time_ms: 971_186_136_042,
            what,
        };
        String::from_utf8(line.encode(format)).unwrap()
    }

    fn answered(status: u16, bytes: u64) -> What {
        What::Request {
            status,
            bytes,
            life_ms: 12,
        }
    }

    fn ended() -> What {
        What::End {
            stream: 7,
            end: StreamEnd {
                reason: EndReason::Stalled,
                bytes: 4096,
                events: 17,
                life_ms: 61_234,
            },
        }
    }

    #[test]
    fn combined_lines() {
        let plain = seen(b"/topics/a?topic=b", Some(b"curl/8.5.0"));
        let six = Seen {
            remote: Some("[2001:db8::1]:80".parse().unwrap()),
            referer: Some(b"https://example.com/x?y=1".as_slice().into()),
            version: Version::HTTP_2,
            ..seen(b"/", Some(b"Mozilla/5.0 (X11; \"odd\" \\ one)"))
        };
        let hostile = Seen {
            remote: None,
            method: "GE\"T".into(),
            ..seen(
                b"/a\r\n1.2.3.4 - - [x]\" \x1b[2J\x00\x7f\xc3\xa9\t\x0b\x08",
                Some(b"\xff\n"),
            )
        };
        #[rustfmt::skip]
        let table = [
            (&plain, answered(200, 2326),
             r#"192.0.2.7 - - [10/Oct/2000:13:55:36 +0000] "GET /topics/a?topic=b HTTP/1.1" 200 2326 "-" "curl/8.5.0""#),
            (&plain, answered(204, 0),
             r#"192.0.2.7 - - [10/Oct/2000:13:55:36 +0000] "GET /topics/a?topic=b HTTP/1.1" 204 - "-" "curl/8.5.0""#),
            (&plain, What::Open { stream: 7 },
             r#"192.0.2.7 open - [10/Oct/2000:13:55:36 +0000] "GET /topics/a?topic=b HTTP/1.1" 200 - "-" "curl/8.5.0""#),
            (&plain, ended(),
             r#"192.0.2.7 end-stalled-61234ms-17events - [10/Oct/2000:13:55:36 +0000] "GET /topics/a?topic=b HTTP/1.1" 200 4096 "-" "curl/8.5.0""#),
            (&six, answered(403, 1),
             r#"2001:db8::1 - - [10/Oct/2000:13:55:36 +0000] "GET / HTTP/2.0" 403 1 "https://example.com/x?y=1" "Mozilla/5.0 (X11; \"odd\" \\ one)""#),
            (&hostile, answered(400, 0),
             r#"- - - [10/Oct/2000:13:55:36 +0000] "GE\"T /a\r\n1.2.3.4 - - [x]\" \x1b[2J\x00\x7f\xc3\xa9\t\v\b HTTP/1.1" 400 - "-" "\xff\n""#),
        ];
        for (seen, what, want) in table {
            let line = encode(seen, what, AccessLogFormat::Combined);
            assert_eq!(line, format!("{want}\n"));
        }
    }

    #[test]
    fn json_lines() {
        let start = r#"{"time":"2000-10-10T13:55:36.042Z","event":"#;
        let who = r#""remote":"192.0.2.7","port":54321,"transport":"plain","method":"GET","#;
        let plain = seen(b"/a", None);
        let hostile = Seen {
            remote: None,
            transport: Transport::Embedded,
            forwarded: Some(b"10.0.0.1".as_slice().into()),
            ..seen(
                "/\"\\\u{1b}\u{9b}\u{7f}\n\u{2028}\u{202e}é".as_bytes(),
                Some(b"\xff"),
            )
        };
        #[rustfmt::skip]
        let table = [
            (&plain, answered(200, 5), format!(
                r#"{start}"request",{who}"target":"/a","protocol":"HTTP/1.1","status":200,"bytes":5,"duration_ms":12}}"#)),
            (&plain, What::Open { stream: 7 }, format!(
                r#"{start}"open",{who}"target":"/a","protocol":"HTTP/1.1","status":200,"stream":7}}"#)),
            (&plain, ended(), format!(
                r#"{start}"end",{who}"target":"/a","protocol":"HTTP/1.1","status":200,"stream":7,"reason":"stalled","events":17,"bytes":4096,"duration_ms":61234}}"#)),
            (&hostile, answered(200, 0), format!(
                r#"{start}"request","transport":"embedded","method":"GET","target":"/\"\\\u001b\u009b\u007f\u000a\u2028\u202eé","protocol":"HTTP/1.1","status":200,"bytes":0,"duration_ms":12,"user_agent":"{}","forwarded_for":"10.0.0.1"}}"#, '\u{fffd}')),
        ];
        for (seen, what, want) in table {
            let line = encode(seen, what, AccessLogFormat::Json);
            assert_eq!(line, format!("{want}\n"));
            let read: serde_json::Value = serde_json::from_str(&line).unwrap();
            assert_eq!(
                read["target"].as_str().unwrap().as_bytes(),
                &*seen.target,
                "what is escaped is not changed"
            );
        }
    }

    #[test]
    fn what_is_long_is_cut() {
        assert_eq!(*bounded(b"abcd".to_vec(), 4), *b"abcd");
        assert_eq!(*bounded(b"abcde".to_vec(), 4), *b"abcd...");
    }

    #[test]
    fn what_was_lost_is_said_in_the_logs_own_form() {
        let line = |format| String::from_utf8(dropped(format, 971_186_136_042, 12)).unwrap();
        assert_eq!(
            line(AccessLogFormat::Combined),
            "- - - [10/Oct/2000:13:55:36 +0000] \"-\" 503 - \"-\" \"tidewire: 12 lines dropped\"\n"
        );
        assert_eq!(
            line(AccessLogFormat::Json),
            "{\"time\":\"2000-10-10T13:55:36.042Z\",\"event\":\"dropped\",\"lines\":12}\n"
        );
    }
}
