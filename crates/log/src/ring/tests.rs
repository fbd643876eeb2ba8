//! What a ring finds and what it drops, block by block.

use tidewire_core::{Cursor, Epoch, Topic};

use super::*;
use crate::{Event, encode_record};

const SMALL: RingConfig = RingConfig {
    merge_bytes: 1 << 20,
    merge_records: 4,
    seed: 1,
};

fn event(position: u64) -> Event {
    let topic = |name: &str| Topic::parse(name).unwrap();
    let mut event = Event::new(topic(&format!("t/{}", position % 7)), "x", position);
    event.topics.push(topic("all"));
    event.id = tidewire_codec::EventId::parse(&format!("id/{position}")).ok();
    event
}

/// Blocks of one record, at every second position.
fn ring(records: u64) -> Ring {
    let mut ring = Ring::new(SMALL, Position(1));
    for position in (2..=2 * records).step_by(2) {
        let mut bytes = Vec::new();
        let cursor = Cursor::new(Epoch(1), Position(position));
        let entry = encode_record(&event(position), cursor, position, &mut bytes);
        ring.push(Arc::new(Block::new(bytes, vec![entry])));
    }
    ring
}

fn positions(ring: &Ring, from: u64, topics: Option<&[&[u8]]>) -> Vec<u64> {
    let RingRead::Found { slices, next } = ring.read(Position(from), topics, 1 << 20, 1 << 20)
    else {
        return Vec::new();
    };
    assert_eq!(next, ring.end());
    let of = |slice: &Slice| slice.block.entries()[slice.range.clone()].to_vec();
    slices.iter().flat_map(of).map(|e| e.position.0).collect()
}

#[test]
fn what_is_dropped_leaves_nothing_behind() {
    for records in 1..14 {
        for drop_one_by_one in [true, false] {
            let mut ring = ring(records);
            if drop_one_by_one {
                (0..records).for_each(|_| ring.pop_oldest());
            } else {
                ring.drop_before(ring.end());
            }
            assert_eq!((ring.records(), ring.bytes(), ring.oldest()), (0, 0, None));
            assert_eq!(ring.start(), ring.end());
            assert_eq!((ring.open_bytes, ring.open_records), (0, 0));
            assert!(ring.topics.is_empty() && ring.ids.is_empty());
            ring.pop_oldest();
            ring.evict_to(0);
        }
    }
}

#[test]
fn it_answers_from_its_start_to_its_end() {
    for start in 0..30 {
        let mut ring = ring(11);
        ring.drop_before(Position(start));
        let begins = start.max(1);
        assert_eq!(ring.start(), Position(begins));
        assert_eq!(ring.end(), Position(begins.max(23)));
        let left: Vec<_> = (2..=22).step_by(2).filter(|p| *p >= begins).collect();
        assert_eq!(ring.records(), left.len() as u64);
        assert_eq!(positions(&ring, begins, None), left);
        assert_eq!(positions(&ring, begins, Some(&[b"all"])), left);
        let sevens: Vec<_> = left.iter().copied().filter(|p| p % 7 == 3).collect();
        assert_eq!(positions(&ring, begins, Some(&[b"t/3"])), sevens);
        let before = ring.read(Position(begins - 1), None, 1, 1);
        assert!(matches!(before, RingRead::Before));
        for position in 1..=24 {
            let found = ring.find_id(&format!("id/{position}"));
            let want = left.contains(&position).then_some(Position(position));
            assert_eq!(found, want);
            let found = ring.find_time(position).map(|p| p.0);
            assert_eq!(found, left.iter().copied().find(|p| *p >= position));
        }
    }
}

#[test]
fn eviction_takes_whole_blocks_and_leaves_the_newest() {
    let mut ring = ring(10); // merged: 4, 4; open: 1, 1
    let each = ring.bytes() / 10;
    ring.evict_to(9 * each);
    assert_eq!((ring.records(), ring.start()), (6, Position(9)));
    ring.pop_oldest();
    ring.evict_to(0);
    assert_eq!((ring.records(), ring.start()), (1, Position(19)));
    assert!(ring.bytes() <= each + 5);
}

#[test]
fn terms_that_share_a_hash_are_told_apart() {
    let empty = ring(0);
    let mut by_hash = std::collections::HashMap::new();
    let (one, other) = (0_u32..)
        .find_map(|n| {
            let hash = empty.ids.hash(format!("id/{n}").as_bytes());
            Some((by_hash.insert(hash, n)?, n))
        })
        .expect("2^32 hashes, and more ids");
    let names = [one, other].map(|n| format!("id/{n}"));
    let mut ring = ring(0);
    for (position, name) in (1..).zip(&names) {
        assert_eq!(ring.find_id(name), None);
        let mut event = Event::new(Topic::parse(name).unwrap(), "", 0);
        event.id = tidewire_codec::EventId::parse(name).ok();
        let mut bytes = Vec::new();
        let cursor = Cursor::new(Epoch(1), Position(position));
        let entry = encode_record(&event, cursor, 0, &mut bytes);
        ring.push(Arc::new(Block::new(bytes, vec![entry])));
    }
    for (position, name) in (1..).zip(&names) {
        let found = (Position(position), 1);
        assert_eq!(ring.find_id(name), Some(found.0));
        let topic: &[&[u8]] = &[name.as_bytes()];
        let last = ring.find_last(9, Some(topic), &Floors::default());
        assert_eq!(last, Some(found));
    }
}
