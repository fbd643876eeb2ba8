//! How values are written: durations, sizes, limits, switches, addresses, origins, rules. Each error says how to write it.

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;

/// `on` or `off`; the usual other words are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Switch(pub(crate) bool);

impl FromStr for Switch {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "on" | "true" | "yes" | "1" => Ok(Self(true)),
            "off" | "false" | "no" | "0" => Ok(Self(false)),
            _ => Err(format!("{text:?} is neither on nor off")),
        }
    }
}

/// A limit that may be `off`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Limit<T> {
    Off,
    At(T),
}

impl<T> Limit<T> {
    pub(crate) fn at(self) -> Option<T> {
        match self {
            Self::Off => None,
            Self::At(value) => Some(value),
        }
    }
}

impl<T: FromStr<Err: fmt::Display>> FromStr for Limit<T> {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "off" => Ok(Self::Off),
            _ => match text.parse() {
                Ok(value) => Ok(Self::At(value)),
                Err(why) => Err(format!("{why}, or `off`")),
            },
        }
    }
}

/// A number of bytes, more than none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ByteSize(pub(crate) u64);

const BYTE_UNITS: &[(&str, u64)] = &[
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
];

impl FromStr for ByteSize {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is no size: write it as 64KiB, 1MiB, 10GiB or 1000000");
        let (number, unit) = number_and_unit(text).ok_or_else(wrong)?;
        // Like coreutils: K and KiB are 1024, kB and KB are 1000.
        let factor = match unit.trim_start().to_ascii_lowercase().as_str() {
            "" | "b" => 1,
            "k" | "ki" | "kib" => 1 << 10,
            "m" | "mi" | "mib" => 1 << 20,
            "g" | "gi" | "gib" => 1 << 30,
            "t" | "ti" | "tib" => 1 << 40,
            "kb" => 1000,
            "mb" => 1_000_000,
            "gb" => 1_000_000_000,
            "tb" => 1_000_000_000_000,
            _ => return Err(wrong()),
        };
        match scaled(number, factor) {
            Some(0) | None => Err(wrong()),
            Some(bytes) => Ok(Self(bytes)),
        }
    }
}

impl fmt::Display for ByteSize {
    /// Exact where it is a whole number of units, else to one decimal.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (unit, factor) in BYTE_UNITS {
            if self.0.is_multiple_of(*factor) && self.0 > 0 {
                return write!(f, "{}{unit}", self.0 / factor);
            }
        }
        for (unit, factor) in BYTE_UNITS {
            if self.0 >= *factor {
                return write!(f, "{:.1}{unit}", self.0 as f64 / *factor as f64);
            }
        }
        write!(f, "{} bytes", self.0)
    }
}

/// A duration in milliseconds, more than none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Lasting {
    pub(crate) ms: u64,
}

const TIME_UNITS: &[(&str, u64)] = &[
    ("w", 7 * 86_400_000),
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1000),
    ("ms", 1),
];

impl Lasting {
    pub(crate) fn duration(self) -> std::time::Duration {
        std::time::Duration::from_millis(self.ms)
    }
}

impl FromStr for Lasting {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is no duration: write it as 500ms, 15s, 10m, 1h30m or 7d");
        let mut rest = text;
        let mut ms = 0_u64;
        while !rest.is_empty() {
            let (number, after) = number_and_unit(rest).ok_or_else(wrong)?;
            let unit_end = after
                .find(|c: char| !c.is_ascii_alphabetic())
                .unwrap_or(after.len());
            let (unit, after) = after.split_at(unit_end);
            let factor = TIME_UNITS.iter().find(|(name, _)| *name == unit);
            let (_, factor) = factor.ok_or_else(wrong)?;
            let part = scaled(number, *factor).ok_or_else(wrong)?;
            ms = ms.checked_add(part).ok_or_else(wrong)?;
            rest = after;
        }
        if ms == 0 {
            Err(wrong())
        } else {
            Ok(Self { ms })
        }
    }
}

impl fmt::Display for Lasting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.ms;
        for (unit, factor) in TIME_UNITS.iter().skip(1) {
            if rest >= *factor {
                write!(f, "{}{unit}", rest / factor)?;
                rest %= factor;
            }
        }
        Ok(())
    }
}

/// Splits `1.5GiB` into `1.5` and `GiB`.
fn number_and_unit(text: &str) -> Option<(&str, &str)> {
    let end = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    (end > 0).then(|| text.split_at(end))
}

/// A decimal number times a factor, exact for whole numbers; `None` if it is none or too large.
fn scaled(number: &str, factor: u64) -> Option<u64> {
    if let Ok(whole) = number.parse::<u64>() {
        return whole.checked_mul(factor);
    }
    let (_, decimals) = number.split_once('.')?;
    let value: f64 = number.parse().ok()?;
    let scaled = value * factor as f64;
    (!decimals.is_empty() && scaled < u64::MAX as f64).then_some(scaled as u64)
}

/// When an event counts as stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Durability {
    Sync,
    Interval,
    Memory,
}

impl FromStr for Durability {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "sync" => Ok(Self::Sync),
            "interval" => Ok(Self::Interval),
            "memory" => Ok(Self::Memory),
            _ => Err(format!("{text:?} is not one of sync, interval, memory")),
        }
    }
}

impl fmt::Display for Durability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sync => "sync",
            Self::Interval => "interval",
            Self::Memory => "memory",
        })
    }
}

/// Whether requests and streams are noted, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AccessLogging {
    Off,
    Combined,
    Json,
}

impl FromStr for AccessLogging {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "off" => Ok(Self::Off),
            "combined" => Ok(Self::Combined),
            "json" => Ok(Self::Json),
            _ => Err(format!("{text:?} is not one of off, combined, json")),
        }
    }
}

/// Shorter limits for topics with a prefix: `PREFIX=age:10m,count:100`. At least one limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rule {
    pub(crate) prefix: String,
    pub(crate) age: Option<Lasting>,
    pub(crate) count: Option<u64>,
}

impl FromStr for Rule {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "{text:?} is no rule: write it as 'PREFIX=age:10m,count:100' (one limit suffices)"
            )
        };
        // A prefix may hold `=`; limits do not.
        let (prefix, limits) = text.rsplit_once('=').ok_or_else(wrong)?;
        let mut rule = Self {
            prefix: prefix.to_owned(),
            age: None,
            count: None,
        };
        for limit in limits.split(',') {
            match limit.trim().split_once(':').ok_or_else(wrong)? {
                ("age", age) if rule.age.is_none() => rule.age = Some(age.parse()?),
                ("count", count) if rule.count.is_none() => {
                    rule.count = Some(count.parse().map_err(|_| wrong())?);
                }
                _ => return Err(wrong()),
            }
        }
        Ok(rule)
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let age = self.age.map(|age| format!("age:{age}"));
        let count = self.count.map(|count| format!("count:{count}"));
        let limits: Vec<_> = age.into_iter().chain(count).collect();
        write!(f, "{}={}", self.prefix, limits.join(","))
    }
}

/// An address to listen on. `localhost` is taken for the IPv4 loopback.
pub(super) fn address(text: &str) -> Result<SocketAddr, String> {
    let spelled = match text.strip_prefix("localhost:") {
        Some(port) => format!("127.0.0.1:{port}"),
        None => text.to_owned(),
    };
    spelled.parse().map_err(|_| {
        format!("{text:?} is no address with a port: write it as 127.0.0.1:8080, 0.0.0.0:8080 or [::1]:8080")
    })
}

/// How many topics: at least one, and no more than a record can hold.
pub(super) fn topics_max(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(count @ 1..=65_535) => Ok(count),
        _ => Err(format!("{text:?} is no number from 1 to 65535")),
    }
}

/// An origin as browsers send it, as the hub will read it.
pub(super) fn origin(text: &str) -> Result<String, String> {
    tidewire_hub::Origins::parse([text.trim()]).map_err(|why| why.to_string())?;
    Ok(text.trim().to_owned())
}

/// A URL that the hub can be called by.
pub(crate) fn hub_url(text: &str) -> Result<String, String> {
    tidewire_hub::check_place(tidewire_hub::HUB_PATH, Some(text)).map_err(|why| why.to_string())?;
    Ok(text.to_owned())
}

/// A path that the hub can be at.
pub(crate) fn hub_path(text: &str) -> Result<String, String> {
    tidewire_hub::check_place(text, None).map_err(|why| why.to_string())?;
    Ok(text.to_owned())
}

/// A name that a cookie can have.
pub(super) fn cookie_name(text: &str) -> Result<String, String> {
    match tidewire_hub::is_cookie_name(text) {
        true => Ok(text.to_owned()),
        false => Err(format!(
            "{text:?} is no name for a cookie: letters, digits and `-._` will do"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        for (text, ms, shown) in [
            ("15s", 15_000, "15s"),
            ("500ms", 500, "500ms"),
            ("1h30m", 5_400_000, "1h30m"),
            ("90m", 5_400_000, "1h30m"),
            ("1.5h", 5_400_000, "1h30m"),
            ("2w", 14 * 86_400_000, "14d"),
        ] {
            let lasting: Lasting = text.parse().unwrap();
            assert_eq!(
                (lasting.ms, lasting.to_string()),
                (ms, shown.to_owned()),
                "{text}"
            );
            assert_eq!(lasting.to_string().parse(), Ok(lasting));
        }
        for text in [
            "",
            "15",
            "0s",
            "s",
            "-1s",
            "15 s",
            "1x",
            "1s2",
            "1.s",
            "9999999999999999w",
        ] {
            let error = text.parse::<Lasting>().unwrap_err();
            assert!(error.contains("write it as 500ms, 15s"), "{text}: {error}");
        }
    }

    #[test]
    fn sizes() {
        for (text, bytes, shown) in [
            ("10GiB", 10 << 30, "10GiB"),
            ("1 MiB", 1 << 20, "1MiB"),
            ("64k", 64 << 10, "64KiB"),
            ("1kB", 1000, "1000 bytes"),
            ("1.5M", 3 << 19, "1536KiB"),
            ("1048577", (1 << 20) + 1, "1.0MiB"),
        ] {
            let size: ByteSize = text.parse().unwrap();
            assert_eq!(
                (size.0, size.to_string()),
                (bytes, shown.to_owned()),
                "{text}"
            );
        }
        for text in [
            "",
            "0",
            "GiB",
            "10 potatoes",
            "-1",
            "99999999999TiB",
            "1.MiB",
        ] {
            let error = text.parse::<ByteSize>().unwrap_err();
            assert!(error.contains("write it as 64KiB"), "{text}: {error}");
        }
        assert_eq!("off".parse(), Ok(Limit::<ByteSize>::Off));
        assert!(
            "of".parse::<Limit<ByteSize>>()
                .unwrap_err()
                .ends_with("or `off`")
        );
    }

    #[test]
    fn rules() {
        for (text, prefix, age_ms, count) in [
            ("logs/=age:10m,count:100", "logs/", Some(600_000), Some(100)),
            ("a=b=count:1", "a=b", None, Some(1)),
            ("=age:1d", "", Some(86_400_000), None),
        ] {
            let rule: Rule = text.parse().unwrap();
            let got = (rule.prefix.as_str(), rule.age.map(|age| age.ms), rule.count);
            assert_eq!(got, (prefix, age_ms, count));
            assert_eq!(rule.to_string().parse(), Ok(rule));
        }
        for text in [
            "",
            "logs/",
            "x=",
            "x=age",
            "x=age:10",
            "x=size:1",
            "x=count:1,count:2",
        ] {
            assert!(text.parse::<Rule>().is_err(), "{text}");
        }
    }

    #[test]
    fn addresses_and_origins() {
        assert_eq!(address("localhost:0").unwrap().to_string(), "127.0.0.1:0");
        assert_eq!(address("[::1]:8080").unwrap().to_string(), "[::1]:8080");
        for text in ["8080", ":8080", "127.0.0.1", "example.com:80", "::1:80"] {
            assert!(
                address(text).unwrap_err().contains("127.0.0.1:8080"),
                "{text}"
            );
        }
        for (text, is_origin) in [
            ("https://example.com", true),
            ("http://localhost:3000", true),
            ("*", true),
            ("null", true),
            ("example.com", false),
            ("https://example.com/x", false),
        ] {
            assert_eq!(origin(text).is_ok(), is_origin, "{text}");
        }
    }
}
