//! An issuer's metadata: where it is by the issuer's name, and where it says that the keys are.

use serde::Deserialize;
use url::Url;

use crate::fetch::{Bounds, FetchError, Fetcher, RemoteUrl};

/// What we read of the metadata (OpenID Connect Discovery 1.0, section 3; RFC 8414, section 2).
#[derive(Deserialize)]
struct Metadata {
    issuer: String,
    jwks_uri: Option<String>,
}

/// Asks an issuer where its keys are. `name` is what its tokens call it.
pub(super) async fn jwks_url(
    fetcher: &Fetcher,
    name: &str,
    at: &RemoteUrl,
    bounds: Bounds,
) -> Result<RemoteUrl, FetchError> {
    let [first, second] = places(at.url());
    let document = match fetcher.get(&fetcher.checked(first)?, bounds).await {
        // It has none of that kind.
        Err(FetchError::Status(status)) if status.is_client_error() => {
            fetcher.get(&fetcher.checked(second)?, bounds).await?
        }
        other => other?,
    };
    fetcher.led(at, read(name, &document.body)?)
}

/// OpenID Connect Discovery 1.0, section 4: appended to the issuer. RFC 8414, section 3.1: inserted between host and path. Both: a
/// slash that ends the issuer goes first.
fn places(issuer: &Url) -> [Url; 2] {
    let path = issuer.path().trim_end_matches('/');
    let at = |path: String| {
        let mut url = issuer.clone();
        url.set_path(&path);
        url.set_query(None);
        url.set_fragment(None);
        url
    };
    [
        at(format!("{path}/.well-known/openid-configuration")),
        at(format!("/.well-known/oauth-authorization-server{path}")),
    ]
}

fn read(name: &str, document: &[u8]) -> Result<Url, FetchError> {
    let wrong = |why: String| FetchError::Content(format!("the issuer's metadata {why}"));
    let metadata: Metadata =
        serde_json::from_slice(document).map_err(|why| wrong(format!("cannot be read: {why}")))?;
    // OpenID Connect Discovery 1.0, section 4.3, and RFC 8414, section 3.3: otherwise whoever may put a document there could be
    // any issuer.
    if metadata.issuer != name {
        let theirs: String = metadata.issuer.chars().take(200).collect();
        return Err(wrong(format!(
            "is that of {theirs:?}, not of {name:?}: write the issuer exactly so"
        )));
    }
    let keys = metadata
        .jwks_uri
        .ok_or_else(|| wrong("has no jwks_uri".to_owned()))?;
    Url::parse(&keys).map_err(|why| wrong(format!("has a jwks_uri that is no URL: {why}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_is_found_by_the_issuers_name() {
        let table = [
            (
                "https://a.example",
                "https://a.example/.well-known/openid-configuration",
                "https://a.example/.well-known/oauth-authorization-server",
            ),
            (
                "https://a.example/",
                "https://a.example/.well-known/openid-configuration",
                "https://a.example/.well-known/oauth-authorization-server",
            ),
            (
                "https://a.example:8443/t/1",
                "https://a.example:8443/t/1/.well-known/openid-configuration",
                "https://a.example:8443/.well-known/oauth-authorization-server/t/1",
            ),
            (
                "https://a.example/t/?q#f",
                "https://a.example/t/.well-known/openid-configuration",
                "https://a.example/.well-known/oauth-authorization-server/t",
            ),
        ];
        for (issuer, first, second) in table {
            let got = places(&Url::parse(issuer).unwrap()).map(String::from);
            assert_eq!(got, [first.to_owned(), second.to_owned()], "{issuer}");
        }
    }

    #[test]
    fn metadata_must_be_the_issuers_own() {
        let name = "https://a.example";
        let table = [
            (
                r#"{"issuer":"https://a.example","jwks_uri":"https://a.example/k","x":1}"#,
                true,
            ),
            (
                r#"{"issuer":"https://a.example/","jwks_uri":"https://a.example/k"}"#,
                false,
            ),
            (
                r#"{"issuer":"https://A.example","jwks_uri":"https://a.example/k"}"#,
                false,
            ),
            (r#"{"jwks_uri":"https://a.example/k"}"#, false),
            (r#"{"issuer":"https://a.example"}"#, false),
            (r#"{"issuer":"https://a.example","jwks_uri":"k"}"#, false),
            (
                r#"{"issuer":"https://b.example","issuer":"https://a.example","jwks_uri":"https://a.example/k"}"#,
                false,
            ),
            ("[]", false),
            ("", false),
        ];
        for (document, is_good) in table {
            assert_eq!(
                read(name, document.as_bytes()).is_ok(),
                is_good,
                "{document}"
            );
        }
    }
}
