//! The reference Mercure hub's environment, where it means the same as a setting here: its transport, its directives, its address.
//!
//! What means something else or nothing is told: as a note where nothing depends on it, as an error where somebody might rely on it
//! (who gets in, what is kept). Not here: its keys (`keys`) and issuers, and the text of its directives (`caddyfile`).

use super::caddyfile::{self, Directive};
use super::sources::{Origin, Spelled};
use crate::failure::{Failure, Outcome};

const TRANSPORT: &str = "MERCURE_TRANSPORT_URL";
const DIRECTIVES: &str = "MERCURE_EXTRA_DIRECTIVES";
const ADDRESS: &str = "SERVER_NAME";
/// Any of these says that the environment was made for the reference hub: `SERVER_NAME` alone may be anybody's.
const MARKS: [&str; 5] = [
    TRANSPORT,
    DIRECTIVES,
    "MERCURE_PUBLISHER_JWT_KEY",
    "MERCURE_SUBSCRIBER_JWT_KEY",
    "MERCURE_TRUSTED_ISSUERS",
];

/// Directives without which nothing is other than with them.
const WITHOUT_MEANING: &[(&str, &str)] = &[
    (
        "dispatch_timeout",
        "a subscriber that reads too slowly stands still alone, up to --stall-deadline",
    ),
    (
        "topic_matcher_cache",
        "matching has an index and needs no cache",
    ),
    (
        "topic_selector_cache",
        "matching has an index and needs no cache",
    ),
    ("subscriber_list_cache_size", "nothing of the kind is kept"),
    ("name", "the health paths answer to any name"),
    ("debugger", "the page at / is always there"),
    ("playground", "the page at / is always there"),
    ("ui", "the page at / is always there"),
    ("demo", "the page at / is always there"),
    (
        "protocol_version_compatibility",
        "each request is answered in its own dialect",
    ),
];

/// What the environment says.
#[derive(Debug, Default)]
pub(super) struct Reading {
    pub(super) settings: Vec<Spelled>,
    /// What an operator should know of it.
    pub(super) notes: Vec<String>,
}

/// Reads it; `variable` gives the values of variables that are there and not empty.
pub(super) fn read(variable: impl Fn(&str) -> Option<String>) -> Outcome<Reading> {
    let mut reading = Reading::default();
    if let Some(url) = variable(TRANSPORT) {
        let wrong = |why: String| Failure::usage(format!("{TRANSPORT}: {why}"));
        let mut transport = Told {
            variable: TRANSPORT,
            reading: &mut reading,
        };
        transport.url(&url).map_err(wrong)?;
    }
    if let Some(text) = variable(DIRECTIVES) {
        let wrong = |why: String| {
            Failure::usage(format!("{DIRECTIVES}: {why}"))
                .next("take the line out, or run the hub without this variable and with settings of its own")
        };
        let mut told = Told {
            variable: DIRECTIVES,
            reading: &mut reading,
        };
        for directive in caddyfile::parse(&text, &variable).map_err(wrong)? {
            told.directive(&directive)
                .map_err(|why| wrong(format!("{}: {why}", directive.name)))?;
        }
    }
    if let (true, Some(names)) = (
        MARKS.iter().any(|name| variable(name).is_some()),
        variable(ADDRESS),
    ) {
        let mut told = Told {
            variable: ADDRESS,
            reading: &mut reading,
        };
        told.addresses(&names);
    }
    Ok(reading)
}

/// The notes on this process's environment.
pub(crate) fn notes() -> Vec<String> {
    let reading = read(of_process);
    reading.map(|reading| reading.notes).unwrap_or_default()
}

pub(super) fn of_process(name: &str) -> Option<String> {
    super::variable(name).map(|value| value.to_string_lossy().into_owned())
}

/// One of the variables, and where what it says goes.
struct Told<'a> {
    variable: &'static str,
    reading: &'a mut Reading,
}

impl Told<'_> {
    fn set(
        &mut self,
        key: &str,
        values: impl IntoIterator<Item = impl Into<String>>,
    ) -> Result<(), String> {
        let values: Vec<String> = values.into_iter().map(Into::into).collect();
        super::overlay::check(key, &values)?;
        let known = &mut self.reading.settings;
        known.retain(|spelled| spelled.key != key);
        known.push(Spelled {
            key: key.to_owned(),
            values,
            origin: Origin::Environment(self.variable.to_owned()),
        });
        Ok(())
    }

    fn note(&mut self, what: impl std::fmt::Display) {
        self.reading
            .notes
            .push(format!("{}: {what}", self.variable));
    }

    fn directive(&mut self, directive: &Directive) -> Result<(), String> {
        let name = &*directive.name;
        match name {
            "anonymous" => self.set("anonymous", ["subscribe"]),
            "subscriptions" => self.set("subscriptions", ["on"]),
            "cors_origins" | "publish_origins" => {
                self.set(&name.replace('_', "-"), &directive.words)
            }
            "cookie_name" => self.set("cookie-name", [directive.one()?]),
            "resource_identifier" => self.set("hub-url", [directive.one()?]),
            "publisher_jwks_url" | "subscriber_jwks_url" => {
                self.set(&name.replace('_', "-"), [directive.one()?])
            }
            "max_request_body_size" => self.set("event-bytes-max", [directive.one()?]),
            "heartbeat" => match directive.one()? {
                "0" | "0s" => Err(
                    "streams without heartbeats cannot be told from dead ones; give a duration"
                        .to_owned(),
                ),
                text => self.set("heartbeat", [text]),
            },
            "write_timeout" => match directive.one()? {
                // So long that it is none.
                "0" | "0s" => self.set("stream-life", ["3650d"]),
                text => self.set("stream-life", [text]),
            },
            "transport_url" => {
                let url = directive.one()?.to_owned();
                self.url(&url)
            }
            "transport" => self.transport(directive),
            "publisher_jwt" | "subscriber_jwt" => {
                let role = name.trim_end_matches("_jwt");
                Err(format!(
                    "keys are not read from directives: give it as MERCURE_{}_JWT_KEY, or as a file with --{role}-key-file",
                    role.to_uppercase()
                ))
            }
            "issuer" => Err(
                "issuers are named with --issuer, or as [[issuers]] in the file of --config"
                    .to_owned(),
            ),
            "public_urls" => Err(
                "this hub has no such list; it names the origins that may read with --cors-origins"
                    .to_owned(),
            ),
            _ => match WITHOUT_MEANING.iter().find(|(known, _)| *known == name) {
                Some((_, why)) => {
                    self.note(format_args!("{name} is not needed: {why}"));
                    Ok(())
                }
                None => Err(
                    "there is no such directive, or nothing here that means the same".to_owned(),
                ),
            },
        }
    }

    fn transport(&mut self, directive: &Directive) -> Result<(), String> {
        match directive.words.first().map(String::as_str) {
            Some("local") => self.in_memory(),
            Some("bolt") => {
                let mut path = "mercure.db".to_owned();
                let mut size = None;
                for part in &directive.block {
                    match &*part.name {
                        "path" => part.one()?.clone_into(&mut path),
                        "size" => size = Some(part.one()?.to_owned()),
                        "bucket_name" | "cleanup_frequency" => {}
                        other => return Err(format!("{other:?} is nothing of bolt's")),
                    }
                }
                self.bolt(&path, size.as_deref())
            }
            other => Err(no_transport(other.unwrap_or_default())),
        }
    }

    /// The form of old: `bolt://file?size=…`, `local://local`.
    fn url(&mut self, url: &str) -> Result<(), String> {
        let (scheme, rest) = url.split_once("://").unwrap_or((url, ""));
        match scheme {
            "local" => self.in_memory(),
            "bolt" => {
                let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
                let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
                let size = pairs.clone().find(|(name, _)| *name == "size");
                self.bolt(path, size.map(|(_, size)| size))
            }
            other => Err(no_transport(other)),
        }
    }

    fn in_memory(&mut self) -> Result<(), String> {
        self.note("events are kept in memory, as many as --retention-bytes holds; a hub of the reference kept none");
        self.set("memory", ["on"])
    }

    fn bolt(&mut self, path: &str, size: Option<&str>) -> Result<(), String> {
        if path.is_empty() {
            return Err("it names no file".to_owned());
        }
        let dir = format!("{}.tidewire", path.strip_suffix(".db").unwrap_or(path));
        self.note(format_args!(
            "events are kept in the directory {dir}; those in {path} are not read"
        ));
        self.set("data-dir", [dir])?;
        match size {
            None | Some("0") => Ok(()),
            Some(size) => self.set("retention-count", [size]),
        }
    }

    /// Sites of a Caddyfile. Only what says where to listen without TLS means the same.
    fn addresses(&mut self, names: &str) {
        let mut listen = Vec::new();
        for name in names.split([',', ' ']).filter(|name| !name.is_empty()) {
            let bare = name.strip_prefix("http://");
            let (host, port) = bare.unwrap_or(name).rsplit_once(':').unwrap_or_default();
            let host = match host {
                "" => "0.0.0.0",
                "localhost" => "127.0.0.1",
                host => host,
            };
            let is_address = host
                .trim_matches(['[', ']'])
                .parse::<std::net::IpAddr>()
                .is_ok();
            let is_plain = bare.is_some() || (name.starts_with(':') && port != "443");
            match port.parse::<u16>() {
                Ok(port) if is_plain && is_address => listen.push(format!("{host}:{port}")),
                Ok(port) if bare.is_some() => listen.push(format!("0.0.0.0:{port}")),
                _ => self.note(format_args!(
                    "{name} asks for TLS with a certificate that is got by itself, which this hub does not do: \
                     it listens as --listen says, and speaks TLS with --tls-cert and --tls-key"
                )),
            }
        }
        if !listen.is_empty()
            && let Err(why) = self.set("listen", listen)
        {
            self.note(why);
        }
    }
}

fn no_transport(name: &str) -> String {
    match name {
        "redis" | "valkey" | "postgres" | "kafka" | "pulsar" => format!(
            "{name} is no log of this hub's: it keeps events in files of its own (--data-dir) or in memory (--memory)"
        ),
        _ => format!("{name:?} is no transport: bolt and local are understood"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(variables: &[(&str, &str)]) -> Result<Reading, String> {
        let variable = |name: &str| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        read(variable).map_err(|failure| format!("{failure:?}").replace("\\\"", "\""))
    }

    /// mercure.md, A and B
    #[test]
    fn what_means_the_same() {
        let key = ("MERCURE_PUBLISHER_JWT_KEY", "x");
        #[rustfmt::skip]
        let table: &[(&[(&str, &str)], &[(&str, &[&str])], usize)] = &[
            (&[], &[], 0),
            (&[(TRANSPORT, "local://local")], &[("memory", &["on"])], 1),
            (&[(TRANSPORT, "bolt://updates.db")], &[("data-dir", &["updates.tidewire"])], 1),
            (&[(TRANSPORT, "bolt:///var/run/m.db?size=1000&cleanup_frequency=0.5")],
             &[("data-dir", &["/var/run/m.tidewire"]), ("retention-count", &["1000"])], 1),
            (&[(TRANSPORT, "bolt://m.db?size=0")], &[("data-dir", &["m.tidewire"])], 1),
            (&[(DIRECTIVES, "anonymous")], &[("anonymous", &["subscribe"])], 0),
            (&[(DIRECTIVES, "anonymous\nsubscriptions\n# comment\n\nheartbeat 40s\nwrite_timeout 10m0s")],
             &[("anonymous", &["subscribe"]), ("subscriptions", &["on"]), ("heartbeat", &["40s"]), ("stream-life", &["10m0s"])], 0),
            (&[(DIRECTIVES, "cors_origins https://a.example \"https://*.b.example\"\npublish_origins *")],
             &[("cors-origins", &["https://a.example", "https://*.b.example"]), ("publish-origins", &["*"])], 0),
            (&[(DIRECTIVES, "write_timeout 0"), key], &[("stream-life", &["3650d"])], 0),
            (&[(DIRECTIVES, "cookie_name mine\nresource_identifier https://h.example/.well-known/mercure")],
             &[("cookie-name", &["mine"]), ("hub-url", &["https://h.example/.well-known/mercure"])], 0),
            (&[(DIRECTIVES, "transport bolt {\n path a.db\n size 10\n bucket_name b\n}\nanonymous")],
             &[("data-dir", &["a.tidewire"]), ("retention-count", &["10"]), ("anonymous", &["subscribe"])], 1),
            (&[(DIRECTIVES, "transport local\ndispatch_timeout 5s\ndemo\nplayground\nname x")], &[("memory", &["on"])], 5),
            (&[(DIRECTIVES, "cookie_name {$NAME:mine}")], &[("cookie-name", &["mine"])], 0),
            (&[(DIRECTIVES, "cookie_name {env.NAME}"), ("NAME", "yours")], &[("cookie-name", &["yours"])], 0),
            (&[(ADDRESS, ":80")], &[], 0),
            (&[(ADDRESS, ":80"), key], &[("listen", &["0.0.0.0:80"])], 0),
            (&[(ADDRESS, "http://localhost:3000, http://hub.example:8080"), key], &[("listen", &["127.0.0.1:3000", "0.0.0.0:8080"])], 0),
            (&[(ADDRESS, "localhost"), key], &[], 1),
            (&[(ADDRESS, "hub.example, :443"), key], &[], 2),
        ];
        for (variables, settings, notes) in table {
            let got = reading(variables).unwrap_or_else(|why| panic!("{variables:?}: {why}"));
            let spelled: Vec<(&str, Vec<&str>)> = got
                .settings
                .iter()
                .map(|spelled| {
                    let values = spelled.values.iter().map(String::as_str);
                    (&*spelled.key, values.collect())
                })
                .collect();
            let want: Vec<(&str, Vec<&str>)> = settings
                .iter()
                .map(|(key, values)| (*key, values.to_vec()))
                .collect();
            assert_eq!(spelled, want, "{variables:?}");
            assert_eq!(got.notes.len(), *notes, "{variables:?}: {:?}", got.notes);
        }
    }

    #[test]
    fn what_somebody_might_rely_on_is_refused() {
        #[rustfmt::skip]
        let table = [
            (TRANSPORT, "redis://h", "--data-dir"),
            (TRANSPORT, "bolt://", "names no file"),
            (TRANSPORT, "nonsense", "bolt and local"),
            (DIRECTIVES, "unknown x", "unknown: there is no such directive"),
            (DIRECTIVES, "heartbeat 0", "give a duration"),
            (DIRECTIVES, "heartbeat soon", "is no duration"),
            (DIRECTIVES, "heartbeat", "heartbeat: it takes one value"),
            (DIRECTIVES, "cors_origins example.com", "is no origin"),
            (DIRECTIVES, "publisher_jwt secret HS256", "MERCURE_PUBLISHER_JWT_KEY"),
            (DIRECTIVES, "issuer https://i.example {\n publisher {\n  jwt x\n }\n}", "--issuer"),
            (DIRECTIVES, "public_urls https://h.example", "--cors-origins"),
            (DIRECTIVES, "transport postgres", "--data-dir"),
            (DIRECTIVES, "transport bolt {", "braces"),
            (DIRECTIVES, "cookie_name \"mine", "quotation"),
        ];
        for (name, value, words) in table {
            let why = reading(&[(name, value)]).unwrap_err();
            assert!(why.contains(words), "{value}: {why}");
            assert!(!why.contains("secret"), "{why}");
        }
    }
}
