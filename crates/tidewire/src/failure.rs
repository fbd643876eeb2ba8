//! The one place where errors become a message, the next step, and an exit code.

use std::fmt::Display;
use std::io;
use std::process::ExitCode;

use crate::output;

/// Why a command ended early.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The command was used wrongly: exit 2.
    Usage(Report),
    /// It failed: exit 1.
    Failed(Report),
    /// clap has the words (help and version among them).
    Clap(Box<clap::Error>),
    /// Whoever read our output went away: not a failure.
    ClosedPipe,
    /// All has been said: exit 1.
    Said,
}

/// What happened, and what to do next.
#[derive(Debug)]
pub(crate) struct Report {
    what: String,
    next: Option<String>,
}

pub(crate) type Outcome<T = ()> = Result<T, Failure>;

impl Failure {
    pub(crate) fn usage(what: impl Display) -> Self {
        Self::Usage(Report {
            what: what.to_string(),
            next: None,
        })
    }

    pub(crate) fn failed(what: impl Display) -> Self {
        Self::Failed(Report {
            what: what.to_string(),
            next: None,
        })
    }

    /// The same, with what to do next.
    pub(crate) fn next(mut self, step: impl Display) -> Self {
        if let Self::Usage(report) | Self::Failed(report) = &mut self {
            report.next = Some(step.to_string());
        }
        self
    }

    /// A file that could not be used.
    pub(crate) fn file(path: &std::path::Path, doing: &str, error: &io::Error) -> Self {
        let failure = Self::failed(format!("{}: cannot {doing}: {error}", path.display()));
        match error.kind() {
            io::ErrorKind::NotFound => failure.next("check the path"),
            io::ErrorKind::PermissionDenied => failure.next("check the owner and mode (ls -l)"),
            _ => failure,
        }
    }

    /// Standard output could not be written.
    pub(crate) fn stdout(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::ClosedPipe,
            _ => Self::failed(format!("cannot write to standard output: {error}")),
        }
    }

    /// Says it, and gives the exit code.
    pub(crate) fn report(self) -> ExitCode {
        match self {
            Self::ClosedPipe => ExitCode::SUCCESS,
            Self::Said => ExitCode::from(1),
            Self::Clap(error) => {
                // Help and version go to standard output; a pipe that is closed there is no failure.
                let _ = error.print();
                ExitCode::from(if error.use_stderr() { 2 } else { 0 })
            }
            Self::Usage(report) => report.say(2),
            Self::Failed(report) => report.say(1),
        }
    }
}

impl Report {
    fn say(&self, code: u8) -> ExitCode {
        output::say(format_args!("error: {}", self.what));
        if let Some(next) = &self.next {
            output::say(next);
        }
        ExitCode::from(code)
    }
}
