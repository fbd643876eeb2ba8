//! The suite as it is written in `spec/hub`: cases, tokens, profiles and the protocol's lines. What the members mean is said in
//! `spec/hub/README.md`; nothing here runs anything.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::DeserializeOwned;
use toml::{Table, Value};

use crate::process;

/// Which of the protocol's two dialects a case speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Dialect {
    Legacy,
    Modern,
}

impl Dialect {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Legacy => "legacy",
            Self::Modern => "modern",
        }
    }
}

/// How a hub must be configured for some cases.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Profile {
    pub(super) says: String,
    /// A publisher's and a subscriber's key without an issuer; the algorithm of both.
    pub(super) keys: Option<String>,
    /// An issuer whose tokens of the modern dialect are taken for the resource.
    pub(super) issuer: bool,
    pub(super) anonymous: bool,
    pub(super) presence: bool,
    pub(super) cors_origins: Vec<String>,
    pub(super) publish_origins: Vec<String>,
    /// A comment after so many seconds of silence.
    pub(super) heartbeat_s: Option<u64>,
    /// The longest life of a stream.
    pub(super) life_s: Option<u64>,
}

impl Profile {
    /// What a hub in all of these profiles at once has not: `needs` of the cases that show it.
    pub(super) fn lacks<'a>(profiles: impl IntoIterator<Item = &'a Self>) -> Vec<String> {
        let (mut presence, mut anonymous) = (false, false);
        for profile in profiles {
            presence |= profile.presence;
            anonymous |= profile.anonymous;
        }
        [("no-presence", presence), ("no-anonymous", anonymous)]
            .into_iter()
            .filter(|(_, has)| !has)
            .map(|(name, _)| name.to_owned())
            .collect()
    }
}

/// One case, its rows laid out: what is sent and what must come.
#[derive(Clone, Debug)]
pub(super) struct Case {
    pub(super) id: String,
    pub(super) says: String,
    pub(super) lines: Vec<String>,
    pub(super) dialect: Dialect,
    pub(super) profile: String,
    pub(super) needs: Vec<String>,
    pub(super) tokens: BTreeMap<String, Token>,
    /// The row's columns.
    pub(super) variables: BTreeMap<String, String>,
    pub(super) steps: Vec<Step>,
    /// Alone on the hub: what it looks at is everybody's.
    pub(super) alone: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CaseFile {
    dialect: Dialect,
    profile: String,
    #[serde(default)]
    tokens: BTreeMap<String, Token>,
    case: Vec<WrittenCase>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenCase {
    id: String,
    says: String,
    lines: Vec<String>,
    dialect: Option<Dialect>,
    profile: Option<String>,
    #[serde(default)]
    needs: Vec<String>,
    #[serde(default)]
    tokens: BTreeMap<String, Token>,
    #[serde(default)]
    columns: Vec<String>,
    #[serde(default)]
    rows: Vec<Vec<Value>>,
    steps: Vec<Step>,
    #[serde(default)]
    alone: bool,
}

/// A token as a case describes it. Minting is `token`'s.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Token {
    pub(super) dialect: Option<Dialect>,
    /// Whose key signs it; that of what it may do where nothing is said.
    pub(super) role: Option<Role>,
    pub(super) publish: Option<Vec<Value>>,
    pub(super) subscribe: Option<Vec<Value>>,
    pub(super) payload: Option<Value>,
    /// Seconds from now.
    pub(super) exp: Option<i64>,
    pub(super) nbf: Option<i64>,
    /// Laid over the claims; `drop` names those that are left out.
    pub(super) claims: Table,
    pub(super) drop: Vec<String>,
    /// Laid over the header; `drop_header` as above.
    pub(super) header: Table,
    pub(super) drop_header: Vec<String>,
    pub(super) alg: Option<String>,
    pub(super) damage: Option<Damage>,
    /// JSON of one more entry of `authorization_details`, and of all of them.
    pub(super) details: Option<String>,
    pub(super) details_all: Option<String>,
    /// The claims' JSON as it is, where a table cannot say it (a member twice).
    pub(super) json: Option<String>,
    /// The whole token.
    pub(super) raw: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Role {
    Publisher,
    Subscriber,
}

/// What is wrong with a token besides what it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Damage {
    /// Signed with a key that the hub does not know.
    ForeignKey,
    /// One bit of the signature is another.
    Signature,
    /// The claims were changed after signing.
    Payload,
    /// No signature after the last dot.
    Unsigned,
    /// The signature and its dot are missing.
    Truncated,
    /// HMAC with the public key's text as the secret.
    Confused,
}

/// A request, or a look at a stream.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Step {
    // What is done: the first of these that is there.
    /// A stream of that name.
    pub(super) subscribe: Option<String>,
    /// A publish of these fields.
    pub(super) publish: Option<Vec<(String, String)>>,
    /// A request of that method.
    pub(super) send: Option<String>,
    pub(super) read: Option<String>,
    pub(super) ended: Option<String>,
    pub(super) close: Option<String>,
    /// Milliseconds, for what only time brings about.
    pub(super) pause_ms: Option<u64>,

    // How it is asked.
    pub(super) method: Option<String>,
    pub(super) target: Option<String>,
    pub(super) query: Vec<(String, String)>,
    pub(super) headers: Vec<(String, String)>,
    pub(super) token: Option<String>,
    pub(super) carrier: Carrier,
    pub(super) form: Option<Vec<(String, String)>>,
    pub(super) body: Option<String>,

    // What must come back.
    pub(super) status: Option<Value>,
    pub(super) expect: BTreeMap<String, String>,
    pub(super) absent: Vec<String>,
    pub(super) text: Option<String>,
    pub(super) json: Option<Value>,
    pub(super) json_absent: Vec<String>,
    pub(super) save: BTreeMap<String, String>,

    // What a stream must bring.
    pub(super) opening: Option<String>,
    pub(super) events: Vec<Event>,
    pub(super) only: Option<String>,
    pub(super) comment: bool,
    pub(super) count: Option<usize>,
    pub(super) within_ms: Option<u64>,
    pub(super) not_before_ms: Option<u64>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Carrier {
    #[default]
    Header,
    Query,
    Cookie,
}

/// An event of a stream; what is not named may be anything.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Event {
    pub(super) data: Option<String>,
    #[serde(rename = "type")]
    pub(super) event_type: Option<String>,
    pub(super) id: Option<String>,
    pub(super) retry: Option<String>,
    /// The block's exact text.
    pub(super) raw: Option<String>,
    pub(super) json: Option<Value>,
    pub(super) json_absent: Vec<String>,
    pub(super) save: BTreeMap<String, String>,
}

/// A numbered line of the protocol's description, in a sentence.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Line {
    pub(super) number: String,
    pub(super) says: String,
    /// Why no case is there.
    pub(super) without: Option<String>,
}

#[derive(Deserialize)]
struct Lines {
    line: Vec<Line>,
}

/// Everything in `spec/hub`.
pub(super) struct Suite {
    pub(super) cases: Vec<Case>,
    pub(super) profiles: BTreeMap<String, Profile>,
    pub(super) lines: Vec<Line>,
}

pub(super) fn folder() -> PathBuf {
    process::root().join("spec/hub")
}

/// Reads a TOML file of the suite.
pub(super) fn read_toml<T: DeserializeOwned>(path: &Path) -> Result<T, String> {
    let text = fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    toml::from_str(&text).map_err(|error| format!("{}: {error}", path.display()))
}

impl Suite {
    pub(super) fn read() -> Result<Self, String> {
        let folder = folder();
        let profiles: BTreeMap<String, Profile> = read_toml(&folder.join("profiles.toml"))?;
        let lines: Lines = read_toml(&folder.join("lines.toml"))?;
        let mut files: Vec<PathBuf> = fs::read_dir(folder.join("cases"))
            .map_err(|error| format!("{}: {error}", folder.display()))?
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(|path| path.extension().is_some_and(|end| end == "toml"))
            .collect();
        files.sort();
        let mut cases = Vec::new();
        for file in files {
            let written: CaseFile = read_toml(&file)?;
            for case in &written.case {
                let laid_out = case
                    .lay_out(&written)
                    .map_err(|why| format!("{}: {}: {why}", file.display(), case.id))?;
                cases.extend(laid_out);
            }
        }
        Ok(Self {
            cases,
            profiles,
            lines: lines.line,
        })
    }
}

impl WrittenCase {
    /// A case without rows is one; with rows it is one a row.
    fn lay_out(&self, file: &CaseFile) -> Result<Vec<Case>, String> {
        let mut tokens = file.tokens.clone();
        tokens.extend(self.tokens.clone());
        let plain = Case {
            id: self.id.clone(),
            says: self.says.clone(),
            lines: self.lines.clone(),
            dialect: self.dialect.unwrap_or(file.dialect),
            profile: self.profile.clone().unwrap_or(file.profile.clone()),
            needs: self.needs.clone(),
            tokens,
            variables: BTreeMap::new(),
            steps: self.steps.clone(),
            alone: self.alone,
        };
        if self.rows.is_empty() {
            return Ok(vec![plain]);
        }
        let rows = self.rows.iter().map(|row| {
            let shown = row.iter().map(|value| match value {
                Value::String(text) => text.clone(),
                other => other.to_string(),
            });
            let variables: BTreeMap<_, _> = self.columns.iter().cloned().zip(shown).collect();
            if row.len() != self.columns.len() {
                return Err(format!("the row {row:?} does not fit its columns"));
            }
            let name = variables.get(&self.columns[0]).cloned().unwrap_or_default();
            Ok(Case {
                id: format!("{}/{name}", self.id),
                variables,
                ..plain.clone()
            })
        });
        rows.collect()
    }
}
