//! What an event of the bench carries, and how it is found in what a server sends.
//!
//! `R4k2m9xq 0003 0000001234 0000001234567890 xxxx…xz`: the run, the publisher, the event's number among this publisher's events
//! on this topic, when it was to be sent (nanoseconds since the run's origin), filler, and an end mark. All widths are fixed, so a
//! reader finds the run with one search, knows where the event ends, and jumps there.
//!
//! Not here: what the numbers mean together (that is `ledger`), and what is around an event: any server's framing will do.

use memchr::memmem::Finder;

use crate::failure::{Failure, Outcome};

/// A run's name and the space after it.
const RUN_BYTES: usize = 9;
/// All up to the filler.
const MARK_BYTES: usize = 42;
/// The last byte of a payload that has room for it; a payload that was cut or mixed with another has another byte here.
const END: u8 = b'z';

/// The smallest payload: no filler.
pub(super) const PAYLOAD_BYTES_MIN: usize = MARK_BYTES;

/// Publishers that four digits can tell apart.
pub(super) const PUBLISHERS_MAX: usize = 10_000;

/// The beginning of a payload, as it was read.
pub(super) type Mark = [u8; MARK_BYTES];

/// The numbers in a payload.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Stamp {
    /// Below [`PUBLISHERS_MAX`].
    pub(super) publisher: usize,
    /// Counts from 0, for each publisher and topic.
    pub(super) seq: u32,
    /// When it was to be sent, since the run's origin.
    pub(super) sent_ns: u64,
}

/// A run's name: events of other runs, which a server may still hold, are no events of ours.
#[derive(Clone, Copy, Debug)]
pub(super) struct Run([u8; RUN_BYTES]);

impl Run {
    /// A new name. Only its first byte is a capital, so a search that fails inside it need not go back.
    pub(super) fn new(random: [u8; 8]) -> Self {
        const DIGITS: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";
        let mut name = [b' '; RUN_BYTES];
        name[0] = b'R';
        for (digit, random) in name[1..8].iter_mut().zip(random) {
            *digit = DIGITS[usize::from(random) % DIGITS.len()];
        }
        Self(name)
    }

    /// A new name that nobody has guessed.
    pub(super) fn random() -> Outcome<Self> {
        let mut random = [0; 8];
        getrandom::fill(&mut random).map_err(Failure::failed)?;
        Ok(Self::new(random))
    }

    pub(super) fn parse(name: &str) -> Option<Self> {
        let name: [u8; RUN_BYTES - 1] = name.as_bytes().try_into().ok()?;
        let mut run = [b' '; RUN_BYTES];
        run[..RUN_BYTES - 1].copy_from_slice(&name);
        Some(Self(run))
    }

    pub(super) fn name(&self) -> &str {
        std::str::from_utf8(&self.0[..RUN_BYTES - 1]).unwrap_or_default()
    }

    /// Writes a payload of so many bytes, at least [`PAYLOAD_BYTES_MIN`].
    pub(super) fn write(&self, stamp: Stamp, bytes: usize, into: &mut Vec<u8>) {
        let end = into.len() + bytes;
        into.extend_from_slice(&self.0);
        decimal(stamp.publisher as u64, 4, into);
        decimal(u64::from(stamp.seq), 10, into);
        decimal(stamp.sent_ns, 16, into);
        if into.len() < end {
            into.resize(end - 1, b'x');
            into.push(END);
        }
    }
}

/// A number with leading zeros, and a space.
fn decimal(mut number: u64, digits: usize, into: &mut Vec<u8>) {
    let start = into.len();
    into.resize(start + digits, b'0');
    for digit in into[start..].iter_mut().rev() {
        *digit = b'0' + u8::try_from(number % 10).unwrap_or(0);
        number /= 10;
    }
    into.push(b' ');
}

/// Reads the numbers; `None` if they are none.
pub(super) fn read(mark: &Mark) -> Option<Stamp> {
    let eight = |at: usize| eight_digits(mark[at..at + 8].try_into().ok()?);
    let two = |at: usize| {
        let (tens, ones) = (mark[at].wrapping_sub(b'0'), mark[at + 1].wrapping_sub(b'0'));
        (tens < 10 && ones < 10).then(|| u64::from(tens) * 10 + u64::from(ones))
    };
    let publisher = two(9)? * 100 + two(11)?;
    let seq = two(14)? * 100_000_000 + eight(16)?;
    let sent_ns = eight(25)? * 100_000_000 + eight(33)?;
    Some(Stamp {
        publisher: usize::try_from(publisher).ok()?,
        seq: u32::try_from(seq).ok()?,
        sent_ns,
    })
}

/// Eight digits at once: pairs, then fours, then all, each with one multiplication.
fn eight_digits(digits: [u8; 8]) -> Option<u64> {
    let word = u64::from_le_bytes(digits) ^ 0x3030_3030_3030_3030;
    let too_large = word.wrapping_add(0x7676_7676_7676_7676);
    if (word | too_large) & 0x8080_8080_8080_8080 != 0 {
        return None;
    }
    let pairs = word.wrapping_mul(10).wrapping_add(word >> 8) & 0x00ff_00ff_00ff_00ff;
    let fours = pairs.wrapping_mul(100).wrapping_add(pairs >> 16) & 0x0000_ffff_0000_ffff;
    Some(fours.wrapping_mul(10_000).wrapping_add(fours >> 32) & 0xffff_ffff)
}

/// What a connection keeps of an event that is not all there yet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Carry {
    /// How much of the mark is there; all of it while the filler is awaited.
    have: u8,
    /// Bytes to come after the mark.
    left: u32,
    mark: Mark,
}

impl Default for Carry {
    fn default() -> Self {
        Self {
            have: 0,
            left: 0,
            mark: [0; MARK_BYTES],
        }
    }
}

impl Carry {
    pub(super) fn is_empty(&self) -> bool {
        self.have == 0
    }
}

/// Finds the events of one run in byte streams; one serves any number of connections.
#[derive(Debug)]
pub(super) struct Scanner {
    run: [u8; RUN_BYTES],
    finder: Finder<'static>,
    /// Of a payload.
    bytes: usize,
    /// What was between the last two events: the next is looked for there first. Always less than a payload, so nothing that
    /// is whole can be jumped over.
    gap: usize,
    /// Payloads that were cut, mixed or changed on their way.
    pub(super) damaged: u64,
}

impl Scanner {
    pub(super) fn new(run: Run, bytes: usize) -> Self {
        Self {
            run: run.0,
            finder: Finder::new(&run.0).into_owned(),
            bytes,
            gap: 0,
            damaged: 0,
        }
    }

    /// Reads the next bytes of a connection, and calls `event` for each event that is now complete.
    #[inline]
    pub(super) fn scan(&mut self, carry: &mut Carry, bytes: &[u8], mut event: impl FnMut(&Mark)) {
        let bytes = match carry.have {
            0 => bytes,
            _ => self.resume(carry, bytes, &mut event),
        };
        let mut at = 0;
        while let Some(start) = self.find(bytes, at) {
            let end = start + self.bytes;
            if bytes.len() < end {
                self.keep(carry, &bytes[start..]);
                return;
            }
            let payload = &bytes[start..end];
            match payload.first_chunk::<MARK_BYTES>() {
                Some(mark) if self.ends_well(payload) => {
                    event(mark);
                    at = end;
                }
                _ => {
                    self.damaged += 1;
                    at = start + RUN_BYTES;
                }
            }
        }
        self.keep_beginning(carry, &bytes[at..]);
    }

    /// Where the next event begins.
    #[inline]
    fn find(&mut self, bytes: &[u8], at: usize) -> Option<usize> {
        let guess = at + self.gap;
        if bytes.get(guess..guess + RUN_BYTES) == Some(&self.run[..]) {
            return Some(guess);
        }
        let gap = self.finder.find(bytes.get(at..)?)?;
        if gap < self.bytes {
            self.gap = gap;
        }
        Some(at + gap)
    }

    #[inline]
    fn ends_well(&self, payload: &[u8]) -> bool {
        self.bytes == MARK_BYTES || payload.last() == Some(&END)
    }

    /// Keeps an event that is not all there.
    fn keep(&self, carry: &mut Carry, part: &[u8]) {
        let have = part.len().min(MARK_BYTES);
        carry.mark[..have].copy_from_slice(&part[..have]);
        carry.have = u8::try_from(have).unwrap_or(u8::MAX);
        carry.left = u32::try_from(self.bytes - part.len().max(MARK_BYTES)).unwrap_or(u32::MAX);
    }

    /// Keeps what may become a run's name.
    fn keep_beginning(&self, carry: &mut Carry, rest: &[u8]) {
        let tail = &rest[rest.len().saturating_sub(RUN_BYTES - 1)..];
        let may_begin = |&start: &usize| self.run.starts_with(&tail[start..]);
        if let Some(start) = memchr::memchr_iter(self.run[0], tail).find(may_begin) {
            self.keep(carry, &tail[start..]);
        }
    }

    /// Goes on with what was kept; gives what is left of the bytes.
    fn resume<'a>(
        &mut self,
        carry: &mut Carry,
        mut bytes: &'a [u8],
        event: &mut impl FnMut(&Mark),
    ) -> &'a [u8] {
        while usize::from(carry.have) < MARK_BYTES {
            let Some((&byte, rest)) = bytes.split_first() else {
                return bytes;
            };
            let have = usize::from(carry.have);
            if have < RUN_BYTES && self.run[have] != byte {
                carry.have = 0;
                return bytes;
            }
            carry.mark[have] = byte;
            carry.have += 1;
            bytes = rest;
        }
        let left = carry.left as usize;
        if bytes.len() < left {
            carry.left -= u32::try_from(bytes.len()).unwrap_or(0);
            return &[];
        }
        carry.have = 0;
        if left > 0 && bytes[left - 1] != END {
            self.damaged += 1;
            return bytes;
        }
        event(&carry.mark);
        &bytes[left..]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RUN: Run = Run(*b"Rabcdefg ");

    fn stamp(seq: u32) -> Stamp {
        Stamp {
            publisher: 31,
            seq,
            sent_ns: 1_234_567_890_123_456,
        }
    }

    /// A stream of so many events, with this around each.
    fn stream(before: &str, after: &str, bytes: usize, count: u32) -> Vec<u8> {
        let mut stream = Vec::new();
        for seq in 0..count {
            stream.extend_from_slice(before.as_bytes());
            RUN.write(stamp(seq), bytes, &mut stream);
            stream.extend_from_slice(after.as_bytes());
        }
        stream
    }

    fn scan(stream: &[u8], bytes: usize, step: usize) -> (Vec<Stamp>, u64) {
        let mut scanner = Scanner::new(RUN, bytes);
        let mut carry = Carry::default();
        let mut found = Vec::new();
        for part in stream.chunks(step) {
            scanner.scan(&mut carry, part, |mark| {
                found.extend(read(mark));
            });
        }
        (found, scanner.damaged)
    }

    #[test]
    fn a_stamp_comes_back_as_it_was_written() {
        for (publisher, seq, sent_ns) in [
            (0, 0, 0),
            (9_999, u32::MAX, 9_999_999_999_999_999),
            (31, 1_234_567_890, 1_020_304_050_607_089),
        ] {
            let stamp = Stamp {
                publisher,
                seq,
                sent_ns,
            };
            let mut bytes = Vec::new();
            RUN.write(stamp, PAYLOAD_BYTES_MIN, &mut bytes);
            assert_eq!(bytes.len(), PAYLOAD_BYTES_MIN);
            assert_eq!(read(bytes.first_chunk().unwrap()), Some(stamp));
        }
    }

    #[test]
    fn what_is_no_number_is_no_stamp() {
        let mut good = Vec::new();
        RUN.write(stamp(7), PAYLOAD_BYTES_MIN, &mut good);
        for at in (9..13).chain(14..24).chain(25..41) {
            for byte in [b'/', b':', b' ', b'x', 0, 0xb0, 0xff] {
                let mut mark: Mark = *good.first_chunk().unwrap();
                mark[at] = byte;
                assert_eq!(read(&mark), None, "{at} {byte}");
            }
        }
    }

    #[test]
    fn events_are_found_however_they_are_cut() {
        for (before, after) in [
            ("data: ", "\n\n"),
            ("id: #1-2\ndata: ", "\n\n"),
            ("RRabRabcdefRabcdef{\"data\":\"", "\"}\r\n\r\n"),
            ("", ""),
        ] {
            for bytes in [PAYLOAD_BYTES_MIN, PAYLOAD_BYTES_MIN + 1, 200] {
                let stream = stream(before, after, bytes, 20);
                for step in (1..60).chain([199, 200, 201, 1_000, 100_000]) {
                    let (found, damaged) = scan(&stream, bytes, step);
                    let expected: Vec<_> = (0..20).map(stamp).collect();
                    assert_eq!(found, expected, "{before:?} {bytes} {step}");
                    assert_eq!(damaged, 0);
                }
            }
        }
    }

    #[test]
    fn events_of_another_run_are_not_ours() {
        let mut foreign = Vec::new();
        Run(*b"Rabcdefh ").write(stamp(0), 200, &mut foreign);
        for step in [1, 7, 1_000] {
            assert_eq!(scan(&foreign, 200, step), (vec![], 0));
        }
    }

    #[test]
    fn a_payload_that_lost_a_byte_is_damaged_and_the_next_is_found() {
        let mut stream = stream("data: ", "\n\n", 200, 3);
        stream.remove(100);
        for step in [1, 50, 199, 10_000] {
            let (found, damaged) = scan(&stream, 200, step);
            assert_eq!(found, [stamp(1), stamp(2)], "{step}");
            assert_eq!(damaged, 1, "{step}");
        }
    }

    #[test]
    fn a_run_is_named() {
        let run = Run::new([7, 200, 35, 36, 0, 9, 255, 1]);
        assert_eq!(Run::parse(run.name()).unwrap().0, run.0);
        assert!(Run::parse("short").is_none());
    }
}
