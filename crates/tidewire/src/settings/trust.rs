//! Whom the hub trusts beside the keys it is given: issuers, key sets by URL, and a backend that it asks.

use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgAction, Args};
use tidewire_auth::signed_url::UrlKey;
use tidewire_auth::{Keys, Role};
use tidewire_hub::{
    FetchSettings, FetchedKeys, HookSettings, HookToken, KeySource, KeysFrom, KeysOf, RemoteUrl,
};

use super::issuers::Configured;
use super::{Lasting, Limit, Settings, Sources, Switch, issuers, keys};
use crate::failure::{Failure, Outcome};

/// The settings about it.
#[derive(Args, Clone, Debug)]
pub(crate) struct TrustSettings {
    /// Trust the tokens of this issuer; its keys are found by its URL (OpenID Connect discovery, RFC 8414); repeatable
    #[arg(long, env = "TIDEWIRE_ISSUER", value_name = "URL", value_delimiter = ',', action = ArgAction::Append,
          value_parser = remote)]
    pub(crate) issuer: Vec<String>,

    /// Where the publishers' keys are, as a JWK set: a URL, fetched again as needed, or a file, read once
    #[arg(long, env = "TIDEWIRE_PUBLISHER_JWKS_URL", value_name = "URL|FILE", value_parser = place)]
    pub(crate) publisher_jwks_url: Option<String>,

    /// Where the subscribers' keys are, as a JWK set
    #[arg(long, env = "TIDEWIRE_SUBSCRIBER_JWKS_URL", value_name = "URL|FILE", value_parser = place)]
    pub(crate) subscriber_jwks_url: Option<String>,

    /// However many unknown keys tokens name, a source of keys is asked again only after so long
    #[arg(
        long,
        env = "TIDEWIRE_KEYS_REFETCH_FLOOR",
        value_name = "DURATION",
        default_value = "10s"
    )]
    pub(crate) keys_refetch_floor: Lasting,

    /// Fetched keys are fetched again after so long at the latest, and sooner where their source says so
    #[arg(
        long,
        env = "TIDEWIRE_KEYS_REFRESH",
        value_name = "DURATION",
        default_value = "1h"
    )]
    pub(crate) keys_refresh: Lasting,

    /// How long fetching keys may take
    #[arg(
        long,
        env = "TIDEWIRE_KEYS_FETCH_TIMEOUT",
        value_name = "DURATION",
        default_value = "5s"
    )]
    pub(crate) keys_fetch_timeout: Lasting,

    /// Ask this backend what requests may do that no key of the hub decides on
    #[arg(long, env = "TIDEWIRE_AUTH_HOOK", value_name = "URL", value_parser = remote)]
    pub(crate) auth_hook: Option<String>,

    /// File with the token that the backend knows the hub by (sent as `Authorization: Bearer`)
    #[arg(long, env = "TIDEWIRE_AUTH_HOOK_TOKEN_FILE", value_name = "FILE")]
    pub(crate) auth_hook_token_file: Option<PathBuf>,

    /// How long the backend may take; then the request is refused
    #[arg(
        long,
        env = "TIDEWIRE_AUTH_HOOK_TIMEOUT",
        value_name = "DURATION",
        default_value = "2s"
    )]
    pub(crate) auth_hook_timeout: Lasting,

    /// How long its answers are kept that do not say so themselves
    #[arg(
        long,
        env = "TIDEWIRE_AUTH_HOOK_CACHE",
        value_name = "DURATION|off",
        default_value = "10s"
    )]
    pub(crate) auth_hook_cache: Limit<Lasting>,

    /// How many calls to the backend run at once; four times as many may wait
    #[arg(long, env = "TIDEWIRE_AUTH_HOOK_CALLS_MAX", value_name = "COUNT", default_value = "64", value_parser = calls)]
    pub(crate) auth_hook_calls_max: usize,

    /// File with certificates (PEM) of authorities to trust, besides Mozilla's, when the hub fetches keys or asks the backend
    #[arg(long, env = "TIDEWIRE_FETCH_CA_FILE", value_name = "FILE")]
    pub(crate) fetch_ca_file: Option<PathBuf>,

    /// Fetch keys and ask the backend over http:// from other machines too, where whoever is on the way can answer instead
    #[arg(long, env = "TIDEWIRE_FETCH_PLAIN_HTTP", value_name = "on|off", num_args = 0..=1, require_equals = true,
          default_missing_value = "on", default_value = "off")]
    pub(crate) fetch_plain_http: Switch,
}

/// Whom the hub trusts.
#[derive(Debug)]
pub(crate) struct Trust {
    pub(crate) keys: Keys,
    pub(crate) fetched: FetchedKeys,
    pub(crate) hook: Option<HookSettings>,
    pub(crate) fetch: FetchSettings,
    pub(crate) url_key: Option<UrlKey>,
}

impl Trust {
    /// Whether anybody at all is trusted.
    pub(crate) fn is_empty(&self) -> bool {
        self.keys.is_empty() && self.fetched.sources.is_empty() && self.hook.is_none()
    }

    /// Whether modern tokens can be good.
    pub(crate) fn has_issuers(&self) -> bool {
        let of_issuer = |source: &KeySource| matches!(source.of, KeysOf::Issuer { .. });
        !self.keys.issuers.is_empty() || self.fetched.sources.iter().any(of_issuer)
    }

    /// Whether a token can be good in this role, now or when keys are fetched.
    pub(crate) fn can_verify(&self, role: Role) -> bool {
        let fetched = |source: &KeySource| source.of.has(role);
        self.keys.can_verify(role) || self.fetched.sources.iter().any(fetched)
    }
}

/// Everything that the settings, the environment and the file say about it.
pub(crate) fn load(settings: &Settings, sources: &Sources) -> Outcome<Trust> {
    let own = &settings.trust;
    let mut trust = Trust {
        keys: keys::load(settings, sources)?,
        fetched: fetched(own),
        hook: hook(own)?,
        fetch: fetch(own)?,
        url_key: keys::load_url_key(
            settings.url_key_file.as_deref(),
            sources.origin("url-key-file"),
        )?,
    };
    for (role, place) in [
        (Role::Publisher, &own.publisher_jwks_url),
        (Role::Subscriber, &own.subscriber_jwks_url),
    ] {
        if let Some(place) = place {
            role_keys(&mut trust, role, place)?;
        }
    }
    for name in &own.issuer {
        // One that signs with keys of the environment has told them.
        if trust.keys.issuer(name).is_some() {
            continue;
        }
        let from = KeysFrom::Discovery(address(name, &trust.fetch, &format!("--issuer {name}"))?);
        let of = KeysOf::Issuer {
            name: name.clone(),
            roles: Default::default(),
        };
        trust.fetched.sources.push(KeySource::new(of, from));
    }
    for Configured { issuer, source } in issuers::load(settings, &trust.fetch)? {
        trust.keys.issuers.extend(issuer);
        trust.fetched.sources.extend(source);
    }
    Ok(trust)
}

fn role_keys(trust: &mut Trust, role: Role, place: &str) -> Outcome {
    let said = format!("--{role}-jwks-url {place}");
    let slot = match role {
        Role::Publisher => &mut trust.keys.publisher,
        Role::Subscriber => &mut trust.keys.subscriber,
    };
    if slot.is_some() {
        return Err(Failure::usage(format!(
            "{said}: there is a {role} key already, and keys of two places are not pooled"
        ))
        .next(format!("give the {role}s' keys in one place")));
    }
    match issuers::file_of(place) {
        Some(path) => *slot = Some(issuers::read_jwks(&path)?),
        None => {
            let from = KeysFrom::Jwks(address(place, &trust.fetch, &said)?);
            let source = KeySource::new(KeysOf::Role(role), from);
            trust.fetched.sources.push(source);
        }
    }
    Ok(())
}

/// An address of the settings; `said` is how they say it.
pub(super) fn address(text: &str, fetch: &FetchSettings, said: &str) -> Outcome<RemoteUrl> {
    RemoteUrl::parse(text, fetch.plain_http).map_err(|why| Failure::usage(format!("{said}: {why}")))
}

fn fetched(settings: &TrustSettings) -> FetchedKeys {
    let mut fetched = FetchedKeys::default();
    fetched.refetch_floor = settings.keys_refetch_floor.duration();
    fetched.refresh_max = settings.keys_refresh.duration();
    fetched.refresh_min = fetched.refresh_min.min(fetched.refresh_max);
    fetched.time_max = settings.keys_fetch_timeout.duration();
    fetched
}

fn fetch(settings: &TrustSettings) -> Outcome<FetchSettings> {
    let mut fetch = FetchSettings::default();
    fetch.plain_http = settings.fetch_plain_http.0;
    if let Some(path) = &settings.fetch_ca_file {
        let text = std::fs::read(path)
            .map_err(|error| Failure::file(path, "read the certificates", &error))?;
        fetch.authorities = text;
        fetch
            .check()
            .map_err(|why| Failure::usage(format!("{}: {why}", path.display())))?;
    }
    Ok(fetch)
}

fn hook(settings: &TrustSettings) -> Outcome<Option<HookSettings>> {
    let Some(text) = &settings.auth_hook else {
        return Ok(None);
    };
    let plain_http = settings.fetch_plain_http.0;
    let url = RemoteUrl::parse(text, plain_http)
        .map_err(|why| Failure::usage(format!("--auth-hook: {why}")))?;
    let mut hook = HookSettings::new(url);
    hook.time_max = settings.auth_hook_timeout.duration();
    let keep = settings.auth_hook_cache.at();
    hook.keep = keep.map_or(Duration::ZERO, Lasting::duration);
    hook.keep_max = match keep {
        // Off is off, whatever an answer says.
        None => Duration::ZERO,
        Some(_) => hook.keep_max.max(hook.keep),
    };
    hook.calls_max = settings.auth_hook_calls_max;
    hook.waiting_max = settings.auth_hook_calls_max.saturating_mul(4);
    if let Some(path) = &settings.auth_hook_token_file {
        let text = std::fs::read_to_string(path)
            .map_err(|error| Failure::file(path, "read the token", &error))?;
        let token = HookToken::parse(text.trim_end_matches(['\r', '\n']));
        let wrong = |why| Failure::usage(format!("{}: {why}", path.display()));
        hook.token = Some(token.map_err(wrong)?);
    }
    Ok(Some(hook))
}

/// A URL that can be fetched from, on this machine at least.
fn remote(text: &str) -> Result<String, String> {
    RemoteUrl::parse(text.trim(), true).map_err(|why| why.to_string())?;
    Ok(text.trim().to_owned())
}

/// A URL, or a file's name.
fn place(text: &str) -> Result<String, String> {
    match issuers::file_of(text) {
        Some(_) => Ok(text.to_owned()),
        None => remote(text),
    }
}

fn calls(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(count @ 1..=10_000) => Ok(count),
        _ => Err(format!("{text:?} is no number from 1 to 10000")),
    }
}
