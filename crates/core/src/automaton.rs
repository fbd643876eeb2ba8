//! Automata: what the groups and wildcards of a URL pattern become. The `regex-automata` crate makes them; here they are kept and run.
//!
//! A hub may have to run thousands of them on one topic, none of which lies in the processor's nearest memory, so what counts is how much
//! of it a run touches: a table of bytes, as small as it can be, instead of that crate's own.

use std::collections::HashMap;

use regex_automata::dfa::{Automaton as _, StartKind, dense};
use regex_automata::nfa::thompson::{self, WhichCaptures};
use regex_automata::util::primitives::StateID;
use regex_automata::util::syntax;
use regex_automata::{Anchored, Input};

use crate::PatternError;

/// How many bytes an automaton may take while it is made, at the end and in between.
const AUTOMATON_BYTES_MAX: usize = 64 << 10;
const DETERMINIZE_BYTES_MAX: usize = 256 << 10;

/// From here nothing matches; from here everything does.
const NOTHING: u32 = 0;
const EVERYTHING: u32 = 1;

/// Matches a whole text of ASCII, as every part of a URL is once it is parsed.
#[derive(Debug)]
pub(crate) struct Automaton {
    table: Table,
    /// A state's row has two to the power of this many cells, no fewer than there are classes of characters: that is quicker to find
    /// than any other number.
    row_bits: u32,
    start: u16,
    /// A text that ends in this state or one after it matches.
    accepting: u16,
}

/// The class of each character, then for each state where each class leads to.
#[derive(Debug)]
enum Table {
    Narrow(Box<[u8]>),
    Wide(Box<[u16]>),
}

const CHARACTERS: usize = 128;

impl Automaton {
    /// Of a regular expression. It knows bytes alone: `\d` means what it means in a browser.
    pub(crate) fn parse(text: &str) -> Result<Self, PatternError> {
        let built = dense::Builder::new()
            .syntax(byte_syntax())
            .thompson(
                thompson::Config::new()
                    .utf8(false)
                    .which_captures(WhichCaptures::None)
                    .nfa_size_limit(Some(DETERMINIZE_BYTES_MAX)),
            )
            .configure(
                dense::Config::new()
                    .start_kind(StartKind::Anchored)
                    .accelerate(false)
                    .dfa_size_limit(Some(AUTOMATON_BYTES_MAX))
                    .determinize_size_limit(Some(DETERMINIZE_BYTES_MAX)),
            )
            .build(text);
        let why = |too_large| PatternError::Url {
            at: None,
            why: if too_large {
                "its wildcards and groups are too many to be matched cheaply"
            } else {
                "a group in parentheses is no regular expression that can be matched in linear time"
            },
        };
        let dfa = built.map_err(|error| why(error.is_size_limit_exceeded()))?;
        Self::of(&dfa).ok_or_else(|| why(true))
    }

    fn of(dfa: &dense::DFA<Vec<u32>>) -> Option<Self> {
        let input = Input::new("").anchored(Anchored::Yes);
        let start = dfa.start_state_forward(&input).ok()?;
        let (classes, characters) = classes_of(dfa);
        let mut states = States::default();
        states.number(dfa, start);
        let mut rows = Vec::new();
        while let Some(&state) = states.found.get(rows.len()) {
            let to = |character: &u8| states.number(dfa, dfa.next_state(state, *character));
            rows.push(characters.iter().map(to).collect::<Vec<_>>());
        }
        // Those that accept come last.
        let accepts = |state: &StateID| dfa.is_match_state(dfa.next_eoi_state(*state));
        let mut order: Vec<usize> = (0..rows.len()).collect();
        order.sort_by_key(|at| accepts(&states.found[*at]));
        let rejecting = order.partition_point(|at| !accepts(&states.found[*at]));
        let mut renumbered = vec![NOTHING, EVERYTHING];
        renumbered.resize(2 + rows.len(), 0);
        for (new, old) in order.iter().enumerate() {
            renumbered[2 + old] = u32::try_from(2 + new).ok()?;
        }
        let width = characters.len().next_power_of_two();
        let fixed = |state| std::iter::repeat_n(state, width);
        let row = |at: &usize| {
            let to = rows[*at].iter().map(|state| renumbered[*state as usize]);
            to.chain(std::iter::repeat(NOTHING))
                .take(width)
                .collect::<Vec<_>>()
        };
        let cells = fixed(NOTHING).chain(fixed(EVERYTHING));
        let cells = cells.chain(order.iter().flat_map(row));
        let all = classes.into_iter().map(u32::from).chain(cells);
        let table = match renumbered.len() <= 1 << 8 {
            true => Table::Narrow(
                all.map(|cell| u8::try_from(cell).ok())
                    .collect::<Option<_>>()?,
            ),
            false => Table::Wide(
                all.map(|cell| u16::try_from(cell).ok())
                    .collect::<Option<_>>()?,
            ),
        };
        let number = |state: u32| u16::try_from(renumbered[state as usize]).ok();
        Some(Self {
            table,
            row_bits: width.trailing_zeros(),
            start: number(states.number(dfa, start))?,
            accepting: u16::try_from(2 + rejecting).ok()?,
        })
    }

    pub(crate) fn matches(&self, text: &str) -> bool {
        match &self.table {
            Table::Narrow(table) => self.run(table, text),
            Table::Wide(table) => self.run(table, text),
        }
    }

    fn run<T: Copy + Into<usize>>(&self, table: &[T], text: &str) -> bool {
        let (classes, rows) = table.split_at(CHARACTERS);
        let mut state = usize::from(self.start);
        for byte in text.bytes() {
            if state <= EVERYTHING as usize {
                break;
            }
            let Some(class) = classes.get(usize::from(byte)) else {
                return false;
            };
            state = rows[state << self.row_bits | (*class).into()].into();
        }
        state >= usize::from(self.accepting) || state == EVERYTHING as usize
    }

    pub(crate) fn bytes(&self) -> usize {
        size_of::<Self>()
            + match &self.table {
                Table::Narrow(table) => size_of_val(&**table),
                Table::Wide(table) => size_of_val(&**table),
            }
    }
}

/// How its expressions are read.
pub(crate) fn byte_syntax() -> syntax::Config {
    syntax::Config::new().unicode(false).utf8(false)
}

/// The class of each character, and one character of each class.
fn classes_of(dfa: &dense::DFA<Vec<u32>>) -> (Vec<u8>, Vec<u8>) {
    let mut characters: Vec<u8> = Vec::new();
    let known = dfa.byte_classes();
    let class = |byte: u8| {
        let same = |other: &u8| known.get(*other) == known.get(byte);
        let at = characters.iter().position(same).unwrap_or_else(|| {
            characters.push(byte);
            characters.len() - 1
        });
        at as u8
    };
    let classes = (0..CHARACTERS as u8).map(class).collect();
    (classes, characters)
}

/// The states that were come to, in that order; the first has the number 2.
#[derive(Default)]
struct States {
    found: Vec<StateID>,
    numbers: HashMap<StateID, u32>,
}

impl States {
    fn number(&mut self, dfa: &dense::DFA<Vec<u32>>, state: StateID) -> u32 {
        if dfa.is_dead_state(state) || dfa.is_quit_state(state) {
            return NOTHING;
        }
        // What began the text has matched, and the rest does not matter.
        if dfa.is_match_state(state) {
            return EVERYTHING;
        }
        let found = &mut self.found;
        *self.numbers.entry(state).or_insert_with(|| {
            found.push(state);
            u32::try_from(1 + found.len()).expect("an automaton is small")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The same answers as those of a crate that matches regular expressions.
    #[test]
    fn it_matches_what_its_expression_does() {
        #[rustfmt::skip]
        let expressions = ["^$", "^(.*)$", "^(a*)$", "^([^/]+?)-([^/]+?)$", "^(?:/(a|b))*(?:/(.*))?$", "^(a|ab)(c|bcd)(d*)$", "^(\\d{3})x$",
            "^((?i)ab)c$", "^(a.{9}b)$", "^(?:a|ab|abc)$", "^((?:a|b)*a(?:a|b){7})$", "^(a\\b.*)$", "^([^a]*)$", "^(x|)$", "a", "^a", "b$"];
        let mut seed = 3_u64;
        let mut next = |below: usize| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (seed >> 33) as usize % below
        };
        let (mut hits, mut wide) = (0, 0);
        for expression in expressions {
            let ours = Automaton::parse(expression).unwrap();
            // Anchored at the beginning, as ours is.
            let theirs = regex::bytes::RegexBuilder::new(&format!("^(?:{expression})"))
                .unicode(false)
                .build()
                .unwrap();
            wide += usize::from(matches!(ours.table, Table::Wide(_)));
            for _ in 0..3000 {
                let letters = ["a", "b", "a", "b", "c", "d", "/", "-", "x", "1", "A"];
                let text: String = (0..next(14))
                    .map(|_| letters[next(letters.len())])
                    .collect();
                let want = theirs.is_match(text.as_bytes());
                assert_eq!(ours.matches(&text), want, "{expression} ~ {text}");
                hits += usize::from(want);
            }
        }
        assert!(hits > 5000 && wide > 0, "{hits} {wide}");
    }

    #[test]
    fn it_is_small_or_refused() {
        let small = Automaton::parse("^/(a|b)-([^/]+?)$").unwrap();
        assert!(small.bytes() < 400, "{}", small.bytes());
        assert!(Automaton::parse("^((?:a|b)*a(?:a|b){20})$").is_err());
    }
}
