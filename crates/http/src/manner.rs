//! In which of the two Mercure dialects a request is, and so where its token may stand and how it is answered (mercure.md,
//! section 3). No switch weakens the one for the other: each request shows its own.

use tidewire_core::Dialect;

use crate::ask::Path;
use crate::problem::Problem;
use crate::query::Pairs;

/// How a request speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manner {
    /// A subscribe with `topic=`.
    Legacy,
    /// A subscribe with `match*`.
    Modern,
    /// A form that publishes: the same in both dialects, so that its token says.
    Form,
    /// What is no protocol's but ours: `/topics/`, batches, and a subscribe without a topic of either kind. Takes tokens of both, and answers as the modern one does.
    Ours,
}

impl Manner {
    /// Of a subscribe, by its parameters.
    pub(crate) fn of_subscribe(path: Path, pairs: &Pairs) -> Result<Self, Problem> {
        if path == Path::Topic {
            return Ok(Self::Ours);
        }
        let has = |is: fn(&str) -> bool| pairs.iter().any(|(name, _)| is(name));
        match (has(|name| name == "topic"), has(is_match)) {
            (true, true) => Err(Problem::bad_parameter(
                "name topics with `topic` or with `match`, not with both",
            )),
            (true, false) => Ok(Self::Legacy),
            (false, true) => Ok(Self::Modern),
            // Refused in any case, for its topics (mercure.md, 1.1 and 2.2), once a token of either dialect was looked at.
            (false, false) => Ok(Self::Ours),
        }
    }

    /// The dialect that its token has to be in; `None`: either.
    pub(crate) fn of_token(self) -> Option<Dialect> {
        match self {
            Self::Legacy => Some(Dialect::Legacy),
            Self::Modern => Some(Dialect::Modern),
            Self::Form | Self::Ours => None,
        }
    }

    /// The dialect in which it is answered; `token`: that of its token, if it has one.
    pub(crate) fn of_answer(self, token: Dialect) -> Dialect {
        match self {
            Self::Legacy => Dialect::Legacy,
            Self::Form => token,
            Self::Modern | Self::Ours => Dialect::Modern,
        }
    }
}

/// mercure.md, 2.3: names that begin with `match`, in any case, are the protocol's.
pub(crate) fn is_match(name: &str) -> bool {
    name.get(..5)
        .is_some_and(|start| start.eq_ignore_ascii_case("match"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// mercure.md, section 3
    #[test]
    fn a_subscribe_shows_its_dialect() {
        #[rustfmt::skip]
        let table = [
            (Path::Mercure, "topic=a&topic=b", Some(Manner::Legacy)),
            (Path::Mercure, "match=a&match_urlpattern=b", Some(Manner::Modern)),
            (Path::Mercure, "match_unknown=a", Some(Manner::Modern)),
            (Path::Mercure, "MATCH=a", Some(Manner::Modern)),
            (Path::Mercure, "", Some(Manner::Ours)),
            (Path::Mercure, "Topic=a", Some(Manner::Ours)),
            (Path::Mercure, "mat=a&topic=b", Some(Manner::Legacy)),
            (Path::Mercure, "topic=a&match=b", None),
            (Path::Mercure, "topic=a&Matchx=b", None),
            (Path::Topic, "", Some(Manner::Ours)),
        ];
        for (path, query, want) in table {
            let pairs = Pairs::parse(query.as_bytes()).unwrap();
            assert_eq!(Manner::of_subscribe(path, &pairs).ok(), want, "{query}");
        }
    }
}
