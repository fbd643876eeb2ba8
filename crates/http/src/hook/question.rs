//! What the backend is told of a request.

use std::net::IpAddr;

use http::header::{COOKIE, ORIGIN};
use http::request::Parts;
use serde::Serialize;
use tidewire_auth::{Question, Role};
use tidewire_core::{Dialect, Matcher, Topic};

use crate::ask::topic_of_path;
use crate::manner::is_match;
use crate::peer::Peer;
use crate::query::Pairs;

/// A question, as it goes over the wire. Its text is also what answers are kept by: two requests that differ in any of it have
/// answers of their own.
#[derive(Serialize)]
pub(crate) struct Asked<'a> {
    /// `subscribe` or `publish`.
    action: &'static str,
    /// What is subscribed to, as the request spells it, or the topic that is published to where the path says it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    topics: Vec<AskedTopic>,
    /// The token, which no key of the hub has verified.
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<&'a str>,
    /// Every cookie, as in the header.
    #[serde(skip_serializing_if = "Option::is_none")]
    cookie: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    address: Option<IpAddr>,
    method: &'a str,
    /// Without its query, where tokens may be.
    path: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    origin: Option<String>,
    #[serde(skip)]
    role: Role,
    #[serde(skip)]
    dialect: Dialect,
}

/// A topic as a request names it.
#[derive(Clone, Serialize)]
#[serde(untagged)]
enum AskedTopic {
    /// In the legacy dialect, a selector; in a path, a topic.
    Text(String),
    /// In the modern dialect.
    Typed { r#match: String, match_type: String },
}

impl<'a> Asked<'a> {
    /// `query`: of the request's URL, and of a QUERY's body.
    pub(crate) fn new(question: &Question<'a>, request: &'a Parts, query: &Pairs) -> Self {
        let role = question.role;
        Self {
            action: match role {
                Role::Publisher => "publish",
                Role::Subscriber => "subscribe",
            },
            topics: topics(role, request, query),
            token: question.presented.map(|presented| presented.token),
            cookie: joined(request, &COOKIE),
            address: Peer::ip_of(request),
            method: request.method.as_str(),
            path: request.uri.path(),
            origin: joined(request, &ORIGIN),
            role,
            dialect: question.dialect.unwrap_or(Dialect::Modern),
        }
    }

    pub(super) fn role(&self) -> Role {
        self.role
    }

    pub(super) fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// The one topic of a publish to `/topics/`, to match it exactly. `*` is no topic, least of all every one.
    pub(super) fn topic(&self) -> Option<Matcher> {
        match (self.role, &*self.topics) {
            (Role::Publisher, [AskedTopic::Text(topic)]) => {
                Some(Matcher::Exact(Topic::parse(topic).ok()?))
            }
            _ => None,
        }
    }

    pub(super) fn body(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("texts and numbers become JSON")
    }
}

/// What is asked for, as far as it is known before a body is read: a form's topics are not.
fn topics(role: Role, request: &Parts, query: &Pairs) -> Vec<AskedTopic> {
    if request.uri.path().starts_with("/topics/") {
        let topic = topic_of_path(request.uri.path()).ok();
        return topic.into_iter().map(AskedTopic::Text).collect();
    }
    if role == Role::Publisher {
        return Vec::new();
    }
    let named = query.iter().filter_map(|(name, value)| match name {
        "topic" => Some(AskedTopic::Text(value.to_owned())),
        name if is_match(name) => Some(AskedTopic::Typed {
            r#match: value.to_owned(),
            match_type: match name.strip_prefix("match_") {
                Some(match_type) => match_type.to_owned(),
                None => "exact".to_owned(),
            },
        }),
        _ => None,
    });
    named.collect()
}

/// RFC 6265, section 5.4, and RFC 9113, section 8.2.3: HTTP/2 may send cookies one by one.
fn joined(request: &Parts, name: &http::HeaderName) -> Option<String> {
    let lines = request.headers.get_all(name).iter();
    let texts: Vec<_> = lines
        .map(|line| String::from_utf8_lossy(line.as_bytes()))
        .collect();
    (!texts.is_empty()).then(|| texts.join("; "))
}

#[cfg(test)]
mod tests {
    use http::Request;
    use proptest::prelude::*;
    use tidewire_auth::{Carrier, Presented};

    use super::*;
    use crate::hook::kept::key;

    /// What tells one client and one wish from another.
    #[derive(Clone, Debug, PartialEq)]
    struct Client {
        role: Role,
        /// With the name of the parameter. Of a publish they are in its body.
        topics: Vec<(&'static str, String)>,
        token: Option<String>,
        cookies: Vec<String>,
        address: Option<[u8; 4]>,
        path: String,
        origin: Option<String>,
    }

    fn body(client: &Client) -> Vec<u8> {
        let mut request = Request::builder().uri(&client.path);
        for cookie in &client.cookies {
            request = request.header(COOKIE, cookie);
        }
        if let Some(origin) = &client.origin {
            request = request.header(ORIGIN, origin);
        }
        if let Some(address) = client.address {
            request = request.extension(Peer {
                address: Some((address, 1234).into()),
                is_tls: false,
            });
        }
        let (parts, ()) = request.body(()).unwrap().into_parts();
        let question = Question {
            presented: client.token.as_deref().map(|token| Presented {
                token,
                from: Carrier::Header,
            }),
            role: client.role,
            dialect: None,
            audience: "",
            now_ms: 0,
        };
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        for (name, topic) in &client.topics {
            query.append_pair(name, topic);
        }
        let query = Pairs::parse(query.finish().as_bytes()).unwrap();
        Asked::new(&question, &parts, &query).body()
    }

    fn clients() -> impl Strategy<Value = Client> {
        // Few values, of a kind that runs into each other where parts are only put together.
        let word = "[a\",;= ]{1,3}";
        (
            prop_oneof![Just(Role::Publisher), Just(Role::Subscriber)],
            prop::collection::vec(
                (
                    prop::sample::select(vec!["topic", "match_exact", "match_urlpattern"]),
                    word,
                ),
                0..3,
            ),
            prop::option::of(word),
            prop::collection::vec("[a=]{1,2}", 0..2),
            prop::option::of(any::<bool>().prop_map(|is_one| [127, 0, 0, u8::from(is_one)])),
            "/[a/]{0,2}",
            prop::option::of("[a:/]{1,2}"),
        )
            .prop_map(
                |(role, topics, token, cookies, address, path, origin)| Client {
                    topics: if role == Role::Publisher {
                        Vec::new()
                    } else {
                        topics
                    },
                    role,
                    token,
                    cookies,
                    address,
                    path,
                    origin,
                },
            )
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        /// One client's answer never serves another: who differs in anything has another key, who does not has the same.
        #[test]
        fn no_two_clients_share_an_answer(one in clients(), other in clients()) {
            let same = one == other;
            prop_assert_eq!(key(&body(&one)) == key(&body(&other)), same, "{:?} {:?}", one, other);
            prop_assert_eq!(key(&body(&one)), key(&body(&one.clone())));
        }

        /// And where they are nearly the same: one thing changed.
        #[test]
        fn one_difference_is_enough(one in clients(), which in 0..7usize) {
            let mut other = one.clone();
            match which {
                0 => other.role = match one.role { Role::Publisher => Role::Subscriber, Role::Subscriber => Role::Publisher },
                1 => {
                    prop_assume!(one.role == Role::Subscriber);
                    other.topics.push(("topic", "x".into()));
                }
                2 => other.token = Some(one.token.clone().unwrap_or_default() + "x"),
                3 => other.cookies.push("x".into()),
                4 => other.address = Some([10, 0, 0, 1]),
                5 => other.path.push('x'),
                _ => other.origin = Some(one.origin.clone().unwrap_or_default() + "x"),
            }
            prop_assert_ne!(key(&body(&one)), key(&body(&other)));
        }
    }

    #[test]
    fn what_is_not_there_is_not_told() {
        let client = Client {
            role: Role::Publisher,
            topics: Vec::new(),
            token: None,
            cookies: Vec::new(),
            address: None,
            path: "/.well-known/mercure?authorization=secret".into(),
            origin: None,
        };
        assert_eq!(
            String::from_utf8(body(&client)).unwrap(),
            r#"{"action":"publish","method":"GET","path":"/.well-known/mercure"}"#
        );
    }
}
