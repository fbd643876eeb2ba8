//! Recovery: decides, from the bytes of the last segment, where the log ends, and tells a torn write from damage.
//!
//! A group is written into preallocated zeros and made durable before the next one counts on it. So a crash can leave, at
//! the end, a group of which some sectors are still zero: nobody was told of it, and it is cut off. Everything else that
//! does not read is damage, and refused: a group without a zero sector was written whole and changed later; a group
//! followed by one that calls it durable was durable; and nothing is torn in a log that was closed.

use tidewire_core::Position;

use crate::format::{GROUP_HEAD_BYTES, GroupHead, HEAD_BYTES, SegmentHead, find_group};
use crate::walk::{Bad, Step, Walk, Why};

/// A disk writes a sector of this size whole or not at all.
const SECTOR_BYTES: usize = 512;

/// What the last segment holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Recovered {
    /// The offset behind the last good group.
    pub(crate) end: usize,
    /// The position after the last record.
    pub(crate) next: Position,
    /// It has its end mark.
    pub(crate) sealed: bool,
    /// How many bytes of a torn write follow.
    pub(crate) torn_bytes: usize,
}

/// Why it is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Refused {
    pub(crate) bad: Bad,
    pub(crate) what: &'static str,
}

/// Looks at the bytes of the last segment. `clean` is the tail with which the log was closed, if it was.
pub(crate) fn recover(
    bytes: &[u8],
    head: &SegmentHead,
    clean: Option<Position>,
) -> Result<Recovered, Refused> {
    let good = good_groups(bytes, head);
    let refuse = |what| {
        let bad = good.bad.unwrap_or(Bad {
            at: good.end,
            to: good.end,
            why: Why::Positions,
            first: good.next,
            next: None,
        });
        Err(Refused { bad, what })
    };
    let found = Recovered {
        end: good.end,
        next: good.next,
        sealed: good.sealed,
        torn_bytes: 0,
    };
    if !good.sealed && (bytes.len() as u64) < head.promised_bytes {
        return refuse("the file was cut: it is shorter than it was made");
    }
    match clean {
        Some(tail) if good.bad.is_none() && tail == good.next => return Ok(found),
        Some(tail) if tail > good.next => {
            return refuse("the log was closed with more events than can be read from here on");
        }
        Some(_) => return refuse("the log was closed, and these bytes are not as they were then"),
        None => {}
    }
    let Some(bad) = good.bad else {
        return Ok(found);
    };
    if let Why::Newer(_) = bad.why {
        return refuse("an event of a newer version");
    }
    if good.sealed || is_vouched_for(bytes, head.nonce, good.end) {
        return refuse("bytes that were durable are not as they were written (checksum)");
    }
    if !is_torn(bytes, head.nonce, good.end) {
        return refuse("bytes that were written whole are not as they were written (checksum)");
    }
    let last = bytes.iter().rposition(|byte| *byte != 0).unwrap_or(0);
    Ok(Recovered {
        torn_bytes: (last + 1).saturating_sub(good.end),
        ..found
    })
}

struct Good {
    end: usize,
    next: Position,
    sealed: bool,
    bad: Option<Bad>,
}

/// Goes over whole groups until the first that is not.
fn good_groups(bytes: &[u8], head: &SegmentHead) -> Good {
    let mut good = Good {
        end: HEAD_BYTES,
        next: head.first,
        sealed: false,
        bad: None,
    };
    let mut open: Option<(usize, GroupHead)> = None;
    let mut walk = Walk::new(bytes, head.nonce, HEAD_BYTES, head.first);
    loop {
        let (at, next) = (walk.at(), walk.next_position());
        if let Some((start, group)) = open
            && at == start + GROUP_HEAD_BYTES + group.bytes as usize
            && next.0 == group.first.0 + u64::from(group.count)
        {
            (good.end, good.next) = (at, next);
            open = None;
        }
        let step = walk.next();
        match step {
            None if open.is_none() => return good,
            Some(Step::Group { head: group, .. }) if open.is_none() && group.is_end => {
                good.sealed = true;
                return good;
            }
            Some(Step::Group { at, head: group }) if open.is_none() => open = Some((at, group)),
            Some(Step::Record { .. }) if open.is_some() => {}
            step => {
                good.bad = Some(match step {
                    Some(Step::Bad(bad)) => bad,
                    _ => Bad {
                        at: good.end,
                        to: at,
                        why: Why::Checksum,
                        first: good.next,
                        next: None,
                    },
                });
                return good;
            }
        }
    }
}

/// Whether a whole group head or end mark behind `from` says that `from` was durable. That a mark is there says nothing: it is
/// synced together with what is before it, and may arrive alone.
fn is_vouched_for(bytes: &[u8], nonce: u64, from: usize) -> bool {
    let mut at = from + 1;
    while let Some(found) = find_group(bytes, at) {
        if let Some(head) = GroupHead::decode(&bytes[found..], nonce)
            && head.synced > from as u64
        {
            return true;
        }
        at = found + 1;
    }
    false
}

/// Whether a part of the group at `from` that lies in one sector was never written.
fn is_torn(bytes: &[u8], nonce: u64, from: usize) -> bool {
    let length = match GroupHead::decode(&bytes[from..], nonce) {
        Some(head) => GROUP_HEAD_BYTES + head.bytes as usize,
        None => GROUP_HEAD_BYTES,
    };
    let Some(group) = bytes.get(from..from + length) else {
        return true;
    };
    let (first, rest) = group.split_at((SECTOR_BYTES - from % SECTOR_BYTES).min(group.len()));
    std::iter::once(first)
        .chain(rest.chunks(SECTOR_BYTES))
        .any(|piece| piece.iter().all(|byte| *byte == 0))
}
