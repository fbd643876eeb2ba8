//! The suite that every log must pass. A backend gives a [`Factory`] and runs all cases from its own tests:
//!
//! ```text
//! tidewire_log::conformance_tests!(MyFactory);
//! ```
//!
//! It knows the trait and nothing of any backend, and reads no clock: every time in it is made up. It does use threads.

// Each case is one line of output, also when the test runner shows nothing else.
#![allow(clippy::print_stderr)]

mod cases;
mod fixture;
mod model;
mod rng;

pub use cases::random::random;
pub use rng::Rng;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use crate::{Log, ProducerLimits, Retention};

/// Makes logs of one kind.
pub trait Factory: Sync {
    /// What this kind promises beyond the trait.
    fn profile(&self) -> Profile;

    /// A new, empty log that nothing else uses.
    fn open(&self, settings: &Settings) -> Box<dyn Subject>;
}

/// One log under test.
pub trait Subject {
    /// The log; after [`Subject::reopen`] another one.
    fn log(&self) -> Arc<dyn Log>;

    /// Waits until what the log does by itself after an append or [`Log::maintain`] is done.
    fn settle(&self) {}

    /// Ends this life of the log and opens it again with the same settings. The suite has let go of [`Subject::log`].
    fn reopen(&mut self, how: Reopen, now_ms: u64);
}

/// How a log comes to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reopen {
    /// It is closed in peace.
    Clean,
    /// It is killed, or the machine fails: what was not made durable is gone.
    Crash,
}

/// What is left of the acknowledged events when a log is opened again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum After {
    /// All of them.
    All,
    /// The oldest so many; the others' cursors are told as gaps.
    Some,
    /// None; every earlier cursor is a gap.
    Nothing,
}

/// What a kind of log promises beyond the trait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Profile {
    /// Retention by count may keep so many records more than asked, in records. Zero: it is exact, by age too.
    pub slack_records: u64,
    /// Retention by bytes may keep so much more or less than asked, in bytes.
    pub slack_bytes: u64,
    /// What is left after a clean end.
    pub clean: After,
    /// What is left after a crash; `None`: it cannot be tried.
    pub crash: Option<After>,
    /// How many seeds the random case tries.
    pub seeds: u64,
    /// How many steps each has.
    pub steps: u64,
}

/// How a log is to be set up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// When it is opened, in milliseconds since 1970; its first epoch is named after that.
    pub now_ms: u64,
    /// What it keeps.
    pub retention: Retention,
    /// How long it knows producer keys.
    pub producers: ProducerLimits,
    /// The largest record it takes, in bytes.
    pub record_bytes_max: usize,
}

/// One promise, and how it is tried. It panics where the promise is broken.
#[derive(Clone, Copy)]
pub struct Case {
    /// In words.
    pub name: &'static str,
    /// Tries it on fresh logs.
    pub run: fn(&dyn Factory),
}

/// Calls a macro with the name of every case.
#[doc(hidden)]
#[macro_export]
macro_rules! conformance_cases {
    ($then:path, $($with:tt)*) => {
        $then! { ($($with)*)
            an_empty_log
            events_are_read_in_the_order_of_their_appends
            times_do_not_fall
            a_group_is_stored_side_by_side
            every_part_and_form_of_an_event_survives
            too_large_a_record_stores_nothing
            concurrent_appends_are_all_there_once
            watchers_are_told_every_commit_in_order
            the_answers_of_a_read
            limits_at_their_edge
            reading_on_from_anywhere_gives_the_rest
            topics_lose_no_wanted_record
            a_rare_topic_is_found_among_many
            every_start
            cursors_at_every_position_are_exact
            gaps_say_why_and_where_to_go_on
            publisher_ids_lead_to_the_earliest_match
            the_last_of_the_routed_topics
            since_a_time
            retention_by_count
            retention_by_bytes
            retention_by_age
            rules_by_count
            rules_by_age
            rules_of_several_topics
            missed_floors_are_told
            a_repeated_publication_is_stored_once
            a_reused_key_stores_nothing
            keys_repeat_inside_one_append
            keys_are_forgotten_outside_of_the_window
            a_clean_restart
            a_crash
            keys_ids_and_rules_over_a_restart
            lives_follow_each_other
            random_against_a_model
        }
    };
}

macro_rules! list {
    (() $($name:ident)*) => {
        /// Every case.
        pub const CASES: &[Case] = &[$(Case { name: stringify!($name), run: cases::$name }),*];
    };
}
conformance_cases!(list,);

/// Makes a `#[test]` of each case. Takes an expression that makes a [`Factory`].
#[macro_export]
macro_rules! conformance_tests {
    ($factory:expr) => {
        $crate::conformance_cases!($crate::conformance_tests_each, $factory);
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! conformance_tests_each {
    (($factory:expr) $($name:ident)*) => {
        $(#[test] fn $name() { $crate::conformance::run(stringify!($name), &$factory); })*
    };
}

/// Runs one case.
///
/// # Panics
/// Where the log breaks the promise, or if there is no such case.
pub fn run(name: &str, factory: &dyn Factory) {
    let case = CASES.iter().find(|case| case.name == name);
    (case.expect("a case has this name").run)(factory);
}

/// Runs every case, reports each on a line of stderr, and says which failed.
pub fn run_all(factory: &dyn Factory) -> Vec<&'static str> {
    let mut failed = Vec::new();
    for case in CASES {
        let held = catch_unwind(AssertUnwindSafe(|| (case.run)(factory))).is_ok();
        eprintln!("{} {}", if held { "held  " } else { "BROKEN" }, case.name);
        if !held {
            failed.push(case.name);
        }
    }
    failed
}
