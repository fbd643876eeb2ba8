//! `tidewire token url`: a signed URL, made without asking the hub.

use std::net::IpAddr;
use std::path::PathBuf;

use clap::Args;
use tidewire_auth::Dialect;
use tidewire_auth::signed_url::{SignedUrl, UrlKey};
use tidewire_hub::origin_as_sent;
use url::Url;

use super::mint::Wanted;
use super::random_id;
use crate::failure::{Failure, Outcome};
use crate::settings::{self, Lasting, Origin};
use crate::{clock, output, quote};

/// The variable of the hub's setting, which the flag goes before.
const URL_KEY_FILE_VARIABLE: &str = "TIDEWIRE_URL_KEY_FILE";

/// Sign a URL that subscribes without a token, for an EventSource
///
/// Its holder may read the topics, private events too, until it ends. Signed with the hub's --url-key-file.
#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  tidewire token keygen --out url.key\n  tidewire token url orders/42 --ttl 10m --url-key-file url.key\n  tidewire token url orders/42 --url-key-file url.key --origin https://app.example --hub-url https://hub.example/.well-known/mercure\n  curl -N \"$(tidewire token url orders/42 --once --url-key-file url.key)\""
)]
pub(super) struct Sign {
    /// What it subscribes to; `*` is every topic
    #[arg(value_name = "TOPIC", required_unless_present = "urlpattern")]
    topics: Vec<String>,

    /// Topics as a URL pattern; repeatable
    #[arg(long, value_name = "PATTERN")]
    urlpattern: Vec<String>,

    /// How the subscribe speaks: `modern` with `match`, `legacy` with `topic`, which takes URI templates
    #[arg(long, value_name = "legacy|modern", default_value = "modern")]
    dialect: Wanted,

    /// How long it is good
    #[arg(long, value_name = "DURATION", default_value = "10m")]
    ttl: Lasting,

    /// Good for pages of this origin alone, such as `https://app.example`
    #[arg(long, value_name = "ORIGIN", value_parser = origin)]
    origin: Option<String>,

    /// Good for a client of this address alone
    #[arg(long, value_name = "ADDRESS")]
    address: Option<IpAddr>,

    /// Good for one use. An EventSource comes back to the same URL and is refused: this is for fetch, and for clients that ask for a new
    /// URL each time, as the SDK does
    #[arg(long)]
    once: bool,

    /// Whom it is about; it is revoked with them
    #[arg(long, value_name = "NAME")]
    subject: Option<String>,

    /// Who says so, as the tokens of that subject do (`iss`); it is revoked with this issuer's subject too
    #[arg(long, value_name = "NAME", requires = "subject")]
    issuer: Option<String>,

    /// File with the hub's key for URLs; else TIDEWIRE_URL_KEY_FILE or TIDEWIRE_URL_KEY
    #[arg(long, value_name = "FILE")]
    url_key_file: Option<PathBuf>,

    /// The hub's URL, with its path
    #[arg(
        long,
        env = "TIDEWIRE_HUB_URL",
        value_name = "URL",
        value_parser = settings::hub_url,
        default_value = "http://127.0.0.1:8080/.well-known/mercure"
    )]
    hub_url: String,

    /// Print the URL alone
    #[arg(long, short)]
    quiet: bool,
}

impl Sign {
    pub(super) fn run(self) -> Outcome {
        let key = self.key()?;
        let hub_url = Url::parse(&self.hub_url).map_err(Failure::usage)?;
        let hub = hub_url.origin().ascii_serialization();
        let parameters = self.parameters()?;
        let url = SignedUrl {
            path: hub_url.path().to_owned(),
            parameters,
            expires_ms: clock::now_ms().saturating_add(self.ttl.ms),
            origin: self.origin,
            address: self.address.map(|address| address.to_canonical()),
            once: self.once.then(random_id).transpose()?,
            subject: self.subject,
            issuer: self.issuer,
            token_id: None,
        };
        let signed = url.sign(&key).map_err(Failure::usage)?;
        output::result(format_args!("{hub}{signed}"))?;
        if !self.quiet {
            let times = match self.once {
                true => "once, within",
                false => "for",
            };
            output::say(format_args!(
                "whoever has it may read its topics {times} {}, private events too",
                self.ttl
            ));
        }
        Ok(())
    }

    fn key(&self) -> Outcome<UrlKey> {
        // The variable and its file's: the same rules as the hub's.
        let named = settings::variable(URL_KEY_FILE_VARIABLE);
        let (path, from) = match &self.url_key_file {
            Some(path) => (Some(path.clone()), Origin::Flag),
            None => {
                let variable = Origin::Environment(URL_KEY_FILE_VARIABLE.to_owned());
                (named.map(PathBuf::from), variable)
            }
        };
        settings::load_url_key(path.as_deref(), &from)?.ok_or_else(|| {
            Failure::usage("no key to sign with").next(format!(
                "say --url-key-file FILE, the hub's own; or make one: {} token keygen --out url.key",
                quote::program()
            ))
        })
    }

    fn parameters(&self) -> Outcome<Vec<(String, String)>> {
        let name = match self.dialect.0 {
            Dialect::Legacy if !self.urlpattern.is_empty() => {
                return Err(Failure::usage("--urlpattern is of the modern dialect"));
            }
            Dialect::Legacy => "topic",
            Dialect::Modern => "match",
        };
        let named = |name: &'static str| move |value: &String| (name.to_owned(), value.clone());
        let patterns = self.urlpattern.iter().map(named("match_urlpattern"));
        Ok(self
            .topics
            .iter()
            .map(named(name))
            .chain(patterns)
            .collect())
    }
}

fn origin(text: &str) -> Result<String, String> {
    origin_as_sent(text.trim_end_matches('/'))
        .ok_or_else(|| format!("{text:?} is no origin: write it as https://app.example"))
}
