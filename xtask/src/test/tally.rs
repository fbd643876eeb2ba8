//! How many tests passed, failed and were skipped, read from what the runners print.

#[derive(Default, Debug, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) passed: u64,
    pub(super) failed: u64,
    pub(super) skipped: u64,
    /// What a reader of the summary should know: what was skipped and why, what failed.
    pub(super) notes: Vec<String>,
}

impl Tally {
    pub(super) fn of_one(passed: bool, failure: &str) -> Self {
        Self {
            passed: u64::from(passed),
            failed: u64::from(!passed),
            skipped: 0,
            notes: if passed {
                Vec::new()
            } else {
                vec![failure.into()]
            },
        }
    }

    pub(super) fn skipped(why: &str) -> Self {
        Self {
            skipped: 1,
            notes: vec![format!("skipped: {why}")],
            ..Self::default()
        }
    }

    pub(super) fn add(&mut self, other: &Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }

    /// A runner that failed without counting a failure (it did not build, it crashed) counts as one.
    pub(super) fn settle(&mut self, succeeded: bool, failure: &str) {
        if !succeeded && self.failed == 0 {
            self.failed = 1;
            self.notes.push(failure.into());
        }
    }

    /// The plain closing line: `N passed, N failed, N skipped`.
    pub(super) fn counts(&self) -> String {
        format!(
            "{} passed, {} failed, {} skipped",
            self.passed, self.failed, self.skipped
        )
    }
}

/// Adds a line of cargo's, if it counts: `test result: ok. 3 passed; 0 failed; 1 ignored; ...`.
pub(super) fn add_cargo_line(tally: &mut Tally, line: &str) {
    if let Some(name) = line
        .strip_suffix("... FAILED")
        .and_then(|line| line.strip_prefix("test "))
    {
        tally.notes.push(format!("failed: {}", name.trim()));
    }
    if let Some((name, why)) = line
        .strip_prefix("test ")
        .and_then(|line| line.split_once(" ... ignored"))
    {
        let why = why.trim_start_matches([',', ' ']);
        tally.notes.push(format!("skipped: {name}: {why}"));
    }
    let Some((_, counts)) = line
        .strip_prefix("test result: ")
        .and_then(|rest| rest.split_once(". "))
    else {
        return;
    };
    for count in counts.split("; ") {
        match count.split_once(' ') {
            Some((number, "passed")) => tally.passed += number.parse().unwrap_or(0),
            Some((number, "failed")) => tally.failed += number.parse().unwrap_or(0),
            Some((number, "ignored")) => tally.skipped += number.parse().unwrap_or(0),
            _ => {}
        }
    }
}

/// Reads what node's test runner says in the Test Anything Protocol: the closing counts, and which were skipped or failed.
pub(super) fn read_tap(text: &str) -> Tally {
    let mut tally = Tally::default();
    for line in text.lines() {
        if let Some((key, number)) = line
            .strip_prefix("# ")
            .and_then(|rest| rest.split_once(' '))
        {
            let number: u64 = number.parse().unwrap_or(0);
            match key {
                "pass" => tally.passed = number,
                "fail" | "cancelled" => tally.failed += number,
                "skipped" | "todo" => tally.skipped += number,
                _ => {}
            }
        }
        let line = line.trim_start();
        if let Some((name, why)) = line.split_once(" # SKIP") {
            let name = name.split_once(" - ").map_or(name, |(_, name)| name);
            tally.notes.push(format!("skipped: {name}: {}", why.trim()));
        } else if let Some((_, name)) = line
            .strip_prefix("not ok ")
            .and_then(|rest| rest.split_once(" - "))
        {
            tally.notes.push(format!("failed: {name}"));
        }
    }
    tally
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cargo_lines() {
        let mut tally = Tally::default();
        for line in [
            "running 3 tests",
            "test a::b ... ok",
            "test a::c ... FAILED",
            "test a::d ... ignored, needs a tape",
            "test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s",
            "test result: FAILED. 2 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s",
        ] {
            add_cargo_line(&mut tally, line);
        }
        assert_eq!(tally.counts(), "5 passed, 1 failed, 1 skipped");
        assert_eq!(tally.notes, ["failed: a::c", "skipped: a::d: needs a tape"]);
    }

    #[test]
    fn tap() {
        let text = "TAP version 13\nok 1 - one\nok 2 - two # SKIP no nginx\nnot ok 3 - three\n  ---\n  ...\n\
                    1..3\n# tests 3\n# pass 1\n# fail 1\n# cancelled 0\n# skipped 1\n# todo 0\n";
        let tally = read_tap(text);
        assert_eq!(tally.counts(), "1 passed, 1 failed, 1 skipped");
        assert_eq!(tally.notes, ["skipped: two: no nginx", "failed: three"]);
    }

    #[test]
    fn a_run_that_breaks_is_a_failure() {
        for (succeeded, failed, expected) in [(true, 0, 0), (false, 0, 1), (false, 2, 2)] {
            let mut tally = Tally {
                failed,
                ..Tally::default()
            };
            tally.settle(succeeded, "it broke");
            assert_eq!(tally.failed, expected, "{succeeded} {failed}");
        }
    }
}
