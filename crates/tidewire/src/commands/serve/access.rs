//! Who may do what, and when a hub without keys must not start.

use tidewire_auth::Role;
use tidewire_hub::{Access, Anonymous, HookSettings};

use super::origins;
use crate::failure::{Failure, Outcome};
use crate::quote;
use crate::settings::{self, Settings, Trust};

/// The decision, and how it is told.
#[derive(Debug)]
pub(super) struct Decided {
    pub(super) access: Access,
    pub(super) publish: String,
    pub(super) subscribe: String,
    /// What an operator should know about the keys.
    pub(super) warnings: Vec<String>,
}

/// Safe by default: with keys, nobody without a token; without keys, this machine alone.
pub(super) fn decide(settings: &Settings, trust: &Trust) -> Outcome<Decided> {
    let exposed = settings.exposed();
    if let (true, None, Some(address)) = (trust.is_empty(), settings.anonymous, exposed) {
        return Err(refuse(address));
    }
    if settings.clients.debug_refusals.0 {
        check_debug(settings, exposed)?;
    }
    let keyless = trust.is_empty() && settings.anonymous.is_none();
    let mut access = if keyless {
        Access::keyless()
    } else {
        Access::default()
    };
    if !keyless {
        access.anonymous = settings.anonymous.unwrap_or(Anonymous::None);
    }
    access.cors_origins = origins(&settings.cors_origins)?;
    access.publish_origins = origins(&settings.publish_origins)?;
    access.allowed_hosts = settings.clients.hosts()?;
    access.cookie_name.clone_from(&settings.cookie_name);
    let warnings = settings::warnings(settings, trust);
    let severe = warnings.iter().filter(|warning| warning.is_severe);
    access.keys = trust.keys.clone();
    access.url_key.clone_from(&trust.url_key);
    let who = |role| who(&access, trust, keyless, role);
    Ok(Decided {
        publish: who(Role::Publisher),
        subscribe: who(Role::Subscriber),
        access,
        warnings: severe.map(ToString::to_string).collect(),
    })
}

fn who(access: &Access, trust: &Trust, keyless: bool, role: Role) -> String {
    let anonymous = access.anonymous.allows(role);
    let with_token = trust.can_verify(role);
    if let Some(hook) = &trust.hook {
        return who_with_hook(hook, anonymous, with_token, role);
    }
    let by_url = role == Role::Subscriber && trust.url_key.is_some();
    match (keyless, anonymous, with_token) {
        (false, false, true) if by_url => format!("{role}s with a token or a signed URL"),
        (false, false, false) if by_url => "whoever has a signed URL".to_owned(),
        (true, ..) => "any program and page of this machine (no keys are configured; see --publisher-key-file, --anonymous)".to_owned(),
        (_, true, true) => format!("anybody, and {role}s with a token"),
        (_, true, false) => "anybody".to_owned(),
        (_, false, true) => format!("{role}s with a token"),
        (_, false, false) => format!("nobody: there is no {role} key, and --anonymous does not allow it"),
    }
}

fn who_with_hook(hook: &HookSettings, anonymous: bool, with_token: bool, role: Role) -> String {
    let asked = format!("whom {} lets in", hook.url);
    match (anonymous, with_token) {
        (true, true) => format!("anybody, {role}s with a token, and {asked}"),
        (true, false) => format!("anybody, and {asked}"),
        (false, true) => format!("{role}s with a token, and {asked}"),
        (false, false) => asked,
    }
}

/// What helps a developer helps whoever tries tokens: it is for one machine.
fn check_debug(settings: &Settings, exposed: Option<&std::net::SocketAddr>) -> Outcome {
    let why = match exposed {
        Some(address) => format!("{address} can be reached from other machines"),
        None if !settings.clients.trusted_proxies.is_empty() => {
            "--trusted-proxies says that other machines reach this hub".to_owned()
        }
        None => return Ok(()),
    };
    Err(Failure::usage(format!(
        "--debug-refusals tells whoever asks why a token fails, and {why}"
    ))
    .next("listen on loopback addresses alone, or read the reasons in the hub's log (TIDEWIRE_LOG=info)"))
}

/// Says what to paste instead: the same command, with a key.
fn refuse(address: &std::net::SocketAddr) -> Failure {
    let program = quote::program();
    let key = free_name();
    let key = quote::shell(&key);
    let words = std::env::args_os().skip(1);
    let words: Vec<String> = words
        .map(|word| word.to_string_lossy().into_owned())
        .collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let serve = match words.as_slice() {
        // Asked what `serve` would say.
        ["config", "check", rest @ ..] => {
            let settings = rest.iter().copied().filter(|word| *word != "--strict");
            quote::command(std::iter::once("serve").chain(settings))
        }
        words => quote::command(words.iter().copied()),
    };
    Failure::usage(format!(
        "{address} can be reached from other machines, and there is no key that says who may publish and subscribe"
    ))
    .next(format!(
        "make a key, start the hub with it, and mint a token:\n\n  \
         {program} token keygen --out {key}\n  \
         {program} {serve} --publisher-key-file {key} --subscriber-key-file {key}\n  \
         {program} token --key-file {key} --publish '*' --subscribe '*'\n\n\
         or let everybody in:\n\n  \
         {program} {serve} --anonymous all"
    ))
}

/// A name for a key file that is not taken here.
fn free_name() -> String {
    let names = std::iter::once("tidewire.key".to_owned())
        .chain((2..100).map(|number| format!("tidewire-{number}.key")));
    let mut free = names.filter(|name| !std::path::Path::new(name).exists());
    free.next().unwrap_or_else(|| "tidewire.key".to_owned())
}
