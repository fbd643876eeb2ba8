//! `tidewire token inspect`: what a token says, and every check that a hub puts it through.

use clap::Args;
use serde_json::json;
use tidewire_auth::{
    Carrier, Check, Claims, Dialect, Finding, Inspection, Issuer, KeySet, Keys, Presented,
    Question, Refusal, Role, examine, inspect,
};
use tidewire_core::Patterns;

use super::keys::KeyArgs;
use super::mint::{allowance, topics};
use super::read_stdin;
use crate::failure::{Failure, Outcome};
use crate::settings::Lasting;
use crate::{clock, output};

/// Show what a token says, and put it through every check of a hub
///
/// Header and payload go to standard output, the checks to standard error: each with its outcome, and what to change. Exits 1 if the hub
/// would refuse the token.
#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  tidewire token inspect < token.txt\n  tidewire token inspect --key-file tidewire.key < token.txt\n  tidewire token inspect --key-file backend.jwks.json --issuer https://backend.example --audience https://hub.example/.well-known/mercure < token.txt"
)]
pub(super) struct Inspect {
    /// The token; standard input is better, for arguments show in `ps`
    token: Option<String>,

    #[command(flatten)]
    key: KeyArgs,

    /// The issuer that the hub trusts with this key, as its --issuer or `[[issuers]]` has it [default: whom the token names]
    #[arg(long, value_name = "NAME")]
    issuer: Option<String>,

    /// The hub's URL, as its --hub-url has it [default: whom the token is for]
    #[arg(long, value_name = "URL")]
    audience: Option<String>,
}

impl Inspect {
    pub(super) fn run(self) -> Outcome {
        let token = match &self.token {
            Some(token) if token != "-" => token.clone(),
            _ => read_stdin()?,
        };
        let token = token.trim();
        let found = inspect(token).map_err(Failure::failed)?;
        let shown = json!({ "header": found.header, "payload": found.payload });
        let shown = serde_json::to_string_pretty(&shown).map_err(Failure::failed)?;
        output::result(shown)?;
        self.say_what(&found);
        let roles = roles(&found);
        // Both roles' keys are one file here, so what one finds the other does.
        let keys = self.key.checking(roles[0])?;
        let findings = self.findings(token, &found, &roles, keys.as_ref());
        for (role, finding) in &findings {
            say(*role, finding);
        }
        verdict(&findings, keys.is_some())
    }

    fn say_what(&self, found: &Inspection) {
        let kind = match found.dialect {
            Dialect::Legacy => "a token of the older Mercure protocol",
            Dialect::Modern => "an access token",
        };
        if let Ok(claims) = &found.claims {
            output::say(format_args!(
                "{kind}: {}; {}",
                allowance(claims),
                lifetime(claims)
            ));
        } else {
            output::say(kind);
        }
        if found.dialect == Dialect::Modern && self.issuer.is_none() {
            output::say(
                "taken for granted: that the hub trusts its issuer; say --issuer to check it",
            );
        }
        if found.dialect == Dialect::Modern && self.audience.is_none() {
            output::say("taken for granted: that it is for the hub; say --audience to check it");
        }
    }

    /// Those of every role that it claims; what is the same in both is told once.
    fn findings(
        &self,
        token: &str,
        found: &Inspection,
        roles: &[Role],
        keys: Option<&KeySet>,
    ) -> Vec<(Option<Role>, Finding)> {
        let claims = found.claims.as_ref().ok();
        let named = |own: &Option<String>, claimed: Option<&String>| {
            own.as_ref().or(claimed).cloned().unwrap_or_default()
        };
        let issuer = named(
            &self.issuer,
            claims.and_then(|claims| claims.issuer.as_ref()),
        );
        let audience = named(
            &self.audience,
            claims.and_then(|claims| claims.audience.first()),
        );
        let trusted = trusted(keys, issuer);
        let patterns = Patterns::default();
        let mut told: Vec<(Option<Role>, Finding)> = Vec::new();
        for role in roles {
            let question = Question {
                presented: Some(Presented {
                    token,
                    from: Carrier::Header,
                }),
                role: *role,
                dialect: None,
                audience: &audience,
                now_ms: clock::now_ms(),
            };
            for finding in examine(&question, &trusted, &patterns) {
                // Without a key nothing is known of these.
                if keys.is_none() && finding.check == Check::Keys {
                    continue;
                }
                let role = (finding.check == Check::Grant).then_some(*role);
                if !told.iter().any(|known| *known == (role, finding.clone())) {
                    told.push((role, finding));
                }
            }
        }
        told
    }
}

/// A hub that trusts these keys, in both dialects.
fn trusted(keys: Option<&KeySet>, issuer: String) -> Keys {
    let mut trusted = Keys::default();
    if let Some(keys) = keys {
        trusted.publisher = Some(keys.clone());
        trusted.subscriber = Some(keys.clone());
        trusted.issuers.push(Issuer {
            name: issuer,
            publisher: Some(keys.clone()),
            subscriber: Some(keys.clone()),
        });
    }
    trusted
}

/// The roles that it claims; a subscriber's, if none.
fn roles(found: &Inspection) -> Vec<Role> {
    let claims = found.claims.as_ref();
    let claimed = |role: &Role| claims.is_ok_and(|claims| !topics(claims, *role).is_empty());
    let all = [Role::Publisher, Role::Subscriber].into_iter();
    match all.filter(claimed).collect::<Vec<_>>() {
        none if none.is_empty() => vec![Role::Subscriber],
        roles => roles,
    }
}

fn say(role: Option<Role>, finding: &Finding) {
    let name = match role {
        Some(role) => format!("{} ({role})", finding.check),
        None => finding.check.to_string(),
    };
    match &finding.outcome {
        Ok(()) => output::say(format_args!("  ok      {name}")),
        Err(refusal) => {
            output::say(format_args!("  REFUSED {name}: {refusal}"));
            if let Some(change) = change(refusal) {
                output::say(format_args!("          {change}"));
            }
        }
    }
}

fn verdict(findings: &[(Option<Role>, Finding)], has_key: bool) -> Outcome {
    let refusal = findings
        .iter()
        .find_map(|(_, finding)| finding.outcome.as_ref().err());
    match (refusal, has_key) {
        (Some(refusal), true) => Err(Failure::failed(format!(
            "a hub with this key refuses it: {refusal}"
        ))),
        (Some(refusal), false) => Err(Failure::failed(format!("a hub refuses it: {refusal}"))),
        (None, true) => {
            output::say("a hub with this key takes it");
            Ok(())
        }
        (None, false) => {
            output::say("its signature was not checked: say --key-file FILE");
            Ok(())
        }
    }
}

/// What to do about it, where the refusal itself does not say.
fn change(refusal: &Refusal) -> Option<&'static str> {
    Some(match refusal {
        Refusal::Expired { .. } => "mint a new one; if it should be good still, compare the clocks",
        Refusal::NotYet { .. } => "wait until `nbf`, or compare the clocks",
        Refusal::Signature => "sign with the hub's own key: the file's bytes, without a line end",
        Refusal::Algorithm { .. } => {
            "say --alg, and start the hub with --publisher-key-alg and --subscriber-key-alg, as the token is signed"
        }
        Refusal::UnknownKey { .. } => "take the key of that name (`kid`) into the hub's set",
        Refusal::NoType => "have its maker set `typ` to `at+jwt` in the header",
        Refusal::Issuer { .. } => {
            "start the hub with --issuer or [[issuers]] for exactly this `iss`"
        }
        Refusal::Audience { .. } => {
            "have it made for the hub, or start the hub with the --hub-url that it names (`aud`)"
        }
        Refusal::NoExpiry => "have its maker set `exp`",
        Refusal::NotGranted(_) => {
            "have its maker name topics: `mercure.publish` and `mercure.subscribe`, or `authorization_details`"
        }
        Refusal::Duplicate(_) | Refusal::Claim(_) | Refusal::Detail { .. } => {
            "have its maker mend it"
        }
        _ => return None,
    })
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
