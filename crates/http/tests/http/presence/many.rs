//! Many subscribers: pages, totals, counts; and that events and API agree whatever happens.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{API, HUB, Key, fold, key, listed, open, start, wait_for_told};
use crate::server::Server;

fn document(server: &Server, target: &str) -> (Value, String) {
    let answer = server.get(target);
    assert_eq!(answer.status, 200, "{target}: {}", answer.body);
    (serde_json::from_str(&answer.body).unwrap(), answer.head)
}

/// Every page from here on: their items, and how many pages there were.
fn all_pages(server: &Server, first: &str, member: &str) -> (Vec<Value>, usize) {
    let mut items = Vec::new();
    let mut target = first.to_owned();
    for pages in 1.. {
        let (page, head) = document(server, &target);
        items.extend(page[member].as_array().unwrap().iter().cloned());
        match page.get("next").and_then(Value::as_str) {
            None => {
                assert!(!head.contains("rel=\"next\""));
                return (items, pages);
            }
            Some(next) => {
                assert!(head.contains(&format!("<{next}>; rel=\"next\"")), "{head}");
                target = next.to_owned();
            }
        }
    }
    unreachable!()
}

#[test]
fn pages_show_everyone_once() {
    let server = start();
    let mut clients = Vec::new();
    for n in 0..25 {
        clients.push(open(
            &server,
            &format!("{HUB}?match=a&match=b{}", n % 5),
            "",
        ));
    }
    wait_for_told(&server, 50);
    for (limit, pages) in [(1, 50), (7, 8), (25, 2), (50, 1), (10_000, 1)] {
        let target = format!("{API}?limit={limit}");
        let (items, count) = all_pages(&server, &target, "subscriptions");
        let keys: BTreeSet<Key> = items.iter().map(key).collect();
        assert_eq!(
            (items.len(), count, keys),
            (50, pages, listed(&server)),
            "limit {limit}"
        );
        let (_, count) = all_pages(
            &server,
            &format!("{API}/exact/a?limit={limit}"),
            "subscriptions",
        );
        assert_eq!(count, 25_usize.div_ceil(limit), "limit {limit}");
    }
    let (page, _) = document(&server, &format!("{API}?limit=10"));
    assert_eq!(page["total"], 50);
    let (page, _) = document(&server, &format!("{API}?limit=0"));
    assert_eq!(
        (&page["total"], &page["subscriptions"]),
        (&json!(50), &json!([]))
    );
    assert_eq!(page.get("next"), None);
    let (page, _) = document(&server, &format!("{API}/exact/b1?limit=2"));
    assert_eq!(page["total"], 5);
    let (page, _) = document(&server, &format!("{API}/b1?limit=3"));
    assert_eq!(
        (&page["total"], &page["type"]),
        (&json!(5), &json!("Subscriptions"))
    );
    assert_eq!(page["subscriptions"].as_array().unwrap().len(), 3);
    // What is neither asked for nor needed is not there.
    let (page, _) = document(&server, API);
    assert_eq!((page.get("total"), page.get("next")), (None, None));
    for query in [
        "limit=10001",
        "limit=x",
        "limit=-1",
        "limit=1&limit=2",
        "after=x",
        "counts=2",
    ] {
        assert_eq!(server.get(&format!("{API}?{query}")).status, 400, "{query}");
    }
}

/// Whoever stays through all pages is shown once, whoever comes and goes meanwhile.
#[test]
fn pages_hold_through_changes() {
    let server = start();
    let mut clients: Vec<_> = (0..20)
        .map(|_| open(&server, &format!("{HUB}?match=a"), ""))
        .collect();
    let stays: Vec<Value> = wait_for_told(&server, 20);
    let (page, _) = document(&server, &format!("{API}?limit=10"));
    let shown: Vec<Key> = page["subscriptions"]
        .as_array()
        .unwrap()
        .iter()
        .map(key)
        .collect();
    // The last one shown goes, and others come.
    let last = shown.last().unwrap();
    let gone = stays.iter().position(|event| key(event) == *last).unwrap();
    drop(clients.remove(gone));
    clients.extend((0..5).map(|_| open(&server, &format!("{HUB}?match=a"), "")));
    wait_for_told(&server, 26);
    let next = page["next"].as_str().unwrap();
    let (rest, _) = all_pages(&server, next, "subscriptions");
    let rest: Vec<Key> = rest.iter().map(key).collect();
    let both: BTreeSet<&Key> = shown.iter().chain(&rest).collect();
    assert_eq!(both.len(), shown.len() + rest.len(), "nobody twice");
    let stays: BTreeSet<Key> = stays.iter().map(key).collect();
    assert!(stays.iter().all(|key| both.contains(key)));
}

#[test]
fn counts_by_matcher() {
    let server = start();
    let mut clients = Vec::new();
    for target in [
        "match=a&match=b",
        "match=a",
        "topic=a%7Bx%7D",
        "match=a%7Bx%7D",
        "match=*",
    ] {
        clients.push(open(&server, &format!("{HUB}?{target}"), ""));
    }
    wait_for_told(&server, 6);
    let (counts, _) = document(&server, &format!("{API}?counts=true"));
    let count = |kind: &str, text: &str, count: usize| json!({"match_type": kind, "match": text, "subscribers": count});
    let want = [
        count("exact", "*", 1),
        count("exact", "a", 2),
        count("exact", "a{x}", 1),
        count("uritemplate", "a{x}", 1),
        count("exact", "b", 1),
    ];
    let whole = json!({"id": API, "type": "subscriptions", "total": 6, "topics": want});
    assert_eq!(counts, whole);
    for limit in 1..6 {
        let target = format!("{API}?counts=true&limit={limit}");
        let (items, pages) = all_pages(&server, &target, "topics");
        assert_eq!((items, pages), (want.to_vec(), 5_usize.div_ceil(limit)));
    }
    let (one, _) = document(&server, &format!("{API}/exact/a?counts=true"));
    assert_eq!(
        (&one["total"], &one["topics"]),
        (&json!(2), &json!([want[1]]))
    );
    let (one, _) = document(&server, &format!("{API}/a%7Bx%7D?counts=true"));
    let topic = json!({"topic": "a{x}", "subscribers": 1});
    assert_eq!(
        (&one["total"], &one["topics"]),
        (&json!(2), &json!([topic, topic]))
    );
}

/// For whatever comes and goes, what events tell is what the API shows, and both are who is there.
#[test]
fn events_and_api_agree() {
    let server = start();
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    let mut chance = |below: u64| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed % below
    };
    let mut clients = Vec::new();
    let mut changes = 0;
    for round in 0..12 {
        for _ in 0..chance(30) {
            if chance(5) < 3 || clients.is_empty() {
                let count = 1 + chance(3);
                let query: Vec<_> = (0..count)
                    .map(|_| format!("topic=t{}", chance(6)))
                    .collect();
                let distinct: BTreeSet<_> = query.iter().collect();
                changes += distinct.len();
                let size = distinct.len();
                let client = open(&server, &format!("{HUB}?{}", query.join("&")), "");
                clients.push((client, size));
            } else {
                let at = chance(clients.len() as u64) as usize;
                let (client, size) = clients.swap_remove(at);
                changes += size;
                drop(client);
            }
        }
        let told = wait_for_told(&server, changes);
        let there = fold(&told);
        assert_eq!(there, listed(&server), "round {round}");
        assert_eq!(
            there.len(),
            clients.iter().map(|(_, size)| size).sum::<usize>(),
            "round {round}"
        );
    }
    changes += clients.iter().map(|(_, size)| size).sum::<usize>();
    clients.clear();
    assert!(fold(&wait_for_told(&server, changes)).is_empty());
}

/// Somebody who takes a document and then follows events from the id it names knows all at the end.
#[test]
fn a_document_and_the_events_after_it_are_the_whole_truth() {
    let server = start();
    let stays = open(&server, &format!("{HUB}?match=stays"), "");
    let goes = open(&server, &format!("{HUB}?match=goes"), "");
    wait_for_told(&server, 2);
    let (page, head) = document(&server, API);
    let id = head.split("last-event-id=\"").nth(1).unwrap();
    let id = id.split('"').next().unwrap().replace('#', "%23");
    drop(goes);
    wait_for_told(&server, 3);
    let comes = open(&server, &format!("{HUB}?match=comes"), "");
    wait_for_told(&server, 4);
    let mut there: BTreeSet<Key> = page["subscriptions"]
        .as_array()
        .unwrap()
        .iter()
        .map(key)
        .collect();
    let target = format!("{HUB}?match=*&checkpoint=off&last_event_id={id}");
    let lines = "Accept: application/json\r\n";
    let head = format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n{lines}");
    let after: Value = serde_json::from_str(&server.ask(head.trim_end(), "").body).unwrap();
    let events = after["events"].as_array().unwrap();
    assert_eq!(events.len(), 2, "{after}");
    for event in events {
        let event: Value = serde_json::from_str(event["data"].as_str().unwrap()).unwrap();
        match event["active"] == true {
            true => there.insert(key(&event)),
            false => there.remove(&key(&event)),
        };
    }
    assert_eq!(there, listed(&server));
    drop((stays, comes));
}
