//! `tidewire token`: a token made, in either dialect.

use std::fmt;
use std::str::FromStr;

use clap::Args;
use serde_json::Value;
use tidewire_auth::{Claims, Detail, Dialect, MintError, Role, TopicMatch, mint};

use super::keys::KeyArgs;
use super::random_id;
use crate::failure::{Failure, Outcome};
use crate::settings::{Lasting, Limit};
use crate::{clock, output};

/// What the token says.
#[derive(Args, Debug)]
pub(super) struct Mint {
    /// A topic that its holder may publish to; `*` is every topic; repeatable
    #[arg(long, value_name = "TOPIC")]
    publish: Vec<String>,

    /// A topic whose private events its holder may read; `*` is every topic; repeatable
    #[arg(long, value_name = "TOPIC")]
    subscribe: Vec<String>,

    /// Topics that its holder may publish to, as a URL pattern; repeatable; access tokens only
    #[arg(long, value_name = "PATTERN")]
    publish_urlpattern: Vec<String>,

    /// Topics whose private events its holder may read, as a URL pattern; repeatable; access tokens only
    #[arg(long, value_name = "PATTERN")]
    subscribe_urlpattern: Vec<String>,

    /// `legacy`: as Mercure hubs before 1.0 take them; `modern`: an access token, which names its maker and whom it is for
    /// [default: `modern` with --audience, --client-id or a URL pattern, else `legacy`]
    #[arg(long, value_name = "legacy|modern")]
    dialect: Option<Wanted>,

    /// How long it is valid, or `off` for ever (not an access token)
    #[arg(long, value_name = "DURATION", default_value = "24h")]
    ttl: Limit<Lasting>,

    /// Who holds it (`sub`)
    #[arg(long, value_name = "NAME")]
    subject: Option<String>,

    /// Who made it (`iss`); of an access token: as the hub's --issuer or `[[issuers]]` has it
    #[arg(long, value_name = "NAME")]
    issuer: Option<String>,

    /// Whom it is for (`aud`): the hub's URL, as its --hub-url has it; repeatable
    #[arg(long, value_name = "URL")]
    audience: Vec<String>,

    /// The program that it is given to (`client_id`)
    #[arg(long, value_name = "NAME")]
    client_id: Option<String>,

    /// Its own id (`jti`), by which it can be revoked [default: a random one]
    #[arg(long, value_name = "ID")]
    token_id: Option<String>,

    /// What others are shown of the subscriber, where the hub has --subscriptions
    #[arg(long, value_name = "JSON")]
    payload: Option<String>,

    /// The key's name (`kid`), by which a hub with several finds it
    #[arg(long, value_name = "NAME")]
    kid: Option<String>,

    #[command(flatten)]
    key: KeyArgs,

    /// Print the token alone
    #[arg(long, short)]
    quiet: bool,
}

/// A dialect by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Wanted(pub(super) Dialect);

impl FromStr for Wanted {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "legacy" => Ok(Self(Dialect::Legacy)),
            "modern" => Ok(Self(Dialect::Modern)),
            _ => Err(format!("{text:?} is neither legacy nor modern")),
        }
    }
}

impl fmt::Display for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Dialect::Legacy => "legacy",
            Dialect::Modern => "modern",
        })
    }
}

impl Mint {
    pub(super) fn run(self) -> Outcome {
        let publishes = !self.publish.is_empty() || !self.publish_urlpattern.is_empty();
        if !publishes && self.subscribe.is_empty() && self.subscribe_urlpattern.is_empty() {
            return Err(
                Failure::usage("the token would allow nothing but to read public events")
                    .next("say --publish TOPIC, --subscribe TOPIC or both; '*' is every topic"),
            );
        }
        let role = match publishes {
            true => Role::Publisher,
            false => Role::Subscriber,
        };
        let claims = self.claims()?;
        let mut key = self.key.signing(role)?;
        if let Some(kid) = &self.kid {
            key = key.with_id(kid);
        }
        let token = mint(&claims, &key).map_err(|why| failure(&why))?;
        output::result(&token)?;
        if !self.quiet {
            let ttl = self.ttl.at();
            let until = ttl.map_or("without end".to_owned(), |ttl| format!("for {ttl}"));
            let kind = match claims.dialect() {
                Dialect::Legacy => "",
                Dialect::Modern => "an access token, ",
            };
            output::say(format_args!("{kind}valid {until}; {}", allowance(&claims)));
        }
        Ok(())
    }

    fn dialect(&self) -> Outcome<Dialect> {
        let has_patterns =
            !self.publish_urlpattern.is_empty() || !self.subscribe_urlpattern.is_empty();
        let is_modern = has_patterns || !self.audience.is_empty() || self.client_id.is_some();
        match (self.dialect, is_modern) {
            (Some(Wanted(Dialect::Legacy)), _) if has_patterns => Err(Failure::usage(
                "a token of the older protocol has no URL patterns",
            )
            .next("say topics with URI templates, as in --subscribe 'https://example.com/{id}', or --dialect modern")),
            (Some(Wanted(dialect)), _) => Ok(dialect),
            (None, true) => Ok(Dialect::Modern),
            (None, false) => Ok(Dialect::Legacy),
        }
    }

    fn claims(&self) -> Outcome<Claims> {
        let now_ms = clock::now_ms();
        let payload = self.payload.as_deref().map(json).transpose()?;
        let token_id = match &self.token_id {
            Some(id) => id.clone(),
            None => random_id()?,
        };
        let claims = Claims {
            // By which a token made after a revocation is told from those that were revoked.
            issued_ms: Some(now_ms),
            expires_ms: self.ttl.at().map(|ttl| now_ms.saturating_add(ttl.ms)),
            subject: self.subject.clone(),
            issuer: self.issuer.clone(),
            audience: self.audience.clone(),
            client_id: self.client_id.clone(),
            token_id: Some(token_id),
            ..Claims::default()
        };
        Ok(match self.dialect()? {
            Dialect::Legacy => Claims {
                publish: self.publish.clone(),
                subscribe: self.subscribe.clone(),
                payload,
                ..claims
            },
            Dialect::Modern => Claims {
                details: Some(self.details(payload)),
                ..claims
            },
        })
    }

    fn details(&self, payload: Option<Value>) -> Vec<Detail> {
        let topics = |exact: &[String], patterns: &[String]| -> Vec<TopicMatch> {
            let exact = exact.iter().cloned().map(TopicMatch::Exact);
            let patterns = patterns.iter().cloned().map(TopicMatch::UrlPattern);
            exact.chain(patterns).collect()
        };
        let publish = Detail {
            publish: true,
            topics: topics(&self.publish, &self.publish_urlpattern),
            ..Detail::default()
        };
        let subscribe = Detail {
            subscribe: true,
            topics: topics(&self.subscribe, &self.subscribe_urlpattern),
            payload,
            ..Detail::default()
        };
        let all = [publish, subscribe].into_iter();
        all.filter(|detail| !detail.topics.is_empty()).collect()
    }
}

fn json(text: &str) -> Outcome<Value> {
    serde_json::from_str(text).map_err(|why| {
        Failure::usage(format!("--payload is no JSON: {why}"))
            .next("write it as '{\"name\":\"Alice\"}', or '\"Alice\"' for a text")
    })
}

fn failure(why: &MintError) -> Failure {
    let failure = Failure::usage(why);
    match why {
        MintError::Missing("iss") => failure.next("say --issuer NAME, as the hub's --issuer or [[issuers]] has it"),
        MintError::Missing("aud") => failure.next("say --audience URL, as the hub's --hub-url has it: https://example.com/.well-known/mercure"),
        MintError::Missing("exp") => failure.next("say --ttl DURATION, such as 15m"),
        _ => failure,
    }
}

/// What a token lets its holder do, for people.
pub(super) fn allowance(claims: &Claims) -> String {
    let list = |role| topics(claims, role).join(", ");
    match (list(Role::Publisher), list(Role::Subscriber)) {
        (publish, read) if publish.is_empty() && read.is_empty() => {
            "may read public events".to_owned()
        }
        (publish, read) if publish.is_empty() => {
            format!("may read public events, and private ones of {read}")
        }
        (publish, read) if read.is_empty() => format!("may publish to {publish}"),
        (publish, read) => {
            format!("may publish to {publish}, and read private events of {read}")
        }
    }
}

/// What it names in a role.
pub(super) fn topics(claims: &Claims, role: Role) -> Vec<String> {
    let Some(details) = &claims.details else {
        return match role {
            Role::Publisher => claims.publish.clone(),
            Role::Subscriber => claims.subscribe.clone(),
        };
    };
    let of_role = |detail: &&Detail| match role {
        Role::Publisher => detail.publish,
        Role::Subscriber => detail.subscribe,
    };
    let name = |topic: &TopicMatch| match topic {
        TopicMatch::UrlPattern(pattern) => format!("{pattern} (URL pattern)"),
        TopicMatch::Exact(topic) => topic.clone(),
        _ => "others".to_owned(),
    };
    let topics = details
        .iter()
        .filter(of_role)
        .flat_map(|detail| &detail.topics);
    topics.map(name).collect()
}
