//! `tidewire token keygen`: a new key, and the lines that use it.

use std::io::Write;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;
use tidewire_auth::{Algorithm, keygen, keygen_pair};

use super::random;
use crate::failure::{Failure, Outcome};
use crate::{output, quote};

/// Make a key: a shared secret, or a pair of which the hub needs the public half alone
#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  tidewire token keygen --out tidewire.key\n  tidewire token keygen --alg ES256 --out backend.key\n  export TIDEWIRE_PUBLISHER_KEY=\"$(tidewire token keygen)\""
)]
pub(super) struct Keygen {
    /// What it is for: HS256, HS384 or HS512 (a shared secret, which also signs URLs); ES256, ES384, ES512, EdDSA, or RS256, PS256 and their
    /// siblings (a pair; RSA with 3,072 bits)
    #[arg(long, value_name = "ALG", default_value = "HS256")]
    alg: Algorithm,

    /// Write it to a new file that only its owner can read, instead of standard output; the public half of a pair beside it, as
    /// `.pub.pem` and `.jwks.json`
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

impl Keygen {
    pub(super) fn run(&self) -> Outcome {
        match (self.alg.is_shared_secret(), &self.out) {
            (true, None) => output::result(keygen(&random()?)),
            (true, Some(path)) => {
                create(path, &format!("{}\n", keygen(&random()?)), 0o600)?;
                output::say(format_args!("wrote a new key to {}", path.display()));
                self.say_lines(path, path);
                Ok(())
            }
            (false, out) => self.make_pair(out.as_deref()),
        }
    }

    fn make_pair(&self, out: Option<&Path>) -> Outcome {
        let pair = keygen_pair(self.alg).map_err(Failure::failed)?;
        let Some(path) = out else {
            output::say(format_args!(
                "its public half, for the hub:\n{}",
                pair.public_pem
            ));
            return output::bytes(pair.private_pem.as_bytes());
        };
        let public = beside(path, "pub.pem");
        let set = beside(path, "jwks.json");
        // None of them without the others: two halves of different pairs look alike.
        for taken in [&public, &set] {
            if taken.exists() {
                return Err(exists(taken));
            }
        }
        create(path, &pair.private_pem, 0o600)?;
        create(&public, &pair.public_pem, 0o644)?;
        let document = serde_json::to_string_pretty(&json!({ "keys": [pair.jwk] }));
        let document = document.map_err(Failure::failed)?;
        create(&set, &format!("{document}\n"), 0o644)?;
        output::say(format_args!(
            "wrote a new key to {} (it signs: keep it from the hub), its public half to {} and {}",
            path.display(),
            public.display(),
            set.display()
        ));
        self.say_lines(path, &public);
        Ok(())
    }

    /// How it is used.
    fn say_lines(&self, private: &Path, public_path: &Path) {
        let program = quote::program();
        let word = |path: &Path| quote::shell(&path.to_string_lossy());
        let (key, public) = (word(private), word(public_path));
        let alg = match self.alg {
            Algorithm::Hs256 => String::new(),
            alg => format!(" --publisher-key-alg {alg} --subscriber-key-alg {alg}"),
        };
        let algorithms = match self.alg {
            Algorithm::Hs256 => String::new(),
            alg => format!("\n  algorithms = [\"{alg}\"]"),
        };
        let file = public_path.to_string_lossy();
        let signing = match self.alg {
            Algorithm::Hs256 => String::new(),
            alg => format!(" --alg {alg}"),
        };
        output::say(format_args!(
            "start a hub with it, and mint a token:\n\n  \
             {program} serve --publisher-key-file {public} --subscriber-key-file {public}{alg}\n  \
             {program} token --key-file {key}{signing} --publish '*' --subscribe '*'\n\n\
             or, for access tokens, in the hub's configuration file, and a token for it:\n\n  \
             hub-url = \"https://example.com/.well-known/mercure\"\n\n  \
             [[issuers]]\n  name = \"https://backend.example\"\n  publisher-key-file = {file:?}\n  subscriber-key-file = {file:?}{algorithms}\n\n  \
             {program} token --key-file {key}{signing} --issuer https://backend.example --audience https://example.com/.well-known/mercure --publish '*' --subscribe '*'"
        ));
        if self.alg.is_shared_secret() {
            output::say(format_args!(
                "\nor, if it is to sign URLs and nothing else, beside the hub's other settings, and a URL:\n\n  \
                 {program} serve --url-key-file {key}\n  \
                 {program} token url news --url-key-file {key}"
            ));
        }
    }
}

/// `tidewire.key` and `pub.pem` to `tidewire.pub.pem`.
fn beside(path: &Path, end: &str) -> PathBuf {
    path.with_extension(end)
}

/// A file that was not there; what was there is kept.
fn create(path: &Path, text: &str, mode: u32) -> Outcome {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, mode);
    #[cfg(not(unix))]
    let _ = mode;
    let written = options.open(path).and_then(|mut file| {
        file.write_all(text.as_bytes())
            .and_then(|()| file.sync_all())
    });
    match written {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Err(exists(path)),
        Err(error) => Err(Failure::file(path, "write the key", &error)),
    }
}

fn exists(path: &Path) -> Failure {
    Failure::failed(format!("{} exists, and is kept", path.display()))
        .next("use it, or choose another name")
}
