//! A log directory that cannot be used: what is wrong, and what its operator does next.

use std::path::Path;

use tidewire_log_disk::OpenError;

use crate::failure::Failure;
use crate::quote;

/// The failure for an error of the log, from whichever command met it.
pub(crate) fn failure(dir: &Path, error: &OpenError) -> Failure {
    let shown = quote::shell(&dir.to_string_lossy());
    let program = quote::program();
    let failure = Failure::failed(error);
    match error {
        OpenError::Locked { .. } => failure.next(
            "stop the hub that has it; a second hub needs a place of its own: --data-dir DIR, or --memory",
        ),
        OpenError::NewerFormat { .. } => failure.next("use the newer tidewire that wrote it"),
        OpenError::Damaged(_) => failure.next(format!(
            "see what is lost: {program} log verify {shown}\n\
             save what can be read: {program} log export {shown} --out events.ndjson\n\
             then start with an empty one: {program} log import NEW_DIR events.ndjson"
        )),
        OpenError::ReadOnly { .. } => failure.next(
            "let this user write there (`ls -ld` shows the owner), or give another place: --data-dir DIR, or --memory",
        ),
        OpenError::Full { .. } => failure.next("make room, or give another place: --data-dir DIR"),
        OpenError::NoLog(_) => failure.next("name the directory that the hub had as --data-dir"),
        _ => failure.next("give another place: --data-dir DIR, or --memory"),
    }
}
