//! The registry against one that is plainly right.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

const TEXTS: [&str; 4] = ["*", "a", "a{x}", "b"];
const TYPES: [MatchType; 3] = [
    MatchType::Exact,
    MatchType::UrlPattern,
    MatchType::UriTemplate,
];

fn name(text: usize, kind: usize) -> Name {
    Name {
        text: TEXTS[text].into(),
        match_type: TYPES[kind],
    }
}

#[derive(Clone, Debug)]
enum Op {
    Insert(u128, Vec<(usize, usize)>),
    Remove(u128, usize, usize),
    RemoveAll(u128),
}

fn op() -> impl Strategy<Value = Op> {
    let names = || (0..TEXTS.len(), 0..TYPES.len());
    prop_oneof![
        (1..6_u128, proptest::collection::vec(names(), 0..5))
            .prop_map(|(id, names)| Op::Insert(id, names)),
        (1..6_u128, names()).prop_map(|(id, (text, kind))| Op::Remove(id, text, kind)),
        (1..6_u128).prop_map(Op::RemoveAll),
    ]
}

/// What is there, and by whom it was asked for.
type Model = BTreeSet<(SubscriberId, Name)>;

fn apply(registry: &mut Registry, model: &mut Model, op: Op) {
    match op {
        Op::Insert(id, names) => {
            let id = SubscriberId(id);
            let names: Vec<_> = names.into_iter().map(|(t, k)| name(t, k)).collect();
            let mut told = Vec::new();
            let shown = names.iter().map(|name| (name.clone(), None));
            registry.insert(id, shown, |listed| {
                told.push(listed.name);
                told.len() as u64
            });
            let new: Vec<_> = names
                .into_iter()
                .filter(|name| model.insert((id, name.clone())))
                .collect();
            assert_eq!(told, new);
        }
        Op::Remove(id, text, kind) => {
            let (id, name) = (SubscriberId(id), name(text, kind));
            let was = model.remove(&(id, name.clone()));
            let gone = registry.remove(id, &name);
            assert_eq!(gone.map(|(listed, _)| listed.name), was.then_some(name));
        }
        Op::RemoveAll(id) => {
            let id = SubscriberId(id);
            let gone = registry.remove_all(id);
            let gone: BTreeSet<_> = gone
                .into_iter()
                .map(|(listed, _)| (id, listed.name))
                .collect();
            let was: BTreeSet<_> = model.iter().filter(|(i, _)| *i == id).cloned().collect();
            assert_eq!(gone, was);
            model.retain(|(i, _)| *i != id);
        }
    }
}

fn pages(mut page: impl FnMut(Option<Place>) -> Page<Listed, Place>) -> Vec<(SubscriberId, Name)> {
    let mut after = None;
    let mut all = Vec::new();
    loop {
        let page = page(after);
        all.extend(page.items.into_iter().map(|l| (l.subscriber, l.name)));
        match page.next {
            // As it is written in a URL.
            Some(next) => after = Some(next.to_string().parse().unwrap()),
            None => return all,
        }
    }
}

/// Everything that can be asked, asked.
fn agree(registry: &Registry, model: &Model, limit: usize) {
    assert_eq!(registry.total(), model.len());
    let set = |all: Vec<_>| {
        let set: Model = all.iter().cloned().collect();
        assert_eq!(set.len(), all.len(), "nobody twice");
        set
    };
    assert_eq!(set(pages(|after| registry.page(after, limit))), *model);
    for text in TEXTS {
        for kind in [None].into_iter().chain(TYPES.map(Some)) {
            let is_it = |(_, name): &&(_, Name)| {
                &*name.text == text && kind.is_none_or(|kind| kind == name.match_type)
            };
            let want: Model = model.iter().filter(is_it).cloned().collect();
            let shown = pages(|after| registry.page_of(text, kind, after, limit));
            assert_eq!(set(shown), want, "{text} {kind:?}");
            let counts = registry.counts_of(text, kind);
            let sum: usize = counts.iter().map(|(_, count)| count).sum();
            assert_eq!(sum, want.len());
            for id in (1..6).map(SubscriberId) {
                let found = registry.find(text, kind, id).map(|listed| listed.name);
                let there: Vec<_> = want.iter().filter(|(i, _)| *i == id).collect();
                assert_eq!(found.is_some(), !there.is_empty());
                assert!(found.is_none_or(|name| want.contains(&(id, name))));
            }
        }
    }
    let mut counted = Vec::new();
    let mut after = None;
    loop {
        let page = registry.counts(after.as_ref(), limit);
        counted.extend(page.items);
        match page.next {
            Some(next) => after = Some(next),
            None => break,
        }
    }
    let names: BTreeSet<_> = model.iter().map(|(_, name)| name).collect();
    let count = |name: &&Name| model.iter().filter(|(_, n)| n == *name).count();
    let want: Vec<_> = names
        .iter()
        .map(|name| ((*name).clone(), count(name)))
        .collect();
    assert_eq!(counted, want);
    // What is gone takes no memory.
    assert_eq!(registry.topics.len(), names.len());
    assert_eq!(registry.names.len(), names.len());
    assert_eq!(registry.by_topic.len(), model.len());
}

proptest! {
    #[test]
    fn it_holds_what_was_put_in_and_not_taken_out(
        ops in proptest::collection::vec(op(), 0..60),
        limit in 1..8_usize,
    ) {
        let (mut registry, mut model) = (Registry::default(), Model::new());
        for op in ops {
            apply(&mut registry, &mut model, op);
        }
        agree(&registry, &model, limit);
    }
}

#[test]
fn ids_are_uuids_and_read_back_as_written() {
    // RFC 9562, sections 4.1 and 5.4.
    let ids: BTreeSet<_> = (0..1000).map(|_| SubscriberId::random()).collect();
    assert_eq!(ids.len(), 1000);
    for id in ids {
        let text = id.to_string();
        let (version, variant) = (&text[23..24], &text[28..29]);
        assert!(version == "4" && "89ab".contains(variant), "{text}");
        assert_eq!(text.parse(), Ok(id));
        for other in [
            text.to_uppercase(),
            text.replacen('-', "", 1),
            format!("{text}-"),
        ] {
            assert_eq!(
                other.parse::<SubscriberId>(),
                Err(NoSubscriberId),
                "{other}"
            );
        }
    }
    for text in ["", "urn:uuid:", "urn:uuid:1", "x.y", "é"] {
        assert!(text.parse::<SubscriberId>().is_err() && text.parse::<Place>().is_err());
    }
}
