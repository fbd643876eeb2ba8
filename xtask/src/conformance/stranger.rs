//! A hub that somebody else runs: its URL, its keys, and the profiles that it is configured for.

use std::fs;
use std::path::PathBuf;

use super::run::{Cookies, Target};
use super::suite::Dialect;
use super::tls::Trust;
use super::token::{Ring, SigningKey};
use super::wire::Address;

#[derive(Default)]
pub(super) struct Stranger {
    pub(super) url: String,
    pub(super) profiles: Vec<String>,
    publisher_key: Option<String>,
    subscriber_key: Option<String>,
    alg: Option<String>,
    issuer: Option<String>,
    audience: Option<String>,
    issuer_key: Option<String>,
    kid: Option<String>,
    cookie: Option<String>,
    has: Vec<String>,
    ca: Option<PathBuf>,
}

impl Stranger {
    pub(super) fn take(&mut self, name: &str, value: &str) -> Result<(), String> {
        let text = || Some(value.to_owned());
        match name {
            "--url" => self.url = value.to_owned(),
            "--profile" => self.profiles.extend(value.split(',').map(str::to_owned)),
            "--key" => {
                self.publisher_key = text();
                self.subscriber_key = text();
            }
            "--publisher-key" => self.publisher_key = text(),
            "--subscriber-key" => self.subscriber_key = text(),
            "--alg" => self.alg = text(),
            "--issuer" => self.issuer = text(),
            "--audience" => self.audience = text(),
            "--issuer-key-file" => self.issuer_key = Some(format!("@{value}")),
            "--kid" => self.kid = text(),
            "--cookie" => self.cookie = text(),
            "--has" => self.has.extend(value.split(',').map(str::to_owned)),
            "--ca" => self.ca = Some(value.into()),
            _ => return Err(format!("`{name}` is no option of `conformance`")),
        }
        Ok(())
    }

    pub(super) fn is_said(&self) -> bool {
        self.publisher_key.is_some() || self.issuer.is_some() || !self.profiles.is_empty()
    }

    /// The profiles that its keys speak for, where none is named.
    pub(super) fn settle(&mut self, dialect: Option<Dialect>) -> Result<(), String> {
        if !self.profiles.is_empty() {
            return Ok(());
        }
        if self.publisher_key.is_some() && dialect != Some(Dialect::Modern) {
            self.profiles.push("legacy".into());
        }
        if self.issuer_key.is_some() && dialect != Some(Dialect::Legacy) {
            self.profiles.push("modern".into());
        }
        if self.profiles.is_empty() {
            return Err("a hub by `--url` needs `--key` or `--issuer-key-file`".into());
        }
        Ok(())
    }

    pub(super) fn target(&self) -> Result<Target, String> {
        let (address, hub_path) = self.address()?;
        let alg = self.alg.as_deref();
        let key = |written: &Option<String>, kid: Option<&str>, alg: Option<&str>| {
            let Some(written) = written else {
                return Ok(None);
            };
            let text = match written.strip_prefix('@') {
                None => written.clone(),
                Some(file) => {
                    fs::read_to_string(file).map_err(|error| format!("{file}: {error}"))?
                }
            };
            SigningKey::read(&text, alg, kid).map(Some)
        };
        let ring = Ring {
            publisher: key(&self.publisher_key, None, alg)?,
            subscriber: key(&self.subscriber_key, None, alg)?,
            issuer: key(&self.issuer_key, self.kid.as_deref(), None)?
                .into_iter()
                .collect(),
        };
        let mut has = self.has.clone();
        let keys = [&ring.publisher, &ring.subscriber].into_iter().flatten();
        has.extend(keys.chain(&ring.issuer).map(|key| key.alg.clone()));
        if self.publisher_key != self.subscriber_key {
            has.push("two-keys".into());
        }
        let mut cookies = Cookies::default();
        if let Some(name) = &self.cookie {
            cookies.legacy.clone_from(name);
            cookies.modern.clone_from(name);
        }
        Ok(Target {
            address,
            hub_path,
            ring,
            issuer: self.issuer.clone().unwrap_or_default(),
            audience: self.audience.clone().unwrap_or_else(|| self.url.clone()),
            cookies,
            has,
        })
    }

    fn address(&self) -> Result<(Address, String), String> {
        let (rest, is_tls) = match (
            self.url.strip_prefix("http://"),
            self.url.strip_prefix("https://"),
        ) {
            (Some(rest), _) => (rest, false),
            (_, Some(rest)) => (rest, true),
            _ => return Err(format!("`{}` is no http or https URL", self.url)),
        };
        let (authority, path) = match rest.find('/') {
            Some(at) if at + 1 < rest.len() => rest.split_at(at),
            Some(at) => (&rest[..at], "/.well-known/mercure"),
            None => (rest, "/.well-known/mercure"),
        };
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => (host, port),
            _ => (authority, if is_tls { "443" } else { "80" }),
        };
        let tls = match is_tls {
            true => Some(Trust::of(host, self.ca.as_deref())?),
            false => None,
        };
        let address = Address {
            authority: authority.to_owned(),
            connect: format!("{host}:{port}"),
            tls,
        };
        Ok((address, path.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_taken_apart() {
        let table = [
            ("http://a:81", Some(("a", "a:81", "/.well-known/mercure"))),
            ("http://a/", None),
            ("http://a/hub", Some(("a", "a:80", "/hub"))),
            ("ftp://a/hub", None),
        ];
        for (url, want) in table {
            let stranger = Stranger {
                url: url.into(),
                ..Stranger::default()
            };
            let Some((_, connect, path)) = want else {
                continue;
            };
            let (address, hub_path) = stranger.address().unwrap();
            assert_eq!((&*address.connect, &*hub_path), (connect, path), "{url}");
        }
        let stranger = Stranger {
            url: "ftp://a".into(),
            ..Stranger::default()
        };
        assert!(stranger.address().is_err());
    }
}
