//! Weak keys and open doors: what an operator should know of settings that are right. `config check` names all of it, `serve` what is severe.

use std::fmt;
use std::net::SocketAddr;

use tidewire_auth::signed_url::UrlKey;
use tidewire_auth::{Anonymous, Role};
use tidewire_hub::{KeySource, KeysFrom, is_loopback};

use super::{Settings, Trust};

/// Something that may let in more than is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Warning {
    /// Whether strangers may do what only some should, or nobody what somebody should: worth a line at every start.
    pub(crate) is_severe: bool,
    what: String,
    change: String,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (change: {})", self.what, self.change)
    }
}

fn severe(what: impl Into<String>, change: impl Into<String>) -> Warning {
    Warning {
        is_severe: true,
        what: what.into(),
        change: change.into(),
    }
}

fn mild(what: impl Into<String>, change: impl Into<String>) -> Warning {
    Warning {
        is_severe: false,
        ..severe(what, change)
    }
}

/// All of it.
pub(crate) fn warnings(settings: &Settings, trust: &Trust) -> Vec<Warning> {
    let exposed = settings.exposed();
    let mut all = keys(settings, trust);
    all.extend(nobody(settings, trust));
    all.extend(anonymous(settings, trust, exposed));
    all.extend(pages(settings, trust));
    all.extend(wire(settings, trust, exposed));
    all.extend(fetching(settings, trust));
    all
}

/// What is open to requests without a token: without keys and without a word, this machine alone.
fn anonymous_of(settings: &Settings) -> Anonymous {
    settings.anonymous.unwrap_or(Anonymous::None)
}

fn keys(settings: &Settings, trust: &Trust) -> Vec<Warning> {
    let mut all = Vec::new();
    for role in [Role::Publisher, Role::Subscriber] {
        for (issuer, key) in trust.keys.each(role) {
            let Some(weakness) = key.weakness() else {
                continue;
            };
            let whose = issuer.map_or_else(String::new, |issuer| format!(" of {issuer}"));
            let change = "make one with `tidewire token keygen`";
            let what = format!("the {role} key{whose} {weakness}");
            all.push(severe(what, change));
        }
        let signs_urls = |key: &&UrlKey| trust.keys.each(role).any(|(_, of)| of.is_also(key));
        if trust.url_key.as_ref().filter(signs_urls).is_some() {
            all.push(severe(
                format!(
                    "the {role} key signs URLs too: whoever may make the one can make the other"
                ),
                "a key of its own for --url-key-file: `tidewire token keygen --out url.key`",
            ));
        }
    }
    if trust.has_issuers() && settings.hub_url.is_none() {
        all.push(severe(
            "access tokens are compared with what each request calls the hub (its Host), which whoever holds a token for another hub can choose",
            "say what this one is called with --hub-url",
        ));
    }
    all
}

fn nobody(settings: &Settings, trust: &Trust) -> Vec<Warning> {
    let roles = [Role::Publisher, Role::Subscriber].into_iter();
    let is_nobody = |role: &Role| {
        let by_url = *role == Role::Subscriber && trust.url_key.is_some();
        let known = trust.can_verify(*role) || trust.hook.is_some() || by_url;
        !known && !anonymous_of(settings).allows(*role) && !trust.is_empty()
    };
    let told = |role: Role| {
        severe(
            format!("no {role} can get in"),
            format!("give --{role}-key-file, or see --anonymous"),
        )
    };
    roles.filter(is_nobody).map(told).collect()
}

fn anonymous(settings: &Settings, trust: &Trust, exposed: Option<&SocketAddr>) -> Vec<Warning> {
    let open = match anonymous_of(settings) {
        Anonymous::All => "publish and subscribe",
        Anonymous::Subscribe => "read every public event",
        Anonymous::None => return Vec::new(),
    };
    let everything = match trust.is_empty() {
        true => ", and there are no keys: any page and program that reaches it may",
        false => "",
    };
    let Some(address) = exposed else {
        // On a loopback address of a machine that is the operator's own: by a proxy or a page it is open all the same.
        return vec![mild(
            format!(
                "whoever reaches the hub may {open}, through a proxy or a page too{everything}"
            ),
            "leave --anonymous out",
        )];
    };
    let what = format!(
        "{address} can be reached from other machines, and whoever does may {open} without a token"
    );
    match anonymous_of(settings) {
        Anonymous::All => vec![severe(what, "--anonymous none or subscribe, with keys")],
        _ => vec![mild(
            what,
            "--anonymous none, if it is not meant for everybody",
        )],
    }
}

fn pages(settings: &Settings, trust: &Trust) -> Vec<Warning> {
    let names_all = |origins: &[String]| origins.iter().any(|origin| origin == "*");
    let names_null = |origins: &[String]| origins.iter().any(|origin| origin == "null");
    let is_open = anonymous_of(settings) != Anonymous::None;
    let mut all = Vec::new();
    if names_all(&settings.publish_origins) {
        let what = "pages of every origin may publish, with the cookies of whoever looks at them";
        all.push(severe(
            what,
            "name the origins of your pages in --publish-origins",
        ));
    }
    if names_all(&settings.cors_origins) && (is_open || trust.is_empty()) {
        let what = "pages of every origin may read what is open without a token, from the networks of whoever looks at them";
        all.push(mild(
            what,
            "name the origins of your pages in --cors-origins",
        ));
    } else if names_all(&settings.cors_origins) {
        let what = "pages of every origin may read with a token in a header or a signed URL";
        all.push(mild(
            what,
            "name the origins of your pages in --cors-origins",
        ));
    }
    for (flag, origins) in [
        ("--cors-origins", &settings.cors_origins),
        ("--publish-origins", &settings.publish_origins),
    ] {
        if names_null(origins) {
            let what = format!(
                "{flag} has `null`: any page can make itself one of that origin, in a sandboxed frame"
            );
            all.push(severe(what, "serve the page from an origin of its own"));
        }
        for origin in origins.iter().filter(|origin| is_plain_web(origin)) {
            let what = format!("{flag} has {origin}: whoever is on the way can be that page");
            all.push(mild(what, "serve the page over https"));
        }
    }
    all
}

/// `http://`, and not of this machine.
fn is_plain_web(address: &str) -> bool {
    let Ok(url) = url::Url::parse(address) else {
        return false;
    };
    url.scheme() == "http" && !url.host_str().is_some_and(is_loopback)
}

fn wire(settings: &Settings, trust: &Trust, exposed: Option<&SocketAddr>) -> Vec<Warning> {
    let mut all = Vec::new();
    let has_tls = settings.tls_cert.is_some() || settings.tls_self_signed.0;
    let has_secrets = !trust.is_empty() || trust.url_key.is_some();
    if let (Some(address), false, true) = (exposed, has_tls, has_secrets) {
        all.push(mild(
            format!("{address} speaks plain HTTP: tokens can be read on the way, unless something before it ends TLS"),
            "--tls-cert and --tls-key, or listen on 127.0.0.1 behind a proxy",
        ));
    }
    if let Some(address) = settings.admin_listen.filter(|one| !one.ip().is_loopback()) {
        let change = "--admin-token-file, or --admin-listen 127.0.0.1:9090";
        match settings.admin_open.0 {
            true => all.push(severe(
                format!("{address} shows metrics to everybody who reaches it"),
                change,
            )),
            false => all.push(mild(
                format!("{address} speaks plain HTTP: the admin token can be read on the way"),
                "--admin-listen 127.0.0.1:9090, behind what ends TLS",
            )),
        }
    }
    if settings.clients.debug_refusals.0 {
        all.push(mild(
            "whoever asks is told why a token was refused",
            "--debug-refusals off, where strangers ask",
        ));
    }
    let trusts_all = |text: &String| text.ends_with("/0");
    if settings.clients.trusted_proxies.iter().any(trusts_all) {
        all.push(severe(
            "every client is believed about its own address, so limits by address and URLs for an address mean nothing",
            "name your proxies alone in --trusted-proxies",
        ));
    }
    all
}

fn fetching(settings: &Settings, trust: &Trust) -> Vec<Warning> {
    let mut all = Vec::new();
    let own = &settings.trust;
    let sources = trust.fetched.sources.iter().map(of_source);
    let hook = trust
        .hook
        .iter()
        .map(|hook| ("the authorization hook", hook.url.to_string()));
    for (what, address) in sources.chain(hook) {
        if is_plain_web(&address) {
            all.push(severe(
                format!("{what} {address} is asked over plain HTTP: whoever is on the way can let anybody in"),
                "an https:// URL, and --fetch-plain-http off",
            ));
        }
    }
    if own.fetch_plain_http.0 && all.is_empty() {
        all.push(mild(
            "--fetch-plain-http is on, and nothing needs it",
            "--fetch-plain-http off",
        ));
    }
    all
}

fn of_source(source: &KeySource) -> (&'static str, String) {
    match &source.from {
        KeysFrom::Discovery(url) => ("the issuer", url.to_string()),
        KeysFrom::Jwks(url) => ("the key set", url.to_string()),
    }
}
