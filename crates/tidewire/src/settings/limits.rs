//! The settings of who may have how much, and of whom a client is taken for.

use std::num::{NonZeroU32, NonZeroUsize};

use clap::{ArgAction, Args};
use tidewire_hub::{ForwardedHeader, Hosts, Limits, TrustedProxies};

use super::values::{ByteSize, Lasting, Limit, Switch};
use crate::failure::{Failure, Outcome};

/// Limits by client, and proxies in between.
#[derive(Args, Clone, Debug)]
pub(crate) struct ClientSettings {
    /// The most subscribers at once [default: as many as the file limit fits]
    #[arg(
        long,
        env = "TIDEWIRE_SUBSCRIBERS_MAX",
        value_name = "COUNT",
        default_value = "off"
    )]
    pub(crate) subscribers_max: Limit<NonZeroUsize>,

    /// The most streams of one client address at once (of IPv6: of those with the same first 64 bits)
    #[arg(
        long,
        env = "TIDEWIRE_STREAMS_PER_ADDRESS_MAX",
        value_name = "COUNT",
        default_value = "off"
    )]
    pub(crate) streams_per_address_max: Limit<NonZeroUsize>,

    /// The most streams of one subject (a token's `iss` and `sub`) at once
    #[arg(
        long,
        env = "TIDEWIRE_STREAMS_PER_SUBJECT_MAX",
        value_name = "COUNT",
        default_value = "off"
    )]
    pub(crate) streams_per_subject_max: Limit<NonZeroUsize>,

    /// The most events a second of one subject, or of one address where the token has none
    #[arg(
        long,
        env = "TIDEWIRE_PUBLISH_RATE_MAX",
        value_name = "COUNT",
        default_value = "off"
    )]
    pub(crate) publish_rate_max: Limit<NonZeroU32>,

    /// The most data a second of one subject, or of one address where the token has none
    #[arg(
        long,
        env = "TIDEWIRE_PUBLISH_BYTES_RATE_MAX",
        value_name = "SIZE",
        default_value = "off"
    )]
    pub(crate) publish_bytes_rate_max: Limit<ByteSize>,

    /// What may be published at once: as much as these rates allow in this time
    #[arg(
        long,
        env = "TIDEWIRE_PUBLISH_BURST",
        value_name = "DURATION",
        default_value = "5s"
    )]
    pub(crate) publish_burst: Lasting,

    /// The most subscription events a second, of all subscribers together (with `--subscriptions`); ten times as many at once
    #[arg(
        long,
        env = "TIDEWIRE_PRESENCE_RATE_MAX",
        value_name = "COUNT",
        default_value = "1000"
    )]
    pub(crate) presence_rate_max: Limit<NonZeroU32>,

    /// Proxies whose word about their clients' addresses, host and scheme is taken, such as `10.0.0.0/8,::1`
    #[arg(long, env = "TIDEWIRE_TRUSTED_PROXIES", value_name = "CIDR", value_delimiter = ',', action = ArgAction::Append,
          value_parser = proxy)]
    pub(crate) trusted_proxies: Vec<String>,

    /// The header in which they say it; the other is not looked at
    #[arg(
        long,
        env = "TIDEWIRE_FORWARDED_HEADER",
        value_name = "x-forwarded-for|forwarded",
        default_value = "x-forwarded-for"
    )]
    pub(crate) forwarded_header: ForwardedHeader,

    /// The names that requests may be for, such as `example.com,*.example.com` [default: any; without keys, loopback names]
    #[arg(long, env = "TIDEWIRE_ALLOWED_HOSTS", value_name = "NAME", value_delimiter = ',', action = ArgAction::Append,
          value_parser = host)]
    pub(crate) allowed_hosts: Vec<String>,

    /// Tell whoever asks the exact reason why a token was refused; on loopback addresses only
    #[arg(long, env = "TIDEWIRE_DEBUG_REFUSALS", value_name = "on|off", num_args = 0..=1, require_equals = true,
          default_missing_value = "on", default_value = "off")]
    pub(crate) debug_refusals: Switch,
}

fn proxy(text: &str) -> Result<String, String> {
    TrustedProxies::parse([text], ForwardedHeader::default()).map(|_| text.to_owned())
}

fn host(text: &str) -> Result<String, String> {
    Hosts::parse([text]).map(|_| text.to_owned())
}

impl ClientSettings {
    /// Puts its limits among the others.
    pub(crate) fn limit(&self, limits: &mut Limits) {
        if let Some(max) = self.subscribers_max.at() {
            limits.subscribers_max = limits.subscribers_max.min(max.get());
        }
        limits.streams_per_address_max = self.streams_per_address_max.at().map(NonZeroUsize::get);
        limits.streams_per_subject_max = self.streams_per_subject_max.at().map(NonZeroUsize::get);
        limits.publish_rate_max = self.publish_rate_max.at().map(NonZeroU32::get);
        limits.publish_bytes_rate_max = self.publish_bytes_rate_max.at().map(|bytes| bytes.0);
        limits.publish_burst = self.publish_burst.duration();
        limits.presence_rate_max = self.presence_rate_max.at().map(NonZeroU32::get);
    }

    /// Whose word about their clients is taken.
    pub(crate) fn proxies(&self) -> Outcome<TrustedProxies> {
        let texts = self.trusted_proxies.iter().map(String::as_str);
        TrustedProxies::parse(texts, self.forwarded_header).map_err(Failure::usage)
    }

    /// The names that requests may be for, if not any.
    pub(crate) fn hosts(&self) -> Outcome<Option<Hosts>> {
        if self.allowed_hosts.is_empty() {
            return Ok(None);
        }
        let texts = self.allowed_hosts.iter().map(String::as_str);
        Hosts::parse(texts).map(Some).map_err(Failure::usage)
    }
}
