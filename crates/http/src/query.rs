//! Name and value pairs as forms and query strings write them (WHATWG URL, application/x-www-form-urlencoded).

use std::borrow::Cow;

use percent_encoding::percent_decode;
use tidewire_core::unseen_character;

use crate::problem::Problem;

/// How many parameters a body may have beside those that name topics.
const OTHERS_MAX: usize = 1000;

/// Pairs in their order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pairs(Vec<(String, String)>);

impl Pairs {
    /// Reads them. Names and values must be UTF-8 once decoded (mercure.md, 2.4): replacement would match other topics.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, Problem> {
        bytes
            .split(|byte| *byte == b'&')
            .filter(|pair| !pair.is_empty())
            .map(|pair| {
                let at = pair.iter().position(|byte| *byte == b'=');
                let (name, value) = match at {
                    Some(at) => (&pair[..at], &pair[at + 1..]),
                    None => (pair, &[][..]),
                };
                let name = decode(name).ok_or_else(|| {
                    Problem::bad_parameter(
                        "a parameter's name is not valid UTF-8 once percent-decoded",
                    )
                })?;
                let value = decode(value).ok_or_else(|| {
                    Problem::bad_parameter(format!(
                        "the value of `{name}` is not valid UTF-8 once percent-decoded"
                    ))
                })?;
                Ok((name, value))
            })
            .collect::<Result<_, Problem>>()
            .map(Self)
    }

    /// Reads those of a body, which may hold a pair in two bytes: each takes fifty times that in memory. `named_max`: how many of them
    /// may name a topic; `beyond` refuses more.
    pub(crate) fn of_body(
        bytes: &[u8],
        named_max: usize,
        beyond: impl Fn(String) -> Problem,
    ) -> Result<Self, Problem> {
        let count_max = named_max.saturating_add(OTHERS_MAX);
        let count = memchr::memchr_iter(b'&', bytes).count();
        if count > count_max {
            return Err(beyond(format!(
                "the body has {count} parameters; at most {count_max} are taken"
            )));
        }
        Self::parse(bytes)
    }

    /// Of a request's query.
    pub(crate) fn of(uri: &http::Uri) -> Result<Self, Problem> {
        Self::parse(uri.query().unwrap_or_default().as_bytes())
    }

    /// These, then others.
    #[must_use]
    pub(crate) fn and(mut self, others: Self) -> Self {
        self.0.extend(others.0);
        self
    }

    /// mercure.md, 2.4: whether no value holds a character that nobody sees.
    pub(crate) fn check_visible(&self) -> Result<(), Problem> {
        let unseen = |(name, value)| unseen_character(value).map(|c| (name, c));
        match self.iter().find_map(unseen) {
            None => Ok(()),
            Some((name, c)) => Err(Problem::bad_parameter(format!(
                "the value of {name:?} must not hold the control or format character U+{:04X}",
                u32::from(c)
            ))),
        }
    }

    /// The first value of a name.
    pub(crate) fn first<'a>(&'a self, name: &str) -> Option<&'a str> {
        self.all(name).next()
    }

    /// Every value of a name.
    pub(crate) fn all<'a, 'n>(
        &'a self,
        name: &'n str,
    ) -> impl Iterator<Item = &'a str> + use<'a, 'n> {
        self.iter()
            .filter(move |(have, _)| *have == name)
            .map(|(_, value)| value)
    }

    /// The value of a name that may stand once.
    pub(crate) fn once<'a>(&'a self, name: &str) -> Result<Option<&'a str>, Problem> {
        let mut values = self.all(name);
        let value = values.next();
        match values.next() {
            Some(_) => Err(Problem::bad_parameter(format!(
                "`{name}` was given more than once"
            ))),
            None => Ok(value),
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (&**name, &**value))
    }
}

/// As they are: nothing is decoded.
impl FromIterator<(String, String)> for Pairs {
    fn from_iter<I: IntoIterator<Item = (String, String)>>(pairs: I) -> Self {
        Self(pairs.into_iter().collect())
    }
}

/// `None` if it is not UTF-8.
fn decode(bytes: &[u8]) -> Option<String> {
    let spaced: Cow<'_, [u8]> = if bytes.contains(&b'+') {
        let space = |byte: &u8| if *byte == b'+' { b' ' } else { *byte };
        bytes.iter().map(space).collect::<Vec<_>>().into()
    } else {
        bytes.into()
    };
    percent_decode(&spaced)
        .decode_utf8()
        .map(Cow::into_owned)
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_decoded_as_forms_are() {
        #[rustfmt::skip]
        let table: [(&str, &[(&str, &str)]); 7] = [
            ("", &[]),
            ("a=b", &[("a", "b")]),
            ("a=b&a=c&&d", &[("a", "b"), ("a", "c"), ("d", "")]),
            ("a=x+y%20z%2B", &[("a", "x y z+")]),
            ("data=a=b", &[("data", "a=b")]),
            ("t=%E6%97%A5", &[("t", "日")]),
            ("t=100%&u=%zz", &[("t", "100%"), ("u", "%zz")]),
        ];
        for (text, want) in table {
            let pairs = Pairs::parse(text.as_bytes()).unwrap();
            assert_eq!(pairs.iter().collect::<Vec<_>>(), want, "{text}");
        }
        let many = |count: usize| "a&".repeat(count);
        let body = |count| Pairs::of_body(many(count).as_bytes(), 5, Problem::too_large);
        assert!(body(OTHERS_MAX + 5).is_ok());
        assert_eq!(body(OTHERS_MAX + 6).unwrap_err().status(), 413);
        for text in ["a=%ff", "%ff=a"] {
            assert!(Pairs::parse(text.as_bytes()).is_err(), "{text}");
        }
        let pairs = Pairs::parse(b"a=1&b=2&a=3").unwrap();
        assert_eq!((pairs.first("a"), pairs.first("c")), (Some("1"), None));
        assert_eq!(pairs.once("b"), Ok(Some("2")));
        assert!(pairs.once("a").is_err());
    }
}
