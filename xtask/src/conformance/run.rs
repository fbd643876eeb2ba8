//! One case against one hub: its steps in order, until one does not bring what it must.

mod expect;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::stream::{Seen, Stream};
use super::suite::{Carrier, Case, Dialect, Event, Step};
use super::text::{Variables, encoded, fill, fits, form};
use super::token::Ring;
use super::wire::{Address, Connection, Head, Request, State};

/// How long anything may take that a hub should do at once.
const PATIENCE: Duration = Duration::from_secs(10);

/// A hub to be tried: where it is, and whose tokens it takes.
pub(super) struct Target {
    pub(super) address: Address,
    pub(super) hub_path: String,
    pub(super) ring: Ring,
    pub(super) issuer: String,
    pub(super) audience: String,
    /// The names of cookies with tokens.
    pub(super) cookies: Cookies,
    /// What the hub is known to do or have, besides its profile: `needs` of cases.
    pub(super) has: Vec<String>,
}

#[derive(Clone)]
pub(super) struct Cookies {
    pub(super) legacy: String,
    pub(super) modern: String,
}

impl Default for Cookies {
    fn default() -> Self {
        Self {
            legacy: "mercureAuthorization".into(),
            modern: "__Secure-mercure_access_token".into(),
        }
    }
}

/// What became of a case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Passed,
    /// With the step and what was expected and seen.
    Failed(String),
    Skipped(String),
}

struct Runner<'a> {
    target: &'a Target,
    case: &'a Case,
    variables: Variables,
    streams: BTreeMap<String, Stream>,
}

/// An answer that is no stream.
struct Answer {
    head: Head,
    text: String,
}

pub(super) fn run(case: &Case, target: &Target) -> Outcome {
    for need in &case.needs {
        let need = fill(need, &case.variables).unwrap_or_else(|why| why);
        if !target.has.contains(&need) {
            return Outcome::Skipped(match need.strip_prefix("no-") {
                Some(had) => format!("the hub has `{had}`, by another of its profiles"),
                None => format!("the hub has no `{need}`"),
            });
        }
    }
    let mut runner = Runner {
        target,
        case,
        variables: variables(case, target),
        streams: BTreeMap::new(),
    };
    for (at, step) in case.steps.iter().enumerate() {
        if let Err(why) = runner.step(step) {
            return Outcome::Failed(format!("step {} ({}): {why}", at + 1, step.name()));
        }
    }
    Outcome::Passed
}

fn variables(case: &Case, target: &Target) -> Variables {
    let mut random = [0; 8];
    // Without randomness two runs would share topics, which the events would show.
    let _ = aws_lc_rs::rand::fill(&mut random);
    let nonce = format!("n{:016x}", u64::from_le_bytes(random));
    let scheme = if target.address.tls.is_some() {
        "https"
    } else {
        "http"
    };
    let base = format!("{scheme}://{}", target.address.authority);
    let mut variables: Variables = [
        ("t", format!("https://example.com/{nonce}")),
        ("n", nonce.clone()),
        ("hub", target.hub_path.clone()),
        ("base", base.clone()),
        ("host", target.address.authority.clone()),
        ("hub-url", format!("{base}{}", target.hub_path)),
        ("issuer", target.issuer.clone()),
        ("audience", target.audience.clone()),
        ("audience-origin", origin(&target.audience).to_owned()),
        ("cookie", target.cookie(case.dialect).to_owned()),
        ("legacy-cookie", target.cookies.legacy.clone()),
        ("modern-cookie", target.cookies.modern.clone()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into();
    variables.extend(case.variables.clone());
    variables
}

/// A URL's scheme and authority.
fn origin(url: &str) -> &str {
    let end = url
        .find("://")
        .and_then(|at| Some(at + 3 + url[at + 3..].find('/')?));
    &url[..end.unwrap_or(url.len())]
}

impl Target {
    fn cookie(&self, dialect: Dialect) -> &str {
        match dialect {
            Dialect::Legacy => &self.cookies.legacy,
            Dialect::Modern => &self.cookies.modern,
        }
    }
}

impl Step {
    fn name(&self) -> String {
        let named = [
            ("subscribe", &self.subscribe),
            ("send", &self.send),
            ("read", &self.read),
            ("ended", &self.ended),
            ("close", &self.close),
        ];
        match named
            .iter()
            .find_map(|(kind, name)| Some((kind, name.as_ref()?)))
        {
            Some((kind, name)) => format!("{kind} {name}"),
            None if self.publish.is_some() => "publish".into(),
            None => "pause".into(),
        }
    }

    fn deadline(&self) -> Instant {
        Instant::now() + self.within_ms.map_or(PATIENCE, Duration::from_millis)
    }
}

impl Runner<'_> {
    fn step(&mut self, step: &Step) -> Result<(), String> {
        if let Some(name) = &step.subscribe {
            self.subscribe(name, step)
        } else if step.publish.is_some() || step.send.is_some() {
            self.exchange(step)
        } else if let Some(name) = &step.read {
            self.read(name, step)
        } else if let Some(name) = &step.ended {
            self.ended(name, step)
        } else if let Some(name) = &step.close {
            self.streams.remove(name);
            Ok(())
        } else if let Some(pause_ms) = step.pause_ms {
            std::thread::sleep(Duration::from_millis(pause_ms));
            Ok(())
        } else {
            Err("the step does nothing".into())
        }
    }

    fn fill(&self, text: &str) -> Result<String, String> {
        fill(text, &self.variables)
    }

    fn token(&self, name: &str) -> Result<String, String> {
        let name = &self.fill(name)?;
        let token = self.case.tokens.get(name);
        let token = token.ok_or_else(|| format!("no token is called `{name}`"))?;
        self.target
            .ring
            .mint(token, self.case.dialect, &self.variables)
    }

    fn request(&self, step: &Step) -> Result<Request, String> {
        let method = match (&step.method, &step.send, &step.publish) {
            (Some(method), ..) | (None, Some(method), _) => self.fill(method)?,
            (None, None, Some(_)) => "POST".into(),
            (None, None, None) => "GET".into(),
        };
        let mut target = self.fill(step.target.as_deref().unwrap_or("${hub}"))?;
        let mut add = |query: String| {
            if !query.is_empty() {
                target.push(if target.contains('?') { '&' } else { '?' });
                target.push_str(&query);
            }
        };
        add(form(&step.query, &self.variables)?);
        let mut headers = vec![("Host".to_owned(), self.target.address.authority.clone())];
        if let Some(name) = &step.token {
            let token = self.token(name)?;
            match step.carrier {
                Carrier::Header => {
                    headers.push(("Authorization".into(), format!("Bearer {token}")));
                }
                Carrier::Query => add(format!("authorization={}", encoded(&token))),
                Carrier::Cookie => {
                    let cookie = self.target.cookie(self.case.dialect);
                    headers.push(("Cookie".into(), format!("{cookie}={token}")));
                }
            }
        }
        let body = match (&step.publish, &step.form, &step.body) {
            (Some(fields), ..) | (None, Some(fields), _) => Some(form(fields, &self.variables)?),
            (None, None, Some(body)) => Some(self.fill(body)?),
            (None, None, None) => None,
        };
        let is_form = step.publish.is_some() || step.form.is_some();
        for (name, value) in &step.headers {
            let mut value = self.fill(value)?;
            // A case may put a token where it likes.
            if let Some((before, rest)) = value.split_once("token(")
                && let Some((name, after)) = rest.split_once(')')
            {
                value = format!("{before}{}{after}", self.token(name)?);
            }
            headers.push((self.fill(name)?, value));
        }
        let has_type = headers
            .iter()
            .any(|(name, _)| name.eq_ignore_ascii_case("content-type"));
        if is_form && !has_type {
            let form = "application/x-www-form-urlencoded".to_owned();
            headers.push(("Content-Type".into(), form));
        }
        if let Some(body) = &body {
            headers.push(("Content-Length".into(), body.len().to_string()));
        }
        Ok(Request {
            method,
            target,
            headers,
            body: body.unwrap_or_default().into_bytes(),
        })
    }

    fn subscribe(&mut self, name: &str, step: &Step) -> Result<(), String> {
        let request = self.request(step)?;
        let deadline = step.deadline();
        let mut connection = Connection::open(&self.target.address, PATIENCE)?;
        connection.send(&request)?;
        let head = connection.head(deadline)?;
        if head.status != 200 || !self.statuses(step)?.contains(&200) {
            let text = connection.body(&request.method, &head).all(deadline);
            let text = String::from_utf8_lossy(&text.unwrap_or_default()).into_owned();
            return self.check(step, &Answer { head, text });
        }
        let mut stream = Stream::new(connection.body(&request.method, &head));
        if let Some(opening) = &step.opening {
            let seen = stream.opening(deadline)?;
            if !fits(opening, &seen, &self.variables)? {
                return Err(format!(
                    "the stream begins with {seen:?}, expected {opening:?}"
                ));
            }
        }
        self.check_headers(step, &head)?;
        self.save(&step.save, &head, "")?;
        self.streams.insert(name.to_owned(), stream);
        Ok(())
    }

    fn exchange(&mut self, step: &Step) -> Result<(), String> {
        let request = self.request(step)?;
        let deadline = step.deadline();
        let mut connection = Connection::open(&self.target.address, PATIENCE)?;
        connection.send(&request)?;
        let head = connection.head(deadline)?;
        let is_stream = head
            .header("content-type")
            .is_some_and(|kind| kind.starts_with("text/event-stream"));
        let mut body = connection.body(&request.method, &head);
        let text = if request.method == "HEAD" {
            self.check_that_head_ends(body.into_connection(), deadline)?;
            Vec::new()
        } else if is_stream {
            b"(an event stream)".to_vec()
        } else {
            body.all(deadline)?
        };
        let text = String::from_utf8_lossy(&text).into_owned();
        self.check(step, &Answer { head, text })
    }

    /// mercure.md, 0.18: an answer to HEAD that ended leaves room for the next on its connection.
    fn check_that_head_ends(
        &self,
        mut connection: Connection,
        deadline: Instant,
    ) -> Result<(), String> {
        let again = Request {
            method: "GET".into(),
            target: "/nothing-is-here".into(),
            headers: vec![("Host".into(), self.target.address.authority.clone())],
            body: Vec::new(),
        };
        connection.send(&again)?;
        connection
            .head(deadline.min(Instant::now() + Duration::from_secs(3)))
            .map(drop)
            .map_err(|why| format!("HEAD does not end: the next request on its connection: {why}"))
    }

    fn stream(&mut self, name: &str) -> Result<&mut Stream, String> {
        self.streams
            .get_mut(name)
            .ok_or_else(|| format!("no stream is called `{name}`"))
    }

    fn read(&mut self, name: &str, step: &Step) -> Result<(), String> {
        let deadline = step.deadline();
        if step.comment {
            self.stream(name)?
                .comment(deadline)
                .map_err(|why| format!("no comment: {why}"))?;
        }
        for _ in 0..step.count.unwrap_or(0) {
            self.next_event(name, step, deadline)?;
        }
        for wanted in &step.events {
            let seen = self
                .next_event(name, step, deadline)
                .map_err(|why| format!("no event, expected {}: {why}", wanted.shown()))?;
            self.check_event(wanted, &seen)?;
        }
        Ok(())
    }

    fn next_event(&mut self, name: &str, step: &Step, deadline: Instant) -> Result<Seen, String> {
        let only = step.only.as_ref().map(|only| self.fill(only)).transpose()?;
        loop {
            let seen = self.stream(name)?.event(deadline)?;
            if only.as_ref().is_none_or(|only| seen.data.contains(only)) {
                return Ok(seen);
            }
        }
    }

    fn ended(&mut self, name: &str, step: &Step) -> Result<(), String> {
        let deadline = step.deadline();
        let stream = self.stream(name)?;
        let state = stream
            .end(deadline)
            .map_err(|why| format!("the stream goes on: {why}"))?;
        let age_ms = stream.age().as_millis();
        if state == State::Broken {
            return Err("the stream was cut, not ended".into());
        }
        match step.not_before_ms {
            Some(least) if age_ms < u128::from(least) => Err(format!(
                "the stream ended after {age_ms} ms, expected {least} at least"
            )),
            _ => Ok(()),
        }
    }
}

impl Event {
    fn shown(&self) -> String {
        match (&self.data, &self.raw) {
            (Some(text), _) | (None, Some(text)) => format!("{text:?}"),
            (None, None) => "one".into(),
        }
    }
}
