//! `tidewire token`: tokens, keys and signed URLs made, tokens looked into and taken back.

mod inspect;
mod keygen;
mod keys;
mod mint;
mod revoke;
mod url;

use std::io::Read;

use clap::{Args, Subcommand};

use crate::failure::{Failure, Outcome};

/// Mint a token; make a key; sign a URL; look into a token; take tokens back
#[derive(Args, Debug)]
#[command(
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true,
    after_help = "Examples:\n  tidewire token keygen --out tidewire.key\n  tidewire token --key-file tidewire.key --publish '*' --subscribe '*'\n  tidewire token --key-file tidewire.key --subscribe orders/42 --subject alice --ttl 15m\n  tidewire token --key-file backend.key --issuer https://backend.example --audience https://hub.example/.well-known/mercure --subscribe-urlpattern 'https://shop.example/orders/:id'"
)]
pub(crate) struct Token {
    #[command(subcommand)]
    action: Option<Action>,

    #[command(flatten)]
    mint: mint::Mint,
}

#[derive(Debug, Subcommand)]
enum Action {
    Keygen(keygen::Keygen),
    Url(url::Sign),
    Inspect(inspect::Inspect),
    Revoke(revoke::Revoke),
}

impl Token {
    pub(crate) fn run(self) -> Outcome {
        match self.action {
            Some(Action::Keygen(keygen)) => keygen.run(),
            Some(Action::Url(sign)) => sign.run(),
            Some(Action::Inspect(inspect)) => inspect.run(),
            Some(Action::Revoke(revoke)) => revoke.run(),
            None => self.mint.run(),
        }
    }
}

fn random<const N: usize>() -> Outcome<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes)
        .map_err(|error| Failure::failed(format!("the system gives no random bytes: {error}")))?;
    Ok(bytes)
}

/// 128 random bits, as 32 characters.
fn random_id() -> Outcome<String> {
    Ok(format!("{:032x}", u128::from_le_bytes(random()?)))
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
