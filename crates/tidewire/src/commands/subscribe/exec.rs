//! A command for each event. What came over the network goes to its standard input and environment, never into its text.

use std::process::Stdio;

use tidewire_client::Event;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::failure::{Failure, Outcome};
use crate::output;

/// The system refuses to start a program with larger variables (Linux: 128 KiB); standard input takes data of any size.
const VARIABLE_BYTES_MAX: usize = 64 * 1024;

/// Runs the command and waits for it. That it failed is said; the next event gets its turn all the same.
pub(super) async fn run(text: &str, event: &Event, topic: Option<&str>) -> Outcome {
    let mut command = shell(text);
    let variables = [
        ("TIDEWIRE_ID", Some(event.last_event_id.as_str())),
        ("TIDEWIRE_TYPE", Some(event.event_type.as_str())),
        ("TIDEWIRE_TOPIC", topic),
        ("TIDEWIRE_DATA", Some(event.data.as_str())),
    ];
    for (name, value) in variables {
        match value {
            Some(value) if fits(value) => command.env(name, value),
            _ => command.env_remove(name),
        };
    }
    let mut child = command
        .stdin(Stdio::piped())
        .spawn()
        .map_err(|error| Failure::failed(format!("cannot run {text:?}: {error}")))?;
    if let Some(mut stdin) = child.stdin.take() {
        // A command that does not read its input closes the pipe; that is its right.
        let _ = stdin.write_all(event.data.as_bytes()).await;
    }
    let status = child
        .wait()
        .await
        .map_err(|error| Failure::failed(format!("cannot wait for {text:?}: {error}")))?;
    if !status.success() {
        output::say(format_args!(
            "{text:?} for {}: {status}",
            event.last_event_id
        ));
    }
    Ok(())
}

fn fits(value: &str) -> bool {
    value.len() <= VARIABLE_BYTES_MAX && !value.contains('\0')
}

#[cfg(unix)]
fn shell(text: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", text]);
    command
}

#[cfg(not(unix))]
fn shell(text: &str) -> Command {
    let mut command = Command::new("cmd");
    command.args(["/C", text]);
    command
}
