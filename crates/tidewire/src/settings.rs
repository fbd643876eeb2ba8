//! The hub's settings. One definition each, below: flag `--heartbeat`, environment `TIDEWIRE_HEARTBEAT`, key `heartbeat` in a
//! TOML file, in that order, then the default. What the values mean is the hub's business; how they are written is `values`'s.

mod caddyfile;
mod doors;
mod issuers;
mod keys;
mod limits;
mod mercure;
mod overlay;
mod sources;
mod tls;
mod trust;
mod values;

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{ArgAction, Args};
use tidewire_auth::{Algorithm, Anonymous};

pub(crate) use doors::warnings;
pub(crate) use keys::{KEY_VARIABLES, URL_KEY_VARIABLE, load_url_key, read_key};
pub(crate) use mercure::notes as mercure_notes;
pub(crate) use overlay::{Overlay, name_the_variable};
pub(crate) use sources::{Origin, Sources, variable};
pub(crate) use tls::{Certificate, load as load_tls};
pub(crate) use trust::{Trust, TrustSettings, load as load_trust};
pub(crate) use values::{
    AccessLogging, ByteSize, Durability, Lasting, Limit, Rule, Switch, hub_path, hub_url,
};

/// The settings of `tidewire serve`.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Settings")]
pub(crate) struct Settings {
    /// TOML file with any of these settings, under the flags' names
    #[arg(long, env = "TIDEWIRE_CONFIG", value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,

    /// Where to listen; repeatable; port 0 takes a free one
    #[arg(long, env = "TIDEWIRE_LISTEN", value_name = "ADDR:PORT", value_delimiter = ',', action = ArgAction::Append,
          value_parser = values::address, default_value = "127.0.0.1:8080")]
    pub(crate) listen: Vec<SocketAddr>,

    /// Speak TLS on every address: file with the certificate and those that vouch for it (PEM); needs --tls-key
    #[arg(long, env = "TIDEWIRE_TLS_CERT", value_name = "FILE")]
    pub(crate) tls_cert: Option<PathBuf>,

    /// File with the certificate's key (PEM: PKCS#8, SEC1 or PKCS#1, not encrypted)
    #[arg(long, env = "TIDEWIRE_TLS_KEY", value_name = "FILE")]
    pub(crate) tls_key: Option<PathBuf>,

    /// Speak TLS on every address with a certificate of the hub's own, which is kept in the data directory
    #[arg(long, env = "TIDEWIRE_TLS_SELF_SIGNED", value_name = "on|off", num_args = 0..=1, require_equals = true,
          default_missing_value = "on", default_value = "off")]
    pub(crate) tls_self_signed: Switch,

    /// Where the log lives
    #[arg(
        long,
        env = "TIDEWIRE_DATA_DIR",
        value_name = "DIR",
        default_value = "./tidewire-data"
    )]
    pub(crate) data_dir: PathBuf,

    /// Keep the log in memory: nothing survives the hub
    #[arg(long, env = "TIDEWIRE_MEMORY", value_name = "on|off", num_args = 0..=1, require_equals = true,
          default_missing_value = "on", default_value = "off")]
    pub(crate) memory: Switch,

    /// When an event counts as stored: `sync` after an fsync, `interval` with an fsync now and then, `memory` when the system likes
    #[arg(
        long,
        env = "TIDEWIRE_DURABILITY",
        value_name = "sync|interval|memory",
        default_value = "sync"
    )]
    pub(crate) durability: Durability,

    /// What the log may hold, such as 10GiB [default: 10GiB or a tenth of the free disk, the smaller; in memory 256MiB]
    #[arg(long, env = "TIDEWIRE_RETENTION_BYTES", value_name = "SIZE")]
    pub(crate) retention_bytes: Option<Limit<ByteSize>>,

    /// How long an event is kept, such as 30d
    #[arg(
        long,
        env = "TIDEWIRE_RETENTION_AGE",
        value_name = "DURATION",
        default_value = "off"
    )]
    pub(crate) retention_age: Limit<Lasting>,

    /// How many events are kept
    #[arg(
        long,
        env = "TIDEWIRE_RETENTION_COUNT",
        value_name = "COUNT",
        default_value = "off"
    )]
    pub(crate) retention_count: Limit<u64>,

    /// A shorter age or count for topics that start with PREFIX, such as 'logs/=age:10m,count:100'; repeatable
    #[arg(long, env = "TIDEWIRE_RETENTION_RULE", value_name = "PREFIX=LIMITS", value_delimiter = ';', action = ArgAction::Append)]
    pub(crate) retention_rule: Vec<Rule>,

    /// How long an Idempotency-Key is remembered (at most a million of them)
    #[arg(
        long,
        env = "TIDEWIRE_IDEMPOTENCY_WINDOW",
        value_name = "DURATION",
        default_value = "24h"
    )]
    pub(crate) idempotency_window: Lasting,

    /// The largest event
    #[arg(
        long,
        env = "TIDEWIRE_EVENT_BYTES_MAX",
        value_name = "SIZE",
        default_value = "1MiB"
    )]
    pub(crate) event_bytes_max: ByteSize,

    /// The most topics of one event
    #[arg(
        long,
        env = "TIDEWIRE_TOPICS_PER_EVENT_MAX",
        value_name = "COUNT",
        default_value = "1000",
        value_parser = values::topics_max
    )]
    pub(crate) topics_per_event_max: usize,

    /// The most topics named by one subscribe
    #[arg(
        long,
        env = "TIDEWIRE_FILTERS_PER_STREAM_MAX",
        value_name = "COUNT",
        default_value = "1000",
        value_parser = values::topics_max
    )]
    pub(crate) filters_per_stream_max: usize,

    /// A comment is sent after so much silence
    #[arg(
        long,
        env = "TIDEWIRE_HEARTBEAT",
        value_name = "DURATION",
        default_value = "15s"
    )]
    pub(crate) heartbeat: Lasting,

    /// The longest life of a stream; each ends at 80 to 100 % of it
    #[arg(
        long,
        env = "TIDEWIRE_STREAM_LIFE",
        value_name = "DURATION",
        default_value = "1h"
    )]
    pub(crate) stream_life: Lasting,

    /// A stream that takes no byte for so long is cut
    #[arg(
        long,
        env = "TIDEWIRE_STALL_DEADLINE",
        value_name = "DURATION",
        default_value = "60s"
    )]
    pub(crate) stall_deadline: Lasting,

    /// How long running publishes get when the hub is stopped
    #[arg(
        long,
        env = "TIDEWIRE_DRAIN",
        value_name = "DURATION",
        default_value = "2s"
    )]
    pub(crate) drain: Lasting,

    /// What is allowed without a token [default: `none` with keys; `all` without keys on a loopback address]
    #[arg(long, env = "TIDEWIRE_ANONYMOUS", value_name = "none|subscribe|all")]
    pub(crate) anonymous: Option<Anonymous>,

    /// File with the key that publishers' tokens are checked with: a shared secret (its text, without a line end), or a public key as
    /// PEM, certificate, JWK or JWK set
    #[arg(long, env = "TIDEWIRE_PUBLISHER_KEY_FILE", value_name = "FILE")]
    pub(crate) publisher_key_file: Option<PathBuf>,

    /// The algorithm of the publishers' key: HS256, RS256, PS256, ES256 (each also 384, the first three 512), EdDSA
    #[arg(
        long,
        env = "TIDEWIRE_PUBLISHER_KEY_ALG",
        value_name = "ALG",
        default_value = "HS256"
    )]
    pub(crate) publisher_key_alg: Algorithm,

    /// File with the key that subscribers' tokens are checked with, in the same forms
    #[arg(long, env = "TIDEWIRE_SUBSCRIBER_KEY_FILE", value_name = "FILE")]
    pub(crate) subscriber_key_file: Option<PathBuf>,

    /// The algorithm of the subscribers' key
    #[arg(
        long,
        env = "TIDEWIRE_SUBSCRIBER_KEY_ALG",
        value_name = "ALG",
        default_value = "HS256"
    )]
    pub(crate) subscriber_key_alg: Algorithm,

    /// File with the key that URLs are signed with, 32 bytes or more; it is for nothing else
    #[arg(long, env = "TIDEWIRE_URL_KEY_FILE", value_name = "FILE")]
    pub(crate) url_key_file: Option<PathBuf>,

    /// How long a URL that `POST /signed-urls` makes is good at most
    #[arg(
        long,
        env = "TIDEWIRE_SIGNED_URL_LIFE_MAX",
        value_name = "DURATION",
        default_value = "24h"
    )]
    pub(crate) signed_url_life_max: Lasting,

    /// The hub's URL as clients see it, such as `https://example.com/.well-known/mercure`: access tokens must be for it (`aud`), and
    /// relative URL patterns resolve against it [default: what each request calls the hub]
    #[arg(long, env = "TIDEWIRE_HUB_URL", value_name = "URL", value_parser = values::hub_url)]
    pub(crate) hub_url: Option<String>,

    /// Where the hub is among the server's paths
    #[arg(long, env = "TIDEWIRE_HUB_PATH", value_name = "PATH", value_parser = values::hub_path, default_value = tidewire_hub::HUB_PATH)]
    pub(crate) hub_path: String,

    /// The cookie that may hold a token [default: `mercureAuthorization` for older tokens, `__Secure-mercure_access_token` for access tokens]
    #[arg(long, env = "TIDEWIRE_COOKIE_NAME", value_name = "NAME", value_parser = values::cookie_name)]
    pub(crate) cookie_name: Option<String>,

    #[command(flatten)]
    pub(crate) trust: TrustSettings,

    /// Pages of which origins may read, such as `https://example.com`; `*` for all [default: the hub's own]
    #[arg(long, env = "TIDEWIRE_CORS_ORIGINS", value_name = "ORIGIN", value_delimiter = ',', action = ArgAction::Append,
          value_parser = values::origin)]
    pub(crate) cors_origins: Vec<String>,

    /// Pages of which origins may publish; `*` for all [default: the hub's own]
    #[arg(long, env = "TIDEWIRE_PUBLISH_ORIGINS", value_name = "ORIGIN", value_delimiter = ',', action = ArgAction::Append,
          value_parser = values::origin)]
    pub(crate) publish_origins: Vec<String>,

    /// Where to serve /metrics, /healthz and /readyz for whoever runs the hub [default: nowhere]
    #[arg(long, env = "TIDEWIRE_ADMIN_LISTEN", value_name = "ADDR:PORT", value_parser = values::address)]
    pub(crate) admin_listen: Option<SocketAddr>,

    /// File with the token that /metrics asks for (at least 16 characters, sent as `Authorization: Bearer`)
    #[arg(long, env = "TIDEWIRE_ADMIN_TOKEN_FILE", value_name = "FILE")]
    pub(crate) admin_token_file: Option<PathBuf>,

    /// Show metrics without a token to everybody who reaches the admin address
    #[arg(long, env = "TIDEWIRE_ADMIN_OPEN", value_name = "on|off", num_args = 0..=1, require_equals = true,
          default_missing_value = "on", default_value = "off")]
    pub(crate) admin_open: Switch,

    /// A line on standard error for each request, and for a stream's opening and its end
    #[arg(
        long,
        env = "TIDEWIRE_ACCESS_LOG",
        value_name = "off|combined|json",
        default_value = "off"
    )]
    pub(crate) access_log: AccessLogging,

    /// Presence: tell who subscribes to what, by events and at /.well-known/mercure/subscriptions
    #[arg(long, env = "TIDEWIRE_SUBSCRIPTIONS", value_name = "on|off", num_args = 0..=1, require_equals = true,
          default_missing_value = "on", default_value = "off")]
    pub(crate) subscriptions: Switch,

    /// Answer a browser's EventSource with 200 and a retry where others get 429 or 503, for which it would give up
    #[arg(long, env = "TIDEWIRE_REFUSE_SOFTLY", value_name = "on|off", num_args = 0..=1, require_equals = true,
          default_missing_value = "on", default_value = "on")]
    pub(crate) refuse_softly: Switch,

    #[command(flatten)]
    pub(crate) clients: limits::ClientSettings,
}

impl Settings {
    /// The first address to listen on that other machines may reach.
    pub(crate) fn exposed(&self) -> Option<&SocketAddr> {
        self.listen
            .iter()
            .find(|address| !address.ip().is_loopback())
    }
}

/// Whether a setting may have several values.
pub(crate) fn is_list(key: &str) -> bool {
    let arguments = arguments();
    let setting = arguments.iter().find(|arg| arg.get_long() == Some(key));
    setting.is_some_and(|arg| matches!(arg.get_action(), ArgAction::Append))
}

/// The arguments that are settings.
pub(crate) fn arguments() -> Vec<clap::Arg> {
    let command = Settings::augment_args(clap::Command::new("settings"));
    command.get_arguments().cloned().collect()
}
