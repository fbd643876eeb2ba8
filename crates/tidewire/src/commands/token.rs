//! `tidewire token`: tokens and keys made, tokens looked into.

mod revoke;

use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde_json::json;
use tidewire_auth::{
    Algorithm, Anonymous, Carrier, Claims, Key, KeySet, Keys, Presented, Question, Role, inspect,
    keygen, mint,
};
use tidewire_core::Patterns;

use crate::failure::{Failure, Outcome};
use crate::settings::{self, Lasting, Limit};
use crate::{clock, output, quote};

/// Mint a token; make a key; look into a token
#[derive(Args, Debug)]
#[command(
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true,
    after_help = "Examples:\n  tidewire token keygen --out tidewire.key\n  tidewire token --key-file tidewire.key --publish '*' --subscribe '*'\n  tidewire token --key-file tidewire.key --subscribe orders/42 --subject alice --ttl 15m"
)]
pub(crate) struct Token {
    #[command(subcommand)]
    action: Option<Action>,

    /// A topic that its holder may publish to; `*` is every topic; repeatable
    #[arg(long, value_name = "TOPIC")]
    publish: Vec<String>,

    /// A topic whose private events its holder may read; `*` is every topic; repeatable
    #[arg(long, value_name = "TOPIC")]
    subscribe: Vec<String>,

    /// How long it is valid, or `off` for ever
    #[arg(long, value_name = "DURATION", default_value = "24h")]
    ttl: Limit<Lasting>,

    /// Who holds it
    #[arg(long, value_name = "NAME")]
    subject: Option<String>,

    /// Who made it
    #[arg(long, value_name = "NAME")]
    issuer: Option<String>,

    #[command(flatten)]
    key: KeyArgs,

    /// Print the token alone
    #[arg(long, short)]
    quiet: bool,
}

/// Where the key is.
#[derive(Args, Debug)]
struct KeyArgs {
    /// File with the key; else TIDEWIRE_PUBLISHER_KEY or TIDEWIRE_SUBSCRIBER_KEY
    #[arg(long, value_name = "FILE")]
    key_file: Option<PathBuf>,

    /// The key's algorithm
    #[arg(long, value_name = "HS256|HS384|HS512", default_value = "HS256")]
    alg: Algorithm,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Make a key
    #[command(
        after_help = "Examples:\n  tidewire token keygen --out tidewire.key\n  export TIDEWIRE_PUBLISHER_KEY=\"$(tidewire token keygen)\""
    )]
    Keygen {
        /// Write it to a new file that only its owner can read, instead of standard output
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    Revoke(revoke::Revoke),
    /// Show what a token says, and check it if the key is at hand
    #[command(
        after_help = "Examples:\n  tidewire token inspect < token.txt\n  tidewire token inspect --key-file tidewire.key < token.txt"
    )]
    Inspect {
        /// The token; standard input is better, for arguments show in `ps`
        token: Option<String>,
        #[command(flatten)]
        key: KeyArgs,
    },
}

impl Token {
    pub(crate) fn run(self) -> Outcome {
        match self.action {
            Some(Action::Keygen { out }) => make_key(out.as_deref()),
            Some(Action::Inspect { token, key }) => look_into(token, &key),
            Some(Action::Revoke(revoke)) => revoke.run(),
            None => self.mint(),
        }
    }

    fn mint(self) -> Outcome {
        if self.publish.is_empty() && self.subscribe.is_empty() {
            return Err(
                Failure::usage("the token would allow nothing but to read public events")
                    .next("say --publish TOPIC, --subscribe TOPIC or both; '*' is every topic"),
            );
        }
        let role = if self.publish.is_empty() {
            Role::Subscriber
        } else {
            Role::Publisher
        };
        let key = self.key.find(role)?.ok_or_else(no_key)?;
        let ttl = self.ttl.at();
        let claims = Claims {
            publish: self.publish,
            subscribe: self.subscribe,
            // By which a token made after a revocation is told from those that were revoked.
            issued_ms: Some(clock::now_ms()),
            expires_ms: ttl.map(|ttl| clock::now_ms().saturating_add(ttl.ms)),
            not_before_ms: None,
            subject: self.subject,
            issuer: self.issuer,
            token_id: Some(random_id()?),
            ..Claims::default()
        };
        let token = mint(&claims, &key).map_err(Failure::usage)?;
        output::result(&token)?;
        if !self.quiet {
            let until = ttl.map_or("without end".to_owned(), |ttl| format!("for {ttl}"));
            output::say(format_args!("valid {until}; {}", allowance(&claims)));
        }
        Ok(())
    }
}

impl KeyArgs {
    fn find(&self, role: Role) -> Outcome<Option<Key>> {
        if let Some(path) = &self.key_file {
            return settings::read_key_file(path, self.alg).map(Some);
        }
        let variables = settings::KEY_VARIABLES
            .into_iter()
            .find(|(of, _)| *of == role);
        let text = variables
            .into_iter()
            .flat_map(|(_, names)| names)
            .find_map(|name| std::env::var(name).ok().filter(|key| !key.is_empty()));
        text.map(|text| Key::hmac(text.as_bytes(), self.alg).map_err(Failure::usage))
            .transpose()
    }
}

fn no_key() -> Failure {
    let program = quote::program();
    Failure::usage("no key to sign with").next(format!(
        "say --key-file FILE, the hub's own; or make one: {program} token keygen --out tidewire.key"
    ))
}

fn allowance(claims: &Claims) -> String {
    let list = |topics: &[String]| topics.join(", ");
    match (claims.publish.as_slice(), claims.subscribe.as_slice()) {
        ([], read) => format!("may read public events, and private ones of {}", list(read)),
        (publish, []) => format!("may publish to {}", list(publish)),
        (publish, read) => format!(
            "may publish to {}, and read private events of {}",
            list(publish),
            list(read)
        ),
    }
}

fn random<const N: usize>() -> Outcome<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes)
        .map_err(|error| Failure::failed(format!("the system gives no random bytes: {error}")))?;
    Ok(bytes)
}

fn random_id() -> Outcome<String> {
    Ok(format!("{:032x}", u128::from_le_bytes(random()?)))
}

fn make_key(out: Option<&Path>) -> Outcome {
    let key = keygen(&random()?);
    let Some(path) = out else {
        return output::result(key);
    };
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let written = options
        .open(path)
        .and_then(|mut file| writeln!(file, "{key}").and_then(|()| file.sync_all()));
    match written {
        Ok(()) => {
            output::say(format_args!("wrote a new key to {}", path.display()));
            Ok(())
        }
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Err(Failure::failed(
            format!("{} exists, and is kept", path.display()),
        )
        .next("use it, or choose another name")),
        Err(error) => Err(Failure::file(path, "write the key", &error)),
    }
}

fn look_into(token: Option<String>, key: &KeyArgs) -> Outcome {
    let token = match token {
        Some(token) if token != "-" => token,
        _ => read_stdin()?,
    };
    let token = token.trim();
    let found = inspect(token).map_err(Failure::failed)?;
    let shown = json!({ "header": found.header, "payload": found.payload });
    let shown = serde_json::to_string_pretty(&shown).map_err(Failure::failed)?;
    output::result(shown)?;
    match &found.claims {
        Ok(claims) => {
            output::say(allowance(claims));
            output::say(lifetime(claims));
        }
        Err(refusal) => output::say(format_args!("a hub refuses it: {refusal}")),
    }
    check(token, key, &found.claims)
}

fn lifetime(claims: &Claims) -> String {
    let now_ms = clock::now_ms();
    match claims.expires_ms {
        None => "it has no end".to_owned(),
        Some(end_ms) if end_ms <= now_ms => "it has expired".to_owned(),
        Some(end_ms) => format!(
            "it ends in {}",
            Lasting {
                ms: end_ms - now_ms
            }
        ),
    }
}

/// The hub's own decision, in each role that the token claims.
fn check<E>(token: &str, key: &KeyArgs, claims: &Result<Claims, E>) -> Outcome {
    let Ok(claims) = claims else {
        return Err(Failure::Said);
    };
    let role = if claims.publish.is_empty() {
        Role::Subscriber
    } else {
        Role::Publisher
    };
    let Some(key) = key.find(role)? else {
        output::say("its signature was not checked: say --key-file FILE");
        return Ok(());
    };
    let keys = Keys {
        publisher: Some(KeySet::from(key.clone())),
        subscriber: Some(KeySet::from(key)),
        ..Keys::default()
    };
    let patterns = Patterns::default();
    let question = Question {
        presented: Some(Presented {
            token,
            from: Carrier::Header,
        }),
        role,
        dialect: None,
        audience: "",
        now_ms: clock::now_ms(),
    };
    match tidewire_auth::decide(&question, &keys, Anonymous::None, &patterns) {
        Ok(_) => {
            output::say("a hub with this key takes it");
            Ok(())
        }
        Err(refusal) => Err(Failure::failed(format!(
            "a hub with this key refuses it: {refusal}"
        ))),
    }
}

fn read_stdin() -> Outcome<String> {
    let mut text = String::new();
    std::io::stdin()
        .lock()
        .take(tidewire_auth::TOKEN_BYTES_MAX as u64 * 2)
        .read_to_string(&mut text)
        .map_err(|error| Failure::failed(format!("cannot read standard input: {error}")))?;
    Ok(text)
}
