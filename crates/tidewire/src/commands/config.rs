//! `tidewire config`: the settings of `serve`, checked or shown.

use clap::{Args, Subcommand};

use super::serve;
use crate::failure::{Failure, Outcome};
use crate::output;
use crate::settings::{self, Settings, Sources};

/// Check the settings of `serve`, or show them and where each came from
#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  tidewire config check --config tidewire.toml\n  tidewire config show"
)]
pub(crate) struct Config {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Say whether flags, environment and file are right, and which keys are weak and which doors open; start nothing
    #[command(
        after_help = "Examples:\n  tidewire config check --config tidewire.toml\n  tidewire config check --strict --listen 0.0.0.0:8080 --publisher-key-file tidewire.key"
    )]
    Check {
        #[command(flatten)]
        settings: Box<Settings>,

        /// Exit 1 if there is a warning
        #[arg(long)]
        strict: bool,
    },
    /// Print the settings that hold, as a TOML file, and where each came from
    #[command(
        after_help = "Example:\n  TIDEWIRE_HEARTBEAT=10s tidewire config show --config tidewire.toml"
    )]
    Show(Box<Settings>),
}

impl Config {
    pub(crate) fn run(self, sources: &Sources) -> Outcome {
        match self.action {
            Action::Check { settings, strict } => check(&settings, sources, strict),
            Action::Show(settings) => {
                settings::load_trust(&settings, sources)?;
                settings::load_tls(&settings, sources)?;
                output::bytes(show(sources).as_bytes())
            }
        }
    }
}

fn check(settings: &Settings, sources: &Sources, is_strict: bool) -> Outcome {
    let trust = settings::load_trust(settings, sources)?;
    settings::load_tls(settings, sources)?;
    serve::check(settings, sources, &trust)?;
    for note in settings::mercure_notes() {
        output::say(format_args!("note: {note}"));
    }
    let warnings = settings::warnings(settings, &trust);
    for warning in &warnings {
        output::say(format_args!("warning: {warning}"));
    }
    match warnings.len() {
        0 => output::result("the settings are right"),
        count if is_strict => Err(Failure::failed(format!(
            "{}, and --strict takes none",
            output::count(count as u64, "warning")
        ))),
        _ => output::result("the settings are right; see the warnings"),
    }
}

/// The settings as a file that `--config` takes. Keys themselves are not among them.
fn show(sources: &Sources) -> String {
    let mut text = String::new();
    for spelled in sources.iter().filter(|spelled| spelled.key != "config") {
        let quoted: Vec<_> = spelled.values.iter().map(|v| toml_string(v)).collect();
        let is_list = settings::is_list(&spelled.key);
        let setting = match quoted.as_slice() {
            [] => format!("# {} =", spelled.key),
            [one] if !is_list => format!("{} = {one}", spelled.key),
            many => format!("{} = [{}]", spelled.key, many.join(", ")),
        };
        text.push_str(&format!("{setting:<44} # {}\n", spelled.origin));
    }
    for (role, variables) in settings::KEY_VARIABLES {
        let set = variables
            .into_iter()
            .find(|name| settings::variable(name).is_some());
        if let Some(name) = set {
            text.push_str(&format!(
                "{:<44} # environment {name}\n",
                format!("# the {role}s' key")
            ));
        }
    }
    let url_key = settings::URL_KEY_VARIABLE;
    if settings::variable(url_key).is_some() {
        text.push_str(&format!(
            "{:<44} # environment {url_key}\n",
            "# the key of signed URLs"
        ));
    }
    text
}

fn toml_string(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}
